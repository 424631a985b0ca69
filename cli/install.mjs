// Brings node_modules to what package-lock.json says, once, whoever asks first.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tryLock } from "./lock.mjs";

const OUTPUT_CHARS_MAX = 20_000;
const WAIT_MS = 500;
const WAIT_MAX_MS = 15 * 60_000;

/** An install that failed, with a message for the user. */
export class InstallError extends Error {}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

function lockHash(root) {
  return createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
}

const stampPath = (root) => join(root, "node_modules", ".sluice-lock-sha256");

function readStamp(root) {
  try {
    return readFileSync(stampPath(root), "utf8").trim();
  } catch {
    return undefined;
  }
}

function writeStamp(root) {
  try {
    writeFileSync(stampPath(root), `${lockHash(root)}\n`);
  } catch {
    // A read-only checkout: the slow comparison answers next time too.
  }
}

function runsHere(entry) {
  const allows = (list, value) =>
    !list || list.includes(value) || (list.some((v) => v[0] === "!") && !list.includes(`!${value}`));
  return allows(entry.os, process.platform) && allows(entry.cpu, process.arch) && !entry.libc;
}

/** Whether npm's own record of node_modules has every package that the lock file wants on this machine. */
export function matchesLock(root) {
  const wanted = readJson(join(root, "package-lock.json"));
  const present = readJson(join(root, "node_modules", ".package-lock.json"));
  if (!wanted || !present) return false;
  return Object.entries(wanted.packages).every(([path, entry]) => {
    if (path === "" || entry.link) return true;
    const found = present.packages[path];
    if (!found) return Boolean(entry.optional) && !runsHere(entry);
    return found.version === entry.version && found.integrity === entry.integrity && existsSync(join(root, path));
  });
}

function isInstalled(root) {
  if (readStamp(root) === lockHash(root)) return true;
  if (!matchesLock(root)) return false;
  writeStamp(root);
  return true;
}

function topLevelCount(root) {
  try {
    return readdirSync(join(root, "node_modules")).length;
  } catch {
    return 0;
  }
}

/** Shows how far npm is, by the folders that have appeared; returns what ends it. */
function showProgress(root) {
  const lock = readJson(join(root, "package-lock.json"));
  const paths = lock ? Object.keys(lock.packages) : [];
  const names = new Set(paths.filter((p) => p.startsWith("node_modules/")).map((p) => p.split("/")[1]));
  const started = Date.now();
  const tty = process.stderr.isTTY;
  const timer = setInterval(
    () => {
      const seconds = Math.round((Date.now() - started) / 1000);
      const share = Math.min(99, Math.round((100 * topLevelCount(root)) / Math.max(1, names.size)));
      process.stderr.write(`${tty ? "\r" : ""}  packages: ${share} %, ${seconds} s${tty ? "  " : "\n"}`);
    },
    tty ? 500 : 10_000,
  );
  return () => {
    clearInterval(timer);
    if (tty) process.stderr.write("\r\u001b[K");
  };
}

/** The npm that runs us, else the one on the PATH. */
function npmCommand() {
  const own = process.env.npm_execpath;
  if (own && /npm-cli\.c?js$/.test(own) && existsSync(own)) return [process.execPath, [own]];
  return [process.platform === "win32" ? "npm.cmd" : "npm", []];
}

/** What went wrong and what to do about it, in one sentence, from npm's output. */
export function explain(output) {
  if (/ENOSPC|no space left/i.test(output)) return "the disk is full: free about 1.5 GB and run the command again.";
  if (/EROFS|EACCES|EPERM/.test(output))
    return "this folder cannot be written to: make it writable and run the command again.";
  if (/ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|ENETUNREACH|network/i.test(output)) {
    return "the package registry cannot be reached: check the network (or npm's proxy and registry settings) and run the command again.";
  }
  const texts = output.split("\n").filter((line) => /^npm (error|ERR!)/.test(line));
  const reasons = texts.map((line) => line.replace(/^npm (error|ERR!)\s*/, "").trim());
  const reason = reasons.find((text) => text !== "" && !/^(code|errno|syscall) /.test(text)) || "npm gave no reason";
  return `npm ci failed (${reason.replace(/\.$/, "")}): run \`npm ci\` to see all of it.`;
}

function npmCi(root) {
  const [command, prefix] = npmCommand();
  const args = [...prefix, "ci", "--no-audit", "--no-fund", "--loglevel=error", "--include=dev", "--include=optional"];
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const keep = (chunk) => {
      output = (output + chunk).slice(-OUTPUT_CHARS_MAX);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const stop = (signal) => child.kill(signal);
    process.on("SIGINT", stop);
    process.on("SIGTERM", stop);
    const settle = (error) => {
      process.removeListener("SIGINT", stop);
      process.removeListener("SIGTERM", stop);
      if (error) reject(error);
      else resolve();
    };
    child.on("error", () =>
      settle(new InstallError("npm is not on the PATH: install Node with npm and run the command again.")),
    );
    child.on("close", (code, signal) => {
      if (code === 0) return settle();
      if (signal) return settle(new InstallError("the install was interrupted: run the command again."));
      settle(new InstallError(explain(output)));
    });
  });
}

/** npm ci empties node_modules before it fills it; through a link it would empty a folder that is not ours. */
function refuseLinkedModules(root) {
  const path = join(root, "node_modules");
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isSymbolicLink()) {
    throw new InstallError(
      `${path} is a link to another folder, which an install would empty: remove the link and run the command again.`,
    );
  }
}

async function waitForOther(owner, started) {
  if (Date.now() - started > WAIT_MAX_MS) {
    throw new InstallError(
      `process ${owner.pid} has been installing here for 15 minutes: stop it and run the command again.`,
    );
  }
  await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
}

function takeLock(root) {
  const folder = join(root, ".sluice");
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return tryLock(join(folder, "install.lock"));
  } catch (error) {
    throw new InstallError(
      `${folder} cannot be written to (${error.code || error.message}): ${explain(String(error.code))}`,
    );
  }
}

/**
 * Installs unless node_modules already matches the lock file; true when it did install.
 * Throws InstallError with a sentence for the user.
 */
export async function ensureInstalled(root) {
  if (isInstalled(root)) return false;
  const started = Date.now();
  let attempt = takeLock(root);
  if (!attempt.held) console.error(`Process ${attempt.owner.pid} is installing the packages; waiting for it.`);
  while (!attempt.held) {
    await waitForOther(attempt.owner, started);
    attempt = takeLock(root);
  }
  try {
    if (isInstalled(root)) return true;
    refuseLinkedModules(root);
    console.error("Installing the packages that package-lock.json names (npm ci) ...");
    const done = showProgress(root);
    try {
      await npmCi(root);
    } finally {
      done();
    }
    writeStamp(root);
    console.error(`Installed in ${Math.round((Date.now() - started) / 1000)} s.`);
    return true;
  } finally {
    attempt.release();
  }
}
