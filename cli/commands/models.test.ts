// `sluice models`: the node's catalogue and cache, and what a server serves, in one list; pull and remove.
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { fakeServer, sluice } from "../testing/fake-world.ts";

let cache = "";
let env: Record<string, string> = {};
const gguf = Buffer.concat([Buffer.from("GGUF"), Buffer.alloc(996)]);
const file = () => join(cache, "sluice/models/hub/org/repo/main/m.gguf");

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), "sluice-cli-models-"));
  env = { XDG_CACHE_HOME: cache, HF_ENDPOINT: "http://127.0.0.1:9", PATH: "/nowhere" };
  await mkdir(join(file(), ".."), { recursive: true });
  await writeFile(file(), gguf);
  return () => rm(cache, { recursive: true, force: true });
});

const models = {
  object: "list",
  data: [
    { id: "m", object: "model", owned_by: "org" },
    { id: "remote-only", object: "model", owned_by: "someone" },
  ],
};

test("list shows the catalogue, the cache and what the server serves", async () => {
  const { url, requests } = await fakeServer(() => ({ body: models }));
  const args = ["models", "list", "--url", url, "--api-key", "sk-sluice-k"];
  const { code, stdout, stderr } = await sluice(args, { env });
  expect(code).toBe(0);
  expect(stdout.split("\n").map((line) => line.replace(/ {2,}/g, " | "))).toEqual([
    "MODEL | SIZE | QUANTIZATION | LICENCE | STATE",
    "smollm2-135m-instruct | 98.4 MB | Q4_1 | Apache-2.0 | not pulled",
    expect.stringMatching(/^all-minilm-l6-v2 \| [\d.]+ MB \| F(16|32) \| Apache-2.0 \| not pulled$/),
    "hf:org/repo/m.gguf | 1.0 kB | - | - | cached, served",
    "remote-only | - | - | - | served",
    "",
  ]);
  expect(stderr).toBe(`The cache is ${cache}/sluice/models.\n`);
  expect(requests).toMatchObject([{ method: "GET", url: "/v1/models", authorization: "Bearer sk-sluice-k" }]);
});

test("list --json has every fact", async () => {
  const { stdout } = await sluice(["models", "list", "--local", "--json"], { env });
  const value = JSON.parse(stdout);
  expect(value).toMatchObject({ object: "list", cache_dir: join(cache, "sluice/models") });
  expect(value.data.at(-1)).toEqual({
    id: "m",
    reference: "hf:org/repo/m.gguf",
    in_catalogue: false,
    cached: true,
    served: false,
    bytes: 1000,
    quantization: null,
    license: null,
    owned_by: "org",
    path: file(),
  });
});

test("--remote is the server's list alone, and --local asks no server", async () => {
  const { url, requests } = await fakeServer(() => ({ body: models }));
  const connection = ["--url", url, "--api-key", "k", "--json"];
  const remote = JSON.parse((await sluice(["models", "list", "--remote", ...connection], { env })).stdout);
  expect(remote.data.map((model: { id: string }) => model.id)).toEqual(["m", "remote-only"]);
  requests.length = 0;
  const local = JSON.parse((await sluice(["models", "list", "--local", ...connection], { env })).stdout);
  expect(local.data.map((model: { id: string }) => model.id)).toEqual([
    "smollm2-135m-instruct",
    "all-minilm-l6-v2",
    "m",
  ]);
  expect(requests).toEqual([]);
});

test("a server that is not there does not spoil the list, but fails --remote", async () => {
  const connection = ["--url", "http://127.0.0.1:9", "--api-key", "k"];
  const both = await sluice(["models", "list", ...connection], { env });
  expect(both.code).toBe(0);
  expect(both.stderr).toContain("What the server serves is not known: No server answers at http://127.0.0.1:9");
  expect((await sluice(["models", "list", "--remote", ...connection], { env })).code).toBe(1);
});

test("pull of a cached model checks it and prints its path on stdout", async () => {
  const args = ["models", "pull", "hf:org/repo/m.gguf"];
  const { code, stdout, stderr } = await sluice(args, { env });
  expect(code).toBe(0);
  expect(stdout).toBe(`${file()}\n`);
  expect(stderr).toBe("Verifying\nm (1.0 kB) was there, and is sound.\n");
  const json = await sluice([...args, "--json"], { env });
  expect(JSON.parse(json.stdout)).toMatchObject({ id: "m", path: file(), source: "cache", bytes: 1000 });
  expect(json.stderr).toBe("");
});

test("pull draws a bar on a terminal and wipes it at the end", async () => {
  const { stderr } = await sluice(["models", "pull", "hf:org/repo/m.gguf"], { env, columns: 100 });
  expect(stderr).toContain("Verifying  ████████████████████████ 100 %  1.0 kB of 1.0 kB");
  expect(stderr.endsWith("\r\u001b[Km (1.0 kB) was there, and is sound.\n")).toBe(true);
});

test("rm removes a cached model", async () => {
  const { code, stdout } = await sluice(["models", "rm", "hf:org/repo/m.gguf"], { env });
  expect(code).toBe(0);
  expect(stdout).toBe("Removed hf:org/repo/m.gguf: 1.0 kB freed.\n");
  expect(existsSync(file())).toBe(false);
});

test.each([
  [["pull", "nope"], "unknown_model", 'No model is called "nope"'],
  [["pull", "hf:org/repo/absent.gguf"], "no_network", "can't be reached"],
  [["pull", "hf:org/repo/absent.gguf", "--offline"], "offline", "is not in the cache"],
  [["pull", "smollm2-135m-instruct"], "no_python", "Python 3 is not installed"],
  [["pull", "--", "--odd"], "unknown_model", 'No model is called "--odd"'],
  [["rm", "hf:org/repo/absent.gguf"], "file_not_found", "is not in the cache"],
  [["rm", "./own.gguf"], "invalid_reference", "is a file of yours"],
])("models %j fails with its own sentence", async (args, code, message) => {
  const people = await sluice(["models", ...args], { env });
  expect(people.code).toBe(1);
  expect(people.stderr).toContain(message);
  const [command = "", ...rest] = args;
  const programs = await sluice(["models", command, "--json", ...rest], { env });
  expect(programs.code).toBe(1);
  expect(JSON.parse(programs.stdout).error).toMatchObject({ code, message: expect.stringContaining(message) });
});

test("wrong usage is code 2", async () => {
  expect((await sluice(["models", "rm"], { env })).code).toBe(2);
  expect((await sluice(["models", "pull", "a", "b"], { env })).code).toBe(2);
  const both = await sluice(["models", "list", "--local", "--remote"], { env });
  expect(both).toMatchObject({ code: 2, stderr: "error: --local and --remote exclude each other.\n" });
});
