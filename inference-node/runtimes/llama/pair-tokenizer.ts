// Puts a query and a document into the one input that a reranker sees, as it was trained to see them.
import { Code, NodeError } from "../../node-error.ts";

/** What it needs of a tokenizer. */
export interface PairEncoder {
  /** Most ids of an input, with what the model puts around it. */
  readonly inputTokensMax: number;
  /** Ids of a caller's text, none of them special; may end soon after `max`. Throws OUT_OF_RANGE for one that is far too long. */
  read(text: string, max: number, param: string): number[];
  /** Ids of a text of the model's own, its special tokens read as such. */
  readOwn(text: string): number[];
  /** Most ids that are counted in something too long. */
  readonly countedMax: number;
}

/** How a model wants the two. */
export type PairForm =
  /** The ids before the query, between the two, and after the document. */
  | { readonly begin: readonly number[]; readonly between: readonly number[]; readonly end: readonly number[] }
  /** All of it as a text, with `{query}` and, on a later line, `{document}`. */
  | { readonly template: string };

/** A document of a request. */
export interface PairDocument {
  readonly text: string;
  /** Cut to what the model takes instead of refused. */
  readonly truncate: boolean;
  /** The request's field that holds it, for refusals. */
  readonly param: string;
}

/** The query and all that stands before the document's own line: read once a request, then sent with each document. */
export type PairHead = readonly number[];

const parts = /^([\s\S]*)\{query\}([\s\S]*)\{document\}([\s\S]*)$/;

/** Reads pairs. Throws an Error, a sentence for the operator, for a template that it can't follow. */
export class PairTokenizer {
  readonly #encoder: PairEncoder;
  readonly #before: readonly number[];
  /** Around the query and around the document, on their own lines: tokenised with them, since tokens may span both. */
  readonly #queryLine: readonly [string, string];
  readonly #documentPrefix: string;
  readonly #between: readonly number[];
  readonly #after: readonly number[];

  constructor(encoder: PairEncoder, form: PairForm) {
    this.#encoder = encoder;
    if (!("template" in form)) {
      [this.#before, this.#between, this.#after] = [form.begin, form.between, form.end];
      this.#queryLine = ["", ""];
      this.#documentPrefix = "";
      return;
    }
    const [, before = "", between = "", after = ""] = parts.exec(form.template) ?? [];
    // Text that is tokenised with what a caller sent is read without special tokens: only whole lines may hold some.
    const [beforeLines, queryPrefix] = splitAfterLastLine(before);
    const [queryRest, documentPrefix] = splitAfterLastLine(between);
    const lineEnd = queryRest.indexOf("\n") + 1;
    const querySuffix = queryRest.slice(0, lineEnd);
    const besides = [queryPrefix, querySuffix, documentPrefix];
    if (!parts.test(form.template) || lineEnd === 0 || besides.some((text) => hasSpecialTokens(encoder, text))) {
      throw new Error(
        "The model's template for reranking is not one that Sluice can follow: it needs {query}, and {document} on a later line, and no special tokens before them on theirs.",
      );
    }
    this.#before = encoder.readOwn(beforeLines);
    this.#queryLine = [queryPrefix, querySuffix];
    this.#between = encoder.readOwn(queryRest.slice(lineEnd));
    this.#documentPrefix = documentPrefix;
    this.#after = encoder.readOwn(after);
  }

  /** Throws OUT_OF_RANGE for a query that leaves no room for a document, which is never cut. */
  readQuery(query: string): number[] {
    const { countedMax, inputTokensMax } = this.#encoder;
    const [prefix, suffix] = this.#queryLine;
    const ids = this.#encoder.read(prefix + query + suffix, countedMax, "query");
    const head = [...this.#before, ...ids, ...this.#between];
    const tokens =
      head.length + this.#encoder.read(this.#documentPrefix, countedMax, "query").length + this.#after.length;
    if (tokens < inputTokensMax) return head;
    const message = `query has so many tokens (${tokens} with what stands around it) that none is left for a document: the model takes at most ${inputTokensMax}.`;
    throw this.#tooLong(message, tokens, "query", ids.length >= countedMax);
  }

  /** All that the model sees. Throws OUT_OF_RANGE when it is more than the model takes and may not be cut. */
  readDocument(head: PairHead, { text, truncate, param }: PairDocument): number[] {
    const { countedMax, inputTokensMax } = this.#encoder;
    const room = inputTokensMax - head.length - this.#after.length;
    const ids = this.#encoder.read(this.#documentPrefix + text, truncate ? room : countedMax, param);
    if (ids.length <= room || truncate) return [...head, ...ids.slice(0, room), ...this.#after];
    const atLeast = ids.length >= countedMax;
    const tokens = head.length + ids.length + this.#after.length;
    const message = `${param} has, with the query, ${atLeast ? "at least " : ""}${tokens} tokens, but the model takes at most ${inputTokensMax}.`;
    throw this.#tooLong(message, tokens, param, atLeast);
  }

  #tooLong(message: string, tokens: number, param: string, atLeast: boolean): NodeError {
    return new NodeError(Code.OUT_OF_RANGE, message, {
      param,
      reason: "CONTEXT_LENGTH_EXCEEDED",
      metadata: {
        context_length: String(this.#encoder.inputTokensMax),
        prompt_tokens: String(tokens),
        max_tokens: "0",
        ...(atLeast ? { counted: "at_least" } : {}),
      },
    });
  }
}

function hasSpecialTokens(encoder: PairEncoder, text: string): boolean {
  return encoder.readOwn(text).join() !== encoder.read(text, encoder.countedMax, "").join();
}

/** The whole lines of a text, and what follows them. A token never spans a line's end and what comes after it. */
function splitAfterLastLine(text: string): [lines: string, rest: string] {
  const at = text.lastIndexOf("\n") + 1;
  return [text.slice(0, at), text.slice(at)];
}
