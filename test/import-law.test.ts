// The import law of docs/architecture.md: the linter refuses each way to break it.
import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const biome = fileURLToPath(new URL("../node_modules/@biomejs/biome/bin/biome", import.meta.url));

const forbidden = [
  ["edge/x.ts", "node:fs"],
  ["edge/x.ts", "../inference-node/clock.ts"],
  ["edge/x.ts", "./worker.ts"],
  ["edge/x.ts", "./routes/home.ts"],
  ["edge/routes/x.ts", "../worker.ts"],
  ["edge/wire/x.ts", "hono"],
  ["edge/wire/x.ts", "drizzle-orm"],
  ["edge/wire/x.ts", "../clock.ts"],
  ["edge/wire/x.ts", "../sse.ts"],
  ["edge/wire/x.ts", "../routes/home.ts"],
  ["edge/tools/x.ts", "../node-pool.ts"],
  ["inference-node/x.ts", "../edge/errors.ts"],
  ["inference-node/x.ts", "zod"],
  ["cli/x.ts", "../inference-node/clock.ts"],
  ["cli/x.ts", "../proto/gen/google/rpc/status_pb.js"],
  ["examples/x.ts", "../edge/errors.ts"],
] as const;

const allowed = [
  ["edge/wire/x.ts", "../errors.ts"],
  ["edge/wire/x.ts", "../../proto/gen/google/rpc/status_pb.js"],
  ["edge/routes/x.ts", "../generate.ts"],
  ["edge/worker.ts", "./routes/home.ts"],
] as const;

const globals = ["Date.now()", 'fetch("/")', "setTimeout(() => 1, 1)", "performance.now()"];

let folder: string;
/** What the linter says, by file; line n of a file is the n-th import or expression that was put there. */
let findings: string;

/** The files, each with one import or expression a line. */
function linesByPath(): Map<string, string[]> {
  const lines = new Map<string, string[]>();
  const add = (path: string, line: string): void => void lines.set(path, [...(lines.get(path) ?? []), line]);
  for (const [path, name] of [...forbidden, ...allowed]) add(path, `import "${name}";`);
  for (const code of globals) add("edge/wire/x.ts", `${code};`);
  return lines;
}

/** `path:line` of that text, as the linter names places. */
function placeOf(path: string, line: string): string {
  return `${path}:${(linesByPath().get(path)?.indexOf(line) ?? -1) + 1}:`;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-import-law-"));
  await copyFile(new URL("../biome.json", import.meta.url), join(folder, "biome.json"));
  for (const [path, lines] of linesByPath()) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), `${lines.join("\n")}\n`);
  }
  const args = [biome, "lint", "--vcs-enabled=false", "--max-diagnostics=none", "--colors=off", "."];
  findings = await new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: folder }, (_error, out, err) => resolve(out + err));
  });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

test.each(forbidden)("%s may not import %s", (path, name) => {
  expect(findings).toMatch(new RegExp(`${placeOf(path, `import "${name}";`)}\\d+ lint/style/noRestrictedImports`));
});

test.each(globals)("edge/wire/ may not use %s", (code) => {
  expect(findings).toMatch(new RegExp(`${placeOf("edge/wire/x.ts", `${code};`)}\\d+ lint/style/noRestrictedGlobals`));
});

test.each(allowed)("%s may import %s", (path, name) => {
  expect(findings).not.toMatch(new RegExp(`${placeOf(path, `import "${name}";`)}\\d+ lint/style/noRestricted`));
});
