// The one place where the `sluice` command reads the environment and the description of a running `npm start`.
import { lstatSync, readFileSync } from "node:fs";
import { dirname, join, parse, resolve } from "node:path";

export interface CliEnvironment {
  readonly url: string | undefined;
  readonly adminKey: string | undefined;
  readonly apiKey: string | undefined;
  /** The gRPC-Web door of an inference node, and what it asks its callers for. */
  readonly nodeUrl: string | undefined;
  readonly nodeSecret: string | undefined;
  /** NO_COLOR (no-color.org) is set, or the terminal knows no colours. */
  readonly noColor: boolean;
  /** The environment that children inherit. */
  readonly inherited: Readonly<Record<string, string | undefined>>;
}

/** How to reach a server, and by which keys; undefined where nobody said. */
export interface Connection {
  readonly url: string | undefined;
  readonly adminKey: string | undefined;
  readonly apiKey: string | undefined;
}

/** How to reach an inference node; undefined where nobody said. */
export interface NodeConnection {
  readonly url: string | undefined;
  readonly secret: string | undefined;
}

export interface ConnectionFlags {
  readonly url?: string | undefined;
  readonly "admin-key"?: string | undefined;
  readonly "api-key"?: string | undefined;
}

/** What is wanted of a dev.json. */
interface DevFile extends Connection {
  readonly nodeUrl: string | undefined;
  readonly nodeSecret: string | undefined;
}

/** Reads the environment; an empty variable counts as absent. */
export function readEnvironment(env: Readonly<Record<string, string | undefined>> = process.env): CliEnvironment {
  return {
    url: env.SLUICE_URL || undefined,
    adminKey: env.SLUICE_ADMIN_KEY || undefined,
    apiKey: env.SLUICE_API_KEY || undefined,
    nodeUrl: env.SLUICE_NODE_URL || undefined,
    nodeSecret: env.SLUICE_NODE_SECRET || undefined,
    noColor: Boolean(env.NO_COLOR) || env.TERM === "dumb",
    inherited: env,
  };
}

/**
 * Flags first, then the environment, then the `.sluice/dev.json` of the nearest parent folder of the
 * first of `starts` that has one. The keys of a
 * dev.json go to that file's own URL only: another server must not be told them.
 */
export function connect(flags: ConnectionFlags, env: CliEnvironment, starts: readonly string[]): Connection {
  const given = {
    url: flags.url ?? env.url,
    adminKey: flags["admin-key"] ?? env.adminKey,
    apiKey: flags["api-key"] ?? env.apiKey,
  };
  const dev = starts.map(findDevFile).find((found) => found !== undefined);
  if (dev === undefined || (given.url !== undefined && !sameServer(given.url, dev.url))) return given;
  return {
    url: given.url ?? dev.url,
    adminKey: given.adminKey ?? dev.adminKey,
    apiKey: given.apiKey ?? dev.apiKey,
  };
}

/** As `connect`, for the node; the secret of a dev.json goes to that file's own node only. */
export function connectNode(
  flags: { readonly node?: string | undefined },
  env: CliEnvironment,
  starts: readonly string[],
): NodeConnection {
  const url = flags.node ?? env.nodeUrl;
  const dev = starts.map(findDevFile).find((found) => found !== undefined);
  if (dev === undefined || (url !== undefined && !sameServer(url, dev.nodeUrl))) return { url, secret: env.nodeSecret };
  return { url: url ?? dev.nodeUrl, secret: env.nodeSecret ?? dev.nodeSecret };
}

/** The dev.json of the nearest parent folder that has one which this user, or root, wrote: a stranger's could steal keys. */
function findDevFile(start: string): DevFile | undefined {
  const { root } = parse(resolve(start));
  for (let dir = resolve(start); ; dir = dirname(dir)) {
    const found = readDevFile(join(dir, ".sluice"));
    if (found !== undefined || dir === root) return found;
  }
}

function readDevFile(dir: string): DevFile | undefined {
  const path = join(dir, "dev.json");
  try {
    if (![dir, path].every(isOurs)) return undefined;
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof value !== "object" || value === null) return undefined;
    const { url, adminKey, apiKey, nodeWeb, nodeSecret } = value as Record<string, unknown>;
    return {
      url: textOf(url),
      adminKey: textOf(adminKey),
      apiKey: textOf(apiKey),
      nodeUrl: textOf(nodeWeb),
      nodeSecret: textOf(nodeSecret),
    };
  } catch {
    return undefined;
  }
}

function isOurs(path: string): boolean {
  const uid = process.getuid?.();
  if (uid === undefined) return true;
  const file = lstatSync(path);
  const writableByOthers = (file.mode & 0o022) !== 0;
  return !file.isSymbolicLink() && (file.uid === uid || file.uid === 0) && !writableByOthers;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function sameServer(left: string, right: string | undefined): boolean {
  if (right === undefined || !URL.canParse(left) || !URL.canParse(right)) return false;
  return new URL(left).origin === new URL(right).origin;
}
