// OpenAI's error shape: all four keys, always.
import { type ApiError, ERRORS } from "../errors.ts";

export interface OpenAiErrorBody {
  error: { message: string; type: string; param: string | null; code: string | null };
}

/** The body of a refusal, and the data of a stream's one error event. */
export function openAiErrorBody(error: ApiError): OpenAiErrorBody {
  const { type, openaiCode } = ERRORS[error.code];
  const unknownModel = error.code === "not_found" && error.param === "model";
  return {
    error: {
      message: error.message,
      type,
      param: error.param ?? null,
      code: unknownModel ? "model_not_found" : openaiCode,
    },
  };
}
