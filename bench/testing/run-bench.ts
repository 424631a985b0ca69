// Runs the benchmark in this process as its command line would, for tests.
import { machineFacts } from "../machine.ts";
import { readOptions } from "../options.ts";
import { run } from "../run.ts";

/** The exit code; the report's lines go to `print`, the JSON to `outPath`. No rest before a round. */
export async function runBenchOf(args: string[], outPath: string, print: (line: string) => void): Promise<number> {
  const options = readOptions([...args, "--pause", "0"], { environment: {}, cores: 2, now: 1, running: undefined });
  if (options === "help") throw new Error("asked for help");
  const surroundings = {
    machine: await machineFacts("."),
    startedAt: "2026-01-02T03:04:05.000Z",
    outPath,
    print,
    progressOutput: { write: () => true },
  };
  return run(options, surroundings, new AbortController().signal);
}
