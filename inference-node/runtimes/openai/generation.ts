// Runs one generation on an engine: sends it, reads its stream to the end, and lets go of it at once when it is not wanted.
import type { IncomingMessage } from "node:http";
import type { Clock } from "../../clock.ts";
import type { Log } from "../../log.ts";
import { Code, NodeError } from "../../node-error.ts";
import type { RuntimeEvent, RuntimeRequest } from "../../runtime.ts";
import { Answer } from "./answer.ts";
import type { OpenAiConfig } from "./config.ts";
import type { FoundModel } from "./discover.ts";
import { contractPath, failureStatus, malformed, upstreamError } from "./errors.ts";
import type { Flavor } from "./flavor.ts";
import { bodyOf, drain, readText, type UpstreamClient } from "./http.ts";
import { field, objectOf, parseJson } from "./json.ts";
import { unsupported } from "./messages.ts";
import type { UpstreamRequest } from "./request-body.ts";
import { SseParser } from "./sse.ts";

export interface GenerationDeps {
  readonly client: UpstreamClient;
  readonly config: OpenAiConfig;
  readonly flavor: Flavor;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborted when the node goes. */
  readonly closing: AbortSignal;
  /** Where a generation that can be told to answer now enters itself, by request id. */
  readonly answerNow: Map<string, () => boolean>;
  /** The engine failed in a way that its health may explain. */
  readonly onSuspicion: () => void;
  /** The engine had no room. */
  readonly onRefusal: () => void;
}

export interface Generation extends RuntimeRequest {
  readonly upstream: UpstreamRequest;
  readonly model: FoundModel;
}

/** A refusal that takes longer comes after Admitted: nobody shall wait in silence for long. */
const acceptMs = 5_000;
const failureBytesMax = 256 * 1024;
const controlMs = 5_000;

/** The events of a generation. Throws a NodeError, or the signal's reason. */
export async function* runGeneration(
  deps: GenerationDeps,
  generation: Generation,
  callSignal: AbortSignal,
): AsyncGenerator<RuntimeEvent, void, undefined> {
  const signal = AbortSignal.any([callSignal, deps.closing]);
  try {
    yield* attempt(deps, generation, signal);
  } catch (thrown) {
    if (signal.aborted) throw signal.reason;
    report(deps, generation, thrown);
    throw thrown;
  }
}

function report({ log, onSuspicion, onRefusal }: GenerationDeps, { request }: Generation, thrown: unknown): void {
  if (!(thrown instanceof NodeError)) return;
  const { code, reason } = thrown;
  if (reason === "UPSTREAM_BUSY") onRefusal();
  else if (code === Code.UNAVAILABLE) onSuspicion();
  if (code !== Code.UNAVAILABLE && code !== Code.INTERNAL && code !== Code.RESOURCE_EXHAUSTED) return;
  log({ level: "warn", event: "upstream.failed", request_id: request.requestId, reason });
}

async function* attempt(
  deps: GenerationDeps,
  generation: Generation,
  signal: AbortSignal,
): AsyncGenerator<RuntimeEvent, void, undefined> {
  const { request, prepared, model } = generation;
  const answer = new Answer({
    request,
    promptTokens: prepared.promptTokens,
    contextLength: model.contextLength,
    fingerprint: `fp_${deps.flavor.name}_${model.id}`,
    usagePerChoice: deps.flavor.name === "llama-server",
    monotonic: () => deps.clock.monotonic(),
  });
  const response = await open(deps, generation, signal);
  deps.answerNow.set(request.requestId, () => hurry(deps, generation, answer));
  let done = false;
  try {
    let echoed = !request.echo;
    for await (const chunk of chunksOf(response, deps, signal)) {
      if (chunk === "[DONE]") {
        done = true;
        break;
      }
      for (const event of answer.read(chunk)) {
        yield event;
        if (echoed) continue;
        echoed = true;
        yield* echo(generation);
      }
    }
    const finished = answer.finished(done);
    if (!answer.counted) deps.log({ level: "warn", event: "upstream.no_usage", request_id: request.requestId });
    yield { case: "finished", value: finished };
  } finally {
    deps.answerNow.delete(request.requestId);
    if (done) drain(response);
    else response.destroy();
  }
}

/** Sends the request and waits for its acceptance: a refusal has a status of its own, and comes before Admitted. */
async function open(deps: GenerationDeps, generation: Generation, signal: AbortSignal): Promise<IncomingMessage> {
  const { client, config, clock } = deps;
  const { request, upstream, onAccepted } = generation;
  const waited = new AbortController();
  void clock.sleep(acceptMs, waited.signal).then(onAccepted, () => undefined);
  try {
    const response = await client.send(config.address.apiPath + upstream.path, {
      body: upstream.body,
      headers: /^[\w.:-]+$/.test(request.requestId) ? { "x-request-id": request.requestId } : {},
      signal,
      headTimeoutMs: config.timeouts.firstByteMs,
    });
    if (response.statusCode !== 200) throw await refusal(deps, response, signal);
    try {
      refuseIgnored(response);
      requireStream(response);
    } catch (thrown) {
      if (!isJson(response)) response.destroy();
      throw isJson(response) ? await jsonInstead(deps, response, signal) : thrown;
    }
    onAccepted?.();
    return response;
  } finally {
    waited.abort();
  }
}

async function refusal(
  { config, log }: GenerationDeps,
  response: IncomingMessage,
  signal: AbortSignal,
): Promise<NodeError> {
  const { statusCode: status = 0, headers } = response;
  const text = await readText(response, { signal, bytesMax: failureBytesMax, bodyTimeoutMs: config.timeouts.idleMs });
  if (status === 401 || status === 403) {
    log({ level: "error", event: "upstream.unauthorized", status, message: "The engine refuses SLUICE_OPENAI_KEY." });
  }
  return upstreamError({ status, headers, value: parseJson(text) });
}

/** A Sluice lists what it ignored: nothing that was asked for may be among it. */
function refuseIgnored({ headers }: IncomingMessage): void {
  const [name] = String(headers["x-sluice-ignored"] ?? "").split(/[,\s]+/);
  if (name) unsupported(contractPath(name) ?? name, "it ignores this parameter");
}

function requireStream(response: IncomingMessage): void {
  const type = response.headers["content-type"] ?? "nothing";
  if (!/^text\/event-stream\b/i.test(type)) throw malformed(`it is ${type.slice(0, 100)} and no event stream`);
}

function isJson({ headers }: IncomingMessage): boolean {
  return /^application\/json\b/i.test(headers["content-type"] ?? "");
}

/** A document in place of a stream: a failure under a 200, or an engine that does not stream. */
async function jsonInstead(
  { config }: GenerationDeps,
  response: IncomingMessage,
  signal: AbortSignal,
): Promise<NodeError> {
  const text = await readText(response, { signal, bytesMax: failureBytesMax, bodyTimeoutMs: config.timeouts.idleMs });
  const value = parseJson(text);
  if (objectOf(field(value, "error")) === undefined) return malformed("it is a document and no event stream");
  return upstreamError({ status: failureStatus(value), value });
}

/** The chunks of a stream as JSON, and `[DONE]` as it is, which is the last. */
async function* chunksOf(
  response: IncomingMessage,
  { config }: GenerationDeps,
  signal: AbortSignal,
): AsyncGenerator<unknown, void, undefined> {
  const parser = new SseParser();
  const { firstByteMs, idleMs } = config.timeouts;
  let done = false;
  for await (const bytes of bodyOf(response, signal, { firstMs: firstByteMs, idleMs })) {
    for (const { type, data } of parser.push(bytes)) {
      if (data === "[DONE]") done = true;
      if (done) break;
      yield chunkOf(type, data);
    }
    if (done) break;
  }
  if (done) yield "[DONE]";
  const rest = done ? undefined : parser.end();
  if (rest === undefined) return;
  if (rest.data === "[DONE]") yield "[DONE]";
  else if (parseJson(rest.data) !== undefined) yield chunkOf(rest.type, rest.data);
}

function chunkOf(type: string, data: string): unknown {
  const chunk = parseJson(data);
  if (chunk === undefined) throw malformed("an event is no JSON");
  if (type !== "error" || objectOf(field(chunk, "error")) !== undefined) return chunk;
  throw upstreamError({ status: failureStatus({ error: chunk }), value: { error: chunk } });
}

/** The prompt before the answer, as legacy completions have it. */
function* echo({ request }: Generation): Generator<RuntimeEvent, void, undefined> {
  const text = request.prompt?.form.case === "text" ? request.prompt.form.value : "";
  for (let choiceIndex = 0; choiceIndex < Math.max(1, request.choiceCount); choiceIndex += 1) {
    const part = { case: "text" as const, value: text };
    const head = { $typeName: "sluice.inference.v1.Delta" as const, choiceIndex, part };
    yield { case: "delta", value: { ...head, logprobs: [], completionTokens: 0 } };
  }
}

/** llama-server closes the reasoning of a running answer; others have no word for it. */
function hurry({ client, config, flavor, closing }: GenerationDeps, _generation: Generation, answer: Answer): boolean {
  const { id, reasons } = answer;
  if (flavor.name !== "llama-server" || id === undefined || !reasons) return false;
  const path = `${config.address.apiPath}/chat/completions/control`;
  const body = { id, action: "reasoning_end" };
  const ask = { body, signal: closing, headTimeoutMs: controlMs, bodyTimeoutMs: controlMs, bytesMax: failureBytesMax };
  client.json(path, ask).catch(() => undefined);
  return true;
}
