// An engine's metrics are read right, and its growing queue holds ours back until it is gone.
import { expect, test } from "vitest";
import { manualClock } from "../../testing/manual-clock.ts";
import { flavorOf } from "./flavor.ts";
import { Pace, readLoad, watchLoad } from "./load.ts";

const { gauges } = flavorOf("vllm");
if (gauges === undefined) throw new Error("vLLM has gauges");

const text = [
  "# HELP vllm:num_requests_running Number of requests in model execution batches.",
  "# TYPE vllm:num_requests_running gauge",
  'vllm:num_requests_running{engine="0",model_name="a b} c"} 3.0',
  'vllm:num_requests_running{engine="1",model_name="m"} 2.0',
  'vllm:num_requests_waiting{engine="0",model_name="m"} 1.0',
  'vllm:num_requests_waiting{engine="1",model_name="m"} 4.0',
  'vllm:num_requests_waiting_by_reason{reason="capacity"} 99.0',
  "",
].join("\n");

test("a gauge is summed over its labels, and taken for no other that begins alike", () => {
  expect(readLoad(text, gauges)).toEqual({ running: 5, waiting: 5 });
  expect(readLoad("vllm:num_requests_running 2\nvllm:num_requests_waiting 0", gauges)).toEqual({
    running: 2,
    waiting: 0,
  });
  expect(readLoad("llamacpp:requests_processing 1\n", gauges)).toBeUndefined();
  expect(readLoad("vllm:num_requests_running NaN\nvllm:num_requests_waiting 0\n", gauges)).toBeUndefined();
});

test("nothing new is started on top of what runs while the engine queues, after two readings of it", () => {
  const pace = new Pace(16);
  expect(pace.read({ running: 10, waiting: 3 }, 10)).toBe(false);
  expect(pace.limit).toBe(16);
  expect(pace.read({ running: 10, waiting: 3 }, 10)).toBe(true);
  expect(pace.limit).toBe(7);
  pace.read({ running: 10, waiting: 30 }, 7);
  expect(pace.limit).toBe(1);
});

test("a queue that passes by itself changes nothing", () => {
  const pace = new Pace(16);
  for (const waiting of [3, 0, 5, 0, 1, 0]) expect(pace.read({ running: 1, waiting }, 4)).toBe(false);
  expect(pace.limit).toBe(16);
});

test("the limit grows back step by step when the queue is gone, and no further than it was", () => {
  const pace = new Pace(16);
  pace.refused(5);
  expect(pace.limit).toBe(5);
  const limits = Array.from({ length: 8 }, () => {
    pace.read({ running: 5, waiting: 0 }, 5);
    return pace.limit;
  });
  expect(limits).toEqual([7, 9, 11, 13, 15, 16, 16, 16]);
  pace.refused(0);
  expect(pace.limit).toBe(1);
});

test("an engine without metrics is asked once a minute, one that can't be asked as often as ever", async () => {
  const clock = manualClock();
  const stop = new AbortController();
  let asked = 0;
  let answer: () => Promise<string | undefined> = async () => undefined;
  const loads: unknown[] = [];
  const read = (): Promise<string | undefined> => {
    asked += 1;
    return answer();
  };
  const over = watchLoad(
    { read, gauges, onLoad: (load) => loads.push(load), intervalMs: 1_000, clock, log: () => undefined },
    stop.signal,
  );
  await clock.advance(0);
  await clock.advance(30_000);
  expect(asked).toBe(1);
  answer = () => Promise.reject(new Error("no engine"));
  await clock.advance(31_000);
  const before = asked;
  await clock.advance(1_000);
  expect(asked).toBe(before + 1);
  answer = async () => text;
  await clock.advance(1_000);
  expect(loads).toEqual([{ running: 5, waiting: 5 }]);
  stop.abort();
  await over;
});
