// The event loop's lag is read from Prometheus text, and what is not there is said.
import { afterEach, expect, it } from "vitest";
import { startTestNode, testSecret } from "../inference-node/testing/test-node.ts";
import { type FakeServer, startFakeServer } from "./fake-server.ts";
import { readLagP99 } from "./lag-metric.ts";

const never = new AbortController().signal;
const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function serve(metrics: string | undefined, key?: string): Promise<FakeServer> {
  const server = await startFakeServer({
    ...(metrics !== undefined && { metrics }),
    ...(key !== undefined && { key }),
  });
  closers.push(() => server.close());
  return server;
}

it("reads it from a node, with the node's secret", async () => {
  const node = await startTestNode();
  closers.push(() => node.close());
  const url = `${node.node.webUrl}/metrics`;
  expect(await readLagP99({ url, key: testSecret }, never)).toBeGreaterThanOrEqual(0);
  await expect(readLagP99({ url, key: "wrong" }, never)).rejects.toThrow("answers 401 (--metrics-key)");
});

it("gives milliseconds", async () => {
  const text = "# TYPE nodejs_eventloop_lag_p99_seconds gauge\nnodejs_eventloop_lag_p99_seconds 0.0125\n";
  const { origin } = await serve(text, "k");
  expect(await readLagP99({ url: `${origin}/metrics`, key: "k" }, never)).toBe(12.5);
});

it("says why there is none", async () => {
  const without = await serve("process_resident_memory_bytes 1\n");
  await expect(readLagP99({ url: `${without.origin}/metrics`, key: undefined }, never)).rejects.toThrow(
    "has no nodejs_eventloop_lag_p99_seconds",
  );
  const other = await serve(undefined);
  await expect(readLagP99({ url: `${other.origin}/metrics`, key: undefined }, never)).rejects.toThrow("answers 404");
  await other.close();
  await expect(readLagP99({ url: `${other.origin}/metrics`, key: undefined }, never)).rejects.toThrow("can't be read");
});
