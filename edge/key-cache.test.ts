// The memory of key look-ups: short, bounded, and guesses never push out real keys.
import { expect, test } from "vitest";
import { KeyCache } from "./key-cache.ts";
import { createTestEdge } from "./testing/edge.ts";
import { HeldClock } from "./testing/held-clock.ts";
import { testBindings } from "./testing/test-bindings.ts";

test("an entry is forgotten in less than a second", async () => {
  const clock = new HeldClock();
  const cache = new KeyCache<object>(clock);
  const row = {};
  cache.set("a", row);
  cache.set("b", null);
  expect(cache.get("a")).toBe(row);
  expect(cache.get("b")).toBeNull();
  expect(cache.get("c")).toBeUndefined();
  await clock.advance(999);
  expect(cache.get("a")).toBeUndefined();
  expect(cache.get("b")).toBeUndefined();
});

test("a flood of unknown keys leaves the known ones alone, and itself stays bounded", () => {
  const cache = new KeyCache<object>(new HeldClock());
  cache.set("real", {});
  for (let guess = 0; guess < 5000; guess++) cache.set(`guess${guess}`, null);
  expect(cache.get("real")).toBeDefined();
  expect(cache.get("guess0")).toBeUndefined();
  expect(cache.get("guess4999")).toBeNull();
});

test("known keys stay bounded too, the oldest going first", () => {
  const cache = new KeyCache<object>(new HeldClock());
  for (let key = 0; key <= 10_000; key++) cache.set(`key${key}`, {});
  expect(cache.get("key0")).toBeUndefined();
  expect(cache.get("key1")).toBeDefined();
});

test("a key that was unknown is known once it is set", () => {
  const cache = new KeyCache<object>(new HeldClock());
  cache.set("a", null);
  cache.set("a", {});
  expect(cache.get("a")).toEqual({});
  cache.delete("a");
  expect(cache.get("a")).toBeUndefined();
});

test("many requests with one key read the database once", async () => {
  let reads = 0;
  const database = new Proxy(testBindings.DB, {
    get(target, name) {
      if (name === "prepare") {
        return (sql: string) => {
          if (sql.startsWith("select")) reads++;
          return target.prepare(sql);
        };
      }
      return Reflect.get(target, name);
    },
  });
  const edge = await createTestEdge({ clock: new HeldClock(), bindings: { DB: database } });
  const { key } = await edge.createKey();
  for (let request = 0; request < 20; request++) {
    expect((await edge.fetch("/v1/models", { headers: { authorization: `Bearer ${key}` } })).status).toBe(200);
  }
  expect(reads).toBe(1);
});
