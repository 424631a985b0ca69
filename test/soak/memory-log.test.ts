// Memory is followed by process, and growth is judged where each process lived.
import { expect, test } from "vitest";
import { MemoryLog } from "./memory-log.ts";

const pids = { start: 1, node: 2, runtime: 3, edge: 4 };
const process = (pid: number, name: string, megabytes: number) => ({ pid, name, rssBytes: megabytes * 1e6 });

test("growth is that of the second half, of an engine that of its own life, whatever came before", () => {
  const log = new MemoryLog();
  for (let second = 0; second <= 400; second += 1) {
    log.add(
      second,
      [
        process(2, "node main.ts", Math.min(second, 200)),
        process(5, "workerd", 100 + second / 10),
        ...(second < 100
          ? [process(3, "node child.ts", 1000)]
          : [process(9, "node child.ts", second < 250 ? 500 : 1100)]),
      ],
      pids,
    );
  }
  // What comes after the traffic is not judged.
  log.add(500, [process(2, "node main.ts", 900)], pids);
  const rows = log.rows(400);
  const of = (pid: number) => rows.find((row) => row.pid === pid);
  expect(of(2)).toMatchObject({ role: "node", growthPercent: 0, peakBytes: 900e6 });
  expect(of(5)).toMatchObject({ role: "workerd" });
  expect(of(5)?.growthPercent).toBeCloseTo(15, 0);
  expect(of(3)).toMatchObject({ role: "engine", livedS: 99, growthPercent: 0 });
  expect(of(9)).toMatchObject({ role: "engine", livedS: 300 });
  expect(of(9)?.growthPercent).toBe(0);
  expect(log.now("engine")).toBe(1100e6);
});

test("a process that did not live through the window has no growth", () => {
  const log = new MemoryLog();
  for (let second = 0; second <= 100; second += 1)
    log.add(second, second > 90 ? [process(2, "node main.ts", 1)] : [], pids);
  expect(log.rows(100)[0]?.growthPercent).toBeNaN();
});
