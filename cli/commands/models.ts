// `sluice models`: what can be served, what is cached here, what a server serves; pull and remove.
import { CliError, usageError } from "../cli-error.ts";
import type { Command, CommandContext } from "../command.ts";
import { callApi } from "../http.ts";
import { runModelCommand } from "../model-command.ts";
import { formatBytes, printable } from "../output.ts";

/** A list must not hang on a server that is not there. */
const SERVER_TIMEOUT_MS = 5_000;

interface ModelRow {
  readonly id: string;
  readonly reference: string | null;
  readonly in_catalogue: boolean;
  readonly cached: boolean;
  readonly served: boolean;
  readonly bytes: number | null;
  readonly quantization: string | null;
  readonly license: string | null;
  readonly owned_by: string | null;
  readonly path: string | null;
}

const list: Command = {
  words: "models list",
  arguments: "",
  arity: [0, 0],
  summary: "Lists the catalogue, the cache of this machine, and what the server serves.",
  options: [
    { name: "local", help: "the catalogue and the cache only" },
    { name: "remote", help: "the server's models only" },
  ],
  examples: [
    "sluice models list",
    "sluice models list --remote --url https://api.example.com",
    "sluice models list --json",
  ],
  async run(context) {
    const { flags, output } = context;
    if (flags.local === true && flags.remote === true) throw usageError("--local and --remote exclude each other.");
    const served = flags.local === true ? [] : await servedModels(context);
    const local = flags.remote === true ? { models: [], cacheDir: undefined } : await localModels(context);
    const rows = merge(local.models, served);
    if (output.json) return output.value({ object: "list", data: rows, cache_dir: local.cacheDir ?? null });
    if (rows.length === 0) return output.remark("There are no models.");
    output.table(["MODEL", "SIZE", "QUANTIZATION", "LICENCE", "STATE"], rows.map(tableRow));
    if (local.cacheDir !== undefined) output.remark(`The cache is ${printable(local.cacheDir)}.`);
  },
};

const pull: Command = {
  words: "models pull",
  arguments: "[REFERENCE]",
  arity: [0, 1],
  summary: "Downloads a model into the cache, or checks the copy that is there; prints its path.",
  details: [
    "REFERENCE is an id of the catalogue or hf:ORGANIZATION/REPOSITORY/FILE.gguf[@REVISION]; without one, the default",
    "model. HF_TOKEN opens gated models, HF_ENDPOINT names a mirror of the hub.",
  ],
  options: [{ name: "offline", help: "download nothing: check what is cached" }],
  examples: [
    "sluice models pull smollm2-135m-instruct",
    "sluice models pull hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q4_k_m.gguf",
  ],
  async run(context) {
    const { positionals, flags, output } = context;
    const offline = flags.offline === true ? ["--offline"] : [];
    const { model } = await runModelCommand(["pull", ...offline, "--", ...positionals], context);
    if (typeof model !== "object" || model === null || !("path" in model)) {
      throw new CliError("The model command gave no path.", { code: "io_failed" });
    }
    if (output.json) return output.value(model);
    const { id, bytes, source } = model as Record<string, unknown>;
    const how = source === "cache" || source === "path" ? "was there, and is sound" : `came from the ${source}`;
    output.remark(`${id} (${formatBytes(Number(bytes))}) ${how}.`);
    output.line(String(model.path));
  },
};

const rm: Command = {
  words: "models rm",
  arguments: "REFERENCE",
  arity: [1, 1],
  summary: "Removes a downloaded model from the cache.",
  details: ["Takes what `sluice models list` shows. A file of your own is never removed."],
  options: [],
  examples: ["sluice models rm smollm2-135m-instruct"],
  async run(context) {
    const { positionals, output } = context;
    const { removed, freed_bytes: bytes } = await runModelCommand(["rm", "--", ...positionals], context);
    if (output.json) return output.value({ removed, freed_bytes: bytes });
    output.line(`Removed ${printable(String(removed))}: ${formatBytes(Number(bytes))} freed.`);
  },
};

/** The `sluice models` commands. */
export const modelCommands: readonly Command[] = [list, pull, rm];

async function localModels(context: CommandContext): Promise<{ models: Record<string, unknown>[]; cacheDir: string }> {
  const { models, cache_dir: cacheDir } = await runModelCommand(["list"], context);
  return { models: Array.isArray(models) ? models : [], cacheDir: String(cacheDir) };
}

/** The server's models; without --remote a server that is not there, or wants a key, is only remarked upon. */
async function servedModels({ connection, flags, output, signal }: CommandContext): Promise<Record<string, unknown>[]> {
  if (flags.remote !== true && connection.url === undefined) return [];
  try {
    const request = { method: "GET", path: "/v1/models", key: "api", timeoutMs: SERVER_TIMEOUT_MS, signal } as const;
    const { data } = await callApi(connection, request);
    return Array.isArray(data) ? data.filter((model) => typeof model?.id === "string") : [];
  } catch (error) {
    if (flags.remote === true || signal.aborted || !(error instanceof CliError) || error.exitCode === 2) throw error;
    output.remark(`What the server serves is not known: ${error.message}`);
    return [];
  }
}

function merge(local: readonly Record<string, unknown>[], served: readonly Record<string, unknown>[]): ModelRow[] {
  const servedIds = new Set(served.map((model) => String(model.id)));
  const rows = local.map((model): ModelRow => {
    const id = String(model.id);
    return {
      id,
      reference: textOf(model.reference),
      in_catalogue: model.in_catalogue === true,
      cached: model.cached === true,
      served: servedIds.has(id),
      bytes: typeof model.bytes === "number" ? model.bytes : null,
      quantization: textOf(model.quantization),
      license: textOf(model.license),
      owned_by: textOf(model.owned_by),
      path: textOf(model.path),
    };
  });
  const localIds = new Set(rows.map((row) => row.id));
  for (const model of served) {
    const id = String(model.id);
    if (localIds.has(id)) continue;
    rows.push({
      id,
      reference: null,
      in_catalogue: false,
      cached: false,
      served: true,
      bytes: null,
      quantization: textOf(model.quantization),
      license: textOf(model.license),
      owned_by: textOf(model.owned_by),
      path: null,
    });
  }
  return rows;
}

function textOf(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function tableRow(row: ModelRow): string[] {
  const states = [row.cached ? "cached" : "", row.served ? "served" : ""].filter((word) => word !== "");
  const state = states.length > 0 ? states.join(", ") : "not pulled";
  const name = row.reference ?? row.id;
  return [name, row.bytes === null ? "-" : formatBytes(row.bytes), row.quantization ?? "-", row.license ?? "-", state];
}
