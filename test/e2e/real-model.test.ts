// The default model through the whole path: it answers, stops where it is told to, and keeps its streams apart.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Chunk, chat, chunksOf, contentOf, eventsOf, untilSlots } from "../support/chat.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ runtime: "llama" });
});

afterAll(() => stack?.stop());

const ask = (content: string) => [{ role: "user", content }];
const CAPITAL = ask("What is the capital of France?");

interface Completion {
  choices: [
    {
      index: number;
      message: { content: string };
      finish_reason: string;
      logprobs: NonNullable<Chunk["choices"][0]["logprobs"]> | null;
    },
  ];
  usage: {
    prompt_tokens: number;
    completion_tokens: number;
    total_tokens: number;
    prompt_tokens_details: { cached_tokens: number };
  };
}

async function complete(body: Record<string, unknown>): Promise<Completion> {
  const { status, text } = await chat(stack, body).answer;
  expect([status, text]).toEqual([200, expect.stringContaining(`"object":"chat.completion"`)]);
  return JSON.parse(text);
}

test("the capital of France is Paris, as a whole and as a stream, with the same words and usage", async () => {
  const first = await complete({ messages: CAPITAL, temperature: 0, max_tokens: 30 });
  expect(first.choices[0].message.content).toContain("Paris");
  // From here on all of the prompt but its last token is known, for both ways alike.
  const whole = await complete({ messages: CAPITAL, temperature: 0, max_tokens: 30 });
  expect(whole.usage.prompt_tokens_details.cached_tokens).toBe(whole.usage.prompt_tokens - 1);
  const { text } = await chat(stack, {
    messages: CAPITAL,
    temperature: 0,
    max_tokens: 30,
    stream: true,
    stream_options: { include_usage: true },
  }).answer;
  expect(contentOf(text)).toBe(whole.choices[0].message.content);
  expect(chunksOf(text).at(-1)?.usage).toEqual(whole.usage);
  expect(chunksOf(text).at(-2)?.choices[0]?.finish_reason).toBe(whole.choices[0].finish_reason);
});

test("a stop string ends the answer before itself", async () => {
  const free = await complete({ messages: CAPITAL, temperature: 0, max_tokens: 30 });
  const said = free.choices[0].message.content;
  for (const stop of ["Paris", ["never said", "aris"]]) {
    const cut = await complete({ messages: CAPITAL, temperature: 0, max_tokens: 30, stop });
    expect(cut.choices[0].message.content).toBe(said.slice(0, said.indexOf([stop].flat().at(-1) ?? "")));
    expect(cut.choices[0].finish_reason).toBe("stop");
  }
});

test("the same seed gives the same words to a deterministic request, another seed others", async () => {
  const messages = ask("Tell me something about the sea.");
  const body = { messages, temperature: 1.5, max_tokens: 24, deterministic: true };
  const say = async (seed: number): Promise<string> => (await complete({ ...body, seed })).choices[0].message.content;
  const first = await say(7);
  expect(await say(7)).toBe(first);
  expect(await say(8)).not.toBe(first);
});

test("several answers to one prompt are told apart, and the prompt is counted once", async () => {
  const body = { messages: ask("Tell me about a lighthouse."), temperature: 1.2, seed: 11, max_tokens: 12, n: 3 };
  const whole = await complete(body);
  expect(whole.choices.map(({ index }) => index)).toEqual([0, 1, 2]);
  expect(new Set(whole.choices.map(({ message }) => message.content)).size).toBe(3);
  expect(whole.usage.completion_tokens).toBeLessThanOrEqual(36);
  const { text } = await chat(stack, { ...body, stream: true, stream_options: { include_usage: true } }).answer;
  const chunks = chunksOf(text);
  expect(chunks.at(-1)?.usage?.prompt_tokens).toBe(whole.usage.prompt_tokens);
  const ended = chunks.flatMap(({ choices: [choice] }) => (choice?.finish_reason ? [choice.index] : []));
  expect(ended.toSorted()).toEqual([0, 1, 2]);
  const roles = chunks.flatMap(({ choices: [choice] }) => (choice?.delta.role ? [choice.index] : []));
  expect(roles.toSorted()).toEqual([0, 1, 2]);
});

test("more answers than the model has sequences are refused by name", async () => {
  for (const n of [129, 10_000, 128]) {
    const { status, text } = await chat(stack, { messages: CAPITAL, n }).answer;
    expect([n, status, JSON.parse(text).error]).toMatchObject([n, 400, { param: "n" }]);
  }
});

test("a chat's next turn says how much of it was computed already", async () => {
  const first = ask(`${"The old harbour had a crane, a bell and a clock. ".repeat(20)}What did it have?`);
  const said = await complete({ messages: first, temperature: 0, max_tokens: 12 });
  const turn = [...first, { role: "assistant", content: said.choices[0].message.content }, ...ask("And what else?")];
  const next = await complete({ messages: turn, temperature: 0, max_tokens: 4 });
  expect(next.usage.prompt_tokens_details.cached_tokens).toBeGreaterThan(said.usage.prompt_tokens - 10);
  expect(next.usage.prompt_tokens_details.cached_tokens).toBeLessThan(next.usage.prompt_tokens);
});

test("max_tokens ends the answer with length, at exactly so many tokens", async () => {
  for (const limit of [{ max_tokens: 1 }, { max_tokens: 9 }, { max_completion_tokens: 17 }]) {
    const { choices, usage } = await complete({ messages: ask("Write a long story."), temperature: 0, ...limit });
    expect([choices[0].finish_reason, usage.completion_tokens]).toEqual(["length", Object.values(limit)[0]]);
    expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens);
  }
});

test("log-probabilities are one entry a token, likeliest first, and spell the answer", async () => {
  const body = { messages: CAPITAL, temperature: 0, max_tokens: 8, logprobs: true, top_logprobs: 3 };
  const { choices, usage } = await complete(body);
  const tokens = choices[0].logprobs?.content ?? [];
  expect(tokens).toHaveLength(usage.completion_tokens);
  expect(Buffer.from(tokens.flatMap(({ bytes }) => bytes)).toString()).toBe(choices[0].message.content);
  for (const entry of tokens) {
    expect(Object.keys(entry).toSorted()).toEqual(["bytes", "logprob", "token", "top_logprobs"]);
    expect(entry.logprob).toBeLessThanOrEqual(0);
    const top = entry.top_logprobs as { logprob: number; token: string }[];
    expect(top).toHaveLength(3);
    expect(top[0]?.token).toBe(entry.token);
    expect(top.map(({ logprob }) => logprob)).toEqual(top.map(({ logprob }) => logprob).toSorted((a, b) => b - a));
  }
  const { text } = await chat(stack, { ...body, stream: true }).answer;
  const streamed = chunksOf(text).flatMap(({ choices: [choice] }) => choice?.logprobs?.content ?? []);
  expect(streamed.map(({ token }) => token)).toEqual(tokens.map(({ token }) => token));
});

test("a prompt that does not fit is refused with both numbers and never cut", async () => {
  const models = await (
    await fetch(`${stack.url}/v1/models`, { headers: { authorization: `Bearer ${stack.apiKey}` } })
  ).json();
  const context = (models as { data: { context_length: number }[] }).data[0]?.context_length ?? 0;
  for (const body of [{ messages: ask("sea ".repeat(context + 100)) }, { messages: CAPITAL, max_tokens: context }]) {
    for (const stream of [false, true]) {
      const { status, text } = await chat(stack, { ...body, stream }).answer;
      const { error } = JSON.parse(text);
      expect([status, error]).toMatchObject([400, { type: "invalid_request_error", code: "context_length_exceeded" }]);
      const numbers = (error.message.match(/\d+/g) ?? []).map(Number);
      expect(numbers).toContain(context);
      expect(numbers.length).toBeGreaterThanOrEqual(2);
    }
  }
});

test("what the model cannot do is refused by name", async () => {
  const unable = { typical_p: { typical_p: 0.5 }, thinking: { thinking: { type: "enabled" } } };
  for (const [param, extra] of Object.entries(unable)) {
    const { status, text } = await chat(stack, { messages: CAPITAL, ...extra }).answer;
    expect([status, JSON.parse(text).error]).toMatchObject([400, { code: "unsupported_parameter", param }]);
  }
});

const WORDS = [
  ...["banana", "dragon", "guitar", "rocket", "pepper", "violin", "window", "tiger"],
  ...["castle", "monkey", "orange", "planet", "rabbit", "silver", "turtle", "pencil"],
];

test("sixteen streams at once keep to their own words, and each ends as it should", async () => {
  const streams = WORDS.map((word, index) => {
    return chat(stack, {
      messages: [
        ...ask(`Repeat the word ${word} for ever.`),
        { role: "assistant", prefix: true, content: `${word}, `.repeat(8 + index) + word },
      ],
      temperature: 0,
      max_tokens: 12 + index,
      logprobs: true,
      stream: true,
      stream_options: { include_usage: true },
    });
  });
  const answers = await Promise.all(streams.map(({ answer }) => answer));
  answers.forEach(({ text }, index) => {
    const said = contentOf(text).toLowerCase();
    expect(said).toContain(WORDS[index]);
    for (const [other, word] of WORDS.entries()) if (other !== index) expect(said).not.toContain(word);
    const chunks = chunksOf(text);
    expect(eventsOf(text).at(-1)).toBe("[DONE]");
    expect(new Set(chunks.map(({ id, created, model }) => `${id} ${created} ${model}`)).size).toBe(1);
    expect(chunks.filter(({ choices }) => choices[0]?.finish_reason)).toHaveLength(1);
    const tokens = chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? []);
    expect(Buffer.from(tokens.flatMap(({ bytes }) => bytes)).toString()).toBe(contentOf(text));
    const usage = chunks.at(-1)?.usage;
    const ended = chunks.at(-2)?.choices[0]?.finish_reason;
    // The token that ends an answer is counted and has no text.
    expect(usage?.completion_tokens).toBe(ended === "length" ? 12 + index : tokens.length);
  });
  expect(new Set(answers.map(({ text }) => chunksOf(text)[0]?.id)).size).toBe(WORDS.length);
  await untilSlots(stack, 0, 0);
});
