// The hub's token goes to the hub alone.
import { join } from "node:path";
import { expect, test } from "vitest";
import type { HubSource } from "./catalogue.ts";
import { hubUrl } from "./hub-request.ts";
import { fetchFromHub } from "./hub-source.ts";
import { fakeConfig, fakeGguf, impatientClock, temporaryFolder } from "./testing/fake-files.ts";
import { FakeHub } from "./testing/fake-hub.ts";

const source: HubSource = { kind: "hub", organization: "org", repository: "repo", path: "m.gguf", revision: "main" };

test("HF_TOKEN is sent to the endpoint and not to the origin that it redirects to", async () => {
  const hub = await FakeHub.start();
  hub.cdn = await FakeHub.start();
  hub.hold("org/repo/resolve/main/m.gguf", fakeGguf({}, 1_000));
  const stage = join(await temporaryFolder(), "stage");
  await fetchFromHub(source, stage, {
    config: fakeConfig(stage, { hubEndpoint: hub.endpoint, hubToken: "hf_secret" }),
    clock: impatientClock,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  expect(hub.requests.map((request) => request.authorization)).toEqual(["Bearer hf_secret"]);
  expect(hub.cdn.requests.map((request) => request.authorization)).toEqual([undefined]);
});

test("every part of a reference is encoded in the address", () => {
  const odd = { ...source, path: "a b/c?d#e.gguf", revision: "refs/pr/1" };
  expect(hubUrl(odd, "https://hub.example").href).toBe(
    "https://hub.example/org/repo/resolve/refs%2Fpr%2F1/a%20b/c%3Fd%23e.gguf",
  );
});
