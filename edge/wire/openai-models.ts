// The models in OpenAI's shape.
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Model } from "../../proto/gen/sluice/inference/v1/model_pb.js";

export interface OpenAiModel {
  id: string;
  object: "model";
  /** Unix seconds. */
  created: number;
  owned_by: string;
  /** Most tokens of prompt and output together; not in OpenAI's shape, but what every client asks next. */
  context_length: number;
}

export function openAiModel(model: Model): OpenAiModel {
  return {
    id: model.id,
    object: "model",
    created: model.createdAt === undefined ? 0 : Math.floor(timestampMs(model.createdAt) / 1000),
    owned_by: model.ownedBy || "sluice",
    context_length: model.contextLength,
  };
}
