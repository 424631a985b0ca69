// What an embeddings request may not be, each refused with the parameter's name.
import { expect, test } from "vitest";
import { readEmbeddings } from "./openai-embeddings.ts";

const context = { requestId: "req_1", now: 0, projectId: "p", tenant: "t" };

test.each<[Record<string, unknown>, string]>([
  [{ input: "dog" }, "model"],
  [{ model: "", input: "dog" }, "model"],
  [{ model: "m" }, "input"],
  [{ model: "m", input: "" }, "input"],
  [{ model: "m", input: [] }, "input"],
  [{ model: "m", input: ["dog", ""] }, "input[1]"],
  [{ model: "m", input: [[1], []] }, "input[1]"],
  [{ model: "m", input: ["dog", 1] }, "input[1]"],
  [{ model: "m", input: [1, "dog"] }, "input[0]"],
  [{ model: "m", input: [1.5] }, "input[0]"],
  [{ model: "m", input: [-1] }, "input[0]"],
  [{ model: "m", input: { text: "dog" } }, "input"],
  [{ model: "m", input: "\ud800" }, "input"],
  [{ model: "m", input: new Array(2_049).fill("dog") }, "input"],
  [{ model: "m", input: "dog", encoding_format: "int8" }, "encoding_format"],
  [{ model: "m", input: "dog", dimensions: 0 }, "dimensions"],
  [{ model: "m", input: "dog", dimensions: "64" }, "dimensions"],
  [{ model: "m", input: "dog", truncate: "END" }, "truncate"],
])("%j", (body, param) => {
  let thrown: unknown;
  try {
    readEmbeddings(body, context);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ code: "invalid_request", param });
});

test.each(["input_type", "truncate_prompt_tokens", "normalize", "embedding_types", "task", "prompt_name"])(
  "%s would change what a vector means, and is not ignored",
  (name) => {
    const read = () => readEmbeddings({ model: "m", input: "dog", [name]: "query" }, context);
    expect(read).toThrow(expect.objectContaining({ code: "unsupported_parameter", param: name }));
  },
);
