// GET /healthz: the worker lives. GET /readyz: a request would be answered.
import { Capability, type Model, ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import type { EdgeContext } from "../context.ts";
import { ApiError } from "../errors.ts";

/** A probe waits no longer. */
const TIMEOUT_MS = 2000;

const STATES: Readonly<Record<ModelState, string>> = {
  [ModelState.UNSPECIFIED]: "unknown",
  [ModelState.LOADING]: "loading",
  [ModelState.READY]: "ready",
  [ModelState.UNAVAILABLE]: "unavailable",
};

export function healthz(c: EdgeContext): Response {
  return c.json({ status: "ok" });
}

/** 200 when a model that writes text is ready, 503 otherwise; open to all, so it names nothing but models and states. */
export async function readyz(c: EdgeContext): Promise<Response> {
  c.header("cache-control", "no-store");
  try {
    const { signal } = c.req.raw;
    const { models } = await c.var.services().nodes.listModels({ signal, timeoutMs: TIMEOUT_MS });
    const counted = models.some(generates) ? models.filter(generates) : models;
    const ready = counted.some(({ state }) => state === ModelState.READY);
    const states = models.map(({ id, state }) => ({ id, state: STATES[state] }));
    return c.json({ status: ready ? "ready" : "unavailable", models: states }, ready ? 200 : 503);
  } catch (thrown) {
    c.var.access.fail(ApiError.from(thrown));
    return c.json({ status: "unavailable", models: [] }, 503);
  }
}

/** As the node counts: a model for embeddings beside one that generates does not make up for it. */
function generates({ capabilities }: Model): boolean {
  const makesOther = (one: Capability): boolean => one === Capability.EMBEDDINGS || one === Capability.RERANK;
  return capabilities.length === 0 || !capabilities.every(makesOther);
}
