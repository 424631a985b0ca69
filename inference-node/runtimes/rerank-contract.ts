// The test that every runtime with a reranker passes: what the node relies on at the seam, asked of a real instance.
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  EmbedRequestSchema,
  type RerankRequest,
  RerankRequestSchema,
  type RerankResponse,
} from "../../proto/gen/sluice/inference/v1/embed_pb.js";
import { Capability, type Model, ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { Code } from "../node-error.ts";
import type { Runtime } from "../runtime.ts";

export interface RerankContractOptions {
  /** The model that is asked. */
  model: string;
}

const texts = ["The cat sits outside", "你好, 👋🏽!", "A man is playing guitar", "dog"];

/** Registers the contract's tests for the runtime that `makeRuntime` makes. */
export function rerankContract(
  name: string,
  makeRuntime: () => Promise<Runtime> | Runtime,
  { model }: RerankContractOptions,
): void {
  describe(`rerank contract: ${name}`, () => {
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
    const rerank = async (
      documents: string[],
      more: Partial<RerankRequest> = {},
      signal = never,
    ): Promise<RerankResponse> => {
      const request = create(RerankRequestSchema, { requestId: "rerank-contract", model, query: "a cat", documents });
      if (runtime.rerank === undefined) throw new Error("The runtime scores no documents.");
      return await runtime.rerank({ ...request, ...more }, signal);
    };
    const scoresOf = ({ results }: RerankResponse): Map<number, number> =>
      new Map(results.map(({ index, relevanceScore }) => [index, relevanceScore]));
    const tooLong = (): string => "cat ".repeat(facts().contextLength + 1);

    it("has the model ready after start, with its limit, as a reranker alone", () => {
      const { state, contextLength, sequences, capabilities } = facts();
      expect(state).toBe(ModelState.READY);
      expect(Math.min(contextLength, sequences)).toBeGreaterThan(0);
      expect(capabilities).toEqual([Capability.RERANK]);
    });

    it("gives every document one score from 0 to 1, the best first", async () => {
      const { results } = await rerank(texts);
      expect(results.map(({ index }) => index).sort()).toEqual([0, 1, 2, 3]);
      const scores = results.map(({ relevanceScore }) => relevanceScore);
      expect(scores).toEqual(scores.toSorted((a, b) => b - a));
      expect(Math.min(...scores)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...scores)).toBeLessThanOrEqual(1);
    });

    it("scores a document the same whatever is beside it, and equal ones in the order of the request", async () => {
      const all = scoresOf(await rerank(texts));
      for (const [index, text] of texts.entries()) {
        expect(scoresOf(await rerank([text])).get(0)).toBe(all.get(index));
      }
      const { results } = await rerank(["dog", "dog", "dog"]);
      expect(results.map(({ index }) => index)).toEqual([0, 1, 2]);
      expect(new Set(results.map(({ relevanceScore }) => relevanceScore)).size).toBe(1);
    });

    it("asks the query: another one gives other scores", async () => {
      expect((await rerank(texts, { query: "Who plays music?" })).results).not.toEqual((await rerank(texts)).results);
    });

    it("gives the best so many, all when there are fewer, and counts every document", async () => {
      const all = await rerank(texts);
      const best = await rerank(texts, { topN: 2 });
      expect(best.results).toEqual(all.results.slice(0, 2));
      expect(best.promptTokens).toBe(all.promptTokens);
      expect((await rerank(texts, { topN: 9 })).results).toEqual(all.results);
      const alone = await Promise.all(texts.map((text) => rerank([text])));
      expect(all.promptTokens).toBe(alone.reduce((sum, { promptTokens }) => sum + promptTokens, 0));
    });

    it("refuses a document that is too long as OUT_OF_RANGE by its place, or cuts it when asked to", async () => {
      await expect(rerank(["dog", tooLong()])).rejects.toMatchObject({
        code: Code.OUT_OF_RANGE,
        param: "documents[1]",
      });
      const { results, promptTokens } = await rerank([tooLong()], { truncate: true });
      expect(results).toHaveLength(1);
      expect(promptTokens).toBe(facts().contextLength);
    });

    it("refuses a query that leaves no room for a document as OUT_OF_RANGE, also when documents may be cut", async () => {
      for (const truncate of [false, true]) {
        const refused = rerank(["dog"], { query: tooLong(), truncate });
        await expect(refused).rejects.toMatchObject({ code: Code.OUT_OF_RANGE, param: "query" });
      }
    });

    it("refuses to make vectors, by the model's name", async () => {
      const inputs = [{ input: { case: "text", value: "dog" } }] as const;
      const request = create(EmbedRequestSchema, { requestId: "rerank-contract", model, inputs: [...inputs] });
      await expect(runtime.embed(request, never)).rejects.toMatchObject({ code: Code.UNIMPLEMENTED, param: "model" });
    });

    it("ends with its signal's reason, and answers the next request", async () => {
      const gone = new Error("gone");
      await expect(rerank(["dog"], {}, AbortSignal.abort(gone))).rejects.toBe(gone);
      const controller = new AbortController();
      const aborted = rerank(new Array<string>(500).fill("a cat"), {}, controller.signal);
      const outcome = aborted.then(
        () => "done",
        (thrown: unknown) => thrown,
      );
      controller.abort(gone);
      expect([gone, "done"]).toContain(await outcome);
      expect((await rerank(["dog"])).results).toHaveLength(1);
    });
  });
}
