// POST /v1/embeddings: OpenAI's vectors of texts and token ids.
import { respondComputed } from "../computed.ts";
import type { EdgeContext } from "../context.ts";
import { readEmbeddings } from "../wire/openai-embeddings.ts";

export function embeddings(c: EdgeContext): Promise<Response> {
  return respondComputed(c, readEmbeddings, c.var.services().nodes.embed);
}
