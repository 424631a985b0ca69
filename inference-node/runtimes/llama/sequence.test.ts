// What a generation shows when it ends: nothing that was held back is lost, nothing of a stop string is shown.
import { expect, test } from "vitest";
import type { Addon } from "./addon.ts";
import type { Engine } from "./engine.ts";
import type { GenerateOptions, GenerationEvent } from "./protocol.ts";
import { Sequence } from "./sequence.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Token n is the letter with that code; 0 ends a generation. */
const engine: Engine = {
  addon: { createSampler: () => ({ applyConfig: () => undefined, dispose: () => undefined }) } as unknown as Addon,
  vocabulary: { bytes: (token: number) => Uint8Array.of(token) } as unknown as Vocabulary,
  info: { contextLength: 100 } as Engine["info"],
  promptTokens: async () => new Uint32Array(),
  tokenize: async () => new Uint32Array(),
  isEndOfGeneration: (token) => token === 0,
  detokenize: () => "",
  endOfGenerationTokens: [0],
};

function play(text: string, ends: Partial<GenerateOptions>) {
  const options: GenerateOptions = {
    requestId: "r",
    tokens: Uint32Array.of(1),
    maxTokens: 20,
    limitedByContext: false,
    sampling: { logitBias: [], ignoreEos: false } as unknown as GenerateOptions["sampling"],
    visibleTokens: [],
    stopStrings: ["</end>"],
    stopTokenIds: [],
    logprobs: undefined,
    promptLogprobs: undefined,
    prefixSalt: undefined,
    deterministic: false,
    guessTokensMax: 0,
    ...ends,
  };
  const sequence = new Sequence(engine, 1, options, 0, 0);
  const events: GenerationEvent[] = [];
  for (const char of text) if (sequence.accept(char.charCodeAt(0), undefined, events)) break;
  const shown = events.flatMap((event) => (event.type === "delta" ? [event.text] : [])).join("");
  const last = events.at(-1);
  return { shown, reason: last?.type === "finished" ? [last.reason, last.stop, last.completionTokens] : undefined };
}

test("a stop token's id ends the answer after what was held back for a stop string", () => {
  expect(play("a</en#b", { stopTokenIds: [35] })).toEqual({ shown: "a</en", reason: ["stop_sequence", "", 6] });
});

test("a stop string ends the answer without itself", () => {
  expect(play("a</end>b", {})).toEqual({ shown: "a", reason: ["stop_sequence", "</end>", 7] });
});

test.each([
  ["the end of generation", "a</en\0", {}, ["stop", "", 5]],
  ["the output limit", "a</en", { maxTokens: 5 }, ["length", "", 5]],
  ["the context's end", "a</en", { maxTokens: 5, limitedByContext: true }, ["context_length", "", 5]],
] as const)("%s shows what was held back", (_name, text, ends, reason) => {
  expect(play(text, ends)).toEqual({ shown: "a</en", reason });
});
