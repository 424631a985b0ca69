// What is read out of a GGUF file and its name.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { modelIdOfFile, readGgufHeader, splitParts } from "./gguf.ts";
import { fakeGguf, temporaryFolder } from "./testing/fake-files.ts";

test("quantization, licence and architecture come from the general keys, past arrays and other scalars", async () => {
  const path = join(await temporaryFolder(), "model.gguf");
  const keys = {
    "general.architecture": { type: 8, value: "llama" },
    "general.tags": { type: 9, value: ["chat", "en"] },
    "llama.context_length": { type: 4, value: 8192 },
    "general.license": { type: 8, value: "apache-2.0" },
    "general.file_type": { type: 4, value: 15 },
  } as const;
  await writeFile(path, fakeGguf(keys, 1000));
  expect(await readGgufHeader(path)).toEqual({ architecture: "llama", license: "apache-2.0", quantization: "Q4_K_M" });
});

test("a header that says nothing gives nothing", async () => {
  const path = join(await temporaryFolder(), "model.gguf");
  await writeFile(path, fakeGguf());
  expect(await readGgufHeader(path)).toEqual({ architecture: undefined, license: undefined, quantization: undefined });
});

test("a split model has all its parts, named from any of them", () => {
  const parts = ["/m/big-00001-of-00003.gguf", "/m/big-00002-of-00003.gguf", "/m/big-00003-of-00003.gguf"];
  expect(splitParts("/m/big-00001-of-00003.gguf")).toEqual(parts);
  expect(splitParts("/m/big-00002-of-00003.gguf")).toEqual(parts);
  expect(splitParts("/m/small.gguf")).toEqual(["/m/small.gguf"]);
});

test("the model's id is the file's name, without ending and part number, of characters that a URL keeps", () => {
  expect(modelIdOfFile("/models/Qwen2.5-7B-Instruct-Q4_K_M.gguf")).toBe("Qwen2.5-7B-Instruct-Q4_K_M");
  expect(modelIdOfFile("big-00001-of-00003.gguf")).toBe("big");
  expect(modelIdOfFile("/m/My Model (Q4).GGUF")).toBe("My-Model-Q4");
});
