// A wrong setting is one sentence that names the variable, and never repeats a secret.
import { expect, test } from "vitest";
import { ConfigError } from "../../env-values.ts";
import { readOpenAiConfig } from "./config.ts";

const url = "http://127.0.0.1:8000/v1";

function complaint(env: Record<string, string>): string {
  try {
    readOpenAiConfig({ SLUICE_OPENAI_URL: url, ...env });
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(ConfigError);
    return (thrown as Error).message;
  }
  return "none";
}

test.each([
  [{ SLUICE_OPENAI_URL: "" }, /SLUICE_RUNTIME=openai needs SLUICE_OPENAI_URL/],
  [{ SLUICE_OPENAI_URL: "127.0.0.1:8000" }, /SLUICE_OPENAI_URL must be a URL/],
  [{ SLUICE_OPENAI_URL: "ftp://host/v1" }, /SLUICE_OPENAI_URL must be a URL/],
  [{ SLUICE_OPENAI_URL: "http://host/v1?key=1" }, /must have no query/],
  [{ SLUICE_OPENAI_URL: "unix:engine.sock" }, /must name a socket by its whole path/],
  [{ SLUICE_OPENAI_FLAVOR: "ollama" }, /SLUICE_OPENAI_FLAVOR must be one of auto, openai, vllm/],
  [{ SLUICE_OPENAI_MODEL: "a,,b" }, /SLUICE_OPENAI_MODEL must be the engine's model ids/],
  [{ SLUICE_OPENAI_MODEL: "=b" }, /SLUICE_OPENAI_MODEL must be/],
  [{ SLUICE_OPENAI_MODEL: "a=x,a=y" }, /must not name two models alike/],
  [{ SLUICE_OPENAI_CAPABILITIES: "chat,fly" }, /SLUICE_OPENAI_CAPABILITIES must be of chat, tools.* but has "fly"/],
  [{ SLUICE_OPENAI_IDLE_TIMEOUT_MS: "0" }, /SLUICE_OPENAI_IDLE_TIMEOUT_MS must be a whole number from 1/],
])("%j", (env, words) => {
  expect(complaint(env)).toMatch(words);
});

test("a key that is none, or stands in the URL, is refused without being repeated", () => {
  expect(complaint({ SLUICE_OPENAI_KEY: "sk secret\n" })).toMatch(/^SLUICE_OPENAI_KEY must be of printable ASCII/);
  expect(complaint({ SLUICE_OPENAI_KEY: "sk secret\n" })).not.toContain("secret");
  const inUrl = complaint({ SLUICE_OPENAI_URL: "http://user:hunter2@host/v1" });
  expect(inUrl).toMatch(/must hold no user or password/);
  expect(inUrl).not.toContain("hunter2");
});

test.each([
  ["http://h:1", { apiPath: "/v1", rootPath: "", port: 1, tls: false, label: "http://h:1" }],
  ["http://h/", { apiPath: "/v1", rootPath: "", port: 80 }],
  ["https://h/api/v1/", { apiPath: "/api/v1", rootPath: "/api", port: 443, tls: true }],
  ["http://h/openai", { apiPath: "/openai", rootPath: "/openai" }],
  ["http://[::1]:8000/v1", { hostname: "::1", port: 8_000 }],
  ["unix:/run/e.sock", { socketPath: "/run/e.sock", apiPath: "/v1", rootPath: "", label: "unix:/run/e.sock" }],
  ["unix:/run/e.sock:/x/v1", { socketPath: "/run/e.sock", apiPath: "/x/v1", rootPath: "/x" }],
])("the address %s", (text, address) => {
  expect(readOpenAiConfig({ SLUICE_OPENAI_URL: text }).address).toMatchObject(address);
});

test("models are served under their own names or others", () => {
  expect(readOpenAiConfig({ SLUICE_OPENAI_URL: url, SLUICE_OPENAI_MODEL: "a, b=/x=y" }).models).toEqual([
    { id: "a", upstreamId: "a" },
    { id: "b", upstreamId: "/x=y" },
  ]);
});
