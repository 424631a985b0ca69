// When a request's constraint begins to hold: at once, or behind the thought of a model that reasons.
import { type GenerateRequest, Thinking_Mode } from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { compileConstraint } from "../../constraint/compile.ts";
import { literal } from "../../constraint/grammar-builder.ts";
import type { GrammarOptions } from "./protocol.ts";

/** How a model marks its thought, and whether the prompt ended inside one. */
export interface Thought {
  readonly opened: boolean;
  readonly open: string;
  readonly close: string;
}

/**
 * The grammar of a request's output; undefined when it has no constraint. Throws INVALID_ARGUMENT, with the path, for a
 * constraint that can't be held.
 */
export function grammarOptionsOf(
  { constraint, thinking }: GenerateRequest,
  thought: Thought | undefined,
): GrammarOptions | undefined {
  const gbnf = constraint && compileConstraint(constraint.kind);
  if (gbnf === undefined || thought === undefined) return gbnf === undefined ? undefined : { gbnf };
  if (thought.opened) return { gbnf, after: thought.close };
  if (thinking?.mode === Thinking_Mode.DISABLED) return { gbnf };
  const opening = { text: thought.open, gbnf: withAlternative(gbnf, thought.open) };
  return { gbnf, after: thought.close, opening };
}

function withAlternative(gbnf: string, text: string): string {
  return gbnf.replace(/^root ::= /, () => `root ::= ${literal(text)} | `);
}
