// An engine that can't be used is one sentence that says what to do, at once where waiting does not help.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ModelState } from "../../../proto/gen/sluice/inference/v1/model_pb.js";
import { systemClock } from "../../clock.ts";
import { createOpenAiRuntime } from "../openai.ts";
import { readOpenAiConfig } from "./config.ts";
import { fakeUpstream, type Handler, json, models } from "./testing/fake-upstream.ts";
import { type FrontedOptions, fronted } from "./testing/fronted.ts";

/** The sentence that the start ends with. */
async function sentence(routes: Record<string, Handler>, options: FrontedOptions = {}): Promise<string> {
  const open = await fronted(routes, { ...options, start: false });
  const began = performance.now();
  try {
    await open.runtime.start();
    return "it started";
  } catch (thrown) {
    expect(performance.now() - began).toBeLessThan(20_000);
    return (thrown as Error).message;
  } finally {
    await open.close();
  }
}

test.each<[string, Handler, RegExp]>([
  ["a refused key", json(401, {}), /refuses the key at .*\/v1\/models \(401\): set SLUICE_OPENAI_KEY/],
  ["no such path", json(404, {}), /no OpenAI API at .* \(404\): check the path in SLUICE_OPENAI_URL/],
  [
    "a redirect",
    (response) => void response.writeHead(301, { location: "/x" }).end(),
    /redirects .* SLUICE_OPENAI_URL/,
  ],
  ["a page", (response) => void response.end("<html>"), /is no OpenAI API: its answer has no list of models/],
  [
    "no context length",
    models("m", { owned_by: "x" }),
    /does not say how long the context of "m" is: set SLUICE_CONTEXT_LENGTH/,
  ],
])("%s", async (_what, list, words) => {
  expect(await sentence({ "/v1/models": list })).toMatch(words);
});

test("a model that the engine does not have is refused with those that it has", async () => {
  expect(await sentence({}, { env: { MODEL: "other" } })).toMatch(
    /no model "other": set SLUICE_OPENAI_MODEL to one of fake\./,
  );
});

test("an engine that still loads is waited for, as long as there is patience, and said to be", async () => {
  const open = await fronted({ "/v1/models": json(503, {}) }, { start: false });
  const starting = open.runtime.start();
  await expect.poll(() => open.entries.some(({ event }) => event === "upstream.waiting")).toBe(true);
  open.engine.routes.set("/v1/models", models("m", { owned_by: "vllm", max_model_len: 10 }));
  await starting;
  expect(open.runtime.models()[0]?.state).toBe(ModelState.READY);
  await open.close();
  const impatient = await sentence({ "/v1/models": json(503, {}) }, { env: { START_TIMEOUT_MS: "100" } });
  expect(impatient).toMatch(/answers 503\. Waited 0 s: start the engine, set SLUICE_OPENAI_URL/);
});

test("a start that is called off while it waits ends quietly", async () => {
  const open = await fronted({ "/v1/models": json(503, {}) }, { start: false });
  const starting = open.runtime.start();
  await open.close();
  await starting;
});

test("an engine behind a Unix socket is reached, and one that is not there is named", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-uds-"));
  const path = join(folder, "engine.sock");
  const engine = await fakeUpstream({}, path);
  const runtimeAt = (url: string) => {
    const config = readOpenAiConfig({ SLUICE_OPENAI_URL: url, SLUICE_OPENAI_START_TIMEOUT_MS: "0" });
    return createOpenAiRuntime({ config, clock: systemClock, log: () => undefined });
  };
  const runtime = runtimeAt(`unix:${path}`);
  await runtime.start();
  expect(runtime.models()[0]?.id).toBe("fake");
  await runtime.close();
  await engine.close();
  const gone = runtimeAt(`unix:${path}.gone:/v1`);
  await expect(gone.start()).rejects.toThrow(`No engine answers at unix:${path}.gone.`);
  await gone.close();
  rmSync(folder, { recursive: true });
});
