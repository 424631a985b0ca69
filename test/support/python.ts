// The Python with the official SDK, for the tests that speak as its users do: made once, at pinned versions.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { tryLock } from "../../cli/lock.mjs";
import { root } from "./stack.ts";

const run = promisify(execFile);
const requirements = join(root, "test", "support", "python-requirements.txt");
const cache = join(root, "test", ".cache");
const INSTALL_TIMEOUT_MS = 5 * 60_000;

function lastLine(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string };
  return (stderr?.trim() || message).split("\n").at(-1) ?? "";
}

async function step(what: string, remedy: string, command: string, args: string[]): Promise<void> {
  try {
    await run(command, args, { timeout: INSTALL_TIMEOUT_MS });
  } catch (error) {
    throw new Error(`${what} failed (${lastLine(error)}): ${remedy}`);
  }
}

async function install(folder: string, python: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  const needs =
    "the Python SDK tests need Python 3.9 or newer with its venv module (Debian: python3 and python3-venv).";
  await step("python3 -m venv", needs, "python3", ["-m", "venv", folder]);
  const network = "check the network, or pip's index settings.";
  await step("Installing the Python SDK", network, python, [
    ...["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", requirements],
  ]);
}

/** Path of a python3 that can `import openai`. Rejects with a sentence when Python or its package index is missing. */
export async function ensurePython(): Promise<string> {
  const pins = createHash("sha256").update(readFileSync(requirements)).digest("hex");
  const folder = join(cache, "python");
  const python = join(folder, "bin", "python3");
  const stamp = join(folder, "requirements.sha256");
  const installed = (): boolean => existsSync(stamp) && readFileSync(stamp, "utf8") === pins && existsSync(python);
  if (installed()) return python;
  mkdirSync(cache, { recursive: true });
  let lock = tryLock(join(cache, "python.lock"));
  while (!lock.held) {
    await sleep(200);
    lock = tryLock(join(cache, "python.lock"));
  }
  try {
    if (installed()) return python;
    await install(folder, python);
    writeFileSync(stamp, pins);
    return python;
  } finally {
    lock.release();
  }
}
