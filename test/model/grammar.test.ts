// Grammars in the native sampler: when they let a text end, what they leave alone, and that none takes the engine down.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Code } from "../../inference-node/node-error.ts";
import type { Runtime } from "../../inference-node/runtime.ts";
import { FinishReason } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { Capability } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { defaultModelRuntime } from "../support/default-model.ts";
import { type GenerateRequestInit, generate, userPrompt } from "../support/generate.ts";

const question = userPrompt("What is the capital of France?");
const regex = (value: string): Pick<GenerateRequestInit, "constraint"> => ({
  constraint: { kind: { case: "regex", value } },
});
const schema = (value: object): Pick<GenerateRequestInit, "constraint"> => ({
  constraint: { kind: { case: "jsonSchema", value: { schemaJson: JSON.stringify(value) } } },
});
const hot = { temperature: 1 };
const cold = { temperature: 0 };

describe("a constraint", () => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await defaultModelRuntime({ sequences: 8 });
    await runtime.start();
  });
  afterAll(() => runtime.close());

  const tokens = async (text: string): Promise<number[]> => [...(await runtime.tokenize("", text, false))];

  it("is offered as a capability", () => {
    expect(runtime.models()[0]?.capabilities).toContain(Capability.STRUCTURED_OUTPUT);
  });

  it.each([hot, cold])("ends the text where nothing more may come: %j", async (sampling) => {
    const { text, finished } = await generate(runtime, question, 20, { sampling, ...regex("(?:yes|no)!") });
    expect(text).toMatch(/^(?:yes|no)!$/);
    expect(finished.reason).toBe(FinishReason.STOP);
  });

  it.each([
    ["ignore_eos", { ignoreEos: true }],
    ["min_tokens", { minTokens: 15 }],
  ])("ends it also where %s would have it go on", async (_name, stopping) => {
    for (const sampling of [hot, cold]) {
      const { text, finished } = await generate(runtime, question, 20, { sampling, stopping, ...regex("[ab]{2}") });
      expect(text).toMatch(/^[ab]{2}$/);
      expect(finished.reason).toBe(FinishReason.STOP);
    }
  });

  it("does not keep max_tokens and stop strings from ending it sooner, and they say so", async () => {
    const cut = await generate(runtime, question, 5, { sampling: hot, ...regex("[a-z]{200}") });
    expect(cut.text).toMatch(/^[a-z]{1,199}$/);
    expect(cut.finished.reason).toBe(FinishReason.LENGTH);
    const stopped = await generate(runtime, question, 40, {
      sampling: hot,
      stopping: { stopStrings: ["x"] },
      ...regex("[ab]{3}x[ab]{3}"),
    });
    expect(stopped.text).toMatch(/^[ab]{3}$/);
    expect(stopped.finished.reason).toBe(FinishReason.STOP_SEQUENCE);
  });

  it("that no token may meet fails its request alone, and the engine goes on", async () => {
    // Every byte of the one text that is allowed, in all tokens that begin with it.
    const banned = [...(await tokens("☃")), ...(await tokens(" ☃")), ...(await tokens("a☃"))];
    const logitBias = [...new Set(banned)].map((tokenId) => ({ tokenId, bias: -100 }));
    for (const temperature of [0, 1]) {
      const free = generate(runtime, question, 12, { sampling: cold });
      const refused = generate(runtime, question, 12, { sampling: { temperature, logitBias }, ...regex("☃+") });
      await expect(refused).rejects.toMatchObject({
        code: Code.FAILED_PRECONDITION,
        param: "sampling.logit_bias",
      });
      expect((await free).text).toContain("Paris");
    }
    expect((await generate(runtime, question, 12, { sampling: hot, ...regex("☃{2}") })).text).toBe("☃☃");
  });

  it("leaves control tokens out, which the engine would take for their names", async () => {
    const [control] = await runtime.tokenize("", "<|im_start|>", true);
    const sampling = { temperature: 1, logitBias: [{ tokenId: control as number, bias: 100 }] };
    const { text, logprobs } = await generate(runtime, question, 40, {
      sampling,
      logprobs: { output: true },
      ...regex("[<|>_a-z]{30}"),
    });
    expect(text).toMatch(/^[<|>_a-z]{30}$/);
    expect(logprobs.map(({ tokenId }) => tokenId)).not.toContain(control);
  });

  it("leaves log-probabilities the model's own", async () => {
    const first = async (init: Partial<GenerateRequestInit>) =>
      (await generate(runtime, question, 1, { sampling: cold, logprobs: { output: true, top: 5 }, ...init }))
        .logprobs[0];
    const [free, held] = [await first({}), await first(regex("[xyz]{9}"))];
    expect(held?.top.map(({ tokenId }) => tokenId)).toEqual(free?.top.map(({ tokenId }) => tokenId));
    expect(held?.top[0]?.logprob).toBeCloseTo(free?.top[0]?.logprob ?? 0, 3);
    expect(held?.tokenId).not.toBe(free?.tokenId);
    expect(held?.logprob).toBeLessThan(free?.logprob ?? 0);
  });

  it("goes with penalties, narrow sampling and a seed", async () => {
    for (const more of [{ frequencyPenalty: 2 }, { repetitionPenalty: 2 }, { topK: 1 }, { topP: 1e-6 }, { minP: 1 }]) {
      const sampling = { temperature: 1, seed: 3n, ...more };
      const { text } = await generate(runtime, question, 40, { sampling, ...regex("(?:ab){8}") });
      expect(text).toBe("ab".repeat(8));
    }
  });

  it("of one stream touches no other in its batch", async () => {
    const answers = Array.from({ length: 7 }, (_, i) =>
      generate(runtime, userPrompt(`Say a number, ${i}.`), 24, { sampling: hot, ...regex(`${i}[0-9]{12}`) }),
    );
    const free = await generate(runtime, question, 24, { sampling: cold });
    expect(free.text).toBe("The capital of France is Paris.");
    for (const [i, { text }] of (await Promise.all(answers)).entries())
      expect(text).toMatch(new RegExp(`^${i}[0-9]{12}$`));
  });

  it("holds bytes of half characters to whole ones", async () => {
    const { text } = await generate(runtime, question, 60, {
      sampling: hot,
      ...regex("[\\u0e01-\\u0e3a]{4}[\\u{1f600}-\\u{1f64f}]{2}"),
    });
    expect(text).toMatch(/^[\u0e01-\u0e3a]{4}[\u{1f600}-\u{1f64f}]{2}$/u);
  });
});

describe("a constraint on a model that reasons", () => {
  const turns =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}";
  const answer = schema({
    type: "object",
    properties: { n: { type: "integer", minimum: 1, maximum: 9 } },
    required: ["n"],
    // Else the model may go on with members of its own until its limit cuts them.
    additionalProperties: false,
  });

  /** Generates with "<", by which a thought begins, as likely as the bias makes it. */
  async function reasoned(chatTemplate: string, init: Partial<GenerateRequestInit>, bias = 0) {
    const runtime = await defaultModelRuntime({ chatTemplate, sequences: 2 });
    await runtime.start();
    try {
      const [bracket] = await runtime.tokenize("", "<", false);
      const logitBias = [{ tokenId: bracket as number, bias }];
      const sampling = { temperature: 1, logitBias };
      // Room for the widest space that JSON may have.
      return await generate(runtime, question, 200, { thinking: { budgetTokens: 8 }, ...answer, ...init, sampling });
    } finally {
      await runtime.close();
    }
  }

  it("begins to hold where the thought that the prompt opened ends", async () => {
    const { text, finished } = await reasoned(`${turns}<|im_start|>assistant\n<think>\n{# </think> #}`, {});
    expect(JSON.parse(text)).toEqual({ n: expect.any(Number) });
    expect(finished.usage?.reasoningTokens).toBeGreaterThan(4);
    expect(finished.reason).toBe(FinishReason.STOP);
  });

  it("lets the model open a thought itself, or not", async () => {
    const template = `${turns}<|im_start|>assistant\n{# <think></think> #}`;
    const without = await reasoned(template, {}, -100);
    expect(JSON.parse(without.text)).toEqual({ n: expect.any(Number) });
    expect(without.finished.usage?.reasoningTokens).toBe(0);
    const opened = await reasoned(template, {}, 100);
    expect(JSON.parse(opened.text)).toEqual({ n: expect.any(Number) });
    expect(opened.finished.usage?.reasoningTokens).toBeGreaterThan(4);
  });

  it("holds from the first token when thinking is off", async () => {
    const template = `${turns}<|im_start|>assistant\n{# <think></think> #}`;
    const { text, finished } = await reasoned(template, { thinking: { mode: 2 } });
    expect(JSON.parse(text)).toEqual({ n: expect.any(Number) });
    expect(finished.usage?.reasoningTokens).toBe(0);
  });
});
