// A script with a mistake is refused, and the message says which key is wrong.
import { expect, it } from "vitest";
import { Code } from "../../node-error.ts";
import { parseScript } from "./script.ts";
import { tokenText } from "./tokenizer.ts";

it.each([
  ["script.text", { text: 1 }],
  ["script.chunks", { chunks: 0 }],
  ["script.chunks", { chunks: 1.5 }],
  ["script.chunks", { chunks: 100_001 }],
  ["script.delay_ms", { delay_ms: -1 }],
  ["script.delay_ms", { delay_ms: 60_001 }],
  ["script.delay_ms", { delay_ms: "5" }],
  ["script.prefill_ms", { prefill_ms: 600_001 }],
  ["script.fail_after", { fail_after: -1 }],
  ["script.fail", { fail: "rate_limited" }],
  ["script.fail", { fail: "insufficient_balance" }],
  ["script.fail", { fail: "OK" }],
  ["script.fail", { fail: 14 }],
  ["script.retry_after_ms", { fail: "overloaded", retry_after_ms: -1 }],
  ["script.echo", { echo: "yes" }],
  ["script.reasoning", { reasoning: [] }],
  ["script.tool_calls", { tool_calls: {} }],
  ["script.tool_calls[0].name", { tool_calls: [{ arguments: {} }] }],
  ["script.tool_calls[0]", { tool_calls: [{ name: "f", args: {} }] }],
  ["script.logprobs[0]", { logprobs: [1] }],
  ["script.logprobs[0].top[0].logprob", { logprobs: [{ logprob: -1, top: [{ token: "x", logprob: 1 }] }] }],
  ["script.usage", { usage: 5 }],
  ["script.usage.prompt_tokens", { usage: { prompt_tokens: -1 } }],
  ["script.finish_reason", { finish_reason: "done" }],
  ["script has an unknown key", { text: "x", chunk: 2 }],
])("names %s", (key, script) => {
  const refusal = { code: Code.INVALID_ARGUMENT, param: "field", message: expect.stringContaining(key) };
  expect(() => parseScript(JSON.stringify(script), "field")).toThrow(expect.objectContaining(refusal));
});

it.each([0xff, 0xffff_ffff, 0xd8_00_00_00])("refuses %d, which is no token", (id) => {
  expect(() => tokenText(id, "ids")).toThrow(expect.objectContaining({ code: Code.INVALID_ARGUMENT, param: "ids" }));
});
