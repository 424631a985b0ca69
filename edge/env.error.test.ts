// A worker that is not configured lives, says what is missing in its log, and nothing of it in its answers.
import { describe, expect, test, vi } from "vitest";
import type { Bindings } from "./env.ts";
import { createTestEdge } from "./testing/edge.ts";

describe("a missing or malformed binding", () => {
  test.each<[keyof Bindings, unknown]>([
    ["SLUICE_NODE_URL", undefined],
    ["SLUICE_NODE_URL", "not an address"],
    ["SLUICE_NODE_SECRET", undefined],
    ["SLUICE_NODE_SECRET", "short"],
    ["SLUICE_KEY_PEPPER", undefined],
    ["SLUICE_ADMIN_KEY_HASH", "nothex"],
    ["SLUICE_BODY_BYTES_MAX", "many"],
    ["SLUICE_REQUEST_TIMEOUT_MS", "0"],
    ["DB", undefined],
  ])("is a 500 whose log line names it: %s = %j", async (name, value) => {
    const edge = await createTestEdge({ bindings: { [name]: value } });
    const lines = vi.spyOn(console, "log");
    const response = await edge.fetch("/v1/models", { headers: { authorization: "Bearer x" } });
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("SLUICE");
    const line = JSON.parse(lines.mock.calls[0]?.[0]);
    expect(line).toMatchObject({ level: "error", status: 500 });
    expect(line.error_detail).toContain(name);
    lines.mockRestore();
  });

  test("leaves /healthz alone", async () => {
    const edge = await createTestEdge({ bindings: { SLUICE_KEY_PEPPER: "" } });
    expect((await edge.fetch("/healthz")).status).toBe(200);
    expect((await edge.fetch("/readyz")).status).toBe(503);
  });
});

test("a database without its migrations is a 500 whose log line says so", async () => {
  const database = {
    prepare: () => {
      throw new Error("D1_ERROR: no such table: api_keys");
    },
  } as unknown as D1Database;
  const edge = await createTestEdge({ bindings: { DB: database } });
  const lines = vi.spyOn(console, "log");
  const key = `sk-sluice-${"A".repeat(43)}`;
  const response = await edge.fetch("/v1/models", { headers: { authorization: `Bearer ${key}` } });
  expect(response.status).toBe(500);
  expect(await response.text()).not.toContain("D1");
  expect(lines.mock.calls[0]?.[0]).toContain("no such table: api_keys");
  lines.mockRestore();
});
