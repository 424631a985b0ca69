// Finds out what is behind a URL: which kind of engine, which models, and what they can do.
import type { IncomingHttpHeaders } from "node:http";
import { Capability } from "../../../proto/gen/sluice/inference/v1/model_pb.js";
import type { Log } from "../../log.ts";
import { NodeError } from "../../node-error.ts";
import type { OpenAiConfig, ServedName } from "./config.ts";
import { type DescribedApi, type Flavor, type FlavorName, flavorOf } from "./flavor.ts";
import type { UpstreamClient } from "./http.ts";
import { countField, field, listField, objectOf, stringField } from "./json.ts";
import { probeTemplate, type ThinkingSwitch } from "./thinking-probe.ts";
import type { AskEngine } from "./tokens.ts";

/** One model as it was found. */
export interface FoundModel {
  readonly id: string;
  readonly upstreamId: string;
  readonly contextLength: number;
  readonly capabilities: readonly Capability[];
  readonly quantization: string;
  readonly ownedBy: string;
  readonly vocabularySize: number | undefined;
  readonly embeddingDimensions: number;
  readonly thinking: ThinkingSwitch | undefined;
  /** Whether it knows levels of effort. */
  readonly effort: boolean;
  /** Whether the engine counts chats for us. */
  readonly counts: boolean;
}

export interface FoundEngine {
  readonly flavor: Flavor;
  readonly models: readonly FoundModel[];
  /** Sequences that the engine says it runs at once. */
  readonly slots: number | undefined;
}

/** What waiting does not cure; the message is a sentence for the operator. */
export class WrongEngine extends Error {
  override readonly name = "WrongEngine";
}

export interface DiscoverOptions {
  readonly client: UpstreamClient;
  readonly config: OpenAiConfig;
  /** The operator's bound of a context, in tokens. */
  readonly contextLength: number | undefined;
  readonly log: Log;
}

const askMs = 10_000;
const listBytesMax = 8 * 1024 * 1024;
const modelsMax = 64;

/** Rejects with WrongEngine for what the operator must change, with another error for what may pass. */
export async function discover(options: DiscoverOptions, signal: AbortSignal): Promise<FoundEngine> {
  const { client, config } = options;
  const { apiPath, rootPath, label } = config.address;
  const get = (path: string): ReturnType<UpstreamClient["json"]> =>
    client.json(path, { signal, headTimeoutMs: askMs, bodyTimeoutMs: askMs, bytesMax: listBytesMax });
  const listed = await get(`${apiPath}/models`);
  const entries = modelEntries(listed, `${label}${apiPath}/models`);
  const name = config.flavor === "auto" ? detect(entries, listed.headers) : config.flavor;
  const described = isFastApi(name) ? describedApi((await get(`${rootPath}/openapi.json`)).value) : undefined;
  const flavor = flavorOf(name, described);
  const props = name === "llama-server" ? (await get(`${rootPath}/props`)).value : undefined;
  const models: FoundModel[] = [];
  for (const served of servedModels(entries, config.models, label)) {
    const entry = entries.find((one) => stringField(one, "id") === served.upstreamId);
    models.push(await findModel(options, flavor, { served, entry, props }, signal));
  }
  return { flavor, models, slots: countField(props, "total_slots") };
}

function modelEntries({ status, value }: { status: number; value: unknown }, where: string): readonly unknown[] {
  if (status === 401 || status === 403) {
    throw new WrongEngine(
      `The engine refuses the key at ${where} (${status}): set SLUICE_OPENAI_KEY to one that it takes.`,
    );
  }
  if (status >= 300 && status < 400) {
    throw new WrongEngine(`${where} redirects to another address: set SLUICE_OPENAI_URL to the final one.`);
  }
  if (status === 404 || status === 405) {
    throw new WrongEngine(`There is no OpenAI API at ${where} (${status}): check the path in SLUICE_OPENAI_URL.`);
  }
  if (status !== 200) throw new Error(`${where} answers ${status}.`);
  if (!Array.isArray(field(value, "data"))) {
    throw new WrongEngine(`${where} answers, but is no OpenAI API: its answer has no list of models.`);
  }
  const entries = listField(value, "data").filter((entry) => stringField(entry, "id"));
  if (entries.length === 0) throw new Error(`${where} lists no model yet.`);
  return entries;
}

/** By what only one of them says of itself. */
function detect(entries: readonly unknown[], headers: IncomingHttpHeaders): FlavorName {
  const owners = new Set(entries.map((entry) => stringField(entry, "owned_by")));
  if (owners.has("vllm")) return "vllm";
  if (owners.has("llamacpp") || headers.server === "llama.cpp") return "llama-server";
  if (owners.has("sglang")) return "sglang";
  if (owners.has("tensorrt_llm")) return "tensorrt-llm";
  // Sluice names its requests by ULIDs; OpenAI's own ids have hexadecimal digits, 32 of them.
  const id = headers["x-request-id"];
  const isSluice = typeof id === "string" && /^req_[0-9A-HJKMNP-TV-Z]{26}$/.test(id);
  return isSluice && entries.some((entry) => countField(entry, "context_length") !== undefined) ? "sluice" : "openai";
}

function isFastApi(name: FlavorName): boolean {
  return name === "vllm" || name === "sglang" || name === "tensorrt-llm";
}

/** The fields of both kinds of request, of an engine that publishes its OpenAPI document; undefined where it does not. */
function describedApi(document: unknown): DescribedApi | undefined {
  const schemas = field(field(document, "components"), "schemas");
  const countsOnTheWay = fieldsIn(field(schemas, "StreamOptions")).includes("continuous_usage_stats");
  const fieldsOf = (path: string): ReadonlySet<string> | undefined => {
    const post = field(field(field(document, "paths"), path), "post");
    if (post === undefined) return new Set();
    const content = field(field(field(post, "requestBody"), "content"), "application/json");
    const name = stringField(field(content, "schema"), "$ref")?.split("/").at(-1) ?? "";
    const fields = fieldsIn(field(schemas, name));
    return fields.length === 0 ? undefined : new Set(countsOnTheWay ? [...fields, "continuous_usage_stats"] : fields);
  };
  const chat = fieldsOf("/v1/chat/completions");
  const completion = fieldsOf("/v1/completions");
  // A document that is there but reads otherwise than expected says nothing.
  return schemas === undefined || chat === undefined || completion === undefined ? undefined : { chat, completion };
}

function fieldsIn(schema: unknown): string[] {
  return Object.keys(objectOf(field(schema, "properties")) ?? {});
}

function servedModels(
  entries: readonly unknown[],
  wanted: readonly ServedName[] | undefined,
  label: string,
): readonly ServedName[] {
  const ids = entries.map((entry) => stringField(entry, "id") ?? "");
  if (wanted === undefined) return ids.slice(0, modelsMax).map((id) => ({ id, upstreamId: id }));
  const missing = wanted.find(({ upstreamId }) => !ids.includes(upstreamId));
  if (missing === undefined) return wanted;
  const some = ids.slice(0, 10).join(", ") + (ids.length > 10 ? ", …" : "");
  throw new WrongEngine(
    `The engine at ${label} has no model "${missing.upstreamId}": set SLUICE_OPENAI_MODEL to one of ${some}.`,
  );
}

interface Entry {
  served: ServedName;
  entry: unknown;
  props: unknown;
}

async function findModel(
  options: DiscoverOptions,
  flavor: Flavor,
  { served, entry, props }: Entry,
  signal: AbortSignal,
): Promise<FoundModel> {
  const { config } = options;
  const { upstreamId } = served;
  const { counts, thinking, effort } = await probeTemplate(askEngine(options), { flavor, upstreamId }, signal);
  const dimensions = await embeddingLength(options, flavor, upstreamId, signal);
  const meta = field(entry, "meta");
  const found = capabilitiesOf(flavor, { thinking, dimensions, props });
  const capabilities = config.capabilities ?? found;
  const reasons = capabilities.includes(Capability.REASONING);
  return {
    ...served,
    contextLength: contextLengthOf(options, entry, props, served.id),
    capabilities,
    quantization: stringField(meta, "ftype") ?? "",
    ownedBy: stringField(entry, "owned_by") ?? "",
    vocabularySize: countField(meta, "n_vocab"),
    embeddingDimensions: dimensions,
    thinking: thinking ?? (reasons ? assumedSwitch(flavor) : undefined),
    // Of a template that nobody can look at, the operator's word that the model reasons is all there is.
    effort: effort || !counts || config.capabilities?.includes(Capability.REASONING) === true,
    counts,
  };
}

/** Of a model that the operator says reasons. */
function assumedSwitch({ chat }: Flavor): ThinkingSwitch {
  return chat.has("chat_template_kwargs") ? "enable_thinking" : "effort";
}

/** Asks below the engine's root. */
export function askEngine({ client, config }: Pick<DiscoverOptions, "client" | "config">): AskEngine {
  return (path, ask) =>
    client.json(config.address.rootPath + path, {
      ...ask,
      headTimeoutMs: askMs,
      bodyTimeoutMs: askMs,
      bytesMax: 4 * listBytesMax,
    });
}

function contextLengthOf({ contextLength }: DiscoverOptions, entry: unknown, props: unknown, id: string): number {
  const meta = field(entry, "meta");
  const told =
    countField(field(props, "default_generation_settings"), "n_ctx") ??
    countField(entry, "max_model_len") ??
    countField(entry, "context_length") ??
    countField(meta, "n_ctx") ??
    countField(meta, "n_ctx_train");
  if (told) return contextLength === undefined ? told : Math.min(told, contextLength);
  if (contextLength !== undefined) return contextLength;
  throw new WrongEngine(
    `The engine does not say how long the context of "${id}" is: set SLUICE_CONTEXT_LENGTH, in tokens.`,
  );
}

interface Found {
  thinking: ThinkingSwitch | undefined;
  dimensions: number;
  props: unknown;
}

function capabilitiesOf({ chat, completion }: Flavor, { thinking, dimensions, props }: Found): Capability[] {
  // llama-server takes tools for any template, and leaves them out where it knows of none in it.
  const toolsLeftOut = field(field(props, "chat_template_caps"), "supports_tools") === false;
  const has: [Capability, boolean][] = [
    [Capability.CHAT, chat.size > 0],
    [Capability.TOOLS, chat.has("tools") && !toolsLeftOut],
    // Sluice refuses by name what a model of its does not do.
    [Capability.REASONING, thinking !== undefined || chat.has("thinking")],
    [Capability.STRUCTURED_OUTPUT, chat.has("response_format")],
    [Capability.LOGPROBS, chat.has("logprobs") || completion.has("logprobs")],
    [Capability.EMBEDDINGS, dimensions > 0],
  ];
  return has.flatMap(([capability, present]) => (present ? [capability] : []));
}

/** Length of the model's embeddings; 0 when it makes none. OpenAI itself, which charges, is asked only when it is configured. */
async function embeddingLength(
  options: DiscoverOptions,
  flavor: Flavor,
  model: string,
  signal: AbortSignal,
): Promise<number> {
  const { client, config } = options;
  const wanted = config.capabilities?.includes(Capability.EMBEDDINGS);
  if (wanted === false || (wanted === undefined && flavor.name === "openai")) return 0;
  const { status, value } = await client.json(`${config.address.apiPath}/embeddings`, {
    body: { model, input: "a", encoding_format: "float" },
    signal,
    headTimeoutMs: askMs,
    bodyTimeoutMs: askMs,
    bytesMax: listBytesMax,
  });
  const length = listField(listField(value, "data")[0], "embedding").length;
  if (status === 200 && length > 0) return length;
  if (wanted)
    throw new WrongEngine(`The engine makes no embeddings with "${model}", but SLUICE_OPENAI_CAPABILITIES says so.`);
  return 0;
}

/** A sentence about why the engine can't be used yet. */
export function sentenceOf(thrown: unknown): string {
  return thrown instanceof NodeError || thrown instanceof Error ? thrown.message : String(thrown);
}
