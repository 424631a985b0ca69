// Every way in which the hub fails, in one sentence each.
import { access, mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { HubSource } from "./catalogue.ts";
import { fetchFromHub } from "./hub-source.ts";
import type { FetchContext } from "./source.ts";
import { fakeConfig, fakeGguf, impatientClock, temporaryFolder } from "./testing/fake-files.ts";
import { FakeHub, type Fault } from "./testing/fake-hub.ts";

const source: HubSource = { kind: "hub", organization: "org", repository: "repo", path: "m.gguf", revision: "main" };
const gguf = fakeGguf({}, 50_000);

async function world(faults: readonly Fault[] = []) {
  const hub = await FakeHub.start();
  hub.hold("org/repo/resolve/main/m.gguf", gguf);
  hub.faults.push(...faults);
  const stage = join(await temporaryFolder(), "stage");
  const context: FetchContext = {
    config: fakeConfig(stage, { hubEndpoint: hub.endpoint }),
    clock: impatientClock,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  };
  return { hub, stage, context };
}

test.each([
  [401, "hub_unauthorized", "set HF_TOKEN to a token that may read it"],
  [403, "hub_unauthorized", "its licence must be accepted first"],
  [404, "hub_not_found", "The hub has no hf:org/repo/m.gguf; check organization, repository, file name"],
  [
    400,
    "hub_failed",
    "The hub answers HTTP 400 for hf:org/repo/m.gguf; try again later, or set HF_ENDPOINT to a mirror.",
  ],
])("HTTP %d is %s, said at once", async (status, code, message) => {
  const { hub, stage, context } = await world([{ kind: "status", status }]);
  const failed = fetchFromHub(source, stage, context);
  await expect(failed).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  expect(hub.requests).toHaveLength(1);
});

test("a hub that stays busy is given up on after a bounded number of tries", async () => {
  const { hub, stage, context } = await world(Array.from({ length: 20 }, () => ({ kind: "status", status: 503 })));
  await expect(fetchFromHub(source, stage, context)).rejects.toMatchObject({
    code: "hub_failed",
    message: "hf:org/repo/m.gguf can't be downloaded: the hub answers HTTP 503; try again later.",
  });
  expect(hub.requests).toHaveLength(6);
});

test("no network is told as such, with the host that can't be reached", async () => {
  const { stage, context } = await world();
  const config = { ...context.config, hubEndpoint: "http://127.0.0.1:9" };
  await expect(fetchFromHub(source, stage, { ...context, config })).rejects.toMatchObject({
    code: "no_network",
    message:
      "The hub 127.0.0.1:9 can't be reached; connect this machine to the network, or set HF_ENDPOINT to a mirror.",
  });
});

test("a sign-in page in the hub's place is no GGUF, and nothing of it is kept", async () => {
  const page = Buffer.from("<!doctype html><title>Sign in</title>");
  const { stage, context } = await world([{ kind: "content", content: page }]);
  await expect(fetchFromHub(source, stage, context)).rejects.toMatchObject({
    code: "not_a_gguf",
    message: expect.stringContaining("check the name, and that no proxy or sign-in page answers in the hub's place"),
  });
});

test("a file damaged twice is refused with its checksum", async () => {
  const damaged: Fault = { kind: "content", content: fakeGguf({}, 50_000, 3) };
  const { stage, context } = await world([damaged, damaged]);
  await expect(fetchFromHub(source, stage, context)).rejects.toMatchObject({
    code: "checksum_mismatch",
    message: expect.stringContaining("damaged twice"),
  });
  await expect(access(join(stage, "hub.part"))).rejects.toThrow();
});

test("a disk that fills up while writing is told as such", async () => {
  const { stage, context } = await world();
  await mkdir(stage, { recursive: true });
  await symlink("/dev/full", join(stage, "hub.part"));
  await expect(fetchFromHub(source, stage, context)).rejects.toMatchObject({
    code: "no_space",
    message: `The disk that holds ${stage} is full; free some space, or set XDG_CACHE_HOME to a folder on a larger disk.`,
  });
});

test("an endless redirect ends", async () => {
  const { hub, stage, context } = await world();
  hub.cdn = hub;
  await expect(fetchFromHub(source, stage, context)).rejects.toMatchObject({
    code: "hub_failed",
    message: expect.stringContaining("redirects without end"),
  });
});
