// The shared runtime contracts, asked of the scripted runtime.
import { systemClock } from "../clock.ts";
import { embeddingContract } from "./embedding-contract.ts";
import { runtimeContract } from "./runtime-contract.ts";
import { createScriptedRuntime } from "./scripted.ts";

const text =
  "All happy families are alike; each unhappy family is unhappy in its own way. 你好 👋🏽 — and so on, and so on.";

runtimeContract("scripted", () => createScriptedRuntime({ clock: systemClock }), {
  model: "scripted",
  longMessage: JSON.stringify({ text, delay_ms: 1 }),
  slowPrefillMessage: JSON.stringify({ text, prefill_ms: 5_000 }),
  abortWithinMs: 50,
});

embeddingContract("scripted", () => createScriptedRuntime({ clock: systemClock }), { model: "scripted" });
