// The native child process that makes embeddings: loads the model, computes what it is told, and dies alone.
import { constants, setPriority } from "node:os";
import { ChildCalls } from "./child-calls.ts";
import { type EmbeddingEngine, loadEmbeddingEngine } from "./embedding-engine.ts";
import type { EmbeddingLoadOptions } from "./embedding-protocol.ts";
import type { ToChild, ToNode } from "./protocol.ts";

/** Between two reports of the resident memory. */
const memoryIntervalMs = 1_000;

let engine: EmbeddingEngine | undefined;
const calls = new ChildCalls(send);

function send(message: ToNode): void {
  process.send?.(message);
}

async function load(options: EmbeddingLoadOptions): Promise<void> {
  try {
    engine = await loadEmbeddingEngine(options, (level, message) =>
      process.stderr.write(`llama ${level}: ${message.trim()}\n`),
    );
    // The first run of a model is slower; and one that can't run at all must not be ready.
    await engine.embed(Uint32Array.from(engine.tokenizer.readInput({ content: "warm-up", truncate: true, param: "" })));
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    process.send?.({ type: "load_failed", message: reason } satisfies ToNode, () => process.exit(1));
    return;
  }
  send({ type: "loaded", model: engine.info, residentBytes: process.memoryUsage.rss() });
  setInterval(() => send({ type: "memory", residentBytes: process.memoryUsage.rss() }), memoryIntervalMs);
}

function loaded(): EmbeddingEngine {
  if (engine === undefined) throw new Error("called before the model was loaded");
  return engine;
}

function receive(message: ToChild): void {
  switch (message.type) {
    case "load":
      void load(message.options as EmbeddingLoadOptions);
      break;
    case "read_input":
      void calls.reply(message.call, () => Uint32Array.from(loaded().tokenizer.readInput(message.input)));
      break;
    case "embed":
      void calls.reply(message.call, () => loaded().embed(message.tokens));
      break;
    case "tokenize":
      void calls.reply(message.call, () =>
        Uint32Array.from(loaded().tokenizer.tokenize(message.text, message.specialTokens)),
      );
      break;
    case "detokenize":
      void calls.reply(message.call, () => loaded().detokenize(message.tokens, message.specialTokens));
      break;
    case "cancel_call":
      calls.cancel(message.call);
      break;
  }
}

function fail(thrown: unknown): void {
  process.stderr.write(`uncaught: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}\n`);
  process.exit(1);
}

// Streams of the models beside it come first where cores are few.
try {
  setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
} catch {
  // A system that forbids it serves embeddings as fast as the rest.
}
// Signals to the whole process group are the node's business: it drains first and ends this process itself.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});
// Without the node nobody reads the vectors.
process.on("disconnect", () => process.exit(0));
process.on("uncaughtException", fail);
process.on("message", receive);
