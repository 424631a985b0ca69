// What a rerank request may not be, each refused with the parameter's name.
import { expect, test } from "vitest";
import { readRerank } from "./jina-rerank.ts";

const context = { requestId: "req_1", now: 0, projectId: "p", tenant: "t" };
const whole = { model: "m", query: "q", documents: ["a", "b"] };

test.each<[Record<string, unknown>, string]>([
  [{ model: undefined }, "model"],
  [{ model: "" }, "model"],
  [{ query: undefined }, "query"],
  [{ query: "" }, "query"],
  [{ query: { text: "q" } }, "query"],
  [{ query: "\ud800" }, "query"],
  [{ documents: undefined }, "documents"],
  [{ documents: [] }, "documents"],
  [{ documents: "a" }, "documents"],
  [{ documents: new Array(2_049).fill("a") }, "documents"],
  [{ documents: ["a", ""] }, "documents[1]"],
  [{ documents: ["a", 1] }, "documents[1]"],
  [{ documents: ["a", { text: "" }] }, "documents[1].text"],
  [{ documents: ["a", { image: "x" }] }, "documents[1].text"],
  [{ top_n: 0 }, "top_n"],
  [{ top_n: 1.5 }, "top_n"],
  [{ top_n: "2" }, "top_n"],
  [{ return_documents: "yes" }, "return_documents"],
  [{ truncate: "END" }, "truncate"],
])("%j", (change, param) => {
  const read = () => readRerank({ ...whole, ...change }, context);
  expect(read).toThrow(expect.objectContaining({ code: "invalid_request", param }));
});

test.each(["max_chunks_per_doc", "max_tokens_per_doc", "truncation", "rank_fields", "raw_scores", "top_k", "texts"])(
  "%s would change what comes back, and is not ignored",
  (name) => {
    const read = () => readRerank({ ...whole, [name]: 1 }, context);
    expect(read).toThrow(expect.objectContaining({ code: "unsupported_parameter", param: name }));
  },
);
