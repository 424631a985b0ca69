// The state folder of `npm start`: its layout, its secrets, and the description of the running stack.
import { createHmac, randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { StartError } from "./start-error.ts";

/** Rises when the meaning of the folder's files changes; an older checkout refuses a higher one. */
const STATE_VERSION = 1;

export interface StatePaths {
  dir: string;
  secrets: string;
  /** What runs now; absent when nothing does. */
  dev: string;
  lock: string;
  /** Where workerd keeps D1 and Durable Objects. */
  database: string;
  backups: string;
  logs: string;
  /** The edge's secrets in the form that wrangler reads, so that no command line shows them. */
  edgeEnv: string;
  /** wrangler's own folders: its caches, and its list of workers that run on this machine. */
  wrangler: string;
}

export interface Secrets {
  version: number;
  /** Shared between edge and node. */
  nodeSecret: string;
  /** Key of the HMAC under which the edge stores API keys. */
  keyPepper: string;
  adminKey: string;
  apiKey?: string;
}

/** The content of dev.json: how to reach the stack that runs now. */
export interface DevFile {
  url: string;
  apiKey: string;
  adminKey: string;
  /** Address of the node's native gRPC door, `host:port`. */
  node: string;
  /** URL of the node's gRPC-Web door. */
  nodeWeb: string;
  nodeSecret: string;
  model: string;
  /** Process ids, null for what does not run at the moment; `runtime` is the native child. */
  pids: { start: number; node: number | null; runtime: number | null; edge: number | null };
}

/** Names every file of the state folder `dir`. */
export function statePaths(dir: string): StatePaths {
  return {
    dir,
    secrets: join(dir, "secrets.json"),
    dev: join(dir, "dev.json"),
    lock: join(dir, "start.lock"),
    database: join(dir, "state"),
    backups: join(dir, "backups"),
    logs: join(dir, "logs"),
    edgeEnv: join(dir, "edge.env"),
    wrangler: join(dir, "wrangler"),
  };
}

/** Makes one folder in another that exists; one that is there already will do. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return;
    if (code !== "ENOENT") throw error;
    throw new StartError(
      `${folder} cannot be made, since ${dirname(folder)} takes no new folders: choose another one with --state DIR.`,
    );
  }
}

/** Refuses a folder with other things in it: closing it to everybody else would break what uses them. */
function requireOurs(paths: StatePaths): void {
  if (!statSync(paths.dir).isDirectory() || existsSync(paths.secrets)) return;
  const ours = Object.values(paths).map((path: string) => basename(path));
  // A draft of a file, or an old log beside it, has more behind its name.
  const isOurs = (name: string): boolean => ours.some((own) => name === own || name.startsWith(`${own}.`));
  const other = readdirSync(paths.dir).find((name) => !isOurs(name));
  if (other === undefined) return;
  throw new StartError(
    `${paths.dir} holds other things (${other}) and no state of Sluice: name a new or an empty folder with --state DIR.`,
  );
}

/**
 * Makes the folders that a start needs, closed to other users. Throws StartError and the file system's errors.
 *
 * Level by level: mkdir's own `recursive` never comes back where the kernel makes the names, as below /proc.
 */
export function makeFolders(paths: StatePaths): void {
  if (existsSync(paths.dir)) requireOurs(paths);
  const levels = [paths.dir];
  for (let above = dirname(paths.dir); !existsSync(above); above = dirname(above)) levels.unshift(above);
  for (const folder of levels) makeFolder(folder);
  chmodSync(paths.dir, 0o700);
  for (const folder of [paths.logs, paths.wrangler]) makeFolder(folder);
}

/** Replaces a file as a whole, mode 0600: a reader or a crash sees the old content or the new, never a part. */
export function writeAtomically(path: string, text: string): void {
  const draft = `${path}.${process.pid}.draft`;
  const file = openSync(draft, "w", 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(draft, path);
}

/** A new key: `sk-sluice-` and 256 random bits in base64url. */
export function newKey(): string {
  return `sk-sluice-${randomBytes(32).toString("base64url")}`;
}

/** The hash under which the edge knows a key: lower-case hex of HMAC-SHA256 keyed with the pepper. */
export function keyHash(pepper: string, key: string): string {
  return createHmac("sha256", pepper).update(key).digest("hex");
}

function newSecrets(): Secrets {
  const secret = (): string => randomBytes(32).toString("hex");
  return { version: STATE_VERSION, nodeSecret: secret(), keyPepper: secret(), adminKey: newKey() };
}

function isSecrets(value: unknown): value is Secrets {
  if (typeof value !== "object" || value === null) return false;
  const { nodeSecret, keyPepper, adminKey, apiKey } = value as Record<string, unknown>;
  const texts = [nodeSecret, keyPepper, adminKey, ...(apiKey === undefined ? [] : [apiKey])];
  return texts.every((text) => typeof text === "string" && text.length >= 16);
}

function parseSecrets(text: string): Secrets | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const version = (value as { version?: unknown } | null)?.version;
    if (typeof version === "number" && version > STATE_VERSION) {
      throw new StartError(
        "The state folder was written by a newer version of Sluice: update this checkout, or choose another folder with --state DIR.",
      );
    }
    return isSecrets(value) ? value : undefined;
  } catch (error) {
    if (error instanceof StartError) throw error;
    return undefined;
  }
}

/**
 * The saved secrets, or new ones, saved. A damaged file is set aside and said by `warn`: the keys made under it are lost.
 * Throws StartError for a newer folder, and the file system's errors.
 */
export function loadSecrets(paths: StatePaths, warn: (sentence: string) => void): Secrets {
  let text: string | undefined;
  try {
    text = readFileSync(paths.secrets, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const saved = text === undefined ? undefined : parseSecrets(text);
  if (saved !== undefined) return saved;
  if (text !== undefined) {
    renameSync(paths.secrets, `${paths.secrets}.damaged`);
    warn(
      `${paths.secrets} was damaged and lies now beside itself as .damaged: there are new keys, the earlier ones no longer work.`,
    );
  }
  const secrets = newSecrets();
  saveSecrets(paths, secrets);
  return secrets;
}

export function saveSecrets(paths: StatePaths, secrets: Secrets): void {
  writeAtomically(paths.secrets, `${JSON.stringify(secrets, null, 2)}\n`);
}

export function saveDevFile(paths: StatePaths, dev: DevFile): void {
  writeAtomically(paths.dev, `${JSON.stringify(dev, null, 2)}\n`);
}

/** The URL that a running start has written down, if it has come so far. */
export function readDevUrl(paths: StatePaths): string | undefined {
  try {
    const { url } = JSON.parse(readFileSync(paths.dev, "utf8")) as { url?: unknown };
    return typeof url === "string" ? url : undefined;
  } catch {
    return undefined;
  }
}

/** Removes what tells of a running stack: it must not outlive it. */
export function removeDevFile(paths: StatePaths): void {
  rmSync(paths.dev, { force: true });
  rmSync(paths.edgeEnv, { force: true });
}
