// Serves the edge in workerd on a direct socket: no proxy worker in front, no watcher, no bundler kept in memory.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { HOST } from "./port.ts";

const { values } = parseArgs({
  options: {
    wrangler: { type: "string", default: "" },
    config: { type: "string", default: "" },
    out: { type: "string", default: "" },
    persist: { type: "string", default: "" },
    "env-file": { type: "string", default: "" },
    port: { type: "string", default: "0" },
  },
});

const workerName = "sluice-edge";

/** Runs the bundler in a process of its own; ends this one when it fails. */
async function build(): Promise<void> {
  const program = fileURLToPath(new URL("edge-build.ts", import.meta.url));
  const args = [...process.execArgv, program, values.wrangler, values.config, values.out];
  const child = spawn(process.execPath, args, { stdio: "inherit" });
  const code = await new Promise<number>((resolve) => child.once("exit", (status) => resolve(status ?? 1)));
  if (code !== 0) process.exit(code);
}

/** The worker's secrets, as JSON strings by name, one a line. */
function readSecrets(): Record<string, string> {
  const lines = readFileSync(values["env-file"], "utf8").trim().split("\n");
  return Object.fromEntries(
    lines.map((line): [string, string] => {
      const at = line.indexOf("=");
      return [line.slice(0, at), JSON.parse(line.slice(at + 1))];
    }),
  );
}

/** Requests between two full garbage collections. */
const REQUESTS_PER_COLLECTION = 200;

/**
 * The bundle, and around it a module that collects garbage now and then: V8 sees only the small heap of the worker, not
 * the native memory behind each finished request, and would let that grow by tens of megabytes before it collects.
 */
function workerModules(): { type: "ESModule"; path: string; contents: string }[] {
  const entry = `
import worker from "./worker.js";
export * from "./worker.js";
let requests = 0;
export default {
  ...worker,
  fetch(request, env, context) {
    requests += 1;
    if (requests % ${REQUESTS_PER_COLLECTION} === 0) globalThis.gc?.({ type: "major", execution: "sync" });
    return worker.fetch(request, env, context);
  },
};`;
  const bundle = readFileSync(join(values.out, "worker.js"), "utf8");
  return [
    { type: "ESModule", path: "entry.js", contents: entry },
    { type: "ESModule", path: "worker.js", contents: bundle },
  ];
}

async function serve(): Promise<Miniflare> {
  const options = JSON.parse(readFileSync(join(values.out, "options.json"), "utf8"));
  const secrets = readSecrets();
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      ...options,
      name: workerName,
      modulesRoot: "/",
      modules: workerModules(),
      bindings: { ...options.bindings, ...secrets },
      // As a binding, as in production: the global fetch would pass through another worker of Miniflare's.
      serviceBindings: {
        ...options.serviceBindings,
        NODE: { external: { address: new URL(secrets.SLUICE_NODE_URL ?? "").host, http: {} } },
      },
      // wrangler's own folder for it, so that its commands see the same database.
      resourcePersistencePath: join(values.persist, "v3"),
      unsafeDirectSockets: [{ host: HOST, port: Number(values.port) }],
      // Miniflare's own door, which nobody uses.
      host: HOST,
      port: 0,
      cf: false,
      telemetry: { enabled: false },
      log: new Log(LogLevel.WARN),
    }),
  );
  await miniflare.ready;
  return miniflare;
}

await build();
const miniflare = await serve();
const stop = (): void => {
  void miniflare.dispose().finally(() => process.exit(0));
};
process.once("SIGTERM", stop);
process.once("SIGINT", stop);
