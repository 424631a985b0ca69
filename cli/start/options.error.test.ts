// A wrong option is named in one sentence that says what would be right.
import { expect, test } from "vitest";
import { readEnvironment } from "./config.ts";
import { parseOptions } from "./options.ts";
import { StartError } from "./start-error.ts";

function complaint(args: string[], env: Record<string, string> = {}): string {
  try {
    parseOptions(args, readEnvironment(env), "/");
  } catch (error) {
    expect(error).toBeInstanceOf(StartError);
    return (error as StartError).message;
  }
  throw new Error("nothing was refused");
}

test.each(["-1", "65536", "80a", "", "0x50", "1e3", " 80", "999999"])(
  "a port of %j is refused by its source",
  (port) => {
    expect(complaint([`--port=${port}`])).toBe(`--port must be a whole number from 0 to 65535, not "${port}".`);
    if (port !== "") expect(complaint([], { PORT: port })).toMatch(/^PORT must be/);
  },
);

test("a port below 0 is refused as such, also without =", () => {
  const sentence = '--port must be a whole number from 0 to 65535, not "-1".';
  expect(complaint(["--port", "-1"])).toBe(sentence);
  expect(complaint(["--verbose", "--port", "-1", "--state", "s"])).toBe(sentence);
});

test("an option that stands where a value should is told from one", () => {
  expect(complaint(["--state", "--verbose"])).toBe(
    "--state needs a value, and --verbose reads as an option: write --state=--verbose if it is one.",
  );
  expect(complaint(["--port", "--state", "s"])).toContain('not "--state"');
  expect(parseOptions(["--state=-odd"], readEnvironment({ INIT_CWD: "/from" }), "/")?.stateDir).toBe("/from/-odd");
});

test("an unknown runtime is refused with the known ones", () => {
  expect(complaint(["--runtime", "gpu"])).toBe('--runtime must be one of llama, scripted, openai, not "gpu".');
  expect(complaint([], { SLUICE_RUNTIME: "gpu" })).toMatch(/^SLUICE_RUNTIME must be one of/);
});

test.each([[["--prot", "1"]], [["--prot", "-1"]], [["9000"]], [["--port"]], [["--verbose=yes"]]])(
  "%j is refused with the way to help",
  (args) => {
    expect(complaint(args)).toMatch(/^[^\n]+: see npm start -- --help\.$/);
  },
);

test("an empty model or folder is refused", () => {
  expect(complaint(["--model="])).toContain("need a value");
  expect(complaint(["--state="])).toContain("need a value");
});

test("a model for the scripted runtime is refused: it would be ignored", () => {
  expect(complaint(["--runtime", "scripted", "--model", "m.gguf"])).toContain("--model has no meaning");
});

test("an engine without an address, or with a model that it does not take by flag, is refused", () => {
  expect(complaint(["--runtime", "openai"])).toContain("needs SLUICE_OPENAI_URL");
  const env = { SLUICE_OPENAI_URL: "http://127.0.0.1:8000/v1" };
  expect(complaint(["--runtime", "openai", "--model", "m"], env)).toContain("SLUICE_OPENAI_MODEL");
  expect(parseOptions(["--runtime", "openai"], readEnvironment(env), "/")?.runtime).toBe("openai");
});

test("an option that npm swallowed for want of two dashes is said, and only under npm", () => {
  const env = { npm_lifecycle_event: "start", npm_config_port: "9000" };
  expect(complaint([], env)).toContain("npm start -- --port");
  expect(parseOptions([], readEnvironment({ npm_config_port: "9000" }), "/")?.port).toBe(8787);
});
