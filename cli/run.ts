// Finds the command that the arguments name, runs it, and turns what it throws into an exit code.
import { CliError, usageError } from "./cli-error.ts";
import { COMMON_OPTIONS, type Command, type CommandContext, commandHelp, parseCommand } from "./command.ts";
import { keyCommands } from "./commands/keys.ts";
import { modelCommands } from "./commands/models.ts";
import { topCommand } from "./commands/top.ts";
import { type CliEnvironment, connect, connectNode } from "./config.ts";
import { nearest } from "./nearest.ts";
import { Output, type Sink } from "./output.ts";

export const COMMANDS: readonly Command[] = [...keyCommands, ...modelCommands, topCommand];

/** What the world gives to a run; tests give their own. */
export interface World {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly env: CliEnvironment;
  readonly cwd: string;
  /** The folder of this program's own checkout, whose server counts when no parent folder has one. */
  readonly checkout: string;
  readonly version: string;
  readonly now: () => number;
  readonly confirm: CommandContext["confirm"];
  readonly signal: AbortSignal;
}

/** Runs the command; resolves to the exit code: 0 done, 1 failed, 2 called wrongly. Rejects only on a fault of our own. */
export async function run(args: readonly string[], world: World): Promise<number> {
  const { stdout, stderr, env } = world;
  const options = args.slice(0, args.includes("--") ? args.indexOf("--") : undefined);
  const output = new Output({ stdout, stderr, json: options.includes("--json"), noColor: env.noColor });
  try {
    await dispatch(args, world, output);
    return 0;
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    report(error, output);
    return error.exitCode;
  }
}

async function dispatch(given: readonly string[], world: World, output: Output): Promise<void> {
  const args = optionsLast(given);
  const words = args.slice(0, 2).filter((word) => !word.startsWith("-"));
  const command =
    COMMANDS.find((candidate) => candidate.words === words.join(" ")) ??
    COMMANDS.find((candidate) => candidate.words === args[0]);
  if (command === undefined) {
    const text = withoutCommand(args, world.version);
    if (output.json && text === world.version) output.value({ version: text });
    else output.line(text);
    return;
  }
  const { positionals, flags } = parseCommand(command, args.slice(command.words.split(" ").length));
  if (flags.help === true) return output.line(commandHelp(command));
  const starts = [world.cwd, world.checkout];
  const connection = connect(flags, world.env, starts);
  const node = connectNode(flags, world.env, starts);
  const { env, now, confirm, signal } = world;
  await command.run({ positionals, flags, output, env, connection, node, now, confirm, signal });
}

/** `sluice --json keys list` is `sluice keys list --json`: moves the options before the command behind it. */
function optionsLast(args: readonly string[]): readonly string[] {
  let count = 0;
  for (;;) {
    const option = COMMON_OPTIONS.find(({ name }) => args[count]?.split("=")[0] === `--${name}`);
    if (option === undefined) break;
    count += option.value === undefined || args[count]?.includes("=") ? 1 : 2;
  }
  return count >= args.length ? args : [...args.slice(count), ...args.slice(0, count)];
}

/** What `sluice`, `sluice --version` and `sluice keys --help` print. Throws for all that was mistyped. */
function withoutCommand(args: readonly string[], version: string): string {
  const [first, second] = args;
  if (first === "--version" || first === "-V") return version;
  const wantsHelp = first === "help" || args.some((word) => word === "--help" || word === "-h");
  const group = first === "help" ? args.slice(1).join(" ") : (first ?? "");
  const inGroup = COMMANDS.filter((candidate) => candidate.words === group || candidate.words.startsWith(`${group} `));
  const [only] = inGroup;
  if (wantsHelp && only?.words === group) return commandHelp(only);
  if (wantsHelp && inGroup.length > 0 && (first === "help" || second?.startsWith("-") !== false))
    return groupHelp(inGroup);
  if (first === undefined || (wantsHelp && (group === "" || group.startsWith("-")))) return mainHelp();
  const mistyped = first === "help" ? args.slice(1) : args;
  throw unknownCommand(mistyped[0] ?? first, mistyped[1]);
}

function unknownCommand(first: string, second: string | undefined): CliError {
  const inGroup = COMMANDS.filter((candidate) => candidate.words.startsWith(`${first} `));
  if (first.startsWith("-"))
    return usageError(`A command comes before its options, and "${first}" is none: see sluice --help.`);
  if (inGroup.length > 0) {
    const names = inGroup.map((command) => command.words.slice(first.length + 1));
    if (second === undefined || second.startsWith("-"))
      return usageError(`sluice ${first} needs one of ${names.join(", ")}.`);
    return usageError(
      `There is no command "${first} ${second}"${meant(second, names, `${first} `)}: see sluice ${first} --help.`,
    );
  }
  const groups = [...new Set(COMMANDS.map((command) => command.words.split(" ")[0] ?? "")), "start", "help"];
  return usageError(`There is no command "${first}"${meant(first, groups, "")}: see sluice --help.`);
}

function meant(word: string, candidates: readonly string[], prefix: string): string {
  const found = nearest(word, candidates);
  return found === undefined ? "" : ` (did you mean ${prefix}${found}?)`;
}

function report(error: CliError, output: Output): void {
  const { message, code, status = null, requestId = null } = error;
  if (output.json) output.value({ error: { message, code, status, request_id: requestId } });
  else output.complain(message);
}

function mainHelp(): string {
  return [
    "Sluice: an LLM API platform in a box.",
    "",
    "Usage: sluice COMMAND [options]",
    "",
    "Commands:",
    ...summaries([
      { words: "start", arguments: "", summary: "Starts the whole of Sluice on this machine (the same as npm start)." },
      ...COMMANDS,
    ]),
    "",
    "sluice COMMAND --help tells more of each. Every command takes --json, --url, --admin-key and --api-key; without them",
    "SLUICE_URL, SLUICE_ADMIN_KEY and SLUICE_API_KEY count, then the .sluice/dev.json of the nearest parent folder.",
    "",
    "Examples:",
    "  sluice start --port 8787",
    "  sluice keys create laptop --expires 30d",
    "  sluice models list",
    "  sluice top",
  ].join("\n");
}

function groupHelp(commands: readonly Command[]): string {
  const group = commands[0]?.words.split(" ")[0] ?? "";
  return [`Usage: sluice ${group} COMMAND [options]`, "", "Commands:", ...summaries(commands)].join("\n");
}

function summaries(commands: readonly Pick<Command, "words" | "arguments" | "summary">[]): string[] {
  const heads = commands.map((command) => `${command.words} ${command.arguments}`.trimEnd());
  const width = Math.max(...heads.map((head) => head.length));
  return commands.map((command, index) => `  ${(heads[index] ?? "").padEnd(width)}  ${command.summary}`);
}
