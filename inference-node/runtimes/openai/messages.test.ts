// Messages, tools and reasoning of a chat are written in the shapes that each kind of engine reads.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { Thinking_Mode } from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { Role, ToolChoice_Mode, type ToolChoiceSchema } from "../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { type Init, refused, send, user } from "./testing/send.ts";

test("reasoning is switched by what the template knows, and refused where nothing switches it", () => {
  const on: Init = { thinking: { mode: Thinking_Mode.ENABLED } };
  const off: Init = { thinking: { mode: Thinking_Mode.DISABLED } };
  expect(send("vllm", off, { thinking: "enable_thinking" })).toMatchObject({
    chat_template_kwargs: { enable_thinking: false },
  });
  expect(send("sglang", on, { thinking: "thinking" })).toMatchObject({ chat_template_kwargs: { thinking: true } });
  expect(send("openai", off, { thinking: "effort" })).toMatchObject({ reasoning_effort: "none" });
  expect(send("openai", on, { thinking: "effort" })).not.toHaveProperty("reasoning_effort");
  expect(send("vllm", off, { thinking: "always" })).toEqual(refused("thinking.mode"));
  expect(send("vllm", on)).toEqual(refused("thinking.mode"));
  expect(send("sluice", off)).toMatchObject({ thinking: { type: "disabled" } });
});

test("roles, calls, results and reasoning of a history are written in the engine's shapes", () => {
  const messages = [
    { role: Role.DEVELOPER, content: "Be brief." },
    { role: Role.USER, content: "Hi", name: "Ada" },
    { role: Role.ASSISTANT, content: "", reasoning: "hm", toolCalls: [{ id: "c1", name: "f", arguments: "{}" }] },
    { role: Role.TOOL, content: "7", toolCallId: "c1" },
  ];
  const init: Init = { prompt: { form: { case: "chat", value: { messages } } } };
  const calls = [{ id: "c1", type: "function", function: { name: "f", arguments: "{}" } }];
  expect(send("vllm", init).messages).toEqual([
    { role: "system", content: "Be brief." },
    { role: "user", content: "Hi", name: "Ada" },
    { role: "assistant", content: null, reasoning_content: "hm", reasoning: "hm", tool_calls: calls },
    { role: "tool", content: "7", tool_call_id: "c1" },
  ]);
  expect(send("openai", init).messages).toMatchObject([{ role: "developer" }, {}, { reasoning_content: "hm" }, {}]);
});

test("tools and the choice among them: allowed ones by list where there is one, else no others are offered", () => {
  const tools = [
    { name: "f", description: "d", parametersJson: '{"type":"object","properties":{"a":{}}}', strict: true },
    { name: "g" },
  ];
  const init = (toolChoice: MessageInitShape<typeof ToolChoiceSchema>): Init => ({
    prompt: { form: { case: "chat", value: { messages: [user], tools, toolChoice, parallelToolCalls: false } } },
  });
  const body = send("vllm", init({ mode: ToolChoice_Mode.NAMED, name: "f" }));
  expect(body).toMatchObject({
    tool_choice: { type: "function", function: { name: "f" } },
    parallel_tool_calls: false,
  });
  expect(body.tools).toEqual([
    {
      type: "function",
      function: { name: "f", description: "d", parameters: { type: "object", properties: { a: {} } }, strict: true },
    },
    { type: "function", function: { name: "g", parameters: { type: "object", properties: {} } } },
  ]);
  const allowed = init({ mode: ToolChoice_Mode.REQUIRED, allowedNames: ["g"] });
  expect(send("vllm", allowed)).toMatchObject({ tool_choice: "required", tools: [{ function: { name: "g" } }] });
  expect(send("openai", allowed)).toMatchObject({
    tool_choice: { type: "allowed_tools", allowed_tools: { mode: "required", tools: [{ function: { name: "g" } }] } },
    tools: [{ function: { name: "f" } }, { function: { name: "g" } }],
  });
});

test("a beginning that is to be gone on with is marked as the engine reads it; one that is not is not gone on with", () => {
  const messages = [user, { role: Role.ASSISTANT, content: "Well," }];
  const chat = (continueFinalMessage: boolean): Init => ({
    prompt: { form: { case: "chat", value: { messages, continueFinalMessage } } },
  });
  expect(send("vllm", chat(true))).toMatchObject({ continue_final_message: true, add_generation_prompt: false });
  expect(send("sglang", chat(true))).toMatchObject({ continue_final_message: true });
  expect(send("sluice", chat(true)).messages).toMatchObject([{}, { prefix: true }]);
  expect(send("openai", chat(true))).toEqual(refused("prompt.chat.continue_final_message"));
  expect(send("vllm", chat(false))).not.toHaveProperty("continue_final_message");
  expect(send("llama-server", chat(false))).toEqual(refused("prompt.chat.messages"));
});
