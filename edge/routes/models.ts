// GET /v1/models and /v1/models/{id}: what the node serves.
import type { EdgeContext } from "../context.ts";
import { ApiError } from "../errors.ts";
import { openAiModel } from "../wire/openai-models.ts";

const TIMEOUT_MS = 5000;

export async function listModels(c: EdgeContext): Promise<Response> {
  return c.json({ object: "list", data: (await modelsOfNode(c)).map(openAiModel) });
}

/** An id may hold slashes, encoded or not. */
export async function retrieveModel(c: EdgeContext): Promise<Response> {
  const id = c.req.param("id") ?? "";
  const model = (await modelsOfNode(c)).find((one) => one.id === id);
  if (model === undefined) throw new ApiError("not_found", "There is no model of this id.", { param: "model" });
  return c.json(openAiModel(model));
}

async function modelsOfNode(c: EdgeContext) {
  const { signal } = c.req.raw;
  const { models } = await c.var.services().nodes.listModels({ signal, timeoutMs: TIMEOUT_MS });
  return models;
}
