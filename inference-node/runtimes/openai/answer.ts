// Turns the chunks of a streamed answer into the runtime's events: prefilled, deltas, and what is known at the end.
import { create } from "@bufbuild/protobuf";
import { type Duration, durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Delta,
  type Finished,
  FinishedSchema,
  FinishReason,
  type GenerateRequest,
  PrefilledSchema,
  type TokenLogprob,
  type Usage,
  UsageSchema,
} from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { Code, NodeError } from "../../node-error.ts";
import type { RuntimeEvent } from "../../runtime.ts";
import { failureStatus, malformed, upstreamError } from "./errors.ts";
import { countField, field, listField, numberField, objectOf, stringField } from "./json.ts";
import { readLogprobs } from "./logprobs.ts";
import { type Choice, flushed, type Part, partsOf, stoppedBy } from "./pieces.ts";
import { ToolCalls } from "./tool-calls.ts";
import { readUsage, summed } from "./usage.ts";

export interface AnswerOptions {
  readonly request: GenerateRequest;
  /** Counted or estimated; reported until the engine has said its own count. */
  readonly promptTokens: number;
  readonly contextLength: number;
  /** Named when the engine names none. */
  readonly fingerprint: string;
  /** Each of several choices has a count of its own at the end, as llama-server has it; else there is one for all. */
  readonly usagePerChoice: boolean;
  /** Milliseconds of a clock that never goes back. */
  readonly monotonic: () => number;
}

/** Reads one answer. Feed it every chunk; then ask for `finished`. */
export class Answer {
  readonly #options: AnswerOptions;
  readonly #choices: Choice[];
  readonly #startedAt: number;
  #fingerprint: string | undefined;
  #firstAt: number | undefined;
  #lastAt: number | undefined;
  #usage: Usage | undefined;
  /** Of a chunk that had choices too. */
  #lastUsage: Usage | undefined;
  /** llama-server's own clock, in milliseconds. */
  #timings: { prefill: number; decode: number } | undefined;
  #completionTokens = 0;
  /** The engine's name of the answer, by which it can be told to hurry. */
  #id: string | undefined;
  #reasons = false;

  constructor(options: AnswerOptions) {
    this.#options = options;
    this.#startedAt = options.monotonic();
    this.#choices = Array.from({ length: Math.max(1, options.request.choiceCount) }, () => ({
      tokens: 0,
      held: new Map(),
      calls: new ToolCalls(),
      reason: undefined,
      stoppedBy: undefined,
      stopSequence: "",
    }));
  }

  get id(): string | undefined {
    return this.#id;
  }

  /** Whether the last piece was reasoning. */
  get reasons(): boolean {
    return this.#reasons;
  }

  /** Whether every choice has said why it ended. */
  get ended(): boolean {
    return this.#choices.every(({ reason }) => reason !== undefined);
  }

  /** Whether the engine said what the answer cost. */
  get counted(): boolean {
    return (this.#usage ?? this.#lastUsage) !== undefined;
  }

  /** The events of one chunk. Throws the failure that the chunk is, or INTERNAL for one that is no chunk. */
  read(chunk: unknown): RuntimeEvent[] {
    if (objectOf(chunk) === undefined) throw malformed("a chunk is no JSON object");
    if (objectOf(field(chunk, "error")) !== undefined || stringField(chunk, "object") === "error") {
      throw upstreamError({ status: failureStatus(chunk), value: chunk });
    }
    const choices = listField(chunk, "choices");
    this.#id ??= stringField(chunk, "id");
    const usage = readUsage(field(chunk, "usage"));
    this.#readTimings(field(chunk, "timings"));
    const events: RuntimeEvent[] = [];
    if (choices.length === 0) {
      // With choices it is a count on the way, of one of them.
      if (usage !== undefined) this.#usage = this.#options.usagePerChoice ? summed(this.#usage, usage) : usage;
      return events;
    }
    this.#fingerprint ??= stringField(chunk, "system_fingerprint") || this.#options.fingerprint;
    for (const one of choices) this.#readChoice(one, chunk, usage, events);
    // A chunk that only opens the answer comes before anything is known, with some engines before the prompt was read.
    if (this.#firstAt === undefined && (events.length > 0 || this.ended)) events.unshift(this.#prefilled(chunk, usage));
    // Engines that send no chunk for it alone put the whole count beside the last choice.
    if (this.#choices.length === 1 || (this.ended && choices.length > 1)) this.#lastUsage = usage ?? this.#lastUsage;
    return events;
  }

  /** The end. Throws UNAVAILABLE when the engine broke off before it had said why. */
  finished(done: boolean): Finished {
    if (!this.ended && !(done && this.#firstAt !== undefined)) {
      throw new NodeError(Code.UNAVAILABLE, "The engine's answer broke off.", {
        reason: "UPSTREAM_BROKE_OFF",
        retryAfterMs: 1_000,
      });
    }
    const usage = this.#usage ?? this.#lastUsage ?? this.#ownCount();
    const reasons = this.#choices.map((choice) => this.#reasonOf(choice, usage));
    const decodedAt = this.#lastAt ?? this.#startedAt;
    const prefill = this.#timings?.prefill ?? (this.#firstAt ?? decodedAt) - this.#startedAt;
    const decode = this.#timings?.decode ?? decodedAt - (this.#firstAt ?? decodedAt);
    return create(FinishedSchema, {
      reason: reasons[0] ?? FinishReason.STOP,
      stopSequence: this.#choices[0]?.stopSequence ?? "",
      usage,
      timings: { prefill: milliseconds(prefill), decode: milliseconds(decode) },
      systemFingerprint: this.#fingerprint ?? this.#options.fingerprint,
      choices:
        this.#choices.length === 1
          ? []
          : this.#choices.map(({ stopSequence }, choiceIndex) => ({
              choiceIndex,
              reason: reasons[choiceIndex] ?? FinishReason.STOP,
              stopSequence,
            })),
    });
  }

  #prefilled(chunk: unknown, usage: Usage | undefined): RuntimeEvent {
    const timings = field(chunk, "timings");
    const cachedTokens = countField(timings, "cache_n") ?? 0;
    const timed = countField(timings, "prompt_n");
    this.#firstAt = this.#options.monotonic();
    return {
      case: "prefilled",
      value: create(PrefilledSchema, {
        promptTokens: usage?.promptTokens || (timed === undefined ? this.#options.promptTokens : timed + cachedTokens),
        cachedTokens: usage?.cachedTokens || cachedTokens,
        systemFingerprint: this.#fingerprint ?? this.#options.fingerprint,
      }),
    };
  }

  #readTimings(timings: unknown): void {
    const prefill = numberField(timings, "prompt_ms");
    const decode = numberField(timings, "predicted_ms");
    if (prefill !== undefined && decode !== undefined) this.#timings = { prefill, decode };
  }

  #readChoice(entry: unknown, chunk: unknown, usage: Usage | undefined, events: RuntimeEvent[]): void {
    const index = countField(entry, "index") ?? 0;
    const choice = this.#choices[index];
    if (choice === undefined) throw malformed(`it has a choice ${index}, which nobody asked for`);
    const asked = this.#options.request.logprobs;
    let logprobs = asked?.output ? readLogprobs(field(entry, "logprobs"), asked.top) : [];
    const parts = partsOf(entry, choice);
    const reason = stringField(entry, "finish_reason");
    choice.stoppedBy = stoppedBy(entry, chunk) ?? choice.stoppedBy;
    if (reason) {
      this.#end(choice, reason);
      parts.push(...flushed(choice));
    }
    this.#count(choice, usage?.completionTokens ?? countField(field(chunk, "timings"), "predicted_n"), parts, logprobs);
    // Tokens whose text is held back still have their log-probabilities.
    if (parts.length === 0 && logprobs.length > 0) parts.push({ case: "text", value: "" });
    for (const part of parts) {
      events.push({ case: "delta", value: this.#delta(index, part, logprobs) });
      logprobs = [];
    }
  }

  #delta(choiceIndex: number, part: Part, logprobs: TokenLogprob[]): Delta {
    this.#reasons = part.case === "reasoning";
    this.#lastAt = this.#options.monotonic();
    return {
      $typeName: "sluice.inference.v1.Delta",
      choiceIndex,
      part,
      logprobs,
      completionTokens: this.#completionTokens,
    };
  }

  /** Keeps the running count: the engine's own where it comes with the chunk, else a token a piece, which is too few if anything. */
  #count(choice: Choice, told: number | undefined, parts: readonly Part[], logprobs: readonly TokenLogprob[]): void {
    const made = logprobs.length > 0 ? logprobs.length : Number(parts.length > 0);
    choice.tokens = told === undefined ? choice.tokens + made : Math.max(choice.tokens, told);
    this.#completionTokens = this.#choices.reduce((sum, { tokens }) => sum + tokens, 0);
  }

  #end(choice: Choice, word: string): void {
    if (word === "abort" || word === "error" || word === "repetition_error") {
      throw new NodeError(Code.UNAVAILABLE, "The engine gave the answer up.", {
        reason: "UPSTREAM_ABORTED",
        retryAfterMs: 1_000,
      });
    }
    const { stopping } = this.#options.request;
    const { stoppedBy: stop } = choice;
    choice.reason = finishReasons[word] ?? FinishReason.STOP;
    if (choice.reason !== FinishReason.STOP) return;
    const isString = typeof stop === "string" && stopping?.stopStrings.includes(stop);
    const isToken = typeof stop === "number" && stopping?.stopTokenIds.includes(stop);
    if (isString) choice.stopSequence = stop;
    if (isString || isToken) choice.reason = FinishReason.STOP_SEQUENCE;
  }

  #reasonOf({ reason = FinishReason.STOP, calls }: Choice, usage: Usage): FinishReason {
    // A forced call ends with "stop" at OpenAI, a streamed one by mistake elsewhere.
    if (reason === FinishReason.STOP && calls.any) return FinishReason.TOOL_CALLS;
    if (reason !== FinishReason.LENGTH || this.#options.request.stopping?.maxTokens !== undefined) return reason;
    const perChoice = usage.completionTokens / this.#choices.length;
    const full = usage.promptTokens + perChoice >= this.#options.contextLength;
    return full ? FinishReason.CONTEXT_LENGTH : FinishReason.LENGTH;
  }

  #ownCount(): Usage {
    return create(UsageSchema, {
      promptTokens: this.#options.promptTokens,
      completionTokens: this.#completionTokens,
    });
  }
}

function milliseconds(ms: number): Duration {
  return durationFromMs(Math.max(0, Math.round(ms)));
}

const finishReasons: Readonly<Record<string, FinishReason>> = {
  stop: FinishReason.STOP,
  length: FinishReason.LENGTH,
  tool_calls: FinishReason.TOOL_CALLS,
  function_call: FinishReason.TOOL_CALLS,
  content_filter: FinishReason.CONTENT_FILTER,
};
