// A target behind HTTP: streams chat completions from any OpenAI-compatible server.
import { type Connection, HttpClient, HttpStatusError } from "./http-client.ts";
import { codeOf, reasonOf } from "./reasons.ts";
import { ServerTarget } from "./server-target.ts";
import { BenchError, type ChatEnd, type ChatMessage, type Sampling } from "./target.ts";

export interface HttpTargetOptions extends Connection {
  /** Which flag named this target's key, for the sentence about a refused one. */
  readonly keyFlag: string;
  /** Undefined takes the first model that the server lists. */
  readonly model: string | undefined;
}

export class HttpTarget extends ServerTarget {
  readonly #options: HttpTargetOptions;
  readonly #client: HttpClient;
  #model: string | undefined;

  constructor(options: HttpTargetOptions) {
    super();
    this.#options = options;
    this.#client = new HttpClient(options);
    this.#model = options.model;
  }

  get label(): string {
    return this.#options.baseUrl;
  }

  get model(): string {
    return this.#model ?? "";
  }

  async open(signal: AbortSignal): Promise<void> {
    const ids = await this.#listModels(signal);
    const wanted = this.#options.model;
    if (wanted !== undefined && ids !== undefined && !ids.includes(wanted)) {
      throw new BenchError(`${this.label} has no model "${wanted}"; it has: ${ids.slice(0, 20).join(", ") || "none"}`);
    }
    this.#model = wanted ?? ids?.[0];
    if (this.#model === undefined) throw new BenchError(`${this.label} lists no model; name one with --model`);
  }

  chat(
    messages: readonly ChatMessage[],
    sampling: Sampling,
    onText: (content: string) => void,
    signal: AbortSignal,
  ): Promise<ChatEnd> {
    return this.#client.stream("/chat/completions", this.#body(messages, sampling), onText, signal);
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  #body(messages: readonly ChatMessage[], sampling: Sampling): string {
    return JSON.stringify({
      model: this.model,
      messages,
      max_tokens: sampling.maxTokens,
      temperature: sampling.temperature,
      stream: true,
      stream_options: { include_usage: true },
      // Not OpenAI's: sent only when asked for, since strict servers refuse it.
      ...(sampling.ignoreEos ? { ignore_eos: true } : {}),
    });
  }

  /** Undefined when the server has no list, as some minimal ones. */
  async #listModels(signal: AbortSignal): Promise<readonly string[] | undefined> {
    try {
      const list = await this.#client.getJson("/models", signal);
      const data = (list as { data?: unknown } | null)?.data;
      if (!Array.isArray(data)) return undefined;
      return data.map((model: { id?: unknown } | null) => model?.id).filter((id) => typeof id === "string");
    } catch (error) {
      if (error instanceof HttpStatusError && error.status === 404 && this.#options.model !== undefined)
        return undefined;
      throw this.explained(error, signal);
    }
  }

  explained(error: unknown, signal: AbortSignal): unknown {
    if (signal.aborted) return signal.reason;
    if (error instanceof HttpStatusError && error.status === 401) {
      const given = this.#options.key === undefined ? "wants a key" : "refuses the key";
      return new BenchError(
        `${this.label} ${given} (401: ${error.message}); pass a valid one with ${this.#options.keyFlag}`,
      );
    }
    if (error instanceof HttpStatusError && error.status === 404) {
      return new BenchError(`${this.label} answers 404 (${error.message}); is it an OpenAI-compatible base URL?`);
    }
    if (codeOf(error) !== undefined) {
      return new BenchError(`${this.label} can't be reached (${reasonOf(error)}); is the server running?`);
    }
    return new BenchError(`${this.label} can't be measured: ${reasonOf(error)}`);
  }
}
