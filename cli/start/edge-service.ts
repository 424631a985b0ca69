// How the edge is migrated and served locally: quiet, offline, with its secrets in a file that only we read.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ServiceSpec } from "./service.ts";
import { keyHash, type Secrets, type StatePaths, writeAtomically } from "./state.ts";

export interface EdgeSpecInput {
  root: string;
  paths: StatePaths;
  inherited: Record<string, string | undefined>;
}

/** wrangler's program itself: its launcher would be one more process to keep an eye on. */
function wranglerProgram(): string {
  return fileURLToPath(new URL("wrangler-dist/cli.js", import.meta.resolve("wrangler/package.json")));
}

function environment({ paths, inherited }: EdgeSpecInput): Record<string, string | undefined> {
  return {
    ...inherited,
    // The node's key to an engine is none of the edge's business.
    SLUICE_OPENAI_KEY: undefined,
    // No prompts, no news, no measurements sent, nothing fetched: a start works offline and leaves no trace elsewhere.
    CI: "1",
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_SEND_ERROR_REPORTS: "false",
    WRANGLER_HIDE_BANNER: "true",
    WRANGLER_NO_SKILLS_UPDATE_PROMPTS: "true",
    WRANGLER_WRITE_LOGS: "false",
    WRANGLER_CACHE_DIR: join(paths.wrangler, "cache"),
    WRANGLER_REGISTRY_PATH: join(paths.wrangler, "registry"),
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
    // wrangler's own pages under /cdn-cgi would show the database to whoever reaches the port.
    X_LOCAL_EXPLORER: "false",
    X_LOCAL_OBSERVABILITY: "false",
    // A young generation of megabytes lets requests pile up as garbage: half again as much memory, and no faster
    // (docs/decisions/2026-11-25-local-edge-server.md). edge-server.ts calls the gc that the last flag gives.
    MINIFLARE_WORKERD_V8_FLAGS: "--max-semi-space-size=1 --heap-growing-percent=20 --expose-gc",
  };
}

/** The command that applies the pending migrations to the local database. */
export function migrateSpec(input: EdgeSpecInput): ServiceSpec {
  const args = ["d1", "migrations", "apply", "DB", "--local", "--persist-to", input.paths.database];
  return {
    command: process.execPath,
    args: ["--no-warnings", wranglerProgram(), ...args],
    cwd: input.root,
    env: environment(input),
  };
}

/** The command that bundles the edge and serves it on `port`. */
export function edgeSpec(input: EdgeSpecInput, port: number): ServiceSpec {
  const { root, paths } = input;
  const program = fileURLToPath(new URL("edge-server.ts", import.meta.url));
  const options = {
    wrangler: wranglerProgram(),
    config: join(root, "wrangler.toml"),
    out: join(paths.wrangler, "bundle"),
    persist: paths.database,
    "env-file": paths.edgeEnv,
    port: String(port),
  };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  return {
    command: process.execPath,
    args: [...process.execArgv, program, ...args],
    cwd: root,
    env: environment(input),
  };
}

/** Whether the local server says that its workerd died: it then starts another, behind which requests hang. */
export function isRuntimeCrash(line: string): boolean {
  return line.includes("The Workers runtime crashed");
}

/** What the worker says of its settings, in its log, when it refuses them. */
export function configurationFault(log: string): string | undefined {
  return /The worker is not configured: ([^"]*)"/.exec(log)?.[1];
}

/** The worker's settings that the environment may give; wrangler.toml has the others' values. */
const EDGE_SETTINGS = ["SLUICE_BODY_BYTES_MAX", "SLUICE_REQUEST_TIMEOUT_MS"];

/** Writes what the worker must know and nobody else: where the node is, the hashes of keys, and what the environment sets. */
export function writeEdgeEnv(
  paths: StatePaths,
  secrets: Secrets,
  nodeUrl: string,
  inherited: Record<string, string | undefined>,
): void {
  const settings = EDGE_SETTINGS.flatMap((name) => (inherited[name] ? [[name, inherited[name]]] : []));
  const values = {
    ...Object.fromEntries(settings),
    SLUICE_NODE_URL: nodeUrl,
    SLUICE_NODE_SECRET: secrets.nodeSecret,
    SLUICE_KEY_PEPPER: secrets.keyPepper,
    SLUICE_ADMIN_KEY_HASH: keyHash(secrets.keyPepper, secrets.adminKey),
  };
  const lines = Object.entries(values).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  writeAtomically(paths.edgeEnv, `${lines.join("\n")}\n`);
}
