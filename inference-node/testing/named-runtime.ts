// The scripted runtime under another model id, whose load and death are a test's to decide.
import type { Capability, Model } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { systemClock } from "../clock.ts";
import type { Runtime } from "../runtime.ts";
import { createScriptedRuntime } from "../runtimes/scripted.ts";

export interface NamedRuntime extends Runtime {
  /** Attempts to load it so far. */
  readonly starts: number;
  /** The engine dies, until `start` is called. */
  die(): Promise<void>;
}

export interface NamedRuntimeOptions {
  /** In place of the scripted model's own. */
  readonly capabilities?: readonly Capability[];
  /** Requests that run at once. */
  readonly sequences?: number;
  /** In place of the scripted model's own. */
  readonly embed?: Runtime["embed"];
  /** The scripted model has none. */
  readonly rerank?: NonNullable<Runtime["rerank"]>;
  /** Called before each load; a rejection fails it. */
  readonly onStart?: (attempt: number) => Promise<void> | void;
}

export function namedRuntime(id: string, options: NamedRuntimeOptions = {}): NamedRuntime {
  const { capabilities, sequences, embed, rerank, onStart } = options;
  const scripted = createScriptedRuntime({ clock: systemClock, sequences });
  const listeners = new Set<() => void>();
  let starts = 0;
  let failed = false;
  const renamed = (model: Model): Model => ({
    ...model,
    id,
    capabilities: [...(capabilities ?? model.capabilities)],
    state: failed ? ModelState.UNAVAILABLE : model.state,
  });
  return {
    kind: scripted.kind,
    features: scripted.features,
    get starts() {
      return starts;
    },
    start: async () => {
      starts += 1;
      failed = false;
      try {
        await onStart?.(starts);
      } catch (thrown) {
        failed = true;
        for (const listener of listeners) listener();
        throw thrown;
      }
      await scripted.start();
    },
    models: () => scripted.models().map(renamed),
    onStateChange: (listener) => {
      listeners.add(listener);
      const unsubscribe = scripted.onStateChange(listener);
      return () => {
        listeners.delete(listener);
        unsubscribe();
      };
    },
    prepare: (_model, prompt, signal) => scripted.prepare("scripted", prompt, signal),
    generate: (request, signal) => scripted.generate(request, signal),
    answerNow: (requestId) => scripted.answerNow(requestId),
    tokenize: (_model, text, specialTokens) => scripted.tokenize("scripted", text, specialTokens),
    detokenize: (_model, ids, specialTokens) => scripted.detokenize("scripted", ids, specialTokens),
    embed: embed ?? ((request, signal) => scripted.embed(request, signal)),
    ...(rerank === undefined ? {} : { rerank }),
    die: () => scripted.close(),
    close: () => scripted.close(),
  };
}
