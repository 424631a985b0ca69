// Finds the word that a mistyped one was meant to be.

/** The candidate within two typing errors of `word`, or that `word` begins; undefined when none is near. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  if (word === "" || word.length > 64) return undefined;
  let best: { readonly candidate: string; readonly distance: number } | undefined;
  for (const candidate of candidates) {
    const distance = candidate.startsWith(word) ? 0 : editDistance(word, candidate);
    const bound = Math.min(2, Math.floor(candidate.length / 2));
    if (distance <= bound && distance < (best?.distance ?? Number.POSITIVE_INFINITY)) best = { candidate, distance };
  }
  return best?.candidate;
}

/** Levenshtein distance, one row at a time. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
