// The native child process: loads the model, runs the batch, and dies alone when the engine dies.
import { ChildCalls, fail, failFirstStep, failLoad, nativeLog, send, serve, tellLoaded } from "./child-host.ts";
import { decodePrompt, type Engine, loadEngine } from "./engine.ts";
import type { LoadOptions, ToChild } from "./protocol.ts";
import { StateStore } from "./state-store.ts";
import { StepLoop } from "./step-loop.ts";
import { warmUp } from "./warm-up.ts";

const calls = new ChildCalls();
let engine: Engine | undefined;
let loop: StepLoop | undefined;

async function load(options: LoadOptions): Promise<void> {
  try {
    engine = await loadEngine(options, nativeLog);
  } catch (thrown) {
    return failLoad(thrown instanceof Error ? thrown.message : String(thrown));
  }
  try {
    await warmUp(engine);
  } catch (thrown) {
    return failFirstStep(thrown, "SLUICE_GPU");
  }
  const { prefixCache } = options;
  const store = new StateStore({
    context: engine.addon.context,
    contextLength: engine.info.contextLength,
    ...prefixCache,
    warn: (sentence) => process.stderr.write(`prefix cache: ${sentence}\n`),
  });
  loop = new StepLoop({
    engine,
    store,
    emit: (events, step) => send({ type: "events", events, step }),
    onFatal: (thrown) => fail("the engine failed in a step", thrown),
  });
  tellLoaded(engine.info);
}

function loaded(): Engine {
  if (engine === undefined) throw new Error("called before the model was loaded");
  return engine;
}

function receive(message: ToChild): void {
  switch (message.type) {
    case "load":
      void load(message.options as LoadOptions);
      break;
    case "prepare":
      void calls.reply(message.call, (signal) =>
        loaded().promptTokens(decodePrompt(message.prompt), message.segments, signal),
      );
      break;
    case "tokenize":
      void calls.reply(message.call, (signal) => loaded().tokenize(message.text, message.specialTokens, signal));
      break;
    case "detokenize":
      void calls.reply(message.call, () => loaded().detokenize(message.tokens, message.specialTokens));
      break;
    case "cancel_call":
      calls.cancel(message.call);
      break;
    case "generate":
      loop?.add(message.key, message.options);
      break;
    case "cancel":
      loop?.cancel(message.key);
      break;
    case "force":
      loop?.force(message.key, message.text);
      break;
  }
}

serve(receive);
