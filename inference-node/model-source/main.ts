// The command by which other processes resolve, pull, list and remove models: JSON lines on stdout, one result at the end.
import http from "node:http";
import { parseArgs } from "node:util";
import { systemClock } from "../clock.ts";
import { type ListedModel, listModels, removeModel } from "./cached-models.ts";
import { DEFAULT_MODEL } from "./catalogue.ts";
import { ModelError } from "./model-error.ts";
import { type ResolvedModel, resolveModel } from "./resolve.ts";
import { formatBytes, type Progress } from "./source.ts";

const USAGE = `usage: node inference-node/model-source/main.ts resolve|pull|list|rm [REFERENCE] [--json] [--offline]

  resolve  finds the model in the cache, or downloads it (default: ${DEFAULT_MODEL})
  pull     the same, and computes the checksum of a cached file again
  list     the catalogue and the cache
  rm       removes a model from the cache

With --json every line of stdout is an object: {"event":"progress",...}, {"event":"notice",...}, and one
{"event":"result",...} or {"event":"error","code":...,"message":...}. Ends with 0, 1 (failed) or 2 (wrong usage).
`;

/** At most so many progress lines: one in this many milliseconds and one a change of phase. */
const PROGRESS_MS = 100;

interface Printer {
  progress(progress: Progress): void;
  notice(sentence: string): void;
  resolved(model: ResolvedModel): void;
  listed(models: readonly ListedModel[], cacheDir: string): void;
  removed(reference: string, bytes: number): void;
  failed(code: string, message: string): void;
}

function jsonPrinter(): Printer {
  const print = (event: string, fields: object): void => {
    process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
  };
  return {
    progress: ({ phase, doneBytes, totalBytes, part }) =>
      print("progress", { phase, done_bytes: doneBytes, total_bytes: totalBytes ?? null, part: part ?? null }),
    notice: (message) => print("notice", { message }),
    resolved: (model) => print("result", { model: wireModel(model) }),
    listed: (models, cacheDir) => print("result", { models: models.map(wireListed), cache_dir: cacheDir }),
    removed: (reference, bytes) => print("result", { removed: reference, freed_bytes: bytes }),
    failed: (code, message) => print("error", { code, message }),
  };
}

function textPrinter(): Printer {
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  let lastPhase: string | undefined;
  return {
    progress: ({ phase }) => {
      if (phase !== lastPhase) say(`${phase}…`);
      lastPhase = phase;
    },
    notice: say,
    resolved: (model) => void process.stdout.write(`${model.path}\n`),
    listed: (models) => {
      for (const model of models) {
        const size = model.cachedBytes === undefined ? "not cached" : formatBytes(model.cachedBytes);
        process.stdout.write(`${model.reference}\t${size}\n`);
      }
    },
    removed: (reference, bytes) => say(`Removed ${reference} (${formatBytes(bytes)}).`),
    failed: (_code, message) => say(`error: ${message}`),
  };
}

function wireModel(model: ResolvedModel): object {
  const { id, path, parts, source, quantization = null, license = null, bytes, sha256 = null } = model;
  return { id, path, parts, source, quantization, license, owned_by: model.ownedBy ?? null, bytes, sha256 };
}

function wireListed(model: ListedModel): object {
  return {
    id: model.id,
    reference: model.reference,
    in_catalogue: model.inCatalogue,
    cached: model.cachedBytes !== undefined,
    bytes: model.cachedBytes ?? model.bytes ?? null,
    path: model.path ?? null,
    quantization: model.quantization ?? null,
    license: model.license ?? null,
    owned_by: model.ownedBy ?? null,
    description: model.description ?? null,
  };
}

async function run(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: { json: { type: "boolean" }, offline: { type: "boolean" }, help: { type: "boolean" } },
  });
  const [command, reference, ...rest] = positionals;
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const printer = values.json ? jsonPrinter() : textPrinter();
  const onProgress = throttled((progress) => printer.progress(progress));
  const options = {
    signal,
    onProgress,
    onNotice: (text: string) => printer.notice(text),
    ...offlineOf(values.offline),
  };
  try {
    switch (rest.length === 0 ? command : undefined) {
      case "resolve":
        printer.resolved(await resolveModel(reference ?? DEFAULT_MODEL, options));
        return 0;
      case "pull":
        printer.resolved(await resolveModel(reference ?? DEFAULT_MODEL, { ...options, rehash: true }));
        return 0;
      case "list": {
        const { models, cacheDir } = await listModels();
        printer.listed(models, cacheDir);
        return 0;
      }
      case "rm":
        if (reference === undefined) break;
        printer.removed(reference, await removeModel(reference));
        return 0;
    }
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    printer.failed(error.code, error.message);
    return 1;
  }
  process.stderr.write(USAGE);
  return 2;
}

function offlineOf(offline: boolean | undefined): { offline?: boolean } {
  return offline === undefined ? {} : { offline };
}

function throttled(print: (progress: Progress) => void): (progress: Progress) => void {
  let last: { readonly atMs: number; readonly phase: string; readonly part: number } | undefined;
  return (progress) => {
    const now = { atMs: systemClock.monotonic(), phase: progress.phase, part: progress.part?.index ?? 0 };
    const finished = progress.doneBytes === progress.totalBytes;
    const news = now.phase !== last?.phase || now.part !== last.part || finished;
    if (!news && now.atMs - (last?.atMs ?? 0) < PROGRESS_MS) return;
    last = now;
    print(progress);
  };
}

// HTTPS_PROXY and NO_PROXY, where this Node (24.14) knows how; pip reads them by itself.
http.setGlobalProxyFromEnv?.();

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => stop.abort());
// A reader that went away needs no more lines; the pull itself still ends as it should.
process.stdout.on("error", () => stop.abort());

try {
  process.exitCode = await run(process.argv.slice(2), stop.signal);
} catch (error) {
  const wrongUsage = error instanceof Error && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
  process.stderr.write(wrongUsage ? `error: ${error.message}\n\n${USAGE}` : `error: ${String(error)}\n`);
  process.exitCode = wrongUsage ? 2 : 1;
}
