// The loop's model is what the resolver's last line names.
import { expect, it } from "vitest";
import { modelPathOf } from "./model-path.ts";
import { BenchError } from "./target.ts";

const never = new AbortController().signal;
const resolver = new URL("./fixtures/resolver.ts", import.meta.url);

it("takes the path that the resolver prints", async () => {
  expect(await modelPathOf(undefined, never, resolver)).toBe("/models/default.gguf");
  expect(await modelPathOf("hf:a/b/c.gguf", never, resolver)).toBe("/models/hf:a/b/c.gguf");
});

it("says how to name another when the resolver fails", async () => {
  await expect(modelPathOf("missing", never, resolver)).rejects.toThrow(
    new BenchError("the loop has no model: missing was not found; name a file with loop:FILE.gguf"),
  );
});

it("stops the resolver when interrupted", async () => {
  const controller = new AbortController();
  const path = modelPathOf("slow", controller.signal, resolver);
  controller.abort(new BenchError("interrupted"));
  await expect(path).rejects.toThrow("interrupted");
});
