// The native child process that makes embeddings or scores documents: loads the model, computes what it is told, and dies alone.
import { constants, setPriority } from "node:os";
import { ChildCalls, failFirstStep, failLoad, nativeLog, serve, tellLoaded } from "./child-host.ts";
import { type EmbeddingEngine, loadEmbeddingEngine } from "./embedding-engine.ts";
import type { EmbeddingLoadOptions } from "./embedding-protocol.ts";
import type { PairTokenizer } from "./pair-tokenizer.ts";
import type { ToChild } from "./protocol.ts";

const calls = new ChildCalls();
let engine: EmbeddingEngine | undefined;

async function load(options: EmbeddingLoadOptions): Promise<void> {
  try {
    engine = await loadEmbeddingEngine(options, nativeLog);
  } catch (thrown) {
    return failLoad(thrown instanceof Error ? thrown.message : String(thrown));
  }
  try {
    // The first run of a model is slower; and one that can't run at all must not be ready.
    await warmUp(engine);
  } catch (thrown) {
    return failFirstStep(thrown, "SLUICE_EMBEDDING_GPU");
  }
  tellLoaded(engine.info);
}

async function warmUp(engine: EmbeddingEngine): Promise<void> {
  const text = "warm-up";
  if (engine.pairs === undefined) {
    const ids = engine.tokenizer.readInput({ content: text, truncate: true, param: "" });
    await engine.embed(Uint32Array.from(ids));
    return;
  }
  const ids = engine.pairs.readDocument(engine.pairs.readQuery(text), { text, truncate: true, param: "" });
  await engine.score(Uint32Array.from(ids));
}

function loaded(): EmbeddingEngine {
  if (engine === undefined) throw new Error("called before the model was loaded");
  return engine;
}

function pairs(): PairTokenizer {
  const { pairs } = loaded();
  if (pairs === undefined) throw new Error("asked for scores of a model that gives none");
  return pairs;
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
    case "read_query":
      void calls.reply(message.call, () => Uint32Array.from(pairs().readQuery(message.query)));
      break;
    case "read_document":
      void calls.reply(message.call, () => Uint32Array.from(pairs().readDocument([...message.head], message.document)));
      break;
    case "score":
      void calls.reply(message.call, () => loaded().score(message.tokens));
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

// Streams of the models beside it come first where cores are few.
try {
  setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
} catch {
  // A system that forbids it serves them as fast as the rest.
}
serve(receive);
