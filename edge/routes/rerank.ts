// POST /v1/rerank: documents in the order of their relevance to a query, in Jina's dialect.
import { respondComputed } from "../computed.ts";
import type { EdgeContext } from "../context.ts";
import { readRerank } from "../wire/jina-rerank.ts";

export function rerank(c: EdgeContext): Promise<Response> {
  return respondComputed(c, readRerank, c.var.services().nodes.rerank);
}
