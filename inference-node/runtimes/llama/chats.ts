// The chats of one model: renders them by its format, and reads the answers as that format means them.
import type { GenerateRequest, Thinking } from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { Capability } from "../../../proto/gen/sluice/inference/v1/model_pb.js";
import type { Prompt } from "../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import type { ChatTemplateSource } from "../../chat-template.ts";
import type { Clock } from "../../clock.ts";
import { compileConstraint } from "../../constraint/compile.ts";
import type { LogEntry } from "../../log.ts";
import { Code, NodeError } from "../../node-error.ts";
import { ChatFormat, type RenderedChat } from "../../tool-formats/chat-format.ts";
import { AnswerReader } from "./answer-reader.ts";
import type { GrammarOptions } from "./protocol.ts";

export interface ChatsOptions {
  readonly log: (entry: LogEntry) => void;
  /** Makes a running generation go on with a text. */
  readonly force: (key: number, text: string) => void;
  readonly clock: Clock;
}

/** Renders and reads the chats of the model that is loaded. */
export class Chats {
  readonly #options: ChatsOptions;
  /** Of the answers that are being read, by request. */
  readonly #readers = new Map<string, Set<AnswerReader>>();
  #source: ChatTemplateSource | undefined;
  #format: ChatFormat | undefined;

  constructor(options: ChatsOptions) {
    this.#options = options;
  }

  /** Takes the template of a model that was loaded, and says in the log what became of it. */
  adopt(source: ChatTemplateSource | undefined): void {
    if (source === undefined || source.template === this.#source?.template) return;
    this.#source = source;
    this.#format = undefined;
    try {
      this.#format = new ChatFormat(source);
      const { binding, reasoning, remark } = this.#format;
      const format = { tool_format: binding?.format.name ?? "", reasoning: reasoning !== undefined };
      this.#options.log({ level: "info", event: "chat_format.chosen", ...format, message: remark });
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      const message = `The model's chat template can't be read (${reason}): it is served without chats.`;
      this.#options.log({ level: "error", event: "chat_format.refused", message });
    }
  }

  get capabilities(): Capability[] {
    if (this.#format === undefined) return [];
    return [
      Capability.CHAT,
      ...(this.#format.binding === undefined ? [] : [Capability.TOOLS]),
      ...(this.#format.reasoning === undefined ? [] : [Capability.REASONING]),
    ];
  }

  /** The prompt as a rendered chat; undefined when it is none. Throws what the template refuses. */
  render({ form }: Prompt, thinking: Thinking | undefined): RenderedChat | undefined {
    if (form.case !== "chat") return undefined;
    if (this.#format !== undefined) return this.#format.render(form.value, thinking);
    throw new NodeError(Code.FAILED_PRECONDITION, "This model has no chat template; ask it by a text prompt.", {
      param: "prompt.chat",
    });
  }

  /**
   * What the output is held to: by the constraint, the tool choice, and strict tools; undefined when the model is free. Throws
   * INVALID_ARGUMENT, with the path, for what can't be held.
   */
  grammar(chat: RenderedChat | undefined, { constraint }: GenerateRequest): GrammarOptions | undefined {
    const gbnf = constraint && compileConstraint(constraint.kind);
    if (chat !== undefined && this.#format !== undefined) return this.#format.grammar(chat, gbnf);
    return gbnf === undefined ? undefined : { gbnf };
  }

  /** What the child has to do otherwise for an answer that is parsed. */
  childOptions(chat: RenderedChat | undefined, stopStrings: readonly string[]) {
    const format = this.#parsing(chat);
    if (format === undefined || chat === undefined) return { visibleTokens: [], stopStrings };
    return { visibleTokens: format.visibleTokens(chat), stopStrings: [] };
  }

  /** The reader of one answer, until `release`; undefined when its text is all there is to it. */
  reader(key: number, chat: RenderedChat | undefined, request: GenerateRequest): AnswerReader | undefined {
    const format = this.#parsing(chat);
    if (format === undefined || chat === undefined) return undefined;
    const reader = new AnswerReader({
      parser: format.parser(chat),
      stopStrings: request.stopping?.stopStrings ?? [],
      budgetTokens: request.thinking?.budgetTokens ?? 0,
      now: () => this.#options.clock.monotonic(),
      closeThought: () => this.#options.force(key, format.closingText),
    });
    const readers = this.#readers.get(request.requestId) ?? new Set();
    this.#readers.set(request.requestId, readers.add(reader));
    return reader;
  }

  /** Forgets a reader that `reader` gave. */
  release(requestId: string, reader: AnswerReader): void {
    const readers = this.#readers.get(requestId);
    readers?.delete(reader);
    if (readers?.size === 0) this.#readers.delete(requestId);
  }

  /** Closes the thoughts of a request's answers; false when none of them is in one. */
  answerNow(requestId: string): boolean {
    const readers = [...(this.#readers.get(requestId) ?? [])];
    return readers.map((reader) => reader.answerNow()).includes(true);
  }

  #parsing(chat: RenderedChat | undefined): ChatFormat | undefined {
    return chat !== undefined && this.#format?.parses(chat) === true ? this.#format : undefined;
  }
}
