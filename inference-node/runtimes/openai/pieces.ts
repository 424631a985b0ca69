// Reads the pieces of one choice of a chunk: reasoning, text and tool calls, in whole characters.
import type { Delta, FinishReason } from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { field, listField, stringField } from "./json.ts";
import type { ToolCalls } from "./tool-calls.ts";

/** What is known of one of an answer's choices. */
export interface Choice {
  /** Tokens so far, by the engine's count or by pieces. */
  tokens: number;
  /** Half of a surrogate pair that a piece ended with, by kind of piece. */
  readonly held: Map<"text" | "reasoning", string>;
  readonly calls: ToolCalls;
  reason: FinishReason | undefined;
  /** What the engine says ended it: a string, a token's id, or nothing. */
  stoppedBy: unknown;
  stopSequence: string;
}

export type Part = Delta["part"];

/** vLLM's, SGLang's and llama-server's word for what ended an answer; the last has it in a chunk before the last one. */
export function stoppedBy(entry: unknown, chunk: unknown): unknown {
  const word = stringField(field(chunk, "__verbose"), "stopping_word");
  return field(entry, "stop_reason") ?? field(entry, "matched_stop") ?? (word || undefined);
}

/** The pieces of a choice: reasoning under either of its names, text, then calls. */
export function partsOf(entry: unknown, choice: Choice): Part[] {
  const delta = field(entry, "delta");
  const parts: Part[] = [];
  const reasoning = stringField(delta, "reasoning_content") || stringField(delta, "reasoning");
  const text = stringField(delta, "content") || stringField(delta, "refusal") || stringField(entry, "text");
  for (const [kind, piece] of [
    ["reasoning", reasoning],
    ["text", text],
  ] as const) {
    if (!piece) continue;
    const value = joined(choice, kind, piece);
    if (value !== "") parts.push({ case: kind, value });
  }
  for (const call of listField(delta, "tool_calls")) {
    for (const value of choice.calls.read(call)) parts.push({ case: "toolCall", value });
  }
  return parts;
}

/** Holds back the first half of a character that an engine cut in two. */
function joined({ held }: Choice, kind: "text" | "reasoning", piece: string): string {
  const whole = (held.get(kind) ?? "") + piece;
  held.delete(kind);
  const last = whole.charCodeAt(whole.length - 1);
  if (last < 0xd800 || last > 0xdbff) return whole.toWellFormed();
  held.set(kind, whole.slice(-1));
  return whole.slice(0, -1).toWellFormed();
}

/** What was held back when the choice ended. */
export function flushed({ held }: Choice): Part[] {
  const rest = [...held].map(([kind, half]): Part => ({ case: kind, value: half.toWellFormed() }));
  held.clear();
  return rest;
}
