// Every failure of a start is one sentence.
import { expect, test } from "vitest";
import { reasonIn, StartError, sentenceOf } from "./start-error.ts";

test("a sentence of ours stays as it is", () => {
  expect(sentenceOf(new StartError("Port 1 is in use."))).toBe("Port 1 is in use.");
});

test.each([
  ["ENOSPC", "the disk is full"],
  ["EROFS", "the file system is read-only"],
  ["EACCES", "permission is denied"],
])("%s names the path, the reason and the way out", (code, reason) => {
  const error = Object.assign(new Error(`${code}: whatever, write`), { code, path: "/s/file" });
  expect(sentenceOf(error)).toBe(
    `/s/file cannot be written, since ${reason}: mend that, or choose another folder with --state DIR.`,
  );
});

test("anything else is told by its message, without a stack", () => {
  expect(sentenceOf(new Error("odd"))).toBe("Starting failed: odd.");
  expect(sentenceOf("text")).toBe("Starting failed: text.");
});

test("a full or read-only disk is recognised in what a program says, and nothing else is", () => {
  expect(reasonIn(["starting", "database or disk is full: SQLITE_FULL", "bye"])).toBe("the disk is full");
  expect(reasonIn(["Error: ENOSPC: no space left on device, write"])).toBe("the disk is full");
  expect(reasonIn(["EROFS: read-only file system, mkdir"])).toBe("the file system is read-only");
  expect(reasonIn(["something else"])).toBeUndefined();
});
