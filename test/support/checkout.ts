// A folder that looks like a clone and shares its files with this one, but has a `.sluice` of its own.
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./stack.ts";

export interface Checkout {
  dir: string;
  /** Where `npm start` would keep its state. */
  stateDir: string;
  remove(): void;
}

/** Makes one. Commands that run in it find the stack whose state lies in `stateDir`, as they would in a clone. */
export function makeCheckout(): Checkout {
  const dir = mkdtempSync(join(tmpdir(), "sluice-checkout-"));
  for (const name of readdirSync(root)) {
    if (!name.startsWith(".")) symlinkSync(join(root, name), join(dir, name));
  }
  return { dir, stateDir: join(dir, ".sluice"), remove: () => rmSync(dir, { recursive: true, force: true }) };
}
