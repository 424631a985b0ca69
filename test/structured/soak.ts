// A thousand outputs of all forms on the real model: `node test/structured/soak.ts [COUNT]`; exits with 1 when one is invalid.
import { startStack } from "../support/stack.ts";
import { runStructured } from "./run.ts";

const count = Number(process.argv[2] ?? 1_000);
if (!Number.isInteger(count) || count < 1) throw new Error("COUNT must be a whole number above 0");
const stack = await startStack({ runtime: "llama" });
try {
  const startedMs = performance.now();
  const { complete, cut, freeTexts, faults } = await runStructured(stack, count, 8);
  const seconds = Math.round((performance.now() - startedMs) / 1_000);
  for (const fault of faults) process.stdout.write(`INVALID ${fault}\n`);
  const sums = `${complete} whole, ${cut} cut by the output limit, ${freeTexts} free texts beside them`;
  process.stdout.write(`${count} generations in ${seconds} s: ${sums}, ${faults.length} invalid\n`);
  if (faults.length > 0) process.exitCode = 1;
} finally {
  await stack.stop();
}
