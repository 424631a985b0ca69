// Writes a request for an engine of some kind, or says what of it was refused.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type GenerateRequest, GenerateRequestSchema } from "../../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { Role } from "../../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code } from "../../../node-error.ts";
import { type FlavorName, flavorOf } from "../flavor.ts";
import { upstreamRequest } from "../request-body.ts";
import type { ThinkingSwitch } from "../thinking-probe.ts";

/** A request without its name. */
export type Init = Exclude<MessageInitShape<typeof GenerateRequestSchema>, { $typeName: string }>;

/** A message that says hello. */
export const user = { role: Role.USER, content: "Hello" };

export function requestOf(init: Init): GenerateRequest {
  const prompt: Init["prompt"] = { form: { case: "chat", value: { messages: [user] } } };
  return create(GenerateRequestSchema, { requestId: "r1", model: "m", prompt, ...init });
}

interface How {
  thinking?: ThinkingSwitch;
  limit?: number;
  newerLimitName?: boolean;
}

/** The body for an engine, or the code and field of the refusal. */
export function send(
  name: FlavorName,
  init: Init,
  { thinking, limit, newerLimitName = false }: How = {},
): Record<string, unknown> {
  const target = {
    flavor: flavorOf(name),
    upstreamId: "up",
    contextLength: 512,
    effort: true,
    newerLimitName,
    thinking,
  };
  try {
    return { ...upstreamRequest(requestOf(init), target, { limit }).body };
  } catch (thrown) {
    const { code, param } = thrown as { code: number; param: string };
    return { refused: [code, param] };
  }
}

/** The refusal of a field by name. */
export const refused = (param: string) => ({ refused: [Code.UNIMPLEMENTED, param] });
