// Refuses texts and token lists that no sequence of a model could hold, before anything is done with them.
import { Code, NodeError } from "./node-error.ts";

/** What a model can hold. */
export interface Room {
  /** Tokens of one sequence. */
  readonly contextLength: number;
  /** Bytes of the longest token: no text has fewer tokens than its bytes by this. */
  readonly longestTokenBytes: number;
}

/** Tokens are counted up to so many times the context, so that most callers learn by how much they are over it. */
const countedContexts = 4;

/** Throws OUT_OF_RANGE, with `param`, when texts of so many bytes can't fit together, however few tokens they have. */
export function requireTextRoom(
  texts: readonly string[],
  { contextLength, longestTokenBytes }: Room,
  param: string,
): void {
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  const tokensMin = Math.ceil(bytes / longestTokenBytes);
  if (tokensMin > contextLength) throw contextOverflow(tokensMin, contextLength, param);
}

/** Throws OUT_OF_RANGE, with `param`, for more tokens than one sequence holds. */
export function requireTokenRoom(tokens: number, contextLength: number, param: string): void {
  if (tokens > contextLength) throw contextOverflow(tokens, contextLength, param);
}

/** Throws OUT_OF_RANGE, with `param`, for more tokens than are counted. */
export function requireCountable(tokens: number, contextLength: number, param: string): void {
  if (tokens > countedContexts * contextLength) throw contextOverflow(tokens, contextLength, param);
}

function contextOverflow(tokensMin: number, contextLength: number, param: string): NodeError {
  const subject = param === "prompt" ? "prompt" : "input";
  return new NodeError(
    Code.OUT_OF_RANGE,
    `This model's maximum context length is ${contextLength} tokens. However, your ${subject} has at least ${tokensMin} tokens.`,
    {
      reason: "CONTEXT_LENGTH_EXCEEDED",
      param,
      metadata: { context_length: String(contextLength), prompt_tokens: String(tokensMin), counted: "at_least" },
    },
  );
}
