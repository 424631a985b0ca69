// The options of `npm start`, from flags first and the environment second.
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import type { StartEnvironment } from "./config.ts";
import { StartError } from "./start-error.ts";

/** The runtimes that the node can be started with. */
export const RUNTIMES = ["llama", "scripted", "openai"] as const;
export type RuntimeName = (typeof RUNTIMES)[number];

export interface StartOptions {
  /** Port of the edge on 127.0.0.1; 0 takes any free one. */
  port: number;
  runtime: RuntimeName;
  /** A path to a .gguf file, an `hf:` URI or a catalogue id, or several with commas; undefined takes the node's default. */
  model: string | undefined;
  /** Absolute path of the folder that holds keys, database and logs. */
  stateDir: string;
  /** Whether the logs of node and edge also go to the terminal. */
  verbose: boolean;
}

export const HELP = `Starts the whole of Sluice on this machine: model, database, inference node and edge.

Usage: npm start -- [options], or sluice start [options]

  --port N         port of the API on 127.0.0.1 (default 8787, or PORT; 0 takes any free one)
  --runtime NAME   ${RUNTIMES.join(", ")} (default llama, or SLUICE_RUNTIME)
                   openai stands in front of the engine at SLUICE_OPENAI_URL
  --model REF      a .gguf file, hf:org/repo/file.gguf or a catalogue id, several with commas (or SLUICE_MODEL)
  --state DIR      folder of keys, database and logs (default .sluice)
  --verbose        show the logs of node and edge here, too
  --help           this text

It prints a URL and an API key and runs until Ctrl-C. A second start finds the same keys again.
`;

const FLAGS = {
  port: { type: "string" },
  runtime: { type: "string" },
  model: { type: "string" },
  state: { type: "string" },
  verbose: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** An option that takes a value and is followed by what the parser takes for an option: `--port -1`. */
function valuelessOption(args: string[]): { option: string; next: string } | undefined {
  const takesValue = (arg: string): boolean =>
    Object.entries(FLAGS).some(([name, { type }]) => type === "string" && arg === `--${name}`);
  const at = args.findIndex((arg, index) => takesValue(arg) && args[index + 1]?.startsWith("-"));
  const [option, next] = args.slice(at);
  return at < 0 || option === undefined || next === undefined ? undefined : { option, next };
}

function parseFlags(args: string[]) {
  try {
    return parseArgs({ args, options: FLAGS, strict: true, allowPositionals: false }).values;
  } catch (error) {
    const found = valuelessOption(args);
    if ((error as { code?: string }).code === "ERR_PARSE_ARGS_INVALID_OPTION_VALUE" && found !== undefined) {
      const { option, next } = found;
      if (option === "--port") parsePort(next, option);
      throw new StartError(
        `${option} needs a value, and ${next} reads as an option: write ${option}=${next} if it is one.`,
      );
    }
    // The parser's first sentence names the culprit; the rest explains parsing itself.
    const reason = (error as Error).message.split(". ")[0]?.split("\n")[0] ?? "";
    throw new StartError(`${reason.replace(/\.$/, "")}: see npm start -- --help.`);
  }
}

function parsePort(text: string, source: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port >= 0 && port <= 65_535) return port;
  throw new StartError(`${source} must be a whole number from 0 to 65535, not "${text}".`);
}

function parseRuntime(text: string, source: string): RuntimeName {
  const runtime = RUNTIMES.find((name) => name === text);
  if (runtime !== undefined) return runtime;
  throw new StartError(`${source} must be one of ${RUNTIMES.join(", ")}, not "${text}".`);
}

function requireUpstream(model: string | undefined, url: string | undefined): void {
  if (!url) {
    throw new StartError(
      "--runtime openai needs SLUICE_OPENAI_URL, the address of the engine to stand in front of: SLUICE_OPENAI_URL=http://127.0.0.1:8000/v1 npm start -- --runtime openai",
    );
  }
  if (model === undefined) return;
  throw new StartError("--model has no meaning with --runtime openai: SLUICE_OPENAI_MODEL names the engine's models.");
}

/** Model files are meant from where the command was typed; the node, which gets the names, runs in the checkout. */
function absoluteModels(models: string | undefined, from: string): string | undefined {
  return models
    ?.split(",")
    .map((model) => {
      const path = resolve(from, model.trim());
      return model.trim().endsWith(".gguf") && existsSync(path) ? path : model.trim();
    })
    .join(",");
}

/**
 * Reads flags and environment; undefined when help was asked for. Relative paths are taken from where the command was
 * typed, and the state is by default in `root`, the checkout. Throws StartError.
 */
export function parseOptions(args: string[], env: StartEnvironment, root: string): StartOptions | undefined {
  const flags = parseFlags(args);
  if (flags.help === true) return undefined;
  const swallowed = env.swallowed[0];
  if (swallowed !== undefined) {
    throw new StartError(
      `npm kept --${swallowed} for itself: write it after two dashes, npm start -- --${swallowed} ...`,
    );
  }
  const port = flags.port ?? env.port ?? "8787";
  const runtime = flags.runtime ?? env.runtime ?? "llama";
  const typedIn = env.typedIn ?? process.cwd();
  const model = absoluteModels(flags.model ?? env.model, typedIn);
  if (flags.model === "" || flags.state === "") throw new StartError("--model and --state need a value.");
  const options: StartOptions = {
    port: parsePort(port, flags.port === undefined ? "PORT" : "--port"),
    runtime: parseRuntime(runtime, flags.runtime === undefined ? "SLUICE_RUNTIME" : "--runtime"),
    model,
    stateDir: flags.state === undefined ? join(root, ".sluice") : resolve(typedIn, flags.state),
    verbose: flags.verbose === true,
  };
  if (flags.model !== undefined && options.runtime === "scripted") {
    throw new StartError("--model has no meaning with --runtime scripted, which serves the model scripted.");
  }
  if (options.runtime === "openai") requireUpstream(flags.model, env.inherited.SLUICE_OPENAI_URL);
  return options;
}
