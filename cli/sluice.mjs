#!/usr/bin/env node
// The `sluice` command: the same guard as the npm commands, then the command-line program.
import { run } from "./guard.mjs";

await run("cli/main.ts", process.argv.slice(2));
