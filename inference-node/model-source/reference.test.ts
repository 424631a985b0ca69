// What a model reference means.
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { CATALOGUE, DEFAULT_MODEL } from "./catalogue.ts";
import { formatHub, parseReference } from "./reference.ts";

const path = (reference: string) => ({ kind: "path", path: reference });

test("the default model is in the catalogue, by any case of its id", () => {
  expect(parseReference(DEFAULT_MODEL, CATALOGUE)).toMatchObject({ kind: "catalogue", entry: { id: DEFAULT_MODEL } });
  expect(parseReference(" SmolLM2-135M-Instruct ", CATALOGUE)).toMatchObject({ entry: { id: DEFAULT_MODEL } });
});

test.each([
  ["/models/a.gguf", "/models/a.gguf"],
  ["./a.gguf", resolve("a.gguf")],
  ["models/a", resolve("models/a")],
  ["a.gguf", resolve("a.gguf")],
  ["~/a.gguf", join(homedir(), "a.gguf")],
  ["file:///models/a%20b.gguf", "/models/a b.gguf"],
])("%s is a path", (reference, expected) => {
  expect(parseReference(reference, CATALOGUE)).toEqual(path(expected));
});

test("a hub reference has organization, repository, path and revision", () => {
  expect(parseReference("hf:Qwen/Qwen2.5-GGUF/q4/model-q4_k_m.gguf@refs/pr/1", CATALOGUE)).toEqual({
    kind: "hub",
    source: {
      kind: "hub",
      organization: "Qwen",
      repository: "Qwen2.5-GGUF",
      path: "q4/model-q4_k_m.gguf",
      revision: "refs/pr/1",
    },
  });
  expect(parseReference("hf://o/r/f.gguf", CATALOGUE)).toMatchObject({ source: { revision: "main", path: "f.gguf" } });
});

test("a hub reference is written as it is read", () => {
  for (const reference of ["hf:o/r/f.gguf", "hf:o/r/d/f.gguf@v1.0"]) {
    const parsed = parseReference(reference, []);
    if (parsed.kind !== "hub") throw new Error("not a hub reference");
    expect(formatHub(parsed.source)).toBe(reference);
  }
});

test("every catalogue entry has the facts that its download is checked by", () => {
  for (const entry of CATALOGUE) {
    expect(entry.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(entry.bytes).toBeGreaterThan(1_000_000);
    expect(entry.sources.length).toBeGreaterThan(0);
    expect(entry.id).toMatch(/^[a-z0-9][a-z0-9.-]*$/);
  }
});
