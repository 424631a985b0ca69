// The checks of the tree that are no vitest tests; each counts as one test.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import { root } from "./stack.ts";

export interface Check {
  name: string;
  /** Resolves to undefined when all is well, else to what the tools said. */
  run: (signal: AbortSignal) => Promise<string | undefined>;
}

function command(name: string, program: string, ...args: string[]): Check {
  return {
    name,
    run: async (signal) => {
      const { code, output } = await runCommand(program, args, { signal });
      return code === 0 ? undefined : output;
    },
  };
}

/** Generates the code of the contract anew and compares it with what is committed. */
async function protoDrift(signal: AbortSignal): Promise<string | undefined> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-proto-"));
  try {
    const cwd = join(root, "proto");
    const generated = await runCommand("buf", ["generate", "--output", folder], { signal, cwd });
    if (generated.code !== 0) return generated.output;
    const compared = await runCommand("diff", ["-r", "gen", join(folder, "gen")], { signal, cwd });
    return compared.code === 0 ? undefined : `${compared.output}\nproto/gen is not what proto says: npm run proto`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export const checks: readonly Check[] = [
  command("lint: biome", "biome", "check", "--error-on-warnings", "."),
  command("lint: buf", "buf", "lint", "proto"),
  command("format: buf", "buf", "format", "--diff", "--exit-code", "proto"),
  command("types: node, command line, tests", "tsc", "-p", "tsconfig.json"),
  command("types: edge", "tsc", "-p", "edge/tsconfig.json"),
  command("knip: nothing unused", "knip"),
  { name: "proto: generated code is up to date", run: protoDrift },
  command("proto: no breaking change", "buf", "breaking", "proto", "--against", "proto/released.binpb"),
];
