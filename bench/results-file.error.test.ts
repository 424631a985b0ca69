// A results file that cannot be written is a sentence.
import { expect, it } from "vitest";
import { machineFacts } from "./machine.ts";
import { readOptions } from "./options.ts";
import { writeResults } from "./results-file.ts";
import { noFindings } from "./scenario.ts";
import { BenchError } from "./target.ts";

it("names the reason when the path can't be written", async () => {
  const options = readOptions(["--target", "http://a"], { environment: {}, cores: 1, now: 0, running: undefined });
  if (options === "help") throw new Error("asked for help");
  const results = { startedAt: "now", machine: await machineFacts("."), options, targets: [], interrupted: false };
  const written = writeResults("/dev/null/x.json", { ...results, findings: noFindings() });
  await expect(written).rejects.toThrow(BenchError);
  await expect(written).rejects.toThrow(/^the results can't be written: E[A-Z]+: /);
});
