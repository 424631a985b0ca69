// Native memory of ended requests is collected by its size, whatever V8 knows of it.
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, it } from "vitest";
import { NativeGarbage } from "./native-garbage.ts";

it("collects once for every 32 MB, and counts anew after that", () => {
  let collections = 0;
  const garbage = new NativeGarbage(() => {
    collections += 1;
  });
  for (let index = 0; index < 100; index += 1) garbage.add(1e6);
  expect(collections).toBe(3);
  garbage.add(40e6);
  expect(collections).toBe(4);
});

/** Made in a call of its own, so that no frame of the test holds it. */
function unreferenced(): WeakRef<object> {
  return new WeakRef({});
}

it("frees what nothing refers to any more, though the program was not started with a collector", async () => {
  const garbage = new NativeGarbage();
  const gone = unreferenced();
  // A reference that was just made lives until the end of its turn.
  await nextTurn();
  garbage.add(32e6);
  await nextTurn();
  expect(gone.deref()).toBeUndefined();
});
