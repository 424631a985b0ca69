// References that name nothing, each with the way to name something.
import { expect, test } from "vitest";
import { CATALOGUE } from "./catalogue.ts";
import { nearest, parseReference } from "./reference.ts";

const ways =
  "name a model of the catalogue (smollm2-135m-instruct, all-minilm-l6-v2), hf:ORGANIZATION/REPOSITORY/FILE.gguf, or the path of a .gguf file.";

test("an unknown id is named, with the near match and all ways to name a model", () => {
  expect(() => parseReference("smollm2-135m-instuct", CATALOGUE)).toThrow(
    `No model is called "smollm2-135m-instuct" (did you mean smollm2-135m-instruct?); ${ways}`,
  );
  expect(() => parseReference("gpt-4", CATALOGUE)).toThrow(`No model is called "gpt-4"; ${ways}`);
});

test.each(["", "   ", "a\0b", "x".repeat(5000)])("nothing, or nonsense, is refused: %#", (reference) => {
  expect(() => parseReference(reference, CATALOGUE)).toThrow(`No model is named; ${ways}`);
});

test.each(["hf:", "hf:org", "hf:org/repo", "hf:org/repo/file.bin", "hf:org/repo/a.gguf@", "hf:o r/r/f.gguf"])(
  "%s names no file on the hub",
  (reference) => {
    expect(() => parseReference(reference, CATALOGUE)).toThrow(
      `${reference} does not name a file on the hub; write hf:ORGANIZATION/REPOSITORY/FILE.gguf`,
    );
  },
);

test.each([
  "hf:../../etc/passwd.gguf",
  "hf:o/r/../../x.gguf",
  "hf:o/r/a/..\\b.gguf",
  "hf:o/r/f.gguf@../x",
  "hf:o/r/.//x.gguf",
])("%s can't leave the cache", (reference) => {
  expect(() => parseReference(reference, CATALOGUE)).toThrow("does not name a file on the hub");
});

test("a file URL of another machine is refused", () => {
  expect(() => parseReference("file://elsewhere/a.gguf", CATALOGUE)).toThrow("is no file URL of this machine");
});

test("only what is near is suggested", () => {
  const candidates = ["smollm2-135m-instruct", "qwen2.5-7b"];
  expect(nearest("smolm", candidates)).toBe("smollm2-135m-instruct");
  expect(nearest("qwen", candidates)).toBe("qwen2.5-7b");
  expect(nearest("qwen2.5-7n", candidates)).toBe("qwen2.5-7b");
  expect(nearest("llama-3", candidates)).toBeUndefined();
  expect(nearest("a", [])).toBeUndefined();
});
