// What start prints is readable on a terminal and in a file, and the curl line survives bash.
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { curlLine, Report, welcome } from "./report.ts";

const dev = {
  url: "http://127.0.0.1:8787",
  apiKey: "sk-sluice-api",
  adminKey: "sk-sluice-admin",
  node: "127.0.0.1:1",
  nodeWeb: "http://127.0.0.1:2",
  nodeSecret: "node-secret-not-for-the-screen",
  model: "m",
  pids: { start: 1, node: 2, runtime: null, edge: 3 },
};

function recorder(isTTY: boolean) {
  let text = "";
  let now = 0;
  const out = { isTTY, write: (part: string) => (text += part) };
  return { report: new Report(out, () => now), text: () => text, wait: (ms: number) => (now += ms) };
}

test("on a terminal progress redraws one line, which what follows replaces", () => {
  const { report, text } = recorder(true);
  report.progress("10 %");
  report.progress("20 %");
  report.done("there");
  report.line("more");
  expect(text()).toBe("\r\u001b[K  ... 10 %\r\u001b[K  ... 20 %\r\u001b[K  ok  there\nmore\n");
});

test("in a file progress is a line every five seconds, and has no control characters", () => {
  const { report, text, wait } = recorder(false);
  for (let second = 0; second < 12; second += 1) {
    report.progress(`${second} s`);
    wait(1_000);
  }
  report.done("there");
  expect(text()).toBe("  ... 0 s\n  ... 5 s\n  ... 10 s\n  ok  there\n");
});

test("the curl line reaches curl as it should, a quote in the model's name and all", () => {
  const line = curlLine({ ...dev, model: "it's $HOME `x`" }).replace(/^curl/, "printf '%s\\n'");
  const args = execFileSync("bash", ["-c", line], { encoding: "utf8" }).trimEnd().split("\n");
  expect(args.slice(0, -1)).toEqual([
    "-N",
    "http://127.0.0.1:8787/v1/chat/completions",
    "-H",
    "Authorization: Bearer sk-sluice-api",
    "-H",
    "Content-Type: application/json",
    "-d",
  ]);
  expect(JSON.parse(args.at(-1) ?? "")).toEqual({
    model: "it's $HOME `x`",
    stream: true,
    messages: [{ role: "user", content: "What is the capital of France?" }],
  });
});

test("the welcome has the URL, both keys and the model, and not the secret between edge and node", () => {
  const text = welcome(dev, "/s/dev.json");
  for (const part of [
    "http://127.0.0.1:8787/v1",
    "sk-sluice-api",
    "sk-sluice-admin",
    "m",
    "/s/dev.json",
    curlLine(dev),
  ]) {
    expect(text).toContain(part);
  }
  expect(text).not.toContain(dev.nodeSecret);
});
