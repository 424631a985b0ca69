// Downloads from the hub: whole, resumed, restarted, and always what the hub says the file is.
import { existsSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { HubSource } from "./catalogue.ts";
import type { ModelSourceConfig } from "./config.ts";
import { fetchFromHub } from "./hub-source.ts";
import type { FetchContext, Progress } from "./source.ts";
import { fakeConfig, fakeGguf, impatientClock, sha256, temporaryFolder } from "./testing/fake-files.ts";
import { FakeHub } from "./testing/fake-hub.ts";

const source: HubSource = { kind: "hub", organization: "org", repository: "repo", path: "q4/m.gguf", revision: "main" };
const address = "org/repo/resolve/main/q4/m.gguf";
const gguf = fakeGguf({}, 200_000);

async function world(overrides: Partial<ModelSourceConfig> = {}) {
  const hub = await FakeHub.start();
  hub.hold(address, gguf);
  const stage = join(await temporaryFolder(), "m.gguf.stage");
  hub.arrivedBytes = () => statSync(join(stage, "hub.part"), { throwIfNoEntry: false })?.size ?? 0;
  const seen: Progress[] = [];
  const context: FetchContext = {
    config: fakeConfig(stage, { hubEndpoint: hub.endpoint, ...overrides }),
    clock: impatientClock,
    signal: new AbortController().signal,
    onProgress: (progress) => seen.push(progress),
  };
  return { hub, stage, seen, context };
}

test("a file arrives whole, hashed, with its size known from the first byte on", async () => {
  const { hub, stage, seen, context } = await world();
  const fetched = await fetchFromHub(source, stage, context);
  expect(fetched).toMatchObject({ bytes: gguf.length, sha256: sha256(gguf) });
  expect((await readFile(fetched.path)).equals(gguf)).toBe(true);
  expect(seen[0]?.totalBytes).toBe(gguf.length);
  expect(seen.at(-1)).toMatchObject({ phase: "downloading", doneBytes: gguf.length });
  expect(hub.requests).toHaveLength(1);
});

test("a redirect to the content network is followed, and the hub's own checksum counts", async () => {
  const { hub, stage, context } = await world();
  hub.cdn = await FakeHub.start();
  hub.hold(address, gguf);
  hub.cdn.faults.push({ kind: "content", content: fakeGguf({}, 200_000, 7) });
  const fetched = await fetchFromHub(source, stage, context);
  expect(fetched.sha256).toBe(sha256(gguf));
  expect(hub.cdn.requests).toHaveLength(2);
});

test("a broken connection is resumed where it broke", async () => {
  const { hub, stage, context } = await world();
  hub.faults.push({ kind: "break", afterBytes: 50_000 }, { kind: "break", afterBytes: 60_000 });
  const fetched = await fetchFromHub(source, stage, context);
  expect(fetched.sha256).toBe(sha256(gguf));
  expect(hub.requests.map((request) => request.range)).toEqual([undefined, "bytes=50000-", "bytes=110000-"]);
});

test("a later process goes on where an earlier one was stopped", async () => {
  const { hub, stage, context } = await world();
  const stop = new AbortController();
  hub.faults.push({ kind: "break", afterBytes: 70_000 });
  const stopped = fetchFromHub(source, stage, {
    ...context,
    signal: stop.signal,
    onProgress: ({ doneBytes }) => doneBytes >= 70_000 && stop.abort(),
  });
  await expect(stopped).rejects.toMatchObject({ code: "aborted" });
  expect(existsSync(join(stage, "hub.part"))).toBe(true);
  const fetched = await fetchFromHub(source, stage, context);
  expect(fetched.sha256).toBe(sha256(gguf));
  expect(hub.requests.at(-1)?.range).toBe("bytes=70000-");
});

test("what was begun of another version of the file is thrown away", async () => {
  const { hub, stage, context } = await world();
  const stop = new AbortController();
  hub.faults.push({ kind: "break", afterBytes: 70_000 });
  const onProgress = ({ doneBytes }: Progress) => doneBytes >= 70_000 && stop.abort();
  await fetchFromHub(source, stage, { ...context, signal: stop.signal, onProgress }).catch(() => undefined);
  const newer = fakeGguf({}, 200_000, 99);
  hub.hold(address, newer);
  expect((await fetchFromHub(source, stage, context)).sha256).toBe(sha256(newer));
});

test("a server that can't resume sends the file again from its beginning", async () => {
  const { hub, stage, context } = await world();
  hub.faults.push({ kind: "break", afterBytes: 50_000 }, { kind: "no-range" });
  const fetched = await fetchFromHub(source, stage, context);
  expect(fetched).toMatchObject({ bytes: gguf.length, sha256: sha256(gguf) });
});

test("a part longer than the file is thrown away", async () => {
  const { hub, stage, context } = await world();
  hub.faults.push({ kind: "break", afterBytes: 70_000 });
  const stop = new AbortController();
  const onProgress = ({ doneBytes }: Progress) => doneBytes >= 70_000 && stop.abort();
  await fetchFromHub(source, stage, { ...context, signal: stop.signal, onProgress }).catch(() => undefined);
  const shorter = fakeGguf({}, 1_000);
  hub.hold(address, shorter);
  expect((await fetchFromHub(source, stage, context)).sha256).toBe(sha256(shorter));
});

test("a busy hub is asked again", async () => {
  const { hub, stage, context } = await world();
  hub.faults.push({ kind: "status", status: 503 }, { kind: "status", status: 429, headers: { "retry-after": "1" } });
  expect((await fetchFromHub(source, stage, context)).sha256).toBe(sha256(gguf));
});

test("bytes damaged on the way are fetched again", async () => {
  const { hub, stage, context } = await world();
  hub.faults.push({ kind: "content", content: fakeGguf({}, 200_000, 5) });
  expect((await fetchFromHub(source, stage, context)).sha256).toBe(sha256(gguf));
  expect(hub.requests).toHaveLength(2);
});
