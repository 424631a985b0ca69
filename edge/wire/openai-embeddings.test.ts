// OpenAI's embeddings request becomes the contract's, and the vectors OpenAI's body in either encoding.
import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { EmbedResponseSchema } from "../../proto/gen/sluice/inference/v1/embed_pb.js";
import { readEmbeddings } from "./openai-embeddings.ts";

const context = { requestId: "req_1", now: 0, projectId: "p", tenant: "t" };
const read = (body: Record<string, unknown>) => readEmbeddings({ model: "m", ...body }, context);
const contents = (body: Record<string, unknown>) =>
  read(body).request.inputs.map(({ input }) => (input.case === "tokens" ? input.value.ids : input.value));

describe("inputs", () => {
  test.each<[string, unknown, unknown]>([
    ["a text", "dog", ["dog"]],
    ["texts", ["dog", "cat"], ["dog", "cat"]],
    ["token ids", [1, 2, 3], [[1, 2, 3]]],
    ["lists of token ids", [[1, 2], [3]], [[1, 2], [3]]],
  ])("%s", (_name, input, expected) => {
    expect(contents({ input })).toEqual(expected);
  });

  test("everything else that is asked goes with them", () => {
    const { request, ignored } = read({ input: "dog", dimensions: 64, truncate: true, user: "u", frob: 1 });
    expect(request).toMatchObject({ requestId: "req_1", model: "m", dimensions: 64, truncate: true, tenant: "t" });
    expect(ignored).toEqual(["frob"]);
  });

  test("null is absent, as everywhere in OpenAI's API", () => {
    const { request } = read({ input: "dog", dimensions: null, encoding_format: null, input_type: null });
    expect(request.dimensions).toBe(0);
  });
});

describe("the body", () => {
  const floats = [0.1, -1, Math.fround(1 / 3), 0].map(Math.fround);
  const response = create(EmbedResponseSchema, {
    embeddings: [{ values: floats }, { values: [1, 0, 0, 0] }],
    promptTokens: 7,
  });
  const bodyOf = (format?: string) => JSON.parse(read({ input: ["a", "b"], encoding_format: format }).body(response));

  test("has every vector with its place, and the usage", () => {
    expect(bodyOf()).toMatchObject({
      object: "list",
      model: "m",
      data: [
        { object: "embedding", index: 0 },
        { object: "embedding", index: 1, embedding: [1, 0, 0, 0] },
      ],
      usage: { prompt_tokens: 7, total_tokens: 7 },
    });
  });

  test("names each number exactly in decimals", () => {
    const [first] = bodyOf("float").data;
    expect(first.embedding.map(Math.fround)).toEqual(floats);
    expect(JSON.stringify(first.embedding).length).toBeLessThan(40);
  });

  test("packs 32-bit floats, little-endian, when asked for base64", () => {
    const [first] = bodyOf("base64").data;
    const bytes = Uint8Array.from(atob(first.embedding), (character) => character.charCodeAt(0));
    expect([...new Float32Array(bytes.buffer)]).toEqual(floats);
  });
});

test("a field of the contract is named as the client wrote it", () => {
  const single = read({ input: "dog", dimensions: 3 });
  expect(single.paramOf("inputs[0]")).toBe("input");
  expect(single.paramOf("dimensions")).toBe("dimensions");
  expect(read({ input: [1, 2] }).paramOf("inputs[0]")).toBe("input");
  expect(read({ input: ["a", "b"] }).paramOf("inputs[1]")).toBe("input[1]");
  expect(read({ input: ["a"] }).paramOf("inputs[0]")).toBe("input[0]");
  expect(read({ input: "dog" }).paramOf("dimensions")).toBeUndefined();
});
