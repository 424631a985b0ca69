// A log line is one JSON object with time, level and event.
import { expect, it } from "vitest";
import { createLog, type LogLevel } from "./log.ts";
import { manualClock } from "./testing/manual-clock.ts";

function lines(level: LogLevel = "info"): { log: ReturnType<typeof createLog>; written: string[] } {
  const written: string[] = [];
  return { log: createLog({ level, clock: manualClock(), write: (line) => written.push(line) }), written };
}

it("stamps each event and ends it with a newline", () => {
  const { log, written } = lines();
  log({ level: "info", event: "x", text: "two\nlines", big: 5n });
  expect(written).toEqual([
    '{"time":"1970-01-01T00:16:40.000Z","level":"info","event":"x","text":"two\\nlines","big":"5"}\n',
  ]);
});

it("drops what is below its level", () => {
  const { log, written } = lines("warn");
  for (const level of ["debug", "info", "warn", "error"] as const) log({ level, event: level });
  expect(written).toHaveLength(2);
});

it("writes an error with its stack", () => {
  const { log, written } = lines();
  log({ level: "error", event: "x", cause: new Error("broken") });
  expect(written[0]).toContain("Error: broken");
  expect(written[0]?.split("\n")).toHaveLength(2);
});
