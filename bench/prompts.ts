// Makes prompts of a wanted length that no cache has seen and that a model answers at length.

/** Common words: with a space in front each is one token in the vocabularies of today's models. */
const words = (
  "time year people way day man thing woman life child world school state family student group country problem hand part " +
  "place case week company system program question work government number night point home water room mother area money " +
  "story fact month lot right study book eye job word business issue side kind head house service friend father power hour " +
  "game line end member law car city community name president team minute idea body information back parent face others " +
  "level office door health person art war history party result change morning reason research girl guy moment air teacher " +
  "force education food light road river table window garden paper music north south east west green blue white black"
).split(" ");

const request = "\n\nWrite a very long numbered list of one thousand facts about these words. Do not stop early.";

/** 32 bits of state: enough to tell prompts apart, and the same seed gives the same prompts again (mulberry32). */
function randomSource(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

export interface PromptOptions {
  /** Different runs need different seeds, else the second finds the first one's prompts in the prefix cache. */
  readonly seed: number;
  /** Words of each prompt apart from the closing request; at least 1. */
  readonly wordCount: number;
  /** Words at the front that all prompts of one group have in common. */
  readonly sharedWords: number;
}

/** The nth prompt of a seed; prompts differ from the first word after their group's shared ones, mostly. */
export function makePrompt(options: PromptOptions, ordinal: number, group = 0): string {
  const shared = randomSource(Math.imul(group + 1, 0x85ebca6b) ^ options.seed ^ 0x5ead);
  const own = randomSource(Math.imul(ordinal + 1, 0x9e3779b1) ^ options.seed);
  const chosen: string[] = [];
  for (let index = 0; index < options.wordCount; index++) {
    const next = index < options.sharedWords ? shared : own;
    chosen.push(words[next() % words.length] ?? "word");
  }
  return chosen.join(" ") + request;
}

/** What a chat goes on with: a question of about 12 tokens, another one for each ordinal. */
export function makeQuestion(seed: number, ordinal: number): string {
  const source = randomSource(Math.imul(ordinal + 1, 0xc2b2ae35) ^ seed);
  const chosen = Array.from({ length: 2 }, () => words[source() % words.length] ?? "word");
  return `And what about ${chosen.join(" or ")}? A list again.`;
}

/** The word count at which a prompt has `promptTokens` tokens, given that one of `probeWords` words had `probeTokens`. */
export function wordsForTokens(promptTokens: number, probeWords: number, probeTokens: number): number {
  return Math.max(1, probeWords + promptTokens - probeTokens);
}
