// Turns an input into the ids that an embedding model sees, exactly as many as it is billed for.
import type { LlamaModel } from "node-llama-cpp";
import { Code, NodeError } from "../../node-error.ts";
import { reachEmbeddingModel } from "./embedding-addon.ts";
import type { EmbeddingInput } from "./embedding-protocol.ts";
import type { PairEncoder } from "./pair-tokenizer.ts";
import { WordPiece, wordPieceVocabulary } from "./wordpiece.ts";

export interface EmbeddingTokenizerOptions {
  readonly model: LlamaModel;
  /** In the GGUF's spelling. */
  readonly vocabulary: readonly string[];
  /** Whether the file says that the model knows small letters only; undefined when it does not say. */
  readonly lowercase: boolean | undefined;
  /** Most ids of an input, with what the model puts around it. */
  readonly inputTokensMax: number;
}

/** No model takes so long a text; it bounds what is read of one whose tokens are few, such as a million spaces. */
const textUnitsMax = 1_000_000;
const countedLimits = 4;

/** Ids of a text: all, or at least `max` from its beginning. */
type Encode = (text: string, max: number, specialTokens: boolean) => number[];

/** WordPiece for a model of BERT's kind, llama.cpp's own tokenizer for any other. */
export class EmbeddingTokenizer implements PairEncoder {
  readonly inputTokensMax: number;
  readonly #vocabularySize: number;
  readonly #encode: Encode;
  readonly #begin: number | null;
  readonly #end: number | null;

  constructor({ model, vocabulary, lowercase, inputTokensMax }: EmbeddingTokenizerOptions) {
    this.#vocabularySize = vocabulary.length;
    this.inputTokensMax = inputTokensMax;
    if (model.vocabularyType === "wpm") {
      const wordPiece = new WordPiece(wordPieceVocabulary(vocabulary, lowercase));
      this.#encode = (text, max, specialTokens) => wordPiece.encode(text, { max, specialTokens });
      [this.#begin, this.#end] = [wordPiece.begin, wordPiece.end];
      return;
    }
    const addon = reachEmbeddingModel(model);
    const longestTokenBytes = Math.max(1, ...vocabulary.map((token) => Buffer.byteLength(token)));
    this.#encode = (text, max, specialTokens) => {
      // Twice what so many tokens can hold: where the text is cut changes none of them.
      return [...addon.tokenize(text.slice(0, 2 * max * longestTokenBytes), specialTokens)];
    };
    this.#begin = addon.shouldPrependBosToken() ? model.tokens.bos : null;
    this.#end = addon.shouldAppendEosToken() ? model.tokens.eos : null;
  }

  /** Ids of a text, without what the model puts around it. Throws OUT_OF_RANGE for one that is far too long. */
  tokenize(text: string, specialTokens: boolean): number[] {
    const ids = this.read(text, this.countedMax, "text", specialTokens);
    if (ids.length > this.countedMax) throw this.#tooLong(ids.length, "text", true);
    return ids;
  }

  /**
   * Ids of an input with what the model puts around it. Throws OUT_OF_RANGE when they are more than the model takes and
   * may not be cut, INVALID_ARGUMENT for an id outside the vocabulary.
   */
  readInput({ content, truncate, param }: EmbeddingInput): number[] {
    const room = this.inputTokensMax - Number(this.#begin !== null) - Number(this.#end !== null);
    const isText = typeof content === "string";
    const ids = isText ? this.read(content, truncate ? room : this.countedMax, param) : this.#checked(content, param);
    const whole = this.#around(ids);
    if (whole.length <= this.inputTokensMax) return whole;
    if (truncate) return this.#around(ids.slice(0, ids[0] === this.#begin ? room + 1 : room));
    throw this.#tooLong(whole.length, param, isText && ids.length >= this.countedMax);
  }

  /** Throws INVALID_ARGUMENT for an id outside the vocabulary, which would abort the process. */
  requireIds(ids: ArrayLike<number> & Iterable<number>, param: string): void {
    for (const id of ids) {
      if (id < this.#vocabularySize) continue;
      const message = `Token id ${id} is outside the vocabulary of ${this.#vocabularySize} tokens.`;
      throw new NodeError(Code.INVALID_ARGUMENT, message, { param });
    }
  }

  /** Tokens are counted up to so many, so that most callers learn by how much they are over the limit. */
  get countedMax(): number {
    return countedLimits * this.inputTokensMax;
  }

  /** Ids of a text of the model's own, its special tokens read as such. */
  readOwn(text: string): number[] {
    return this.read(text, this.countedMax, "", true);
  }

  /** Ids of a text; may end soon after `max`. Throws OUT_OF_RANGE for one that is far too long. */
  read(text: string, max: number, param: string, specialTokens = false): number[] {
    if (text.length > textUnitsMax) {
      throw new NodeError(
        Code.OUT_OF_RANGE,
        `${param} has ${text.length} characters, but an input may have at most ${textUnitsMax}.`,
        { param, reason: "CONTEXT_LENGTH_EXCEEDED" },
      );
    }
    return this.#encode(text, max, specialTokens);
  }

  #checked(ids: readonly number[], param: string): readonly number[] {
    this.requireIds(ids, param);
    return ids;
  }

  /** Ids that a caller sends may have them already. */
  #around(ids: readonly number[]): number[] {
    const [begin, end] = [this.#begin, this.#end];
    return [
      ...(begin === null || ids[0] === begin ? [] : [begin]),
      ...ids,
      ...(end === null || (ids.length > 0 && ids.at(-1) === end) ? [] : [end]),
    ];
  }

  #tooLong(tokens: number, param: string, atLeast: boolean): NodeError {
    const counted = atLeast ? "at least " : "";
    return new NodeError(
      Code.OUT_OF_RANGE,
      `${param} has ${counted}${tokens} tokens, but the model takes at most ${this.inputTokensMax}.`,
      {
        param,
        reason: "CONTEXT_LENGTH_EXCEEDED",
        metadata: {
          context_length: String(this.inputTokensMax),
          prompt_tokens: String(tokens),
          max_tokens: "0",
          ...(atLeast ? { counted: "at_least" } : {}),
        },
      },
    );
  }
}
