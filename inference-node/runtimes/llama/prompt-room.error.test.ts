// Every text of a prompt counts, in each of its forms, before the prompt is sent to the engine.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { PromptSchema, Role } from "../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code } from "../../node-error.ts";
import { requirePromptRoom } from "./prompt-room.ts";

type Form = NonNullable<MessageInitShape<typeof PromptSchema>["form"]>;

const room = { contextLength: 100, longestTokenBytes: 10 };
const long = "x".repeat(1_001);
const check = (form: Form) => () => requirePromptRoom(create(PromptSchema, { form }), room);
const chat = (message: object, more: object = {}): Form => ({
  case: "chat",
  value: { messages: [{ role: Role.USER, content: "Hi" }, message], ...more },
});
const call = { id: "1", name: "f", arguments: "{}" };

test.each<[string, Form]>([
  ["a text", { case: "text", value: long }],
  ["the text before a hole", { case: "fillInMiddle", value: { prefix: long, suffix: "" } }],
  ["the text after a hole", { case: "fillInMiddle", value: { prefix: "", suffix: long } }],
  ["token ids", { case: "tokens", value: { ids: new Array(401).fill(1) } }],
  ["a message's content", chat({ content: long })],
  ["a message's reasoning", chat({ reasoning: long })],
  ["a message's name", chat({ name: long })],
  ["a call's arguments", chat({ toolCalls: [{ ...call, arguments: long }] })],
  ["a tool's schema", chat({}, { tools: [{ name: "f", parametersJson: long }] })],
  ["all messages together", chat({}, { messages: new Array(101).fill({ content: "0123456789" }) })],
])("%s that can't fit is OUT_OF_RANGE", (_name, form) => {
  expect(check(form)).toThrow(expect.objectContaining({ code: Code.OUT_OF_RANGE, param: "prompt" }));
});

test.each<[string, Form]>([
  ["a text", { case: "text", value: "x".repeat(1_000) }],
  ["token ids, which are counted exactly", { case: "tokens", value: { ids: new Array(400).fill(1) } }],
  ["a chat", chat({ content: "x".repeat(900), toolCalls: [call] })],
  ["nothing, which is another's to refuse", { case: undefined }],
])("%s that might fit passes", (_name, form) => {
  expect(check(form)).not.toThrow();
});
