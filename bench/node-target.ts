// A target that is an inference node itself, through its native gRPC door: Sluice without its edge.
import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { type Delta, GenerateRequestSchema, type Usage } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import { Capability } from "../proto/gen/sluice/inference/v1/model_pb.js";
import { Role } from "../proto/gen/sluice/inference/v1/prompt_pb.js";
import { InferenceService } from "../proto/gen/sluice/inference/v1/service_pb.js";
import { ServerTarget } from "./server-target.ts";
import { BenchError, type ChatEnd, type ChatMessage, type Sampling } from "./target.ts";

export interface NodeTargetOptions {
  /** `http://host:port` of the native door. */
  readonly baseUrl: string;
  /** The node's secret. */
  readonly key: string | undefined;
  /** Which flag named it, for the sentence about a refused one. */
  readonly keyFlag: string;
  /** Undefined takes the node's first model that generates. */
  readonly model: string | undefined;
  /** Milliseconds that one request may take. */
  readonly timeoutMs: number;
}

/** All requests are one tenant's, as one project's are at the edge: they may share the beginnings of their prompts. */
const tenant = "bench";

export class NodeTarget extends ServerTarget {
  readonly #options: NodeTargetOptions;
  readonly #client: Client<typeof InferenceService>;
  readonly #sessions: Http2SessionManager;
  readonly #headers: Record<string, string>;
  #model: string | undefined;

  constructor(options: NodeTargetOptions) {
    super();
    this.#options = options;
    this.#model = options.model;
    const { baseUrl } = options;
    this.#sessions = new Http2SessionManager(baseUrl);
    this.#client = createClient(InferenceService, createGrpcTransport({ baseUrl, sessionManager: this.#sessions }));
    this.#headers = options.key === undefined ? {} : { authorization: `Bearer ${options.key}` };
  }

  get label(): string {
    return this.#options.baseUrl.replace(/^http/, "grpc");
  }

  get model(): string {
    return this.#model ?? "";
  }

  async open(signal: AbortSignal): Promise<void> {
    let models: readonly { id: string; capabilities: readonly Capability[] }[];
    try {
      ({ models } = await this.#client.listModels({}, this.#callOptions(signal)));
    } catch (error) {
      throw this.explained(error, signal);
    }
    const ids = models.filter(({ capabilities }) => capabilities.includes(Capability.CHAT)).map(({ id }) => id);
    const wanted = this.#options.model;
    if (wanted !== undefined && !ids.includes(wanted)) {
      throw new BenchError(`${this.label} has no model "${wanted}" for chats; it has: ${ids.join(", ") || "none"}`);
    }
    this.#model = wanted ?? ids[0];
    if (this.#model === undefined) throw new BenchError(`${this.label} has no model for chats`);
  }

  async chat(
    messages: readonly ChatMessage[],
    sampling: Sampling,
    onText: (content: string) => void,
    signal: AbortSignal,
  ): Promise<ChatEnd> {
    const request = create(GenerateRequestSchema, {
      requestId: `bench-${randomUUID()}`,
      model: this.model,
      prompt: {
        form: {
          case: "chat",
          value: {
            messages: messages.map(({ role, content }) => ({
              role: role === "user" ? Role.USER : Role.ASSISTANT,
              content,
            })),
          },
        },
      },
      sampling: { temperature: sampling.temperature },
      stopping: { maxTokens: sampling.maxTokens, ignoreEos: sampling.ignoreEos },
      prefixCache: { salt: tenant },
      tenant,
    });
    let end: ChatEnd | undefined;
    try {
      for await (const { event } of this.#client.generate(request, this.#callOptions(signal))) {
        if (event.case === "delta") tell(event.value, onText);
        if (event.case === "finished") end = endOf(event.value.usage);
      }
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
    if (end === undefined) throw new BenchError("the stream ended without Finished");
    return end;
  }

  explained(error: unknown, signal: AbortSignal): unknown {
    if (signal.aborted) return signal.reason;
    const { code, rawMessage } = ConnectError.from(error);
    const { key, keyFlag } = this.#options;
    if (code === Code.Unauthenticated) {
      return new BenchError(
        `${this.label} ${key === undefined ? "wants its secret" : "refuses the secret"}; pass it with ${keyFlag}`,
      );
    }
    if (code === Code.Unavailable) {
      return new BenchError(`${this.label} can't be reached or is not ready (${rawMessage}); is the node running?`);
    }
    return new BenchError(`${this.label} can't be measured: ${rawMessage}`);
  }

  async close(): Promise<void> {
    this.#sessions.abort();
  }

  #callOptions(signal: AbortSignal) {
    return { headers: this.#headers, timeoutMs: this.#options.timeoutMs, signal };
  }
}

/** A delta may hold nothing that a reader sees, such as the score of half a character. */
function tell({ part }: Delta, onText: (content: string) => void): void {
  if (part.case === undefined || part.value === "") return;
  onText(part.case === "text" ? part.value : "");
}

function endOf(usage: Usage | undefined): ChatEnd {
  if (usage === undefined) return { usage: undefined };
  const { promptTokens, cachedTokens, completionTokens } = usage;
  return { usage: { promptTokens, cachedTokens, completionTokens } };
}
