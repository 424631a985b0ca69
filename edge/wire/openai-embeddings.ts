// Embeddings in OpenAI's dialect: the request into the contract, the vectors into its body.
import { create } from "@bufbuild/protobuf";
import { z } from "zod";
import {
  type EmbedRequest,
  EmbedRequestSchema,
  type EmbedResponse,
} from "../../proto/gen/sluice/inference/v1/embed_pb.js";
import { ApiError } from "../errors.ts";
import type { CallContext } from "./dialect.ts";
import { checked, text } from "./validation.ts";

/** As OpenAI has it. */
const INPUTS_MAX = 2048;
const TOKENS_MAX = 1_000_000;
const UINT32_MAX = 4_294_967_295;

const tokens = z.array(z.int().min(0).max(UINT32_MAX)).min(1).max(TOKENS_MAX);
const oneText = text.min(1);

const embeddingsSchema = z.object({
  model: oneText.max(256),
  input: z.union([oneText, z.array(oneText).min(1).max(INPUTS_MAX), tokens, z.array(tokens).min(1).max(INPUTS_MAX)]),
  encoding_format: z.enum(["float", "base64"]).default("float"),
  dimensions: z.int().min(1).max(UINT32_MAX).default(0),
  truncate: z.boolean().default(false),
});

/** Accepted without effect. */
const IGNORED = new Set(["user"]);
/** Others change what a vector means, and are said rather than left out. */
const REFUSED: Readonly<Record<string, string>> = {
  truncate_prompt_tokens: "use `truncate`, which cuts to what the model takes",
  input_type: "put what the model wants before a query or a passage into the text",
  task: "put what the model wants before a query or a passage into the text",
  prompt_name: "put what the model wants before a query or a passage into the text",
  normalize: "every vector has length 1",
  embedding_types: "use `encoding_format`",
};

/** A request that was read. */
export interface EmbeddingsCall {
  request: EmbedRequest;
  /** Names of parameters that no API has; they were accepted and did nothing. */
  ignored: readonly string[];
  /** The client's name for a field of the contract. */
  paramOf(contractPath: string): string | undefined;
  /** The whole body. */
  body(response: EmbedResponse): string;
}

/**
 * Reads the body of `POST /v1/embeddings`. `truncate` is an extension.
 *
 * @throws ApiError `invalid_request` or `unsupported_parameter`, with the parameter's name.
 */
export function readEmbeddings(raw: Record<string, unknown>, { requestId, tenant }: CallContext): EmbeddingsCall {
  const given: Record<string, unknown> = {};
  const ignored: string[] = [];
  for (const [name, value] of Object.entries(raw)) {
    if (value === null || IGNORED.has(name)) continue;
    const reason = Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined;
    if (reason !== undefined) throw unsupported(name, reason);
    if (Object.hasOwn(embeddingsSchema.shape, name)) given[name] = value;
    else ignored.push(name);
  }
  const body = checked(embeddingsSchema, given);
  const inputs = inputsOf(body.input);
  const single = typeof body.input === "string" || inputs.length !== body.input.length;
  return {
    request: create(EmbedRequestSchema, {
      requestId,
      model: body.model,
      inputs,
      dimensions: body.dimensions,
      truncate: body.truncate,
      tenant,
    }),
    ignored,
    paramOf: (path) => {
      if (path.startsWith("inputs")) return single ? "input" : path.replace("inputs", "input");
      return path in given ? path : undefined;
    },
    body: (response) => bodyOf(response, body.model, body.encoding_format),
  };
}

type Input = z.infer<typeof embeddingsSchema>["input"];

function inputsOf(input: Input) {
  const list = typeof input === "string" || typeof input[0] === "number" ? [input as string | number[]] : input;
  return (list as readonly (string | number[])[]).map((one) =>
    typeof one === "string"
      ? { input: { case: "text" as const, value: one } }
      : { input: { case: "tokens" as const, value: { ids: one } } },
  );
}

function bodyOf({ embeddings, promptTokens }: EmbedResponse, model: string, format: "float" | "base64"): string {
  const write = format === "base64" ? base64 : decimals;
  const data = embeddings.map(({ values }, index) => ({ object: "embedding", index, embedding: write(values) }));
  const usage = { prompt_tokens: promptTokens, total_tokens: promptTokens };
  return JSON.stringify({ object: "list", data, model, usage });
}

/** Nine digits name every 32-bit float exactly, and are half as long as the same number's 64-bit form. */
function decimals(values: readonly number[]): number[] {
  return values.map((value) => Number(value.toPrecision(9)));
}

/** 32-bit floats, little-endian, as OpenAI packs them; its clients ask for this by default. */
function base64(values: readonly number[]): string {
  const bytes = new Uint8Array(values.length * Float32Array.BYTES_PER_ELEMENT);
  const view = new DataView(bytes.buffer);
  for (const [index, value] of values.entries()) view.setFloat32(index * Float32Array.BYTES_PER_ELEMENT, value, true);
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

function unsupported(name: string, reason: string): ApiError {
  return new ApiError("unsupported_parameter", `\`${name}\` is not supported: ${reason}.`, { param: name });
}
