// Files that are no GGUF, and headers that lie.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { modelIdOfFile, readGgufHeader, splitParts } from "./gguf.ts";
import { fakeGguf, temporaryFolder } from "./testing/fake-files.ts";

test.each([["a text"], [""], ["GGU"]])(
  "a file of %j is not a GGUF, and the message says what to name",
  async (content) => {
    const path = join(await temporaryFolder(), "model.gguf");
    await writeFile(path, content);
    await expect(readGgufHeader(path)).rejects.toMatchObject({
      code: "not_a_gguf",
      message: `${path} is not a GGUF file; name a model in the GGUF format, or convert it with llama.cpp's convert_hf_to_gguf.py.`,
    });
  },
);

test("a header cut anywhere is read as far as it goes", async () => {
  const dir = await temporaryFolder();
  const whole = fakeGguf({ "general.license": { type: 8, value: "mit" }, "general.file_type": { type: 4, value: 7 } });
  for (let length = 4; length < whole.length; length++) {
    const path = join(dir, `${length}.gguf`);
    await writeFile(path, whole.subarray(0, length));
    const header = await readGgufHeader(path);
    expect(header.quantization).toBeUndefined();
  }
});

test("lengths and counts beyond the file end the reading instead of the process", async () => {
  const path = join(await temporaryFolder(), "hostile.gguf");
  const hostile = fakeGguf({ "general.license": { type: 8, value: "mit" } });
  hostile.writeBigUInt64LE(0xffff_ffff_ffff_ffffn, 16);
  hostile.writeBigUInt64LE(0xffff_ffff_ffffn, 24);
  await writeFile(path, hostile);
  expect(await readGgufHeader(path)).toEqual({ architecture: undefined, license: undefined, quantization: undefined });
});

test("an unknown quantization number is nothing, not a guess", async () => {
  const path = join(await temporaryFolder(), "model.gguf");
  await writeFile(path, fakeGguf({ "general.file_type": { type: 4, value: 9999 } }));
  expect((await readGgufHeader(path)).quantization).toBeUndefined();
});

test("a directory is an error of reading", async () => {
  const path = join(await temporaryFolder(), "dir.gguf");
  await mkdir(path);
  await expect(readGgufHeader(path)).rejects.toMatchObject({ code: "io_failed" });
});

test("a part count beyond any model's is not believed, and a name of nothing gives no id", () => {
  expect(splitParts("x-00001-of-99999.gguf")).toEqual(["x-00001-of-99999.gguf"]);
  expect(splitParts("x-00001-of-00000.gguf")).toEqual(["x-00001-of-00000.gguf"]);
  expect(() => modelIdOfFile("/m/ÄÖ.gguf")).toThrow("gives no model id; rename the file");
});
