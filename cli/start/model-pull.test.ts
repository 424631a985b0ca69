// What the model command says becomes what a person reads.
import { expect, test } from "vitest";
import { pullSpec, readPullLine } from "./model-pull.ts";

test.each([
  [
    { event: "progress", phase: "downloading", done_bytes: 24_600_000, total_bytes: 98_362_432 },
    { progress: "downloading, 25 % of 98 MB" },
  ],
  [
    { event: "progress", phase: "downloading", done_bytes: 3_000_000, total_bytes: null },
    { progress: "downloading, 3 MB" },
  ],
  [{ event: "progress", phase: "waiting", done_bytes: 0, total_bytes: null }, { progress: "waiting" }],
  [{ event: "result", model: { id: "m", bytes: 98_362_432 } }, { result: "m, 98 MB" }],
  [{ event: "notice", message: "Trying the next source." }, { notice: "Trying the next source." }],
  [{ event: "error", code: "no_python", message: "Install Python." }, { failure: "Install Python." }],
  [{ event: "something-new" }, {}],
])("%j reads as %j", (line, news) => {
  expect(readPullLine(JSON.stringify(line))).toEqual(news);
});

test.each(["", "pip says hello", "null", "3", "{"])("a line like %j tells nothing", (line) => {
  expect(readPullLine(line)).toEqual({});
});

test("a reference is never taken for an option, and none stands for the default model", () => {
  expect(pullSpec("/checkout", "--help", {}).args.slice(-4)).toEqual(["resolve", "--json", "--", "--help"]);
  expect(pullSpec("/checkout", undefined, {}).args.slice(-3)).toEqual(["resolve", "--json", "--"]);
});
