// `npm test`: the checks of the tree, then every vitest project, then one line that counts them all.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_EMBEDDING_MODEL, DEFAULT_MODEL } from "../inference-node/model-source/catalogue.ts";
import { checks } from "./support/checks.ts";
import { runCommand } from "./support/command.ts";
import { ensurePython } from "./support/python.ts";
import { root } from "./support/stack.ts";
import { type Tally, tally } from "./support/tally.ts";

const PARTS = ["checks", "unit", "edge", "model", "start", "e2e"] as const;
type Part = (typeof PARTS)[number];

const USAGE = `Usage: npm test -- [--only ${PARTS.join(",")}] [what vitest takes: files, -t NAME, ...]`;

interface Plan {
  parts: readonly Part[];
  /** Passed on to vitest. */
  rest: string[];
}

/** Splits off --only; undefined when it names no part. */
function readPlan(args: string[]): Plan | undefined {
  const rest: string[] = [];
  let parts: readonly Part[] | undefined;
  for (let index = 0; index < args.length; index += 1) {
    const arg = args[index] ?? "";
    if (arg !== "--only" && !arg.startsWith("--only=")) {
      rest.push(arg);
      continue;
    }
    const names = (arg === "--only" ? (args[++index] ?? "") : arg.slice("--only=".length)).split(",");
    parts = PARTS.filter((part) => names.includes(part));
    if (parts.length !== names.length) return undefined;
  }
  // Whoever names files or tests wants those and no checks.
  return { parts: parts ?? PARTS.filter((part) => rest.length === 0 || part !== "checks"), rest };
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}

async function runChecks(signal: AbortSignal): Promise<Tally> {
  const sum: Tally = { passed: 0, failed: 0, remarks: [] };
  for (const { name, run } of checks) {
    if (signal.aborted) break;
    const started = performance.now();
    const complaint = await run(signal);
    if (complaint === undefined) sum.passed += 1;
    else {
      sum.failed += 1;
      sum.remarks.push(`FAILED  ${name}`);
    }
    console.log(`${complaint === undefined ? "  ok  " : "FAILED"}  ${name}  ${seconds(started)}`);
    if (complaint !== undefined) console.log(complaint);
  }
  return sum;
}

/** What vitest runs together. By itself it would leave one core out, which of two is half of the machine. */
const GROUPS: { parts: readonly Part[]; workers: number }[] = [
  { parts: ["unit", "edge"], workers: availableParallelism() },
  // The weights are in memory as often as there are workers, and each computes on a core of its own.
  { parts: ["model", "start"], workers: Math.min(4, availableParallelism()) },
  { parts: ["e2e"], workers: 1 },
];

/** Runs one group of vitest projects; groups follow each other, since the end-to-end tests want the machine alone. */
async function runVitest(projects: string[], workers: number, rest: string[], signal: AbortSignal): Promise<Tally> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-vitest-"));
  const file = join(folder, "report.json");
  const program = join(root, "node_modules", "vitest", "vitest.mjs");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
  const args = [...process.execArgv, program, "run", ...projects.map((name) => `--project=${name}`), ...reporters];
  args.push(`--maxWorkers=${workers}`);
  // A filter may leave a project without a file; that the whole run has tests is checked at the end.
  if (rest.length > 0) args.push("--passWithNoTests", ...rest);
  try {
    const { code } = await runCommand(process.execPath, args, { signal, show: true });
    return tally(
      readIfThere(file),
      code,
      rest.some((arg) => arg === "-t" || arg.startsWith("--testNamePattern")),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/** Fetches now, where it can be seen, what a test would otherwise wait for; tests say themselves what they miss. */
async function prepare(parts: readonly Part[], signal: AbortSignal): Promise<void> {
  if (parts.some((part) => part !== "checks" && part !== "edge")) {
    console.log("Preparing the default models ...");
    const program = join(root, "inference-node", "model-source", "main.ts");
    for (const model of [DEFAULT_MODEL, DEFAULT_EMBEDDING_MODEL]) {
      await runCommand(process.execPath, [...process.execArgv, program, "resolve", model], { signal, show: true });
    }
  }
  if (parts.includes("e2e") && !signal.aborted) {
    console.log("Preparing the Python SDK ...");
    await ensurePython().catch((error: Error) => console.error(error.message));
  }
}

async function runAll({ parts, rest }: Plan, signal: AbortSignal): Promise<Tally[]> {
  const tallies: Tally[] = [];
  if (parts.includes("checks")) tallies.push(await runChecks(signal));
  await prepare(parts, signal);
  for (const { parts: together, workers } of GROUPS) {
    const group = parts.filter((part) => together.includes(part));
    if (group.length > 0 && !signal.aborted) tallies.push(await runVitest(group, workers, rest, signal));
  }
  return tallies;
}

async function main(): Promise<number> {
  const plan = readPlan(process.argv.slice(2));
  if (plan === undefined) {
    console.error(USAGE);
    return 1;
  }
  const stopping = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stopping.abort());
  process.on("disconnect", () => stopping.abort());
  process.channel?.unref();
  const tallies = await runAll(plan, stopping.signal);
  for (const remark of tallies.flatMap((part) => part.remarks)) console.log(remark);
  const passed = tallies.reduce((sum, part) => sum + part.passed, 0);
  const failed = tallies.reduce((sum, part) => sum + part.failed, 0);
  if (stopping.signal.aborted) console.log("The run was interrupted.");
  if (passed + failed === 0) console.log("No test was found.");
  console.log(`${passed} passed, ${failed} failed`);
  return failed > 0 || passed === 0 || stopping.signal.aborted ? 1 : 0;
}

process.exitCode = await main();
