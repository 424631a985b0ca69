// Reads one answer of the child as the model's format means it: text, reasoning and tool calls as separate deltas.
import { create } from "@bufbuild/protobuf";
import {
  type Delta,
  DeltaSchema,
  type Finished,
  FinishReason,
  type TokenLogprob,
} from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { OutputText } from "../../generation.ts";
import type { RuntimeEvent } from "../../runtime.ts";
import type { OutputPiece } from "../../tool-formats/output.ts";
import type { OutputParser } from "../../tool-formats/output-parser.ts";
import type { GenerateOptions, GenerationEvent } from "./protocol.ts";
import { runtimeEvent } from "./runtime-events.ts";

export interface AnswerReaderOptions {
  readonly parser: OutputParser;
  /** They end the answer's text alone: a stop string inside a thought or a call's markup is none. */
  readonly stopStrings: readonly string[];
  /** Most tokens of reasoning; 0 is without limit. */
  readonly budgetTokens: number;
  /** Makes the model go on with a text; it closes a thought that must end. */
  readonly closeThought: () => void;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** Why the node ends an answer that the child would go on with. */
interface EarlyEnd {
  readonly reason: FinishReason;
  readonly stop: string;
}

const encoder = new TextEncoder();

/** One answer's reader. `read` takes every event of the child; when `ended` says so, the child's answer may be cut. */
export class AnswerReader {
  readonly #options: AnswerReaderOptions;
  readonly #text: OutputText | undefined;
  /** Log-probabilities of tokens that no delta has carried yet. */
  #logprobs: TokenLogprob[] = [];
  readonly #startedAt: number;
  #begun: { readonly at: number; readonly cachedTokens: number } | undefined;
  #completionTokens = 0;
  #reasoningTokens = 0;
  #closing = false;
  #ended: EarlyEnd | undefined;

  constructor(options: AnswerReaderOptions) {
    this.#options = options;
    this.#startedAt = options.now();
    this.#text = options.stopStrings.length === 0 ? undefined : new OutputText(options.stopStrings);
  }

  /** Whether the answer is over although the child has not ended it. */
  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** Closes the thought; false when there is none, or it is being closed. */
  answerNow(): boolean {
    if (!this.#options.parser.reasons || this.#closing || this.ended) return false;
    this.#closing = true;
    this.#options.parser.expectClose();
    this.#options.closeThought();
    return true;
  }

  /** What one event of the child means. Throws as `runtimeEvent` does, but for an answer that was cut on purpose. */
  read(event: GenerationEvent, options: GenerateOptions, fingerprint: string): RuntimeEvent[] {
    const cut = event.type === "cancelled" && this.ended;
    const plain = runtimeEvent(cut ? this.#endOf(event.key) : event, options, fingerprint);
    if (event.type === "prefilled") this.#begun = { at: this.#options.now(), cachedTokens: event.cachedTokens };
    if (plain.case === "prefilled") return [plain];
    if (plain.case === "delta") {
      if (this.ended) return [];
      const { completionTokens, logprobs, part } = plain.value;
      const text = part.case === "text" ? part.value : "";
      return this.#deltas(text, logprobs, completionTokens).map((value) => ({ case: "delta", value }));
    }
    const rest = this.ended ? [] : this.#rest();
    this.#finish(plain.value);
    return [...rest.map((value): RuntimeEvent => ({ case: "delta", value })), plain];
  }

  /** The end that a cut answer would have had from the child. */
  #endOf(key: number): GenerationEvent {
    const now = this.#options.now();
    const { at, cachedTokens } = this.#begun ?? { at: now, cachedTokens: 0 };
    const [prefillMs, decodeMs] = [at - this.#startedAt, now - at];
    const completionTokens = this.#completionTokens;
    const guesses = { guessedTokens: 0, guessedRight: 0 };
    const counts = { completionTokens, cachedTokens, ...guesses };
    return { type: "finished", key, reason: "stop", stop: "", ...counts, prefillMs, decodeMs };
  }

  /** Makes the child's end that of this answer, for an answer that the node has cut too. */
  #finish(finished: Finished): void {
    const ended = this.#ended ?? this.#naturalEnd(finished.reason);
    if (ended !== undefined) {
      finished.reason = ended.reason;
      finished.stopSequence = ended.stop;
    }
    if (finished.usage === undefined) return;
    // Tokens after the end were computed for nobody.
    if (this.#ended !== undefined) finished.usage.completionTokens = this.#completionTokens;
    finished.usage.reasoningTokens = this.#reasoningTokens;
  }

  #naturalEnd(reason: FinishReason): EarlyEnd | undefined {
    const calls = this.#options.parser.calls > 0 && reason === FinishReason.STOP;
    return calls ? { reason: FinishReason.TOOL_CALLS, stop: "" } : undefined;
  }

  #deltas(text: string, logprobs: readonly TokenLogprob[], completionTokens: number): Delta[] {
    const { parser, budgetTokens } = this.#options;
    const reasoned = parser.reasons;
    const pieces = parser.push(text);
    const added = completionTokens - this.#completionTokens;
    this.#completionTokens = completionTokens;
    if (!this.#closing && (reasoned || parser.reasons || pieces.some(({ type }) => type === "reasoning"))) {
      this.#reasoningTokens += added;
    }
    const deltas = this.#written(pieces, logprobs);
    if (budgetTokens > 0 && this.#reasoningTokens >= budgetTokens) this.answerNow();
    if (parser.done) this.#ended ??= { reason: FinishReason.TOOL_CALLS, stop: "" };
    return deltas;
  }

  #rest(): Delta[] {
    const deltas = this.#written(this.#options.parser.end(), []);
    if (this.ended) return deltas;
    const { text, stop } = this.#text?.end() ?? { text: "", stop: undefined };
    if (stop !== undefined) this.#ended = { reason: FinishReason.STOP_SEQUENCE, stop };
    // The tokens of markup at the end were generated too.
    if (text !== "" || this.#logprobs.length > 0) deltas.push(this.#delta({ case: "text", value: text }));
    return deltas;
  }

  /** Pieces as deltas. The log-probabilities go with the first: they belong to the tokens behind all of them. */
  #written(pieces: readonly OutputPiece[], logprobs: readonly TokenLogprob[]): Delta[] {
    this.#logprobs.push(...logprobs);
    const deltas: Delta[] = [];
    for (const piece of pieces) {
      if (this.ended) break;
      if (piece.type === "text") deltas.push(...this.#textDeltas(piece.text));
      else if (piece.type === "reasoning") deltas.push(this.#delta({ case: "reasoning", value: piece.text }));
      else deltas.push(this.#callDelta(piece));
    }
    return deltas;
  }

  #textDeltas(text: string): Delta[] {
    if (this.#text === undefined) return [this.#delta({ case: "text", value: text })];
    const shown = this.#text.push(encoder.encode(text));
    if (shown.stop !== undefined) this.#ended = { reason: FinishReason.STOP_SEQUENCE, stop: shown.stop };
    return shown.text === "" ? [] : [this.#delta({ case: "text", value: shown.text })];
  }

  #callDelta({ index, id = "", name = "", arguments: text }: Extract<OutputPiece, { type: "toolCall" }>): Delta {
    return this.#delta({ case: "toolCall", value: { index, id, name, arguments: text } });
  }

  #delta(part: NonNullable<Parameters<typeof create<typeof DeltaSchema>>[1]>["part"]): Delta {
    const logprobs = this.#logprobs;
    this.#logprobs = [];
    const delta = create(DeltaSchema, { ...(part && { part }), completionTokens: this.#completionTokens });
    delta.logprobs = logprobs;
    return delta;
  }
}
