// The test that every runtime with an embedding model passes: what the node relies on at the seam, asked of a real instance.
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type EmbedRequest,
  EmbedRequestSchema,
  RerankRequestSchema,
} from "../../proto/gen/sluice/inference/v1/embed_pb.js";
import { Capability, type Model, ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { Code } from "../node-error.ts";
import type { Runtime } from "../runtime.ts";

export interface EmbeddingContractOptions {
  /** The model that is asked. */
  model: string;
}

const noMethod = { code: Code.UNIMPLEMENTED, param: "model" };

/** Registers the contract's tests for the runtime that `makeRuntime` makes. */
export function embeddingContract(
  name: string,
  makeRuntime: () => Promise<Runtime> | Runtime,
  { model }: EmbeddingContractOptions,
): void {
  describe(`embedding contract: ${name}`, () => {
    let runtime: Runtime;
    beforeAll(async () => {
      runtime = await makeRuntime();
      await runtime.start();
    }, 120_000);
    afterAll(() => runtime.close());

    const facts = (): Model => {
      const found = runtime.models().find(({ id }) => id === model);
      if (found === undefined) throw new Error(`The runtime has no model ${model}.`);
      return found;
    };
    const never = new AbortController().signal;
    const request = (inputs: (string | number[])[], more: Partial<EmbedRequest> = {}): EmbedRequest => ({
      ...create(EmbedRequestSchema, { requestId: "embedding-contract", model }),
      inputs: inputs.map((input) =>
        typeof input === "string"
          ? { $typeName: "sluice.inference.v1.EmbedInput", input: { case: "text", value: input } }
          : {
              $typeName: "sluice.inference.v1.EmbedInput",
              input: { case: "tokens", value: { $typeName: "sluice.inference.v1.EmbedTokens", ids: input } },
            },
      ),
      ...more,
    });
    const embed = (inputs: (string | number[])[], more?: Partial<EmbedRequest>, signal = never) =>
      runtime.embed(request(inputs, more), signal);
    const idsOf = async (text: string): Promise<number[]> => [...(await runtime.tokenize(model, text, false))];

    it("has the model ready after start, with its limit and its dimensions", () => {
      const { state, contextLength, embeddingDimensions, sequences, capabilities } = facts();
      expect(state).toBe(ModelState.READY);
      expect(Math.min(contextLength, embeddingDimensions, sequences)).toBeGreaterThan(0);
      expect(capabilities).toContain(Capability.EMBEDDINGS);
    });

    it("gives one vector an input, of length 1, in their order, the same whatever is beside it", async () => {
      const texts = ["The cat sits outside", "你好, 👋🏽!", "dog", "The cat sits outside"];
      const { embeddings } = await embed(texts);
      expect(embeddings).toHaveLength(4);
      for (const { values } of embeddings) {
        expect(values).toHaveLength(facts().embeddingDimensions);
        expect(Math.hypot(...values)).toBeCloseTo(1, 5);
      }
      expect(embeddings[3]?.values).toEqual(embeddings[0]?.values);
      expect((await embed(["dog"])).embeddings[0]?.values).toEqual(embeddings[2]?.values);
      expect(embeddings[1]?.values).not.toEqual(embeddings[2]?.values);
    });

    it("takes ids for what their text is, and counts both alike", async () => {
      const byText = await embed(["The cat sits outside"]);
      const byIds = await embed([await idsOf("The cat sits outside")]);
      expect(byIds.embeddings).toEqual(byText.embeddings);
      expect(byIds.promptTokens).toBe(byText.promptTokens);
      expect(byText.promptTokens).toBeGreaterThan(0);
    });

    it("counts the tokens of all inputs together", async () => {
      const texts = ["a cat", "two dogs and a cat"];
      const alone = await Promise.all(texts.map((text) => embed([text])));
      const together = await embed(texts);
      expect(together.promptTokens).toBe(alone.reduce((sum, { promptTokens }) => sum + promptTokens, 0));
    });

    it("cuts vectors to the dimensions that are asked for, of length 1 again", async () => {
      const { embeddings } = await embed(["dog"], { dimensions: 32 });
      expect(embeddings[0]?.values).toHaveLength(32);
      expect(Math.hypot(...(embeddings[0]?.values ?? []))).toBeCloseTo(1, 5);
    });

    it("refuses an input that is too long as OUT_OF_RANGE by its place, or cuts it when asked to", async () => {
      const [id = 0] = await idsOf("dog");
      const long = new Array<number>(facts().contextLength + 1).fill(id);
      await expect(embed(["dog", long])).rejects.toMatchObject({ code: Code.OUT_OF_RANGE, param: "inputs[1]" });
      const { embeddings, promptTokens } = await embed([long], { truncate: true });
      expect(embeddings).toHaveLength(1);
      expect(promptTokens).toBe(facts().contextLength);
    });

    it("refuses a token id outside the vocabulary as INVALID_ARGUMENT by its place", async () => {
      const refused = embed(["dog", [0xffff_fff0]]);
      await expect(refused).rejects.toMatchObject({ code: Code.INVALID_ARGUMENT, param: "inputs[1]" });
    });

    it("scores no documents: has no method for it, or refuses by the model's name", async () => {
      const request = create(RerankRequestSchema, { requestId: "r", model, query: "a cat", documents: ["dog"] });
      const refused = runtime.rerank?.(request, never) ?? Promise.reject(noMethod);
      await expect(refused).rejects.toMatchObject({ code: Code.UNIMPLEMENTED, param: "model" });
    });

    it("ends with its signal's reason, and answers the next request", async () => {
      const gone = new Error("gone");
      await expect(embed(["dog"], {}, AbortSignal.abort(gone))).rejects.toBe(gone);
      const controller = new AbortController();
      const aborted = embed(new Array<string>(500).fill("a cat"), {}, controller.signal);
      const outcome = aborted.then(
        () => "done",
        (thrown: unknown) => thrown,
      );
      controller.abort(gone);
      expect([gone, "done"]).toContain(await outcome);
      expect((await embed(["dog"])).embeddings).toHaveLength(1);
    });
  });
}
