// Reads log-probabilities in both shapes of the API: a chat's list of tokens and a completion's parallel lists.
import type { TokenLogprob, TopLogprob } from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { countField, field, listField, numberField, objectOf, stringField } from "./json.ts";

const encoder = new TextEncoder();

/** The entries of a choice's `logprobs`; `top` alternatives at each, likeliest first. Ids are 0 where the engine names none. */
export function readLogprobs(logprobs: unknown, top: number): TokenLogprob[] {
  // Sluice lists the tokens of reasoning apart.
  const content = [...listField(logprobs, "reasoning_content"), ...listField(logprobs, "content")];
  if (content.length > 0) return content.map((entry) => tokenOf(entry, top));
  return columns(logprobs, top);
}

function tokenOf(entry: unknown, top: number): TokenLogprob {
  return {
    $typeName: "sluice.inference.v1.TokenLogprob",
    ...tokenValue(entry),
    top: listField(entry, "top_logprobs")
      .slice(0, top)
      .map((one): TopLogprob => ({ $typeName: "sluice.inference.v1.TopLogprob", ...tokenValue(one) })),
  };
}

function tokenValue(entry: unknown): { tokenId: number; token: Uint8Array; logprob: number } {
  const bytes = listField(entry, "bytes");
  const whole =
    bytes.length > 0 && bytes.every((byte) => Number.isInteger(byte) && Number(byte) >= 0 && Number(byte) < 256);
  return {
    tokenId: countField(entry, "id") ?? 0,
    token: whole ? Uint8Array.from(bytes as number[]) : encoder.encode(stringField(entry, "token") ?? ""),
    logprob: numberField(entry, "logprob") ?? 0,
  };
}

function columns(logprobs: unknown, top: number): TokenLogprob[] {
  const values = listField(logprobs, "token_logprobs");
  const alternatives = listField(logprobs, "top_logprobs");
  return listField(logprobs, "tokens").map((token, index): TokenLogprob => {
    const value = values[index];
    return {
      $typeName: "sluice.inference.v1.TokenLogprob",
      tokenId: 0,
      token: encoder.encode(typeof token === "string" ? token : ""),
      logprob: typeof value === "number" ? value : 0,
      top: alternativesOf(alternatives[index], top),
    };
  });
}

function alternativesOf(map: unknown, top: number): TopLogprob[] {
  const names = Object.keys(objectOf(map) ?? {}).filter((name) => typeof field(map, name) === "number");
  const sorted = names.sort((a, b) => Number(field(map, b)) - Number(field(map, a)));
  return sorted.slice(0, top).map((name) => ({
    $typeName: "sluice.inference.v1.TopLogprob",
    tokenId: 0,
    token: encoder.encode(name),
    logprob: Number(field(map, name)),
  }));
}
