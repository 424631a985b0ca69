// Runs one program of the toolchain to its end, under this Node and with the repository's own tools first.
import { spawn } from "node:child_process";
import { delimiter, dirname, join } from "node:path";
import { root } from "./stack.ts";

const OUTPUT_CHARS_MAX = 100_000;

export interface CommandOptions {
  signal: AbortSignal;
  cwd?: string;
  /** Lets the program write to this terminal itself; `output` is then empty. */
  show?: boolean;
}

export interface CommandResult {
  /** Exit code; -1 when it was ended by a signal or could not be started. */
  code: number;
  /** What it printed, stdout and stderr in their order; the last part when that is long. */
  output: string;
}

function toolPath(): string {
  return [dirname(process.execPath), join(root, "node_modules", ".bin"), process.env.PATH].join(delimiter);
}

/** Resolves when the program has ended, whatever came of it. An abort sends SIGTERM. */
export function runCommand(program: string, args: string[], options: CommandOptions): Promise<CommandResult> {
  const child = spawn(program, args, {
    cwd: options.cwd ?? root,
    env: { ...process.env, PATH: toolPath() },
    stdio: options.show === true ? ["ignore", "inherit", "inherit"] : ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-OUTPUT_CHARS_MAX);
    });
  }
  const stop = (): void => void child.kill("SIGTERM");
  options.signal.addEventListener("abort", stop, { once: true });
  return new Promise((resolve) => {
    const settle = (code: number, text: string): void => {
      options.signal.removeEventListener("abort", stop);
      resolve({ code, output: text });
    };
    child.once("error", (error) => settle(-1, error.message));
    child.once("close", (code) => settle(code ?? -1, output));
  });
}
