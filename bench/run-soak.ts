// Runs the benchmark's soak: many requests of one server, and what processes hold in memory meanwhile.
import { counted } from "./format.ts";
import { Progress } from "./progress.ts";
import { levelLines, levelNotes, soakLines, summarizeSoak, tableHead } from "./report.ts";
import { type ScenarioContext, serversOf, watcherOf } from "./scenario.ts";
import { soak } from "./soak.ts";
import { BenchError } from "./target.ts";

/** Soaks the first target, prints what came of it and adds it to the findings. */
export async function runSoak(context: ScenarioContext): Promise<void> {
  const { options, prompt, print, progressOutput, signal, findings } = context;
  const [target] = serversOf(context.targets);
  if (target === undefined) throw new BenchError("there is no target");
  const { requests } = options.soak;
  const streams = options.streams[0] ?? 1;
  const sampleMemory = await watcherOf(options.watched);
  const progress = new Progress(progressOutput, requests);
  progress.stage(`${requests} requests at ${counted(streams, "stream")}`);
  try {
    const plan = { requests, streams, sampling: options, prompt, sampleMemory };
    const result = await soak(target, plan, () => progress.advance(), signal);
    findings.soak = summarizeSoak(result, streams, requests);
  } finally {
    progress.clear();
  }
  const level = { streams, targets: [findings.soak.target], ratio: undefined, firstTokensRatio: undefined };
  print("");
  print(tableHead());
  for (const line of levelLines(level)) print(line);
  for (const note of levelNotes(level)) print(`note: ${note}`);
  for (const line of soakLines(findings.soak)) print(line);
}
