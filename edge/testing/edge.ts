// A whole edge in the test's own isolate: the real app over a stand-in node, a held clock where wanted, and real D1.
import { createExecutionContext } from "cloudflare:test";
import { type Clock, systemClock } from "../clock.ts";
import type { Bindings } from "../env.ts";
import { createApp } from "../worker.ts";
import { createFakeNode } from "./fake-node.ts";
import type { FakeNode } from "./fake-node-types.ts";
import { testBindings } from "./test-bindings.ts";

const PEPPER = "a pepper for tests only";

export interface TestEdge {
  node: FakeNode;
  adminKey: string;
  bindings: Bindings;
  /** Sends a request to the app. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** POSTs JSON with a key; without one when it is empty. */
  post(path: string, body: unknown, key: string): Promise<Response>;
  /** Creates an API key by the admin route. */
  createKey(fields?: Record<string, unknown>): Promise<{ id: string; key: string; prefix: string }>;
}

export interface TestEdgeOptions {
  clock?: Clock;
  /** Overrides of single bindings. */
  bindings?: Partial<Bindings>;
}

export async function createTestEdge(options: TestEdgeOptions = {}): Promise<TestEdge> {
  const node = createFakeNode();
  const adminKey = randomKey();
  const bindings: Bindings = {
    DB: testBindings.DB,
    NODE: { fetch: node.fetch, connect: () => Promise.reject(new Error("no sockets")) } as unknown as Fetcher,
    SLUICE_NODE_URL: "http://node.test",
    SLUICE_NODE_SECRET: "a secret for tests only",
    SLUICE_KEY_PEPPER: PEPPER,
    SLUICE_ADMIN_KEY_HASH: await hmacHex(PEPPER, adminKey),
    ...options.bindings,
  };
  const app = createApp(options.clock ?? systemClock);
  const edge: TestEdge = {
    node,
    adminKey,
    bindings,
    fetch: async (path, init) =>
      app.fetch(new Request(`http://edge.test${path}`, init), bindings, createExecutionContext()),
    post: (path, body, key) =>
      edge.fetch(path, {
        method: "POST",
        headers: { "content-type": "application/json", ...(key === "" ? {} : { authorization: `Bearer ${key}` }) },
        body: JSON.stringify(body),
      }),
    async createKey(fields = {}) {
      const response = await edge.post("/admin/v1/keys", { name: "test", ...fields }, adminKey);
      if (response.status !== 201) throw new Error(`No key: ${response.status} ${await response.text()}`);
      return response.json();
    },
  };
  return edge;
}

function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return `sk-sluice-${btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "")}`;
}

async function hmacHex(secret: string, message: string): Promise<string> {
  const encoder = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", encoder.encode(secret), algorithm, false, ["sign"]);
  const digest = new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(message)));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
