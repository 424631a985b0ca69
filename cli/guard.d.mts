// Types of guard.mjs, which is plain JS because it runs under Nodes that know no TypeScript.

/** A Node binary and its version, such as "24.21.0". */
export interface NodeBinary {
  path: string;
  version: string;
}

/** The flags that a Node of this version needs to run our TypeScript and SQLite without a word. */
export function flagsFor(version: string): string[];

/** The Node to use, undefined when neither the bundled one nor the caller's is new enough. */
export function pickNode(bundled?: string, own?: NodeBinary): NodeBinary | undefined;

/** Installs when needed, then runs `entry` (a path from the repository's root) with `args` under a Node that can. */
export function run(entry: string, args: string[]): Promise<void>;
