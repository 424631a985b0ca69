// The list of known and cached models, and removal from the cache.
import { existsSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../clock.ts";
import { listModels, removeModel } from "./cached-models.ts";
import { withFileLock } from "./file-lock.ts";
import { fakeCatalogue, fakeGguf, temporaryFolder } from "./testing/fake-files.ts";

const gguf = fakeGguf({ "general.file_type": { type: 4, value: 7 } }, 100);
const catalogue = fakeCatalogue(gguf);

async function cacheWith(...files: readonly string[]) {
  const cacheDir = join(await temporaryFolder(), "models");
  for (const file of files) {
    await mkdir(dirname(join(cacheDir, file)), { recursive: true });
    await writeFile(join(cacheDir, file), gguf);
  }
  return { cacheDir, catalogue };
}

test("an empty cache lists the catalogue as not cached", async () => {
  const options = await cacheWith();
  expect(await listModels(options)).toMatchObject({
    cacheDir: options.cacheDir,
    models: [{ id: "tiny", reference: "tiny", inCatalogue: true, cachedBytes: undefined, bytes: gguf.length }],
  });
});

test("cached models have their size; a split one is one model; unfinished downloads are none", async () => {
  const options = await cacheWith(
    "catalogue/tiny/tiny.gguf",
    "hub/org/repo/main/q/big-00001-of-00002.gguf",
    "hub/org/repo/main/q/big-00002-of-00002.gguf",
    "hub/org/repo/refs%2Fpr%2F1/m.gguf",
    "hub/org/repo/main/n.gguf.stage/hub.gguf",
  );
  const { models } = await listModels(options);
  expect(models.map((model) => [model.reference, model.cachedBytes, model.quantization])).toEqual([
    ["tiny", gguf.length, "Q4_1"],
    ["hf:org/repo/q/big-00001-of-00002.gguf", 2 * gguf.length, "Q8_0"],
    ["hf:org/repo/m.gguf@refs/pr/1", gguf.length, "Q8_0"],
  ]);
});

test("a removed model is gone with its stamp, its unfinished downloads and its empty folders", async () => {
  const options = await cacheWith("catalogue/tiny/tiny.gguf", "catalogue/tiny/tiny.gguf.stage/hub.part");
  await writeFile(join(options.cacheDir, "catalogue/tiny/tiny.gguf.verified.json"), "{}");
  expect(await removeModel("tiny", options)).toBe(2 * gguf.length);
  expect(await readdir(options.cacheDir)).toEqual([]);
});

test("a split model is removed whole, by its reference or by its id", async () => {
  for (const reference of ["hf:org/repo/big-00001-of-00002.gguf", "big"]) {
    const options = await cacheWith(
      "hub/org/repo/main/big-00001-of-00002.gguf",
      "hub/org/repo/main/big-00002-of-00002.gguf",
      "hub/org/repo/main/other.gguf",
    );
    expect(await removeModel(reference, options)).toBe(2 * gguf.length);
    expect(await readdir(join(options.cacheDir, "hub/org/repo/main"))).toEqual(["other.gguf"]);
  }
});

test("what is not cached, a file of one's own, and an ambiguous id are refused", async () => {
  const options = await cacheWith("hub/a/r/main/m.gguf", "hub/b/r/main/m.gguf");
  await expect(removeModel("tiny", options)).rejects.toThrow(
    "tiny is not in the cache; see what is there with sluice models list.",
  );
  const own = join(options.cacheDir, "hub/a/r/main/m.gguf");
  await expect(removeModel(own, options)).rejects.toThrow("is a file of yours, not of the cache; delete it by hand");
  await expect(removeModel("m", options)).rejects.toThrow(
    "m names more than one model; name one: hf:a/r/m.gguf, hf:b/r/m.gguf.",
  );
  expect(existsSync(own)).toBe(true);
});

test("a model that is being downloaded is not removed", async () => {
  const options = await cacheWith("catalogue/tiny/tiny.gguf");
  const lock = join(options.cacheDir, "catalogue/tiny/tiny.gguf.lock");
  await withFileLock(lock, { clock: systemClock }, async () => {
    await expect(removeModel("tiny", options)).rejects.toMatchObject({
      code: "busy",
      message: `tiny is being downloaded by process ${process.pid}; stop that download or wait for its end.`,
    });
  });
  expect(existsSync(join(options.cacheDir, "catalogue/tiny/tiny.gguf"))).toBe(true);
});
