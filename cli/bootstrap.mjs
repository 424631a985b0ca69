// The first program of every npm command: works from a bare clone, before any install and under an old Node.
import { run } from "./guard.mjs";

const entries = {
  start: "cli/start/main.ts",
  test: "test/run.ts",
  bench: "bench/main.ts",
  soak: "test/soak/main.ts",
};
const [command, ...args] = process.argv.slice(2);
const entry = entries[command];
if (entry === undefined) {
  console.error(`sluice: bootstrap runs one of ${Object.keys(entries).join(", ")}, not "${command}".`);
  process.exit(1);
}
await run(entry, args);
