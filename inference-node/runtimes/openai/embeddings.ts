// Asks an engine for embeddings, and makes them what the contract promises: in order, cut if asked, of length 1.
import { create } from "@bufbuild/protobuf";
import {
  type EmbedRequest,
  type EmbedResponse,
  EmbedResponseSchema,
} from "../../../proto/gen/sluice/inference/v1/embed_pb.js";
import { Code, NodeError } from "../../node-error.ts";
import { malformed, upstreamError } from "./errors.ts";
import type { FlavorName } from "./flavor.ts";
import type { JsonAnswer } from "./http.ts";
import { countField, field, type JsonObject, listField } from "./json.ts";
import { unsupported } from "./messages.ts";

/** Texts and token ids do not mix in one request of the API. */
type Input = string | readonly number[];

/** `ask` sends a body to the engine's `/embeddings`. */
export async function embed(
  request: EmbedRequest,
  { upstreamId, flavor }: { upstreamId: string; flavor: FlavorName },
  ask: (body: JsonObject) => Promise<JsonAnswer>,
): Promise<EmbedResponse> {
  if (request.truncate && flavor !== "vllm") unsupported("truncate", "it refuses inputs that are too long");
  const shared = {
    model: upstreamId,
    encoding_format: "float",
    ...(request.truncate && { truncate_prompt_tokens: -1 }),
  };
  const inputs = request.inputs.map(
    ({ input }): Input => (input.case === "tokens" ? input.value.ids : (input.value ?? "")),
  );
  const vectors: (number[] | undefined)[] = new Array(inputs.length).fill(undefined);
  let promptTokens = 0;
  for (const kind of ["string", "object"] as const) {
    const places = inputs.flatMap((input, index) => (typeof input === kind ? [index] : []));
    if (places.length === 0) continue;
    const input = places.map((index) => inputs[index]);
    const { status, headers, value } = await ask({ ...shared, input });
    if (status !== 200) throw asInputError(upstreamError({ status, headers, value }));
    promptTokens += countField(field(value, "usage"), "prompt_tokens") ?? 0;
    for (const [at, entry] of listField(value, "data").entries()) {
      const place = places[countField(entry, "index") ?? at];
      if (place !== undefined) vectors[place] = vectorOf(entry, request.dimensions);
    }
  }
  const embeddings = vectors.map((values) => {
    if (values === undefined) throw malformed("an embedding is missing");
    return { values };
  });
  return create(EmbedResponseSchema, { embeddings, promptTokens });
}

function vectorOf(entry: unknown, dimensions: number): number[] {
  const raw = listField(entry, "embedding");
  if (raw.length === 0 || !raw.every((value) => typeof value === "number" && Number.isFinite(value))) {
    throw malformed("an embedding is no list of numbers");
  }
  const values = (dimensions === 0 ? raw : raw.slice(0, dimensions)) as number[];
  const length = Math.hypot(...values);
  return length === 0 ? values : values.map((value) => value / length);
}

function asInputError(error: NodeError): NodeError {
  if (error.code !== Code.OUT_OF_RANGE) return error;
  const { message, reason, metadata } = error;
  return new NodeError(error.code, message, { param: "inputs", reason, metadata });
}
