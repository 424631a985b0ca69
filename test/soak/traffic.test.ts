// The traffic of a soak: the same for the same seed, of every kind, in the shares that the table says.
import { expect, test } from "vitest";
import { Random } from "./random.ts";
import { faultOf } from "./schema-check.ts";
import { makeSchema } from "./schemas.ts";
import { planBurst, planNext, planRequest, type RequestPlan, type World } from "./traffic.ts";

const world: World = {
  seed: 3,
  model: "m",
  structured: true,
  tools: true,
  logprobs: true,
  sequences: 16,
  leaveShare: 0.15,
};

function plans(seed: number, count: number, of: World = world): RequestPlan[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => planRequest(random, of));
}

const share = (list: readonly RequestPlan[], holds: (plan: RequestPlan) => boolean): number =>
  list.filter(holds).length / list.length;

test("a seed makes the same requests again, another seed other ones", () => {
  expect(plans(7, 50)).toEqual(plans(7, 50));
  expect(plans(7, 50)).not.toEqual(plans(8, 50));
  expect(new Random(7, 1).next()).not.toBe(new Random(7, 2).next());
});

test("every kind comes, some are bad input and some are left at each of the three moments", () => {
  const many = plans(1, 3_000);
  const kinds = new Set(many.map(({ kind }) => kind));
  expect([...kinds].filter((kind) => !kind.startsWith("bad_input")).toSorted()).toEqual([
    "choices",
    "deterministic",
    "json_object",
    "json_schema",
    "logprobs",
    "long_prompt",
    "min_tokens",
    "sampled",
    "second_turn",
    "shared_system",
    "short",
    "slow_reader",
    "stop",
    "tools",
  ]);
  expect([...kinds].filter((kind) => kind.startsWith("bad_input")).length).toBeGreaterThan(10);
  expect(share(many, ({ bad }) => bad)).toBeCloseTo(0.06, 1);
  expect(share(many, ({ leave }) => leave !== undefined)).toBeCloseTo(0.14, 1);
  expect(new Set(many.map(({ leave }) => leave?.after))).toEqual(new Set([undefined, "sent", "head", "deltas"]));
});

test("nobody is asked for what the model can't do", () => {
  const poor = plans(1, 2_000, { ...world, structured: false, tools: false, logprobs: false, sequences: 2 });
  const good = poor.filter(({ bad }) => !bad).map(({ body }) => body as Record<string, unknown>);
  expect(good.filter((body) => "response_format" in body || "tools" in body || "logprobs" in body)).toEqual([]);
  expect(Math.max(...good.map((body) => Number(body.n ?? 1)))).toBe(2);
});

test("no two plans are the same request, since what the engine dies of twice is refused", () => {
  const bodies = plans(5, 2_000)
    .filter(({ bad }) => !bad)
    .map(({ body }) => JSON.stringify(body));
  expect(new Set(bodies).size).toBe(bodies.length);
});

test("a burst is of different requests or of one many times", () => {
  const random = new Random(2);
  const bursts = Array.from({ length: 30 }, () => planBurst(random, world, 8));
  const different = bursts.map((burst) => new Set(burst.map(({ body }) => JSON.stringify(body))).size);
  expect(new Set(different)).toEqual(new Set([1, 8]));
});

test("a chat goes on with what was answered; a deterministic one is asked again as it was", () => {
  const many = plans(4, 500);
  const chat = many.find(({ next }) => next?.as === "second_turn") as RequestPlan;
  const second = planNext(chat, "Fine.") as RequestPlan;
  expect((second.body as { messages: object[] }).messages.slice(1)).toEqual([
    { role: "assistant", content: "Fine." },
    { role: "user", content: expect.any(String) },
  ]);
  expect(planNext(second, "x")).toBeUndefined();
  const same = many.find(({ next }) => next?.as === "same_again") as RequestPlan;
  expect(planNext(same, "x")?.body).toEqual(same.body);
  expect(planNext(many.find(({ next }) => next === undefined) as RequestPlan, "x")).toBeUndefined();
});

test("schemas differ, and use only keywords whose breach the soak would see", () => {
  const random = new Random(9);
  const schemas = Array.from({ length: 500 }, () => makeSchema(random));
  expect(new Set(schemas.map((schema) => JSON.stringify(schema))).size).toBeGreaterThan(450);
  for (const schema of schemas) expect(() => faultOf(schema, { id_0: [{}], name_0: {} })).not.toThrow();
});
