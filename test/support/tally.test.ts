// The closing line of `npm test` never flatters.
import { describe, expect, test } from "vitest";
import { tally } from "./tally.ts";

function report(numbers: { passed?: number; failed?: number; pending?: number; todo?: number }, files: unknown[] = []) {
  const { passed = 0, failed = 0, pending = 0, todo = 0 } = numbers;
  return JSON.stringify({
    numPassedTests: passed,
    numFailedTests: failed,
    numPendingTests: pending,
    numTodoTests: todo,
    testResults: files,
  });
}

describe("tally", () => {
  test("counts what passed and what failed", () => {
    expect(tally(report({ passed: 3 }), 0, false)).toEqual({ passed: 3, failed: 0, remarks: [] });
    expect(tally(report({ passed: 3, failed: 2 }), 1, false)).toMatchObject({ passed: 3, failed: 2 });
  });

  test("counts a skipped or planned test as failed, unless tests were chosen by name", () => {
    expect(tally(report({ passed: 1, pending: 1, todo: 1 }), 0, false)).toMatchObject({ passed: 1, failed: 2 });
    expect(tally(report({ passed: 1, pending: 1 }), 0, true)).toEqual({ passed: 1, failed: 0, remarks: [] });
  });

  test("counts a file that could not be loaded as one failed test, and names it", () => {
    const files = [
      { name: "broken.test.ts", status: "failed", assertionResults: [] },
      { name: "bad.test.ts", status: "failed", assertionResults: [{ status: "failed", fullName: "adds" }] },
    ];
    expect(tally(report({ passed: 1, failed: 1 }, files), 1, false)).toEqual({
      passed: 1,
      failed: 2,
      remarks: ["FAILED  bad.test.ts: adds", "broken.test.ts could not be loaded."],
    });
  });

  test.each([undefined, "", "{", "null", "{}"])("counts a missing report (%j) as one failed test", (text) => {
    expect(tally(text, 0, false)).toMatchObject({ passed: 0, failed: 1 });
  });

  test("does not let an error outside of any test pass", () => {
    expect(tally(report({ passed: 5 }), 1, false)).toMatchObject({ passed: 5, failed: 1 });
  });
});
