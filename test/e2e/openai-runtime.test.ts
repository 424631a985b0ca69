// Two Sluices in a row: edge, node (openai), edge, node (llama). Usage, hang-ups, refusals and deaths go through both.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Chunk, chat, chunksOf, contentOf, eventsOf, untilDeltas, untilSlots } from "../support/chat.ts";
import { fetchRaw } from "../support/exchange.ts";
import { type LogEvent, launch, type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/wait.ts";

/** Both a restart of the engine's edge and the probe that finds it lie within. */
const BACK_WITHIN_MS = 30_000;

let engine: Stack;
let gate: Stack;

beforeAll(async () => {
  engine = await startStack({ runtime: "llama" });
  gate = await startStack({
    runtime: "openai",
    env: {
      SLUICE_OPENAI_URL: engine.url,
      SLUICE_OPENAI_KEY: engine.apiKey,
      SLUICE_OPENAI_PROBE_INTERVAL_MS: "1000",
    },
  });
});

afterAll(async () => {
  await gate?.stop();
  await engine?.stop();
});

const ask = (content: string) => [{ role: "user", content }];
const STORY = ask("Write a very long story about the sea.");

/** The end of the generation that comes next on the engine's node. */
async function nextEnd(after: number): Promise<LogEvent> {
  return until("the engine's end of a generation", () => engine.nodeEvents("generate.end")[after]);
}

function usageOf(text: string): Chunk["usage"] {
  return chunksOf(text).at(-1)?.usage;
}

test("the gate serves the engine's model under its name, with its context", async () => {
  expect(gate.model).toBe(engine.model);
  const models = (stack: Stack) => fetchRaw(`${stack.url}/v1/models`, { key: stack.apiKey });
  const [near, far] = await Promise.all([models(gate), models(engine)]);
  expect(JSON.parse(near.text).data[0].context_length).toBe(JSON.parse(far.text).data[0].context_length);
  expect(gate.nodeEvents("upstream.found")[0]).toMatchObject({
    flavor: "sluice",
    models: expect.arrayContaining([engine.model]),
  });
});

test("a stream says what the engine said, and its usage is the engine's own", async () => {
  const before = engine.nodeEvents("generate.end").length;
  const body = { messages: ask("What is the capital of France?"), max_tokens: 12, seed: 7, deterministic: true };
  const options = { stream: true, stream_options: { include_usage: true } };
  const near = await chat(gate, { ...body, ...options }).answer;
  const end = await nextEnd(before);
  const far = await chat(engine, { ...body, ...options }).answer;
  expect(contentOf(near.text)).toContain("Paris");
  expect(contentOf(near.text)).toBe(contentOf(far.text));
  expect(usageOf(near.text)).toMatchObject({
    prompt_tokens: end.prompt_tokens,
    completion_tokens: end.completion_tokens,
  });
  expect(eventsOf(near.text).at(-1)).toBe("[DONE]");
  const whole = JSON.parse((await chat(gate, body).answer).text);
  expect(whole.usage.prompt_tokens).toBe(end.prompt_tokens);
  expect(whole.choices[0].message.content).toBe(contentOf(far.text));
});

test("a client that hangs up at the gate frees the slot on the engine", async () => {
  const before = engine.nodeEvents("generate.end").length;
  const stream = chat(gate, { messages: STORY, stream: true });
  await untilDeltas(stream, 3);
  stream.hangUp();
  const end = await nextEnd(before);
  expect(end.code).toBe("CANCELLED");
  await untilSlots(gate, 0, 0);
  await untilSlots(engine, 0, 0);
});

test("what the engine refuses keeps its status and its words, streamed or not", async () => {
  for (const stream of [false, true]) {
    const tooMuch = await chat(gate, { messages: ask("Hi."), max_tokens: 1_000_000, stream }).answer;
    expect(tooMuch.status).toBe(400);
    expect(JSON.parse(tooMuch.text).error).toMatchObject({ code: "context_length_exceeded" });
    expect(tooMuch.text).toMatch(/context holds \d+ tokens\. The messages have \d+ tokens/);
  }
});

test("an engine that dies in mid-stream ends the stream retryably, and is used again when it is back", async () => {
  const victim = engine.pids.edge;
  if (victim === null) throw new Error("there is no edge to kill");
  const stream = chat(gate, { messages: STORY, stream: true });
  await untilDeltas(stream, 3);
  process.kill(victim, "SIGKILL");
  const events = eventsOf((await stream.answer).text);
  expect(events.at(-1)).toEqual({
    error: { message: expect.any(String), type: "server_error", param: null, code: "overloaded" },
  });
  expect(events).not.toContain("[DONE]");
  await untilSlots(gate, 0, 0);
  await untilSlots(engine, 0, 0);
  const answer = await until(
    "an answer after the engine's return",
    async () => {
      const { status, text } = await chat(gate, { messages: ask("Say hi."), max_tokens: 4 }).answer;
      return status === 200 && JSON.parse(text).object === "chat.completion";
    },
    BACK_WITHIN_MS,
  );
  expect(answer).toBe(true);
});

test("an engine that is not there is said in one sentence", async () => {
  const env = { SLUICE_OPENAI_URL: "http://127.0.0.1:9/v1", SLUICE_OPENAI_START_TIMEOUT_MS: "300" };
  const start = launch(["--runtime", "openai", "--port", "0", "--state", `${gate.stateDir}/other`], env);
  expect(await start.exited).toBe(1);
  expect(start.output()).toMatch(/sluice: No engine answers at http:\/\/127\.0\.0\.1:9\. Waited 0 s: start the engine/);
});
