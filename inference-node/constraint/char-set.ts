// Sets of Unicode code points as sorted, disjoint, inclusive ranges.

export type CharRange = readonly [first: number, last: number];
export type CharSet = readonly CharRange[];

/** What can be generated at all: the engine takes U+0000 for the end of a token, and surrogates are no characters. */
export const anyChar: CharSet = [
  [0x1, 0xd7ff],
  [0xe000, 0x10ffff],
];

/** Sorts ranges and joins those that touch. */
export function charSet(ranges: Iterable<CharRange>): CharSet {
  const sorted = [...ranges].filter(([first, last]) => first <= last).sort((a, b) => a[0] - b[0]);
  const joined: [number, number][] = [];
  for (const [first, last] of sorted) {
    const previous = joined.at(-1);
    if (previous !== undefined && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last);
    else joined.push([first, last]);
  }
  return joined;
}

/** The set of a text's characters. */
export function charsOf(text: string): CharSet {
  return charSet(Array.from(text, (char) => [char.codePointAt(0) as number, char.codePointAt(0) as number] as const));
}

export function union(...sets: readonly CharSet[]): CharSet {
  return charSet(sets.flat());
}

export function intersection(a: CharSet, b: CharSet): CharSet {
  const common: CharRange[] = [];
  let j = 0;
  for (const [first, last] of a) {
    while (j < b.length && (b[j] as CharRange)[1] < first) j += 1;
    for (let k = j; k < b.length && (b[k] as CharRange)[0] <= last; k++) {
      const [otherFirst, otherLast] = b[k] as CharRange;
      common.push([Math.max(first, otherFirst), Math.min(last, otherLast)]);
    }
  }
  return charSet(common);
}

/** All that can be generated and is not in `set`. */
export function complement(set: CharSet): CharSet {
  const gaps: CharRange[] = [];
  let next = 0;
  for (const [first, last] of charSet(set)) {
    gaps.push([next, first - 1]);
    next = last + 1;
  }
  gaps.push([next, 0x10ffff]);
  return intersection(charSet(gaps), anyChar);
}

export function includes(set: CharSet, code: number): boolean {
  return set.some(([first, last]) => first <= code && code <= last);
}
