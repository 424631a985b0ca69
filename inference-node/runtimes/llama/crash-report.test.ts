// A report on a dead child says what an operator asks, nothing of what users wrote, and never fills the disk.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { LogEntry } from "../../log.ts";
import { type CrashFacts, CrashReports } from "./crash-report.ts";
import type { Work } from "./supervisor.ts";

let base: string;
let folder: string;
let nowMs: number;
let entries: LogEntry[];
let reports: CrashReports;

const work = {
  options: { requestId: "req_1", tokens: new Uint32Array(300), stopStrings: ["secret words"] },
  tokens: 7,
} as unknown as Work;
const facts: CrashFacts = {
  pid: 42,
  code: null,
  signal: "SIGABRT",
  reason: undefined,
  livedMs: 1234.5,
  deaths: 2,
  lastOutput: "first\nGGML_ASSERT failed\n",
  running: [work],
  residentBytes: 812_000_000,
  engine: "llama.cpp-b1-cpu",
  model: "tiny",
};

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "sluice-crash-"));
  folder = join(base, "made", "on", "demand");
  nowMs = Date.parse("2026-11-25T10:00:00.000Z");
  entries = [];
  reports = new CrashReports({ folder, now: () => nowMs++, log: (entry) => entries.push(entry) });
});

afterEach(() => rmSync(base, { recursive: true }));

test("it tells how the child died, after what words, and on which requests", async () => {
  const path = reports.write(facts) as string;
  await reports.settled();
  const text = readFileSync(path, "utf8");
  expect(JSON.parse(text)).toEqual({
    time: "2026-11-25T10:00:00.000Z",
    model: "tiny",
    pid: 42,
    code: null,
    signal: "SIGABRT",
    reason: null,
    lived_ms: 1235,
    deaths_in_a_row: 2,
    resident_mb: 812,
    running: [{ request_id: "req_1", prompt_tokens: 300, completion_tokens: 7 }],
    running_count: 1,
    last_output: ["first", "GGML_ASSERT failed"],
    versions: {
      engine: "llama.cpp-b1-cpu",
      node: process.version,
      platform: expect.any(String),
      os: expect.any(String),
    },
  });
  expect(text).not.toContain("secret");
  expect(statSync(path).mode & 0o077).toBe(0);
});

test("the newest twenty are kept, and what else lies in the folder is left alone", async () => {
  const [first] = [reports.write(facts) as string];
  await reports.settled();
  writeFileSync(join(folder, "notes.txt"), "mine");
  const paths = Array.from({ length: 20 }, () => reports.write(facts) as string);
  await reports.settled();
  const names = readdirSync(folder);
  expect(names).toHaveLength(21);
  expect(names).toContain("notes.txt");
  expect(names.map((name) => join(folder, name))).toEqual(expect.arrayContaining(paths));
  expect(names.map((name) => join(folder, name))).not.toContain(first);
});

test("a folder that can't be written is a warning, not a failure", async () => {
  writeFileSync(join(base, "file"), "");
  const broken = new CrashReports({ folder: join(base, "file"), now: () => 0, log: (entry) => entries.push(entry) });
  broken.write(facts);
  await broken.settled();
  expect(entries).toMatchObject([{ level: "warn", event: "runtime.report_failed" }]);
});

test("without a folder there is none", () => {
  expect(new CrashReports({ folder: undefined, now: () => 0, log: () => undefined }).write(facts)).toBeUndefined();
});
