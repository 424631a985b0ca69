// Constraints that are refused before any node hears of them.
import { expect, test } from "vitest";
import { ApiError } from "../errors.ts";
import { readChatCompletion } from "./openai-chat.ts";

function refusal(body: Record<string, unknown>): ApiError {
  const messages = [{ role: "user", content: "hi" }];
  try {
    readChatCompletion(
      { model: "m", messages, ...body },
      { requestId: "req_01ABC", now: 0, tenant: "prj_a", projectId: "" },
    );
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("accepted");
}

test.each<[Record<string, unknown>, string]>([
  [{ guided_regex: "a", guided_json: {} }, "guided_regex"],
  [{ response_format: { type: "json_object" }, grammar: "x" }, "grammar"],
  [{ structured_outputs: { json: {}, regex: "a" } }, "structured_outputs"],
  [{ guided_json: 3 }, "guided_json"],
  [{ guided_regex: "" }, "guided_regex"],
  [{ guided_choice: [] }, "guided_choice"],
  [{ guided_choice: ["a", 3] }, "guided_choice[1]"],
  [{ guided_choice: Array(1001).fill("x") }, "guided_choice"],
  [{ structured_outputs: "json" }, "structured_outputs"],
  [{ structured_outputs: { structural_tag: "x" } }, "structured_outputs"],
  [{ json_schema: "x" }, "json_schema"],
  [{ response_format: { type: "json_object", schema: "x" } }, "response_format.schema"],
])("two constraints, and what is no constraint, are refused by name: %#", (body, param) => {
  expect(refusal(body)).toMatchObject({ code: "invalid_request", param });
});
