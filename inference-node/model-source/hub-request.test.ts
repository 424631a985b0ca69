// An answer of the hub stays open until it is read.
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { openHubFile } from "./hub-request.ts";
import { fakeConfig, fakeGguf } from "./testing/fake-files.ts";
import { FakeHub } from "./testing/fake-hub.ts";

test("a collection of garbage before the first byte is read takes nothing of the body", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const hub = await FakeHub.start();
  const content = fakeGguf({}, 200_000);
  hub.hold("org/repo/resolve/main/m.gguf", content);
  const source = { kind: "hub", organization: "org", repository: "repo", path: "m.gguf", revision: "main" } as const;
  const config = fakeConfig("/unused", { hubEndpoint: hub.endpoint });
  const answer = await openHubFile(source, 0, config, new AbortController().signal);
  // What is collected is told of in a later turn.
  for (let turn = 0; turn < 5; turn++) {
    collect();
    await sleep(5);
  }
  let bytes = 0;
  for await (const chunk of answer.body) bytes += chunk.length;
  expect(bytes).toBe(content.length);
  expect(answer.response.bodyUsed).toBe(true);
});
