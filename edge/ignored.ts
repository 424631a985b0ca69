// Tells a client which of its parameters did nothing.
import type { EdgeContext } from "./context.ts";

/** A header is bounded: longer lists and longer names are cut. */
const NAMES_MAX = 32;
const NAME_CHARACTERS_MAX = 64;

/** Lists the names in `x-sluice-ignored`; sets nothing when there are none. */
export function setIgnored(c: EdgeContext, ignored: readonly string[]): void {
  if (ignored.length === 0) return;
  // Names come from the client: what no header may hold is encoded.
  const names = ignored
    .slice(0, NAMES_MAX)
    .map((name) => encodeURIComponent(name.slice(0, NAME_CHARACTERS_MAX).toWellFormed()));
  c.header("x-sluice-ignored", names.join(", "));
}
