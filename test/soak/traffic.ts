// What a soak's clients ask: the table of kinds of requests with their weights, made from a seed.
import { makePrompt } from "../../bench/prompts.ts";
import { badInput } from "./bad-input.ts";
import type { Random } from "./random.ts";
import { makeSchema } from "./schemas.ts";

/** When a client hangs up: so long after it sent its request, after the head, or after so many deltas. */
export type Leave =
  | { readonly after: "sent" | "head"; readonly ms: number }
  | { readonly after: "deltas"; readonly count: number };

/** What a client asks next, once it has its whole answer: to go on with the chat, or the very same again. */
export type Next = { readonly as: "second_turn"; readonly content: string } | { readonly as: "same_again" };

export interface RequestPlan {
  readonly kind: string;
  /** Sent as JSON; a text as it is. */
  readonly body: Readonly<Record<string, unknown>> | string;
  /** Whether a refusal is the only right end. */
  readonly bad: boolean;
  /** In place of the stack's API key. */
  readonly key?: string;
  readonly leave?: Leave;
  /** Milliseconds from the head until the client begins to read. */
  readonly readAfterMs: number;
  readonly next?: Next;
}

/** What can be asked of the model served. */
export interface World {
  readonly seed: number;
  readonly model: string;
  readonly structured: boolean;
  readonly tools: boolean;
  readonly logprobs: boolean;
  /** Most sequences that one request may take. */
  readonly sequences: number;
  /** Of the requests that are right, those whose client hangs up; 0 to 1. */
  readonly leaveShare: number;
}

interface Kind {
  readonly name: string;
  readonly weight: number;
  readonly needs?: "structured" | "tools" | "logprobs";
  /** The body's members besides model, messages, stream and max_tokens. */
  readonly make: (random: Random, world: World) => Record<string, unknown>;
  readonly next?: (random: Random) => Next;
  readonly slowReader?: boolean;
}

const systems = [
  `You are a clerk of a library. ${"Be brief, exact and kind; name the shelf, the row and the book. ".repeat(6)}`,
  `You answer for a shop that sells lamps. ${"Say what there is, what it costs and when it comes. ".repeat(9)}`,
];

/** The whole mix. Hang-ups come on top: any of these may be left (see `World`). */
const kinds: readonly Kind[] = [
  { name: "short", weight: 20, make: () => ({}) },
  {
    name: "long_prompt",
    weight: 5,
    make: (random, world) => ({ messages: user(random, world, random.integer(300, 750)) }),
  },
  {
    name: "shared_system",
    weight: 14,
    make: (random, world) => ({
      messages: [{ role: "system", content: random.pick(systems) }, ...user(random, world, random.integer(5, 30))],
    }),
  },
  {
    name: "second_turn",
    weight: 8,
    make: () => ({}),
    next: (random) => ({ as: "second_turn", content: again(random) }),
  },
  { name: "choices", weight: 7, make: (random, { sequences }) => ({ n: random.integer(2, Math.min(4, sequences)) }) },
  {
    name: "deterministic",
    weight: 4,
    make: (random) => ({
      deterministic: true,
      seed: random.integer(0, 1e6),
      temperature: 1,
      max_tokens: random.integer(4, 16),
    }),
    next: () => ({ as: "same_again" }),
  },
  {
    name: "logprobs",
    weight: 6,
    needs: "logprobs",
    make: (random) => ({ logprobs: true, top_logprobs: random.pick([0, 1, 5]) }),
  },
  {
    name: "stop",
    weight: 6,
    make: (random) => ({ stop: random.pick([".", ["\n", "2"], [" the", "zz"], ["and", "a"]]) }),
  },
  {
    name: "min_tokens",
    weight: 5,
    make: (random) => ({ min_tokens: random.integer(1, 8), max_tokens: random.integer(8, 40) }),
  },
  { name: "sampled", weight: 6, make: (random) => sampling(random) },
  { name: "slow_reader", weight: 5, make: () => ({ stream: true, max_tokens: 48 }), slowReader: true },
  { name: "json_object", weight: 3, needs: "structured", make: () => ({ response_format: { type: "json_object" } }) },
  { name: "json_schema", weight: 8, needs: "structured", make: (random) => documentOf(random) },
  { name: "tools", weight: 6, needs: "tools", make: (random) => toolsOf(random) },
];
/** Of all requests, those that nobody may answer. */
const badShare = 0.06;

const user = (random: Random, world: World, wordCount: number) => [
  // The ordinal makes it this request's alone: nobody else's is held against it when the engine dies.
  { role: "user", content: makePrompt({ seed: world.seed, wordCount, sharedWords: 0 }, random.integer(0, 2 ** 31)) },
];

const again = (random: Random): string => `${random.pick(["Go on", "And then", "Shorter, please", "Why"])}?`;

function sampling(random: Random): Record<string, unknown> {
  return {
    temperature: random.next() * 1.5,
    top_p: 0.5 + random.next() / 2,
    top_k: random.pick([0, 5, 40]),
    min_p: random.pick([0, 0.05]),
    presence_penalty: random.next(),
    repetition_penalty: 1 + random.next() / 5,
    logit_bias: { [random.integer(100, 2000)]: random.pick([-100, 5]) },
    seed: random.integer(0, 1e9),
  };
}

function documentOf(random: Random): Record<string, unknown> {
  const schema = makeSchema(random);
  const json_schema = { name: "document", strict: true, schema };
  return { response_format: { type: "json_schema", json_schema }, temperature: 1, max_tokens: 200 };
}

function toolsOf(random: Random): Record<string, unknown> {
  const parameters = makeSchema(random);
  const named = { type: "function", function: { name: "look_up" } };
  const tool = { type: "function", function: { name: "look_up", description: "Looks things up.", parameters } };
  return { tools: [tool], tool_choice: random.pick(["required", named]), temperature: 1, max_tokens: 200 };
}

function leaving(random: Random, stream: boolean): Leave {
  const moment = random.next();
  if (moment < 0.5) return { after: "sent", ms: Math.floor(random.next() ** 2 * 4_000) };
  if (moment < 0.7 || !stream) return { after: "head", ms: random.integer(0, 1_500) };
  return { after: "deltas", count: random.integer(1, 20) };
}

/** The request that a client makes next. */
export function planRequest(random: Random, world: World): RequestPlan {
  if (random.chance(badShare)) return badInput(random, world.model);
  const kind = random.weighted(kinds.filter(({ needs }) => needs === undefined || world[needs]));
  const stream = random.chance(0.65);
  const body: Record<string, unknown> = {
    model: world.model,
    messages: user(random, world, random.integer(3, 60)),
    max_tokens: random.integer(2, 40),
    stream,
    ...kind.make(random, world),
  };
  if (body.stream === true) body.stream_options = { include_usage: true };
  return {
    kind: kind.name,
    body,
    bad: false,
    readAfterMs: kind.slowReader === true ? random.integer(1_000, 6_000) : 0,
    ...(kind.next !== undefined && { next: kind.next(random) }),
    ...(random.chance(world.leaveShare) && { leave: leaving(random, body.stream === true) }),
  };
}

/** Requests that come at one moment: different ones, or the same one many times. */
export function planBurst(random: Random, world: World, count: number): RequestPlan[] {
  const plain = (): RequestPlan => {
    const body = {
      model: world.model,
      messages: user(random, world, random.integer(5, 120)),
      max_tokens: 6,
      stream: random.chance(0.5),
    };
    return {
      kind: "burst",
      body: body.stream ? { ...body, stream_options: { include_usage: true } } : body,
      bad: false,
      readAfterMs: 0,
    };
  };
  if (random.chance(0.6)) return Array.from({ length: count }, plain);
  const same = { ...plain(), kind: "burst_of_equals" };
  return Array.from({ length: count }, () => same);
}

/** A request for a document by a schema of its own, streamed or not. */
export function planDocument(random: Random, world: World): RequestPlan {
  const stream = random.chance(0.5);
  const usage = stream ? { stream_options: { include_usage: true } } : {};
  const body = {
    model: world.model,
    messages: user(random, world, random.integer(3, 12)),
    stream,
    ...usage,
    ...documentOf(random),
  };
  return { kind: "document", body, bad: false, readAfterMs: 0 };
}

/** A request that runs until it is left: for as long as a slot must be seen taken. */
export function planHolder(random: Random, world: World): RequestPlan {
  const body = {
    model: world.model,
    messages: user(random, world, 5),
    stream: true,
    ignore_eos: true,
    max_tokens: 1_000,
  };
  return { kind: "holder", body, bad: false, readAfterMs: 0, leave: { after: "deltas", count: 1_000 } };
}

/** What a client asks after a whole answer; undefined when it has said all. */
export function planNext(plan: RequestPlan, answered: string): RequestPlan | undefined {
  const { next, body } = plan;
  if (next === undefined || typeof body === "string") return undefined;
  const { next: _next, leave: _leave, ...rest } = plan;
  if (next.as === "same_again") return rest;
  const messages = [
    ...(body.messages as object[]),
    { role: "assistant", content: answered },
    { role: "user", content: next.content },
  ];
  return { ...rest, kind: "second_turn", body: { ...body, messages } };
}
