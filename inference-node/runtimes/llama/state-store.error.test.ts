// Saved states where there is no folder for them: the prompt is computed anew, and nothing else is lost.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { StateStore, type StateStoreOptions } from "./state-store.ts";

const dir = mkdtempSync(join(tmpdir(), "sluice-store-test-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const file = join(dir, "file");
writeFileSync(file, "");

/** Of which no path can be made, looked at or removed. */
const belowFile = join(file, "states");

const stateBytes = 1000;
const context: StateStoreOptions["context"] = {
  saveSequenceStateToFile: async (path) => {
    writeFileSync(path, Buffer.alloc(stateBytes));
    return stateBytes;
  },
  loadSequenceStateFromFile: async () => Promise.reject(new Error("never asked")),
};

function storeOf(options: Partial<StateStoreOptions>) {
  const warnings: string[] = [];
  const warn = (message: string) => void warnings.push(message);
  const store = new StateStore({ context, contextLength: 100, dir, bytesMax: stateBytes, warn, ...options });
  return { store, warnings };
}

test("a folder for spilled states that can't be had costs those states alone", async () => {
  const { store, warnings } = storeOf({ spill: { dir: belowFile, bytesMax: 1e6 } });
  const first = await store.save(0, Uint32Array.of(1, 2), "a");
  const second = await store.save(1, Uint32Array.of(3, 4), "a");
  store.trim();
  expect(store.list().map(({ id }) => id)).toEqual([second]);
  expect(existsSync(join(dir, `${first}.state`))).toBe(false);
  expect(warnings).toEqual([expect.stringContaining("could not be spilled")]);
});

test("a folder for states that can't be had costs those states alone", async () => {
  const { store, warnings } = storeOf({ dir: belowFile });
  expect(await store.save(0, Uint32Array.of(1, 2), "a")).toBeUndefined();
  expect(await store.copy(0, 1, Uint32Array.of(1, 2))).toBeUndefined();
  expect(store.list()).toEqual([]);
  expect(warnings).toHaveLength(1);
});
