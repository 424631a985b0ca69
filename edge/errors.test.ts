// The error table: every code whole, every status of the node decided.
import { describe, expect, test } from "vitest";
import { ApiError, codeOfGrpcStatus, ERRORS, type ErrorCode } from "./errors.ts";
import { openAiErrorBody } from "./wire/openai-error.ts";

const codes = Object.keys(ERRORS) as ErrorCode[];

describe("the error table", () => {
  test.each(codes)("gives %s OpenAI's whole shape", (code) => {
    const { error } = openAiErrorBody(new ApiError(code));
    expect(Object.keys(error)).toEqual(["message", "type", "param", "code"]);
    expect(error.message).not.toBe("");
  });

  test("gives each gRPC status one meaning", () => {
    const all = codes.flatMap((code) => [...ERRORS[code].grpc]);
    expect(new Set(all).size).toBe(all.length);
    for (let status = 1; status <= 16; status++)
      expect(ERRORS[codeOfGrpcStatus(status)].status).toBeGreaterThanOrEqual(400);
    expect(codeOfGrpcStatus(99)).toBe("internal");
  });

  test("says model_not_found of models only", () => {
    expect(openAiErrorBody(new ApiError("not_found", "x", { param: "model" })).error.code).toBe("model_not_found");
    expect(openAiErrorBody(new ApiError("not_found", "x", { param: "id" })).error.code).toBeNull();
  });
});

test("anything thrown becomes a dull internal error whose detail is for the log", () => {
  const error = ApiError.from(new TypeError("secret: x is undefined"));
  expect(error.code).toBe("internal");
  expect(error.message).not.toContain("secret");
  expect(error.detail).toContain("secret");
  expect(ApiError.from("text").detail).toBe("text");
  const own = new ApiError("conflict");
  expect(ApiError.from(own)).toBe(own);
});
