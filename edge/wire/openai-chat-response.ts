// A chat completion as OpenAI writes it: the chunks of a stream, or the same events folded into one body.
import {
  type Delta,
  type Finished,
  FinishReason,
  type GenerateEvent,
} from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import type { ApiError } from "../errors.ts";
import type { BodyWriter, StreamWriter } from "./dialect.ts";
import { type OpenAiTokenLogprob, openAiLogprobs } from "./openai-chat-logprobs.ts";
import { openAiUsage } from "./openai-chat-usage.ts";
import { openAiErrorBody } from "./openai-error.ts";

/** What every chunk of a completion repeats. */
export interface CompletionHead {
  id: string;
  /** Unix seconds. */
  created: number;
  model: string;
  /** Whether log-probabilities were asked for. */
  logprobs: boolean;
  /** The tier that serves the request, if the client asked for one. */
  serviceTier?: "default" | "flex" | undefined;
}

export type OpenAiFinishReason = "stop" | "length" | "tool_calls" | "content_filter";

/** OpenAI's word for why an answer ended. */
export function openAiFinishReason(reason: FinishReason): OpenAiFinishReason {
  switch (reason) {
    case FinishReason.LENGTH:
    case FinishReason.CONTEXT_LENGTH:
      return "length";
    case FinishReason.TOOL_CALLS:
      return "tool_calls";
    case FinishReason.CONTENT_FILTER:
      return "content_filter";
    default:
      return "stop";
  }
}

/** Why each answer ended, by choice index. */
function finishReasons(finished: Finished): ReadonlyMap<number, OpenAiFinishReason> {
  if (finished.choices.length === 0) return new Map([[0, openAiFinishReason(finished.reason)]]);
  return new Map(finished.choices.map(({ choiceIndex, reason }) => [choiceIndex, openAiFinishReason(reason)]));
}

/** The stop string that ended an answer, under vLLM's name for it; nothing when none did. */
function stopReason(finished: Finished, index: number): { stop_reason?: string } {
  const choice = finished.choices.find(({ choiceIndex }) => choiceIndex === index) ?? finished;
  return choice.stopSequence === "" ? {} : { stop_reason: choice.stopSequence };
}

/** The stream's chunks. Text is put together by hand: this runs once a token. */
export class ChatStreamWriter implements StreamWriter {
  readonly #head: CompletionHead & { includeUsage: boolean };
  readonly #begun = new Set<number>();
  readonly #close: string;
  #open: string;

  constructor(head: CompletionHead & { includeUsage: boolean }) {
    this.#head = head;
    this.#open = chunkOpening(head, "");
    this.#close = head.includeUsage ? `],"usage":null}\n\n` : "]}\n\n";
  }

  event({ event }: GenerateEvent): string {
    switch (event.case) {
      case "delta":
        return this.#delta(event.value);
      case "finished":
        return this.#finished(event.value);
      case "prefilled":
        this.#open = chunkOpening(this.#head, event.value.systemFingerprint);
        return "";
      default:
        return "";
    }
  }

  failure(error: ApiError): string {
    return `data: ${JSON.stringify(openAiErrorBody(error))}\n\n`;
  }

  #delta(delta: Delta): string {
    const { choiceIndex: index, part } = delta;
    const field = deltaField(delta);
    if (field === undefined && delta.logprobs.length === 0) return "";
    const tokens = this.#head.logprobs ? openAiLogprobs(delta.logprobs) : undefined;
    const logprobs = tokens === undefined || tokens.length === 0 ? null : logprobsOf(part.case, tokens);
    return this.#begin(index) + this.#chunk(index, field ?? `"content":""`, JSON.stringify(logprobs), null);
  }

  #finished(finished: Finished): string {
    let text = "";
    for (const [index, reason] of finishReasons(finished)) {
      const stop = JSON.stringify(stopReason(finished, index)).slice(1, -1);
      text += this.#begin(index) + this.#chunk(index, "", "null", reason, stop);
    }
    if (this.#head.includeUsage) {
      const usage = JSON.stringify(openAiUsage(finished.usage));
      text += `${this.#open}],"usage":${usage}}\n\n`;
    }
    return `${text}data: [DONE]\n\n`;
  }

  /** The chunk that opens an answer; it goes out with the answer's first words, so that it means a token was made. */
  #begin(index: number): string {
    if (this.#begun.has(index)) return "";
    this.#begun.add(index);
    return this.#chunk(index, `"role":"assistant","content":"","refusal":null`, "null", null);
  }

  #chunk(index: number, delta: string, logprobs: string, reason: OpenAiFinishReason | null, more = ""): string {
    const finish = (reason === null ? "null" : `"${reason}"`) + (more === "" ? "" : `,${more}`);
    return `${this.#open}{"index":${index},"delta":{${delta}},"logprobs":${logprobs},"finish_reason":${finish}}${this.#close}`;
  }
}

/** What all chunks of a stream begin with. */
function chunkOpening({ id, created, model, serviceTier }: CompletionHead, fingerprint: string): string {
  const head = JSON.stringify({
    id,
    object: "chat.completion.chunk",
    created,
    model,
    service_tier: serviceTier,
    system_fingerprint: fingerprint || null,
  });
  return `data: ${head.slice(0, -1)},"choices":[`;
}

/** The member of `delta` that a piece becomes; undefined when it is empty. */
function deltaField({ part }: Delta): string | undefined {
  switch (part.case) {
    case "text":
      return part.value === "" ? undefined : `"content":${JSON.stringify(part.value)}`;
    case "reasoning":
      return part.value === "" ? undefined : `"reasoning_content":${JSON.stringify(part.value)}`;
    case "toolCall": {
      const { index, id, name, arguments: text } = part.value;
      // Clients add up what comes twice: id and name are sent with a call's first piece only.
      const call =
        name === ""
          ? { index, function: { arguments: text } }
          : { index, id, type: "function", function: { name, arguments: text } };
      return `"tool_calls":[${JSON.stringify(call)}]`;
    }
    default:
      return undefined;
  }
}

interface ChoiceLogprobs {
  content: OpenAiTokenLogprob[] | null;
  reasoning_content?: OpenAiTokenLogprob[];
  refusal: null;
}

function logprobsOf(part: Delta["part"]["case"], tokens: OpenAiTokenLogprob[]): ChoiceLogprobs {
  return part === "reasoning"
    ? { content: null, reasoning_content: tokens, refusal: null }
    : { content: tokens, refusal: null };
}

interface FoldedCall {
  id: string;
  type: "function";
  function: { name: string; arguments: string };
}

interface FoldedChoice {
  text: string | undefined;
  reasoning: string | undefined;
  calls: Map<number, FoldedCall>;
  contentTokens: OpenAiTokenLogprob[];
  reasoningTokens: OpenAiTokenLogprob[];
}

/** The same events as one body. */
export class ChatBodyWriter implements BodyWriter {
  readonly #head: CompletionHead;
  readonly #choices = new Map<number, FoldedChoice>();
  #finished: Finished | undefined;

  constructor(head: CompletionHead) {
    this.#head = head;
  }

  event({ event }: GenerateEvent): void {
    if (event.case === "delta") this.#add(event.value);
    else if (event.case === "finished") this.#finished = event.value;
  }

  body(): string {
    const finished = this.#finished;
    if (finished === undefined) throw new Error("A generation was folded before it finished.");
    const { id, created, model, serviceTier } = this.#head;
    return JSON.stringify({
      id,
      object: "chat.completion",
      created,
      model,
      choices: [...finishReasons(finished)].map(([index, reason]) => ({
        ...this.#choice(index, reason),
        ...stopReason(finished, index),
      })),
      usage: openAiUsage(finished.usage),
      service_tier: serviceTier,
      system_fingerprint: finished.systemFingerprint || null,
    });
  }

  failure(error: ApiError): string {
    return JSON.stringify(openAiErrorBody(error));
  }

  #add(delta: Delta): void {
    const choice = this.#choiceOf(delta.choiceIndex);
    const { part } = delta;
    if (part.case === "text") choice.text = (choice.text ?? "") + part.value;
    else if (part.case === "reasoning") choice.reasoning = (choice.reasoning ?? "") + part.value;
    else if (part.case === "toolCall") {
      const { index, id, name, arguments: text } = part.value;
      const call = choice.calls.get(index);
      if (call === undefined) choice.calls.set(index, { id, type: "function", function: { name, arguments: text } });
      else call.function.arguments += text;
    }
    if (this.#head.logprobs) {
      (part.case === "reasoning" ? choice.reasoningTokens : choice.contentTokens).push(
        ...openAiLogprobs(delta.logprobs),
      );
    }
  }

  #choiceOf(index: number): FoldedChoice {
    let choice = this.#choices.get(index);
    if (choice === undefined) {
      choice = { text: undefined, reasoning: undefined, calls: new Map(), contentTokens: [], reasoningTokens: [] };
      this.#choices.set(index, choice);
    }
    return choice;
  }

  #choice(index: number, finishReason: OpenAiFinishReason) {
    const { text, reasoning, calls, contentTokens, reasoningTokens } = this.#choiceOf(index);
    return {
      index,
      message: {
        role: "assistant",
        content: text ?? (calls.size > 0 ? null : ""),
        ...(reasoning === undefined ? {} : { reasoning_content: reasoning }),
        ...(calls.size === 0 ? {} : { tool_calls: inOrder(calls) }),
        refusal: null,
      },
      logprobs: this.#head.logprobs
        ? {
            content: contentTokens,
            ...(reasoningTokens.length === 0 ? {} : { reasoning_content: reasoningTokens }),
            refusal: null,
          }
        : null,
      finish_reason: finishReason,
    };
  }
}

function inOrder<T>(byIndex: ReadonlyMap<number, T>): T[] {
  return [...byIndex].sort(([a], [b]) => a - b).map(([, value]) => value);
}
