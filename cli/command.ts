// What a command is, how its arguments are parsed, and how its help reads.
import { type ParseArgsConfig, parseArgs } from "node:util";
import { CliError, usageError } from "./cli-error.ts";
import type { CliEnvironment, Connection, NodeConnection } from "./config.ts";
import { nearest } from "./nearest.ts";
import type { Output } from "./output.ts";

export interface OptionSpec {
  readonly name: string;
  readonly short?: string;
  /** Name of the value in the help; undefined for a switch. */
  readonly value?: string;
  readonly help: string;
}

export type Flags = Readonly<Record<string, string | boolean | undefined>>;

/** What a command may use. */
export interface CommandContext {
  readonly positionals: readonly string[];
  readonly flags: Flags;
  readonly output: Output;
  readonly env: CliEnvironment;
  readonly connection: Connection;
  readonly node: NodeConnection;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** Asks a yes-or-no question; undefined where nobody can answer. */
  readonly confirm: ((question: string) => Promise<boolean>) | undefined;
  /** Aborted by Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
}

export interface Command {
  /** The words that call it: "keys create". */
  readonly words: string;
  /** Its arguments in the usage line: "NAME". */
  readonly arguments: string;
  /** Fewest and most arguments. */
  readonly arity: readonly [number, number];
  readonly summary: string;
  /** Further lines of the help. */
  readonly details?: readonly string[];
  readonly options: readonly OptionSpec[];
  readonly examples: readonly string[];
  /** Rejects with a CliError. */
  run(context: CommandContext): Promise<void>;
}

/** Options that every command has. */
export const COMMON_OPTIONS: readonly OptionSpec[] = [
  { name: "url", value: "URL", help: "the server (or SLUICE_URL; else the nearest .sluice/dev.json)" },
  { name: "admin-key", value: "KEY", help: "the admin key (or SLUICE_ADMIN_KEY)" },
  { name: "api-key", value: "KEY", help: "an API key (or SLUICE_API_KEY)" },
  { name: "json", help: "print one JSON value, errors too" },
  { name: "help", short: "h", help: "this text" },
];

/** Parses the arguments that follow a command's words. Throws a usage error that names the culprit. */
export function parseCommand(command: Command, args: readonly string[]): { positionals: string[]; flags: Flags } {
  const specs = [...command.options, ...COMMON_OPTIONS];
  const options: NonNullable<ParseArgsConfig["options"]> = {};
  for (const { name, short, value } of specs) {
    options[name] = { type: value === undefined ? "boolean" : "string", ...(short === undefined ? {} : { short }) };
  }
  const see = `see sluice ${command.words} --help`;
  const { positionals, flags } = tokenize([...args], options, specs, see);
  const [fewest, most] = command.arity;
  if (flags.help === true) return { positionals, flags };
  if (positionals.length < fewest) throw usageError(`sluice ${command.words} needs ${command.arguments}: ${see}.`);
  const extra = positionals[most];
  if (extra !== undefined) throw usageError(`sluice ${command.words} does not take "${extra}": ${see}.`);
  for (const { name, value } of specs) {
    if (value !== undefined && flags[name] === "") throw usageError(`--${name} needs a value: ${see}.`);
  }
  return { positionals, flags };
}

function tokenize(
  args: string[],
  options: NonNullable<ParseArgsConfig["options"]>,
  specs: readonly OptionSpec[],
  see: string,
): { positionals: string[]; flags: Flags } {
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true, strict: true });
    return { positionals, flags: values as Flags };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const culprit = /'?(--?[\w-]+)/.exec(error.message)?.[1] ?? "";
    if ("code" in error && error.code === "ERR_PARSE_ARGS_UNKNOWN_OPTION") {
      const names = specs.map((spec) => spec.name);
      const meant = nearest(culprit.replace(/^-+/, ""), names);
      throw usageError(
        `There is no option ${culprit}${meant === undefined ? "" : ` (did you mean --${meant}?)`}: ${see}.`,
      );
    }
    const wanted = specs.find((spec) => `--${spec.name}` === culprit || `-${spec.short}` === culprit);
    if (wanted !== undefined) {
      throw usageError(`--${wanted.name} ${wanted.value === undefined ? "takes no value" : "needs a value"}: ${see}.`);
    }
    throw new CliError(`The arguments can't be read: ${see}.`, { cause: error }, 2);
  }
}

/** The help of one command. */
export function commandHelp(command: Command): string {
  const usage = ["sluice", command.words, command.arguments, "[options]"].filter((word) => word !== "").join(" ");
  const lines = [command.summary, "", `Usage: ${usage}`];
  if (command.details !== undefined) lines.push("", ...command.details);
  lines.push("", "Options:", ...optionLines([...command.options, ...COMMON_OPTIONS]));
  lines.push("", "Examples:", ...command.examples.map((example) => `  ${example}`));
  return lines.join("\n");
}

function optionLines(specs: readonly OptionSpec[]): string[] {
  const heads = specs.map(({ name, short, value }) => {
    const long = value === undefined ? `--${name}` : `--${name} ${value}`;
    return short === undefined ? long : `-${short}, ${long}`;
  });
  const width = Math.max(...heads.map((head) => head.length));
  return specs.map((spec, index) => `  ${(heads[index] ?? "").padEnd(width)}  ${spec.help}`);
}
