// One member out of a zip: whole when the zip is sound, an error when it is not.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { fakeGguf, fakeZip, sha256, temporaryFolder, type ZipFile } from "./testing/fake-files.ts";
import { extractZipMember } from "./zip-member.ts";

const model = fakeGguf({}, 300_000);
const other = { name: "fake/__init__.py", content: Buffer.from("pass\n") };

async function extract(zip: Buffer, member: string, bytesMax = 1_000_000) {
  const dir = await temporaryFolder();
  await writeFile(join(dir, "a.zip"), zip);
  const target = join(dir, "out");
  let told = 0;
  const options = { zip: join(dir, "a.zip"), member, target, bytesMax, signal: new AbortController().signal };
  const onBytes = (done: number): void => {
    told = done;
  };
  const result = await extractZipMember({ ...options, onBytes });
  return { ...result, told, content: await readFile(target) };
}

test.each([0, 8])("a member of method %d comes out as it went in, measured and hashed", async (method) => {
  const zip = fakeZip([other, { name: "fake/m.gguf", content: model, method }], "a comment");
  const result = await extract(zip, "fake/m.gguf");
  expect(result.content.equals(model)).toBe(true);
  expect(result).toMatchObject({ bytes: model.length, sha256: sha256(model), told: model.length });
});

test("an empty member is an empty file", async () => {
  const zip = fakeZip([{ name: "empty", content: Buffer.alloc(0), method: 0 }]);
  expect((await extract(zip, "empty")).content.length).toBe(0);
});

const whole = fakeZip([other, { name: "m.gguf", content: model }]);
const unknownMethod: ZipFile = { name: "m.gguf", content: model, method: 12 };

test.each([
  ["no such member", whole, "absent.gguf", "the archive has no absent.gguf"],
  ["a file that is no zip", Buffer.from("x".repeat(100)), "m.gguf", "no zip archive"],
  ["an empty file", Buffer.alloc(0), "m.gguf", "no zip archive"],
  ["a zip cut at its end", whole.subarray(0, -40), "m.gguf", "no zip archive"],
  ["a zip cut at its beginning", whole.subarray(50), "m.gguf", "damaged|cut short"],
  ["another compression", fakeZip([unknownMethod]), "m.gguf", "method 12"],
])("%s is an error that says so", async (_name, zip, member, message) => {
  await expect(extract(zip, member)).rejects.toThrow(new RegExp(message));
});

test("a member larger than it should be is stopped while it is written", async () => {
  await expect(extract(whole, "m.gguf", 1000)).rejects.toThrow("m.gguf is larger than it should be");
});
