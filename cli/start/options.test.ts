// Flags win over the environment, the environment over defaults.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readEnvironment } from "./config.ts";
import { parseOptions } from "./options.ts";

const bare = readEnvironment({});

test("without any option it starts the llama runtime on port 8787 with its state beside the checkout", () => {
  expect(parseOptions([], bare, "/checkout")).toEqual({
    port: 8787,
    runtime: "llama",
    model: undefined,
    stateDir: "/checkout/.sluice",
    verbose: false,
  });
});

test("takes every option from its flag", () => {
  const args = ["--port=0", "--runtime", "llama", "--model", "hf:a/b/c.gguf", "--state", "elsewhere", "--verbose"];
  expect(parseOptions(args, readEnvironment({ INIT_CWD: "/checkout" }), "/checkout")).toEqual({
    port: 0,
    runtime: "llama",
    model: "hf:a/b/c.gguf",
    stateDir: "/checkout/elsewhere",
    verbose: true,
  });
});

test("takes port, runtime and model from the environment, unless a flag says otherwise", () => {
  const env = readEnvironment({ PORT: "9000", SLUICE_RUNTIME: "scripted", SLUICE_MODEL: "m.gguf" });
  expect(parseOptions([], env, "/")).toMatchObject({ port: 9000, runtime: "scripted", model: "m.gguf" });
  const flags = ["--port", "1", "--runtime", "llama", "--model", "n.gguf"];
  expect(parseOptions(flags, env, "/")).toMatchObject({ port: 1, runtime: "llama", model: "n.gguf" });
});

test("an empty variable counts as absent", () => {
  const env = readEnvironment({ PORT: "", SLUICE_RUNTIME: "", SLUICE_MODEL: "" });
  expect(parseOptions([], env, "/")).toMatchObject({ port: 8787, runtime: "llama", model: undefined });
});

test("asks for help win over every mistake beside them but an unknown option", () => {
  expect(parseOptions(["--help", "--port", "x"], bare, "/")).toBeUndefined();
  expect(parseOptions(["-h"], bare, "/")).toBeUndefined();
});

test("children inherit the environment without what would make the local edge another one", () => {
  const { inherited } = readEnvironment({ CLOUDFLARE_ENV: "production", HTTPS_PROXY: "http://proxy", PATH: "/bin" });
  expect(inherited).toEqual({ HTTPS_PROXY: "http://proxy", PATH: "/bin" });
});

test("relative paths are meant from where the command was typed", () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-options-"));
  try {
    writeFileSync(join(folder, "m.gguf"), "");
    const env = readEnvironment({ INIT_CWD: folder });
    const from = (model: string) => parseOptions(["--state", "s", "--model", model], env, "/checkout");
    expect(from("./m.gguf")).toMatchObject({ model: join(folder, "m.gguf"), stateDir: join(folder, "s") });
    for (const model of ["absent.gguf", "hf:a/b/m.gguf", "/elsewhere/m.gguf", "an-id"])
      expect(from(model)?.model).toBe(model);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
