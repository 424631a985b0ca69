// The scripted runtime follows the request's tools, thinking and usage, and times its stream as told.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import {
  type Finished,
  FinishReason,
  GenerateRequestSchema,
  type Prefilled,
} from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import {
  type ChatPromptSchema,
  PromptSchema,
  Role,
  ToolChoice_Mode,
} from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code } from "../node-error.ts";
import type { RuntimeEvent } from "../runtime.ts";
import { type ManualClock, manualClock } from "../testing/manual-clock.ts";
import { createScriptedRuntime } from "./scripted.ts";

type Init = Omit<MessageInitShape<typeof GenerateRequestSchema>, "$typeName" | "$unknown">;
type ChatInit = Omit<MessageInitShape<typeof ChatPromptSchema>, "$typeName" | "$unknown">;

async function play(
  script: object,
  more: Init = {},
  chat: ChatInit = {},
  clock: ManualClock = manualClock(),
): Promise<RuntimeEvent[]> {
  const runtime = createScriptedRuntime({ clock });
  await runtime.start();
  const messages = [{ role: Role.USER, content: JSON.stringify(script) }];
  const request = create(GenerateRequestSchema, {
    requestId: "r",
    model: "scripted",
    prompt: { form: { case: "chat", value: { messages, ...chat } as MessageInitShape<typeof ChatPromptSchema> } },
    ...more,
  } as MessageInitShape<typeof GenerateRequestSchema>);
  const { signal } = new AbortController();
  if (!request.prompt) throw new Error("no prompt");
  const prepared = await runtime.prepare("scripted", request.prompt, signal);
  const events: RuntimeEvent[] = [];
  for await (const event of runtime.generate({ request, prepared, maxTokens: 100 }, signal)) events.push(event);
  return events;
}

const calls = (events: RuntimeEvent[]): string[] =>
  events.flatMap((event) =>
    event.case === "delta" && event.value.part.case === "toolCall" && event.value.part.value.name
      ? [event.value.part.value.name]
      : [],
  );
const end = (events: RuntimeEvent[]): Finished => events.at(-1)?.value as Finished;
const tools = [{ name: "f" }, { name: "g" }];

it("makes the calls that the tool choice allows", async () => {
  const script = { tool_calls: [{ name: "f" }, { name: "g" }] };
  expect(calls(await play(script, {}, { tools }))).toEqual(["f", "g"]);
  expect(calls(await play(script, {}, { tools, parallelToolCalls: false }))).toEqual(["f"]);
  const none = await play(
    { ...script, text: "no" },
    {},
    { tools, toolChoice: { mode: ToolChoice_Mode.NONE } as never },
  );
  expect([calls(none), end(none).reason]).toEqual([[], FinishReason.STOP]);
});

it("makes a call that the tool choice forces, also when the script has none", async () => {
  const forced = (toolChoice: object): Promise<RuntimeEvent[]> =>
    play({ text: "" }, {}, { tools, toolChoice: toolChoice as never });
  expect(calls(await forced({ mode: ToolChoice_Mode.NAMED, name: "g" }))).toEqual(["g"]);
  expect(calls(await forced({ mode: ToolChoice_Mode.REQUIRED }))).toEqual(["f"]);
  expect(calls(await forced({ mode: ToolChoice_Mode.REQUIRED, allowedNames: ["g"] }))).toEqual(["g"]);
  expect(end(await forced({ mode: ToolChoice_Mode.REQUIRED })).reason).toBe(FinishReason.TOOL_CALLS);
});

it("leaves reasoning out when thinking is disabled", async () => {
  const events = await play({ reasoning: "hmm", text: "yes" }, { thinking: { mode: 2 } as never });
  expect(events.filter((event) => event.case === "delta" && event.value.part.case === "reasoning")).toEqual([]);
  expect(end(events).usage?.reasoningTokens).toBe(0);
});

it("reports the script's usage, and what it counted where the script says nothing", async () => {
  const events = await play({ text: "Hello", usage: { prompt_tokens: 500, cached_tokens: 400 } });
  expect(events[0]?.value as Prefilled | undefined).toMatchObject({ promptTokens: 500, cachedTokens: 400 });
  expect(end(events).usage).toMatchObject({ promptTokens: 500, cachedTokens: 400, completionTokens: 2 });
});

it("says the context was full when it was, and no max_tokens was asked for", async () => {
  const messages = [{ role: Role.USER, content: "word ".repeat(10) }];
  const prompt = create(PromptSchema, { form: { case: "chat", value: { messages } } });
  const { signal } = new AbortController();
  const reasons: FinishReason[] = [];
  for (const room of [5, 6]) {
    const probe = createScriptedRuntime({ clock: manualClock() });
    await probe.start();
    const { promptTokens } = await probe.prepare("scripted", prompt, signal);
    const runtime = createScriptedRuntime({ clock: manualClock(), contextLength: promptTokens + room });
    await runtime.start();
    const prepared = await runtime.prepare("scripted", prompt, signal);
    const request = create(GenerateRequestSchema, { requestId: "r", prompt });
    const events: RuntimeEvent[] = [];
    for await (const event of runtime.generate({ request, prepared, maxTokens: 5 }, signal)) events.push(event);
    reasons.push(end(events).reason);
  }
  expect(reasons).toEqual([FinishReason.CONTEXT_LENGTH, FinishReason.LENGTH]);
});

it("waits before prefilled and between deltas, and nowhere else", async () => {
  const clock = manualClock();
  const seen: string[] = [];
  const playing = play({ text: "abc", chunks: 3, delay_ms: 10, prefill_ms: 100 }, {}, {}, clock).then((events) => {
    seen.push(...events.map((event) => event.case));
    return events;
  });
  await clock.advance(0);
  await clock.advance(100);
  await clock.advance(10);
  expect(seen).toEqual([]);
  await clock.advance(10);
  const { timings } = end(await playing);
  expect([timings?.prefill?.nanos, timings?.decode?.nanos]).toEqual([100e6, 20e6]);
});

it.each([
  [0, 0],
  [2, 2],
  [9, 3],
])("fails after %d deltas, at the latest after the last", async (failAfter, sent) => {
  const runtime = createScriptedRuntime({ clock: manualClock() });
  await runtime.start();
  const content = JSON.stringify({ text: "abc", chunks: 3, fail_after: failAfter, fail: "internal" });
  const request = create(GenerateRequestSchema, {
    requestId: "r",
    prompt: { form: { case: "chat", value: { messages: [{ role: Role.USER, content }] } } },
  });
  if (!request.prompt) throw new Error("no prompt");
  const { signal } = new AbortController();
  const prepared = await runtime.prepare("scripted", request.prompt, signal);
  const seen: string[] = [];
  const reading = (async () => {
    for await (const event of runtime.generate({ request, prepared, maxTokens: 9 }, signal)) seen.push(event.case);
  })();
  await expect(reading).rejects.toMatchObject({ code: Code.INTERNAL, reason: "SCRIPTED" });
  expect(seen).toEqual(["prefilled", ...Array.from({ length: sent }, () => "delta")]);
});
