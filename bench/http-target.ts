// A target behind HTTP: streams chat completions from any OpenAI-compatible server.
import { type Connection, HttpClient, HttpStatusError } from "./http-client.ts";
import { BenchError, type RoundPlan, RoundRecord, type Sampling, type Target } from "./target.ts";

export interface HttpTargetOptions extends Connection {
  /** Which flag named this target's key, for the sentence about a refused one. */
  readonly keyFlag: string;
  /** Undefined takes the first model that the server lists. */
  readonly model: string | undefined;
}

export class HttpTarget implements Target {
  readonly remembers = true;
  readonly #options: HttpTargetOptions;
  readonly #client: HttpClient;
  #model: string | undefined;

  constructor(options: HttpTargetOptions) {
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

  async countPromptTokens(prompt: string, signal: AbortSignal): Promise<number | undefined> {
    const body = this.#body(prompt, { maxTokens: 1, temperature: 0, ignoreEos: false });
    try {
      const end = await this.#client.stream("/chat/completions", body, () => {}, signal);
      return end.usage?.promptTokens;
    } catch (error) {
      throw this.#explained(error, signal);
    }
  }

  async round(plan: RoundPlan, signal: AbortSignal): Promise<RoundRecord> {
    const record = new RoundRecord();
    const runStream = async (prompts: readonly string[]): Promise<void> => {
      for (const prompt of prompts) await this.request(prompt, plan.sampling, record, signal);
    };
    await Promise.all(plan.streams.map(runStream));
    return record;
  }

  /** Sends one request, adds it to the record and says whether it succeeded; rejects only when the signal fires. */
  async request(prompt: string, sampling: Sampling, record: RoundRecord, signal: AbortSignal): Promise<boolean> {
    const body = this.#body(prompt, sampling);
    const startedAt = performance.now();
    let previous = startedAt;
    let chunks = 0;
    record.started(startedAt);
    const onText = (): void => {
      const now = performance.now();
      record.chunk(now, previous, chunks === 0);
      previous = now;
      chunks += 1;
    };
    try {
      const { usage } = await this.#client.stream("/chat/completions", body, onText, signal);
      record.succeeded({
        promptTokens: usage?.promptTokens,
        completionTokens: usage?.completionTokens ?? chunks,
        counted: usage === undefined ? "chunks" : "usage",
      });
      return true;
    } catch (error) {
      signal.throwIfAborted();
      record.failed(reasonOf(error));
      return false;
    }
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  #body(prompt: string, sampling: Sampling): string {
    return JSON.stringify({
      model: this.model,
      messages: [{ role: "user", content: prompt }],
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
      throw this.#explained(error, signal);
    }
  }

  /** A sentence about what keeps this server from being measured at all. */
  #explained(error: unknown, signal: AbortSignal): unknown {
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

const socketReasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  ENOTFOUND: "unknown host",
  EAI_AGAIN: "unknown host",
  ETIMEDOUT: "timed out",
  EHOSTUNREACH: "no route to the host",
};

/** One short reason; equal failures get equal ones, so that they can be counted. */
function reasonOf(error: unknown): string {
  if (error instanceof HttpStatusError) return `HTTP ${error.status}: ${error.message}`;
  const code = codeOf(error);
  if (code !== undefined) return socketReasons[code] ?? code;
  return error instanceof Error ? error.message : String(error);
}

/** The system's code of a failed connection; of the first when several addresses were tried. */
function codeOf(error: unknown): string | undefined {
  const first = error instanceof AggregateError ? error.errors[0] : error;
  const code = (first as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}
