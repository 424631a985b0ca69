#!/usr/bin/env node
// The `sluice` command: the same guard as the npm commands, then the command-line program; `sluice start` is `npm start`.
import { run } from "./guard.mjs";

const [command, ...rest] = process.argv.slice(2);
if (command === "start") await run("cli/start/main.ts", rest);
else await run("cli/main.ts", process.argv.slice(2));
