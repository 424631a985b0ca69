// What `npm start` cannot do with its options it says in one sentence and ends with 1, before anything runs.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";

const program = fileURLToPath(new URL("main.ts", import.meta.url));
const flags = ["--experimental-strip-types", "--disable-warning=ExperimentalWarning", program];
const folder = mkdtempSync(join(tmpdir(), "sluice-start-"));

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs it to its end; one that never ends is killed, and its code is then null. */
function start(args: string[]): { code: number | null; output: string } {
  const result = spawnSync(process.execPath, [...flags, "--runtime", "scripted", "--port", "0", ...args], {
    cwd: folder,
    env: {},
    encoding: "utf8",
    timeout: 15_000,
    killSignal: "SIGKILL",
  });
  return { code: result.status, output: result.stdout + result.stderr };
}

test.each(["/proc/sluice", "/proc/sluice/below"])("a state folder at %s, where none can be, is named", (path) => {
  const { code, output } = start(["--state", path]);
  expect(output).toMatch(/^sluice: \/proc\S* cannot be .*, since .*--state DIR\.\n$/);
  expect(code).toBe(1);
});

test("a state folder below a file is named", () => {
  writeFileSync(join(folder, "file"), "");
  const { code, output } = start(["--state", join(folder, "file", "below")]);
  expect(output).toMatch(/^sluice: \S*below cannot be written, since a file lies .*--state DIR\.\n$/);
  expect(code).toBe(1);
});

test("a port below 0 is refused, and nothing is made", () => {
  const { code, output } = start(["--state", join(folder, "state"), "--port", "-1"]);
  expect(output).toBe('sluice: --port must be a whole number from 0 to 65535, not "-1".\n');
  expect(code).toBe(1);
  expect(readdirSync(folder)).not.toContain("state");
});
