// The models in OpenAI's shape.
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Capability, type Model } from "../../proto/gen/sluice/inference/v1/model_pb.js";

export interface OpenAiModel {
  id: string;
  object: "model";
  /** Unix seconds. */
  created: number;
  owned_by: string;
  /** Most tokens of prompt and output together; not in OpenAI's shape, but what every client asks next. */
  context_length: number;
  /** What may be asked of it: `chat`, `tools`, `embeddings` and so on; unknown ones of a newer node are left out. */
  capabilities: string[];
  /** As the weights' file names it, such as `Q4_1`; null when unknown. */
  quantization: string | null;
  license: string | null;
}

export function openAiModel(model: Model): OpenAiModel {
  return {
    id: model.id,
    object: "model",
    created: model.createdAt === undefined ? 0 : Math.floor(timestampMs(model.createdAt) / 1000),
    owned_by: model.ownedBy || "sluice",
    context_length: model.contextLength,
    capabilities: model.capabilities.flatMap((capability) => {
      const name = capability === Capability.UNSPECIFIED ? undefined : Capability[capability];
      return name === undefined ? [] : [name.toLowerCase()];
    }),
    quantization: model.quantization || null,
    license: model.license || null,
  };
}
