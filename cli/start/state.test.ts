// The state folder: closed to others, replaced as a whole, read back as written.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { StartError } from "./start-error.ts";
import {
  keyHash,
  loadSecrets,
  makeFolders,
  newKey,
  readDevUrl,
  removeDevFile,
  type StatePaths,
  saveSecrets,
  statePaths,
  writeAtomically,
} from "./state.ts";

let paths: StatePaths;
let said: string[];
const warn = (sentence: string): void => void said.push(sentence);

beforeEach(() => {
  paths = statePaths(join(mkdtempSync(join(tmpdir(), "sluice-state-")), ".sluice"));
  said = [];
  makeFolders(paths);
});

afterEach(() => rmSync(join(paths.dir, ".."), { recursive: true, force: true }));

test("the folder is this user's alone, also when it was open before", () => {
  chmodSync(paths.dir, 0o755);
  makeFolders(paths);
  for (const folder of [paths.dir, paths.logs, paths.wrangler]) expect(statSync(folder).mode & 0o777).toBe(0o700);
});

test("a folder with other things in it is refused and left open, one with the rest of a start that was cut off is not", () => {
  const shared = statePaths(mkdtempSync(join(tmpdir(), "sluice-shared-")));
  try {
    chmodSync(shared.dir, 0o755);
    writeFileSync(`${shared.secrets}.1.draft`, "");
    mkdirSync(shared.logs);
    makeFolders(shared);
    chmodSync(shared.dir, 0o755);
    writeFileSync(join(shared.dir, "other"), "");
    expect(() => makeFolders(shared)).toThrow(/holds other things \(other\) and no state of Sluice/);
    expect(statSync(shared.dir).mode & 0o777).toBe(0o755);
    writeFileSync(shared.secrets, "{}");
    makeFolders(shared);
    expect(statSync(shared.dir).mode & 0o777).toBe(0o700);
  } finally {
    rmSync(shared.dir, { recursive: true, force: true });
  }
});

test("a folder whose parents are not there either is made with them, all this user's alone", () => {
  const above = join(paths.dir, "a");
  const deep = statePaths(join(above, "b", "c"));
  makeFolders(deep);
  makeFolders(deep);
  for (const folder of [above, join(above, "b"), deep.dir, deep.logs]) {
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  }
});

test("a folder reached by a link is used; a link to nothing is named", () => {
  const link = join(paths.dir, "link");
  symlinkSync(join(paths.dir, "target"), link);
  expect(() => makeFolders(statePaths(link))).toThrow(expect.objectContaining({ code: "EEXIST", path: link }));
  mkdirSync(join(paths.dir, "target"));
  makeFolders(statePaths(join(link, "below")));
  expect(existsSync(join(paths.dir, "target", "below", "logs"))).toBe(true);
});

test("secrets are made once, long and unlike each other, and read back ever after", () => {
  const first = loadSecrets(paths, warn);
  expect(new Set([first.nodeSecret, first.keyPepper, first.adminKey]).size).toBe(3);
  for (const secret of [first.nodeSecret, first.keyPepper]) expect(secret).toMatch(/^[0-9a-f]{64}$/);
  expect(first.adminKey).toMatch(/^sk-sluice-[\w-]{43}$/);
  expect(loadSecrets(paths, warn)).toEqual(first);
  saveSecrets(paths, { ...first, apiKey: newKey() });
  expect(loadSecrets(paths, warn)).toEqual({ ...first, apiKey: expect.stringMatching(/^sk-sluice-/) });
  expect(statSync(paths.secrets).mode & 0o777).toBe(0o600);
  expect(said).toEqual([]);
});

test.each(["", "{", "null", "[]", '"text"', '{"version":1}', '{"nodeSecret":"short","keyPepper":"x","adminKey":"y"}'])(
  "damaged secrets (%j) are set aside and said",
  (content) => {
    writeFileSync(paths.secrets, content);
    expect(loadSecrets(paths, warn).adminKey).toMatch(/^sk-sluice-/);
    expect(said).toEqual([expect.stringContaining("no longer work")]);
    expect(readFileSync(`${paths.secrets}.damaged`, "utf8")).toBe(content);
  },
);

test("secrets of a newer version are refused and stay as they are", () => {
  const content = JSON.stringify({ version: 2, nodeSecret: "of another form" });
  writeFileSync(paths.secrets, content);
  expect(() => loadSecrets(paths, warn)).toThrow(StartError);
  expect(() => loadSecrets(paths, warn)).toThrow(/newer version/);
  expect(readFileSync(paths.secrets, "utf8")).toBe(content);
});

test("an atomic write leaves one file of mode 0600, whatever was there before", () => {
  const path = join(paths.dir, "file");
  writeFileSync(path, "old", { mode: 0o644 });
  writeAtomically(path, "new");
  expect(readFileSync(path, "utf8")).toBe("new");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(paths.dir).filter((name) => name.startsWith("file"))).toEqual(["file"]);
});

test("a key's hash is the hex of HMAC-SHA256 under the pepper", () => {
  // RFC 4231 section 4.3, test case 2.
  expect(keyHash("Jefe", "what do ya want for nothing?")).toBe(
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
  );
});

test("the URL of a running start is read, and nothing made of a damaged file", () => {
  expect(readDevUrl(paths)).toBeUndefined();
  for (const damaged of ["", "{", "null", '{"url":1}']) {
    writeFileSync(paths.dev, damaged);
    expect(readDevUrl(paths)).toBeUndefined();
  }
  writeFileSync(paths.dev, '{"url":"http://127.0.0.1:1"}');
  expect(readDevUrl(paths)).toBe("http://127.0.0.1:1");
});

test("what tells of a running stack goes with it", () => {
  for (const path of [paths.dev, paths.edgeEnv]) writeFileSync(path, "x");
  removeDevFile(paths);
  removeDevFile(paths);
  expect([paths.dev, paths.edgeEnv].some((path) => existsSync(path))).toBe(false);
});

test("a file in the folder's place is the file system's error, with its path", () => {
  const blocked = statePaths(join(paths.dir, "file"));
  writeFileSync(blocked.dir, "");
  expect(() => makeFolders(blocked)).toThrow(expect.objectContaining({ path: blocked.dir }));
});
