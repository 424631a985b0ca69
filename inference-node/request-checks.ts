// Checks a valid request against one model: what it can do, and whether prompt and output fit its context.
import type { GenerateRequest } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import { Capability, type Model } from "../proto/gen/sluice/inference/v1/model_pb.js";
import { Code, NodeError } from "./node-error.ts";
import { neededCapabilities, type RequestFeature, requestedFeatures } from "./request-features.ts";

/** Whether a model writes text, rather than only vectors or scores. */
export function generates({ capabilities }: Model): boolean {
  const makesOther = (one: Capability): boolean => one === Capability.EMBEDDINGS || one === Capability.RERANK;
  return capabilities.length === 0 || !capabilities.every(makesOther);
}

/** Throws UNIMPLEMENTED for a model that writes no text. */
export function requireGenerates(model: Model): void {
  if (!generates(model)) throw unsupported("model", `The model "${model.id}" does not generate text.`);
}

/**
 * Throws UNIMPLEMENTED, with `param`, when the request asks for what the model or its runtime does not do;
 * FAILED_PRECONDITION for a fill-in-the-middle prompt to a model without such tokens.
 */
export function requireSupported(request: GenerateRequest, model: Model, features: ReadonlySet<RequestFeature>): void {
  for (const { capability, param } of neededCapabilities(request)) {
    if (!model.capabilities.includes(capability)) throw lacking(model, capability, param);
  }
  for (const feature of requestedFeatures(request)) {
    if (!features.has(feature)) throw unsupported(feature, `The model "${model.id}" does not support ${feature}.`);
  }
}

/** Throws UNIMPLEMENTED unless the model makes embeddings, or scores documents. */
export function requireMakes(model: Model, what: Capability.EMBEDDINGS | Capability.RERANK): void {
  if (model.capabilities.includes(what)) return;
  const verb = what === Capability.RERANK ? "score documents" : "make embeddings";
  throw unsupported("model", `The model "${model.id}" does not ${verb}.`);
}

/**
 * Most tokens that the request may generate: what it asks for, else the model's default or what the context has room
 * for. Throws OUT_OF_RANGE with all three numbers when that does not fit, INVALID_ARGUMENT for a prompt of no tokens.
 */
export function outputLimit(
  request: GenerateRequest,
  model: Model,
  { promptTokens, estimated }: { promptTokens: number; estimated?: boolean },
): number {
  if (promptTokens === 0) throw new NodeError(Code.INVALID_ARGUMENT, "The prompt has no tokens.", { param: "prompt" });
  const asked = request.stopping?.maxTokens;
  // A guess refuses nothing: what is too long is refused by who can count it.
  if (estimated) return asked ?? (model.defaultMaxTokens || model.contextLength);
  const room = model.contextLength - promptTokens;
  if (room < (asked ?? 1)) throw overflow(model.contextLength, promptTokens, asked);
  if (asked !== undefined) return asked;
  return model.defaultMaxTokens === 0 ? room : Math.min(model.defaultMaxTokens, room);
}

/** Throws INVALID_ARGUMENT for a token id that the model's vocabulary does not have. */
export function requireTokenIds(request: GenerateRequest, vocabularySize: number | undefined): void {
  if (vocabularySize === undefined) return;
  const biased = request.sampling?.logitBias.map(({ tokenId }) => tokenId) ?? [];
  requireBelow(biased, vocabularySize, "sampling.logit_bias");
  requireBelow(request.stopping?.stopTokenIds ?? [], vocabularySize, "stopping.stop_token_ids");
}

function requireBelow(ids: readonly number[], vocabularySize: number, param: string): void {
  const wrong = ids.find((id) => id >= vocabularySize);
  if (wrong === undefined) return;
  throw new NodeError(
    Code.INVALID_ARGUMENT,
    `Token id ${wrong} in ${param} is outside the vocabulary of ${vocabularySize} tokens.`,
    { param },
  );
}

function overflow(contextLength: number, promptTokens: number, asked: number | undefined): NodeError {
  const output = asked === undefined ? "" : ` and max_tokens asks for ${asked} more`;
  return new NodeError(
    Code.OUT_OF_RANGE,
    `The model's context has ${contextLength} tokens, but the prompt has ${promptTokens}${output}.`,
    {
      param: "prompt",
      reason: "CONTEXT_LENGTH_EXCEEDED",
      metadata: {
        context_length: String(contextLength),
        prompt_tokens: String(promptTokens),
        max_tokens: String(asked ?? 0),
      },
    },
  );
}

function lacking(model: Model, capability: Capability, param: string): NodeError {
  const message = `The model "${model.id}" does not support ${param}.`;
  if (capability !== Capability.FILL_IN_MIDDLE) return unsupported(param, message);
  return new NodeError(Code.FAILED_PRECONDITION, message, { param });
}

function unsupported(param: string, message: string): NodeError {
  return new NodeError(Code.UNIMPLEMENTED, message, { param, reason: "UNSUPPORTED" });
}
