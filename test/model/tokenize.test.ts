// Long texts on the default model: the same tokens as in one piece, refused by numbers, and not in the streams' way.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LogEntry } from "../../inference-node/log.ts";
import { DEFAULT_MODEL } from "../../inference-node/model-source/catalogue.ts";
import { resolveModel } from "../../inference-node/model-source/resolve.ts";
import { Code } from "../../inference-node/node-error.ts";
import type { Runtime } from "../../inference-node/runtime.ts";
import { anyDevice } from "../../inference-node/runtimes/llama/config.ts";
import { type Engine, loadEngine } from "../../inference-node/runtimes/llama/engine.ts";
import { sliceChars } from "../../inference-node/runtimes/llama/sliced-tokenizer.ts";
import { PromptSchema } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { defaultModelRuntime } from "../support/default-model.ts";
import { userPrompt } from "../support/generate.ts";
import { root } from "../support/stack.ts";

const never = new AbortController().signal;
const contextLength = 1024;

describe("in slices", () => {
  let engine: Engine;
  beforeAll(async () => {
    const { path: modelPath } = await resolveModel(DEFAULT_MODEL);
    const unset = {
      batchTokens: undefined,
      kvMemoryMb: undefined,
      chatTemplate: undefined,
      prefixCache: { dir: "", bytesMax: 0, spill: undefined },
      device: anyDevice,
    };
    engine = await loadEngine({ modelPath, threads: 1, sequences: 1, contextLength: 8192, ...unset }, () => undefined);
  });

  it.each([
    ["prose in Markdown", readFileSync(join(root, "docs", "architecture.md"), "utf8")],
    ["code", readFileSync(join(root, "inference-node", "runtimes", "llama", "engine.ts"), "utf8")],
    ["runs of white space", "word   \n\n   next\tthing \n".repeat(500)],
    ["a chat's control tokens", "<|im_start|>user\nTell me of dogs.<|im_end|>\n".repeat(300)],
    ["Russian", "Быстрая лиса прыгает через ленивую собаку, и потом спит. ".repeat(150)],
    ["Chinese", "我们在海边的老房子里发现了一张藏宝图，然后狗就睡着了。第二天早上，它又跑了！".repeat(150)],
  ])("%s has the tokens of the whole", async (_name, text) => {
    const whole = engine.addon.model.tokenize(text, true);
    expect(text.length).toBeGreaterThan(4_096);
    expect(await engine.tokenize(text, true, never)).toEqual(whole);
  });

  it("a long text leaves the event loop a turn after each slice, in which the streams' steps go on", async () => {
    let turns = 0;
    let over = false;
    const turn = (): void => {
      turns += 1;
      if (!over) setImmediate(turn);
    };
    turn();
    const text = "The fox jumps over the lazy dog. ".repeat(2_000);
    await Promise.all([engine.tokenize(text, false, never), engine.tokenize(text, false, never)]);
    over = true;
    expect(turns).toBeGreaterThan((2 * text.length) / sliceChars - 2);
  });

  it("text without any border is the same text", async () => {
    const text = Buffer.from(Array.from({ length: 12_000 }, (_, i) => (i * 7919 + i ** 2) & 255)).toString("base64");
    expect(engine.detokenize(await engine.tokenize(text, false, never), false)).toBe(text);
  });
});

describe("over the process's border", () => {
  let runtime: Runtime;
  let entries: LogEntry[];
  beforeAll(async () => {
    entries = [];
    runtime = await defaultModelRuntime({ sequences: 2, contextLength, entries });
    await runtime.start();
  });
  afterAll(() => runtime.close());

  it("a long text that nobody waits for any more is given up in the engine", async () => {
    const caller = new AbortController();
    const given = runtime.tokenize(DEFAULT_MODEL, "word ".repeat(4_000), false, caller.signal);
    caller.abort();
    await expect(given).rejects.toMatchObject({ code: Code.CANCELLED });
    expect(await runtime.tokenize(DEFAULT_MODEL, "word ".repeat(4_000), false)).toHaveLength(4_001);
  });

  it("a text of more than four contexts is refused once that is known", async () => {
    await expect(runtime.tokenize(DEFAULT_MODEL, "a b c d e f g h ".repeat(1_000), false)).rejects.toMatchObject({
      code: Code.OUT_OF_RANGE,
      param: "text",
      metadata: { context_length: String(contextLength), counted: "at_least" },
    });
  });

  it("what can't fit by its size is refused without the engine, even when that does not answer", async () => {
    const pid = Number(entries.find(({ event }) => event === "runtime.started")?.pid);
    process.kill(pid, "SIGSTOP");
    try {
      const refused = { code: Code.OUT_OF_RANGE };
      await expect(runtime.tokenize(DEFAULT_MODEL, "word ".repeat(3_000_000), false)).rejects.toMatchObject(refused);
      await expect(runtime.detokenize(DEFAULT_MODEL, new Array(1_025).fill(1), false)).rejects.toMatchObject(refused);
      const prompt = create(PromptSchema, userPrompt("<|im_end|>".repeat(100_000)));
      await expect(runtime.prepare(DEFAULT_MODEL, prompt, never)).rejects.toMatchObject(refused);
    } finally {
      process.kill(pid, "SIGCONT");
    }
  });
});
