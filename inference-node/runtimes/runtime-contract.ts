// The test that every runtime passes: what the node relies on at the seam, asked of a real instance.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Finished,
  FinishReason,
  type GenerateRequest,
  GenerateRequestSchema,
  type StoppingSchema,
} from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { PromptSchema, Role } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code, NodeError } from "../node-error.ts";
import type { Runtime, RuntimeEvent } from "../runtime.ts";

export interface ContractOptions {
  /** The model that is asked. */
  model: string;
  /** A user message that is answered with at least 24 tokens, not all of them at once. */
  longMessage: string;
  /** A user message whose prompt takes a while to prefill. */
  slowPrefillMessage: string;
  /** Milliseconds after an abort by which a generation must have ended. */
  abortWithinMs: number;
  /** False for an engine that lends no tokenizer: prompts are then estimated, and say so. */
  tokenizes?: boolean;
}

interface Run {
  events: RuntimeEvent[];
  text: string;
  finished: Finished;
  promptTokens: number;
}

/** Registers the contract's tests for the runtime that `makeRuntime` makes. */
export function runtimeContract(
  name: string,
  makeRuntime: () => Promise<Runtime> | Runtime,
  options: ContractOptions,
): void {
  describe(`runtime contract: ${name}`, () => {
    let runtime: Runtime;
    beforeAll(async () => {
      runtime = await makeRuntime();
      await runtime.start();
    }, 120_000);
    afterAll(async () => {
      await runtime.close();
    });
    const live = (): Runtime => runtime;
    streamTests(live, options);
    usageTests(live, options);
    limitTests(live, options);
    concurrencyTests(live, options);
    abortTests(live, options);
    inputTests(live, options);
    if (options.tokenizes === false) estimateTests(live, options);
    else tokenizerTests(live, options);
  });
}

function streamTests(runtime: () => Runtime, options: ContractOptions): void {
  it("has the model ready after start, with bounds and slots", () => {
    const model = runtime()
      .models()
      .find(({ id }) => id === options.model);
    expect(model?.state).toBe(ModelState.READY);
    expect(model?.contextLength).toBeGreaterThan(0);
    expect(model?.defaultMaxTokens).toBeGreaterThan(0);
    expect(model?.sequences).toBeGreaterThan(0);
    expect(model?.runtime).toBe(runtime().kind);
  });

  it("sends prefilled, then deltas, then exactly one finished", async () => {
    const { events } = await run(runtime(), request(options, options.longMessage, { maxTokens: 24 }));
    const cases = events.map((event) => event.case);
    expect(cases[0]).toBe("prefilled");
    expect(cases.at(-1)).toBe("finished");
    expect(new Set(cases.slice(1, -1))).toEqual(new Set(["delta"]));
  });

  it("names its system fingerprint from the first event on, and keeps it", async () => {
    const { events, finished } = await run(runtime(), request(options, options.longMessage, { maxTokens: 2 }));
    const [first] = events;
    expect(finished.systemFingerprint).not.toBe("");
    expect(first?.case === "prefilled" && first.value.systemFingerprint).toBe(finished.systemFingerprint);
  });

  it("says once, before its first event, that the request won't be refused any more, if it may refuse late", async () => {
    if (!runtime().acceptsLate) return;
    const asked = request(options, options.longMessage, { maxTokens: 2 });
    const signal = new AbortController().signal;
    const prepared = await prepare(runtime(), asked, signal);
    const order: string[] = [];
    const onAccepted = (): unknown => order.push("accepted");
    for await (const event of runtime().generate({ request: asked, prepared, maxTokens: 2, onAccepted }, signal)) {
      order.push(event.case);
    }
    expect(order.slice(0, 2)).toEqual(["accepted", "prefilled"]);
  });

  it("never ends a delta within a character", async () => {
    const { events } = await run(runtime(), request(options, options.longMessage, { maxTokens: 24 }));
    for (const event of events) {
      if (event.case === "delta") expect((event.value.part.value as string).isWellFormed()).toBe(true);
    }
  });

  it("says how long prefill and decode took", async () => {
    const { finished } = await run(runtime(), request(options, options.longMessage, { maxTokens: 4 }));
    expect(finished.timings?.prefill).toBeDefined();
    expect(finished.timings?.decode).toBeDefined();
  });
}

function usageTests(runtime: () => Runtime, options: ContractOptions): void {
  it("counts tokens up to the usage that it reports", async () => {
    const asked = request(options, options.longMessage, { maxTokens: 24 });
    const { events, finished, promptTokens } = await run(runtime(), asked);
    const counts = events.flatMap((event) => (event.case === "delta" ? [event.value.completionTokens] : []));
    expect(counts).toEqual(counts.toSorted((a, b) => a - b));
    expect(finished.usage?.completionTokens).toBeGreaterThanOrEqual(counts.at(-1) ?? 0);
    const [first] = events;
    if (options.tokenizes === false) expect(finished.usage?.promptTokens).toBeGreaterThan(0);
    else expect(finished.usage?.promptTokens).toBe(promptTokens);
    expect(first?.case === "prefilled" && first.value.promptTokens).toBe(promptTokens);
  });
}

function limitTests(runtime: () => Runtime, options: ContractOptions): void {
  it("ends at max_tokens with reason length, having generated exactly that many", async () => {
    const { finished } = await run(runtime(), request(options, options.longMessage, { maxTokens: 5 }));
    expect(finished.reason).toBe(FinishReason.LENGTH);
    expect(finished.usage?.completionTokens).toBe(5);
  });

  it("ends before a stop string, none of which is ever sent", async () => {
    const whole = await run(runtime(), request(options, options.longMessage, { maxTokens: 24 }));
    // Out of the middle, so that it most likely lies across tokens.
    const middle = Math.floor(whole.text.length / 2);
    const stop = whole.text.slice(middle, middle + 6).toWellFormed();
    const cut = await run(
      runtime(),
      request(options, options.longMessage, { maxTokens: 24, stopStrings: ["never to be seen", stop] }),
    );
    expect(cut.finished.reason).toBe(FinishReason.STOP_SEQUENCE);
    expect(cut.finished.stopSequence).toBe(stop);
    expect(cut.text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
  });

  it("sends what looked like the beginning of a stop string and was none", async () => {
    const whole = await run(runtime(), request(options, options.longMessage, { maxTokens: 24 }));
    const almost = `${whole.text.slice(-4)}\u0001`;
    const again = await run(runtime(), request(options, options.longMessage, { maxTokens: 24, stopStrings: [almost] }));
    expect(again.text).toBe(whole.text);
  });
}

function concurrencyTests(runtime: () => Runtime, options: ContractOptions): void {
  it("keeps concurrent generations apart", async () => {
    const slots =
      runtime()
        .models()
        .find(({ id }) => id === options.model)?.sequences ?? 1;
    const limits = [3, 5, 8, 13].slice(0, slots);
    const runs = await Promise.all(
      limits.map((maxTokens) => run(runtime(), request(options, options.longMessage, { maxTokens }))),
    );
    expect(runs.map(({ finished }) => finished.usage?.completionTokens)).toEqual(limits);
    // Rounding may differ with the batch's shape, but the first token of one prompt is far from a tie.
    const firsts = runs.map(({ events }) => events.find((event) => event.case === "delta")?.value.part.value);
    expect(new Set(firsts).size).toBe(1);
  });
}

function abortTests(runtime: () => Runtime, options: ContractOptions): void {
  const endsSoon = async (message: string, abortAfter: RuntimeEvent["case"] | "start"): Promise<void> => {
    const controller = new AbortController();
    let abortedAt = 0;
    const abort = (): void => {
      abortedAt = performance.now();
      controller.abort(new NodeError(Code.CANCELLED, "test"));
    };
    const asked = request(options, message, { maxTokens: 200 });
    const seen: string[] = [];
    try {
      if (abortAfter === "start") setTimeout(abort, 20);
      await run(runtime(), asked, controller.signal, (event) => {
        seen.push(event.case);
        if (event.case === abortAfter && abortedAt === 0) abort();
      });
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: Code.CANCELLED });
    }
    expect(performance.now() - abortedAt).toBeLessThan(options.abortWithinMs);
    expect(seen).not.toContain("finished");
    const next = await run(runtime(), request(options, options.longMessage, { maxTokens: 2 }));
    expect(next.finished.usage?.completionTokens).toBe(2);
  };

  it("ends soon after an abort while it decodes, and takes the next request", async () => {
    await endsSoon(options.longMessage, "delta");
  });

  it("ends soon after an abort while it prefills, and takes the next request", async () => {
    await endsSoon(options.slowPrefillMessage, "start");
  });

  it("lets its slot go when the reader leaves", async () => {
    const asked = request(options, options.longMessage, { maxTokens: 200 });
    const signal = new AbortController().signal;
    const prepared = await prepare(runtime(), asked, signal);
    for await (const event of runtime().generate({ request: asked, prepared, maxTokens: 200 }, signal)) {
      if (event.case === "delta") break;
    }
    const next = await run(runtime(), request(options, options.longMessage, { maxTokens: 2 }));
    expect(next.finished.usage?.completionTokens).toBe(2);
  });
}

function tokenizerTests(runtime: () => Runtime, options: ContractOptions): void {
  it("gives text back from its tokens", async () => {
    const text = "Ein kleiner Test: 你好, 👋🏽!";
    const ids = await runtime().tokenize(options.model, text, false);
    expect(await runtime().detokenize(options.model, [...ids], false)).toContain(text);
  });

  it("refuses a text and tokens that no sequence could hold as OUT_OF_RANGE", async () => {
    const contextLength = runtime().models()[0]?.contextLength ?? 0;
    const text = runtime().tokenize(options.model, "word ".repeat(contextLength * 100), false);
    await expect(text).rejects.toMatchObject({ code: Code.OUT_OF_RANGE, param: "text" });
    const ids = runtime().detokenize(options.model, new Array(contextLength + 1).fill(97), false);
    await expect(ids).rejects.toMatchObject({ code: Code.OUT_OF_RANGE, param: "token_ids" });
  });
}

function estimateTests(runtime: () => Runtime, options: ContractOptions): void {
  it("refuses by name to tokenise, and says that its counts are estimates", async () => {
    await expect(runtime().tokenize(options.model, "a", false)).rejects.toMatchObject({ code: Code.UNIMPLEMENTED });
    await expect(runtime().detokenize(options.model, [1], false)).rejects.toMatchObject({ code: Code.UNIMPLEMENTED });
    const prepared = await prepare(runtime(), request(options, "Hello"), new AbortController().signal);
    expect(prepared.estimated).toBe(true);
  });

  it("refuses a prompt that no sequence could hold as OUT_OF_RANGE", async () => {
    const contextLength = runtime().models()[0]?.contextLength ?? 0;
    const asked = request(options, "word ".repeat(contextLength * 100));
    const refused = prepare(runtime(), asked, new AbortController().signal);
    await expect(refused).rejects.toMatchObject({ code: Code.OUT_OF_RANGE, param: "prompt" });
  });
}

function inputTests(runtime: () => Runtime, options: ContractOptions): void {
  it("refuses a token id outside the vocabulary as INVALID_ARGUMENT", async () => {
    if (!runtime().features.has("prompt.tokens")) return;
    const prompt = create(PromptSchema, { form: { case: "tokens", value: { ids: [0xffff_fff0] } } });
    const refused = runtime().prepare(options.model, prompt, new AbortController().signal);
    await expect(refused).rejects.toMatchObject({ code: Code.INVALID_ARGUMENT });
  });

  it("counts every message of a chat", async () => {
    const signal = new AbortController().signal;
    const short = await prepare(runtime(), request(options, "Hello"), signal);
    const long = await prepare(runtime(), request(options, "Hello, and a good many more words than before"), signal);
    expect(short.promptTokens).toBeGreaterThan(0);
    expect(long.promptTokens).toBeGreaterThan(short.promptTokens);
  });
}

let lastId = 0;

function request(
  options: ContractOptions,
  content: string,
  stopping: MessageInitShape<typeof StoppingSchema> = {},
): GenerateRequest {
  lastId += 1;
  return create(GenerateRequestSchema, {
    requestId: `contract-${lastId}`,
    model: options.model,
    prompt: { form: { case: "chat", value: { messages: [{ role: Role.USER, content }] } } },
    sampling: { temperature: 0 },
    stopping,
  });
}

function prepare(runtime: Runtime, asked: GenerateRequest, signal: AbortSignal): ReturnType<Runtime["prepare"]> {
  return runtime.prepare(asked.model, asked.prompt ?? create(PromptSchema), signal);
}

async function run(
  runtime: Runtime,
  asked: GenerateRequest,
  signal: AbortSignal = new AbortController().signal,
  onEvent: (event: RuntimeEvent) => void = () => undefined,
): Promise<Run> {
  const prepared = await prepare(runtime, asked, signal);
  const maxTokens = asked.stopping?.maxTokens ?? 64;
  const events: RuntimeEvent[] = [];
  for await (const event of runtime.generate({ request: asked, prepared, maxTokens }, signal)) {
    events.push(event);
    onEvent(event);
  }
  const last = events.at(-1);
  if (last?.case !== "finished") throw new NodeError(Code.CANCELLED, "The generation ended without a result.");
  const texts = events.flatMap((event) =>
    event.case === "delta" && event.value.part.case === "text" ? [event.value.part.value] : [],
  );
  return { events, text: texts.join(""), finished: last.value, promptTokens: prepared.promptTokens };
}
