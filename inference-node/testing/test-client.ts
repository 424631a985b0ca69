// What tests ask of a node, whatever door they come through.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ControlAction,
  type ControlResponse,
  type GenerateEvent,
  type GenerateRequest,
  GenerateRequestSchema,
} from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { Role } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";

/** A call's failure with its details. */
export interface CallFailure {
  code: number;
  message: string;
  reason: string | undefined;
  domain: string | undefined;
  metadata: Record<string, string>;
  retryMs: number | undefined;
}

/** A stream to its end: what came, and the failure that ended it, if one did. */
export interface StreamResult {
  events: GenerateEvent[];
  failure: CallFailure | undefined;
}

export interface StreamOptions {
  timeoutMs?: number;
  signal?: AbortSignal;
  onEvent?: (event: GenerateEvent) => void;
}

export interface TestClient {
  generate(request: GenerateRequest, options?: StreamOptions): Promise<StreamResult>;
  control(requestId: string, action: ControlAction): Promise<ControlResponse>;
  /** Calls a unary method by its local name; rejects with a CallFailure. */
  unary<T>(method: string, request: Record<string, unknown>): Promise<T>;
  close(): void;
}

let lastId = 0;

/** A request to the scripted model, whose user message is `script` as JSON, or the text itself. */
export function scripted(
  script: object | string,
  more: Omit<MessageInitShape<typeof GenerateRequestSchema>, "$typeName" | "$unknown"> = {},
): GenerateRequest {
  lastId += 1;
  const content = typeof script === "string" ? script : JSON.stringify(script);
  const chat = { case: "chat" as const, value: { messages: [{ role: Role.USER, content }] } };
  return create(GenerateRequestSchema, {
    requestId: `test-${lastId}`,
    model: "scripted",
    prompt: { form: chat },
    ...more,
  } as MessageInitShape<typeof GenerateRequestSchema>);
}

/** The text of all deltas. */
export function textOf({ events }: StreamResult): string {
  return events
    .map(({ event }) => (event.case === "delta" && event.value.part.case === "text" ? event.value.part.value : ""))
    .join("");
}

/** The names of the events, in order. */
export function casesOf({ events }: StreamResult): string[] {
  return events.map(({ event }) => event.case ?? "none");
}
