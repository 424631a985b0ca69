// The native child process: loads the model, runs the batch, and dies alone when the engine dies.
import { Code, NodeError } from "../../node-error.ts";
import { decodePrompt, type Engine, loadEngine } from "./engine.ts";
import type { LoadOptions, ToChild, ToNode } from "./protocol.ts";
import { StateStore } from "./state-store.ts";
import { StepLoop } from "./step-loop.ts";
import { warmUp } from "./warm-up.ts";

/** Between two reports of the resident memory. */
const memoryIntervalMs = 1_000;

let engine: Engine | undefined;
let loop: StepLoop | undefined;

function send(message: ToNode): void {
  process.send?.(message);
}

/** Ends the process after its last messages left; the parent reads why from stderr. */
function fail(what: string, thrown: unknown): void {
  process.stderr.write(`${what}: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}\n`);
  process.exit(1);
}

function failLoad(message: string): void {
  process.send?.({ type: "load_failed", message } satisfies ToNode, () => process.exit(1));
}

/** The node keeps the ceiling on memory, and can't look into another process on every platform. */
function tellMemory(): void {
  send({ type: "memory", residentBytes: process.memoryUsage.rss() });
}

async function load(options: LoadOptions): Promise<void> {
  try {
    engine = await loadEngine(options, (level, message) => process.stderr.write(`llama ${level}: ${message.trim()}\n`));
  } catch (thrown) {
    return failLoad(thrown instanceof Error ? thrown.message : String(thrown));
  }
  try {
    await warmUp(engine);
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    return failLoad(
      `The engine failed in its first step (${reason}): set SLUICE_GPU=cpu to see whether the GPU is why.`,
    );
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
  send({ type: "loaded", model: engine.info, residentBytes: process.memoryUsage.rss() });
  setInterval(tellMemory, memoryIntervalMs);
}

type Answer = Uint32Array | string;

/** Calls that are not answered yet; the node bounds them. */
const calls = new Map<number, AbortController>();

/** Answers a call, or sends its NodeError back. */
async function reply(
  call: number,
  compute: (engine: Engine, signal: AbortSignal) => Promise<Answer> | Answer,
): Promise<void> {
  const controller = new AbortController();
  calls.set(call, controller);
  try {
    if (engine === undefined) throw new Error("called before the model was loaded");
    send({ type: "reply", call, value: await compute(engine, controller.signal) });
  } catch (thrown) {
    const { code, message, param, reason, metadata } = NodeError.from(thrown);
    if (!(thrown instanceof NodeError)) process.stderr.write(`call failed: ${String(thrown)}\n`);
    send({ type: "reply_error", call, error: { code, message, param, reason, metadata } });
  } finally {
    calls.delete(call);
  }
}

function receive(message: ToChild): void {
  switch (message.type) {
    case "load":
      void load(message.options as LoadOptions);
      break;
    case "prepare":
      void reply(message.call, (loaded, signal) =>
        loaded.promptTokens(decodePrompt(message.prompt), message.segments, signal),
      );
      break;
    case "tokenize":
      void reply(message.call, (loaded, signal) => loaded.tokenize(message.text, message.specialTokens, signal));
      break;
    case "detokenize":
      void reply(message.call, (loaded) => loaded.detokenize(message.tokens, message.specialTokens));
      break;
    case "cancel_call":
      calls.get(message.call)?.abort(new NodeError(Code.CANCELLED, "The caller cancelled the request."));
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

// Signals to the whole process group are the node's business: it drains first and ends this process itself.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});
// Without the node nobody reads the tokens.
process.on("disconnect", () => process.exit(0));
process.on("uncaughtException", (thrown) => fail("uncaught", thrown));
process.on("message", receive);
