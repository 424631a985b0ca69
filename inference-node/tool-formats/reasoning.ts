// How a model marks its reasoning, and the reading of a thought at the beginning of its output.
import { harmonyReasoning } from "./harmony.ts";
import type { Output } from "./output.ts";
import type { Read, TextReader } from "./text-reader.ts";

/** The texts around a thought. */
export interface ReasoningMarkers {
  readonly open: string;
  readonly close: string;
}

/** In the order in which a template is asked; the last pair is DeepSeek's, which most others took over. */
const known: readonly (ReasoningMarkers & { readonly sign?: string })[] = [
  { ...harmonyReasoning, sign: harmonyReasoning.open },
  { open: "[THINK]", close: "[/THINK]" },
  { open: "<seed:think>", close: "</seed:think>" },
  { open: "<|START_THINKING|>", close: "<|END_THINKING|>" },
  { open: "<|inner_prefix|>", close: "<|inner_suffix|>" },
  { open: "<|channel>thought\n", close: "<channel|>" },
  { open: "◁think▷", close: "◁/think▷" },
  { open: "<think>", close: "</think>" },
];

/** The markers that a template is written with; undefined for a model that does not reason. */
export function reasoningOf(template: string): ReasoningMarkers | undefined {
  return known.find(({ close, sign }) => template.includes(sign ?? close));
}

/** Whether a rendered prompt leaves the model inside a thought. */
export function opensReasoning(promptEnd: string, { open }: ReasoningMarkers): boolean {
  return promptEnd.trimEnd().endsWith(open.trimEnd());
}

/**
 * Reads the thought, if the output begins with one or goes on with one that the prompt opened, and nothing after it. A
 * control token that begins a call ends a thought that nothing closed.
 */
export function* readReasoning(
  reader: TextReader,
  out: Output,
  markers: ReasoningMarkers,
  opened: boolean,
  callControls: readonly string[],
): Read<void> {
  if (!opened) {
    reader.mark();
    yield* reader.skipSpace();
    if (!(yield* reader.skip(markers.open.trimEnd()))) {
      reader.rewind();
      return;
    }
    reader.release();
  }
  out.openReasoning();
  const open = markers.open.trimEnd();
  const stops = [markers.close, open, ...callControls];
  for (;;) {
    const next = yield* reader.next(stops);
    if (next === undefined) return;
    if ("text" in next) {
      out.reasoning(next.text);
      reader.advance(next.text.length);
      continue;
    }
    if (next.marker === open) {
      reader.advance(open.length);
      continue;
    }
    out.closeReasoning();
    if (next.marker === markers.close) {
      reader.advance(next.marker.length);
      yield* reader.skipSpace();
    }
    return;
  }
}
