// Texts and tokens that no sequence could hold are refused by numbers; what might fit is not.
import { expect, test } from "vitest";
import { Code, NodeError } from "./node-error.ts";
import { requireCountable, requireTextRoom, requireTokenRoom } from "./text-room.ts";

const room = { contextLength: 100, longestTokenBytes: 10 };

function refusal(check: () => void): unknown {
  try {
    check();
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof NodeError)) throw thrown;
    const { code, param, reason, metadata } = thrown;
    return { code, param, reason, metadata };
  }
}

const overflow = (param: string, tokens: string) => ({
  code: Code.OUT_OF_RANGE,
  param,
  reason: "CONTEXT_LENGTH_EXCEEDED",
  metadata: { context_length: "100", prompt_tokens: tokens, counted: "at_least" },
});

test("texts are refused by their bytes together, when even the longest tokens are too many", () => {
  expect(refusal(() => requireTextRoom(["a".repeat(500), "b".repeat(500)], room, "prompt"))).toBeUndefined();
  expect(refusal(() => requireTextRoom(["a".repeat(500), "b".repeat(501)], room, "prompt"))).toEqual(
    overflow("prompt", "101"),
  );
  expect(refusal(() => requireTextRoom(["é".repeat(501)], room, "text"))).toEqual(overflow("text", "101"));
});

test("tokens are refused above the context, and counted up to four times of it", () => {
  expect(refusal(() => requireTokenRoom(100, 100, "token_ids"))).toBeUndefined();
  expect(refusal(() => requireTokenRoom(101, 100, "token_ids"))).toEqual(overflow("token_ids", "101"));
  expect(refusal(() => requireCountable(400, 100, "prompt"))).toBeUndefined();
  expect(refusal(() => requireCountable(401, 100, "prompt"))).toEqual(overflow("prompt", "401"));
});
