// Finds out how a model's reasoning is switched on and off: by what its template makes of the usual variables.
import { create } from "@bufbuild/protobuf";
import { ChatPromptSchema, Role } from "../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { NodeError } from "../../node-error.ts";
import { brokenOff, timedOut, unreachable } from "./http.ts";
import { type AskEngine, type CountedModel, countChat } from "./tokens.ts";

/** A variable of the chat template; "effort" when `reasoning_effort: none` turns it off; "always" when nothing does. */
export type ThinkingSwitch = "enable_thinking" | "thinking" | "effort" | "always";

export interface ProbedTemplate {
  /** Whether the engine counts a chat's tokens. */
  readonly counts: boolean;
  readonly thinking: ThinkingSwitch | undefined;
  /** Whether the template knows levels of effort. */
  readonly effort: boolean;
}

const passing: ReadonlySet<string> = new Set([unreachable, timedOut, brokenOff, "UPSTREAM_BUSY"]);
const greeting = create(ChatPromptSchema, { messages: [{ role: Role.USER, content: "Hello" }] });

/** Renders one chat with each switch on and off: a template that knows the switch makes another prompt of it. */
export async function probeTemplate(ask: AskEngine, model: CountedModel, signal: AbortSignal): Promise<ProbedTemplate> {
  const render = async (variables?: Record<string, unknown>): Promise<string | undefined> => {
    const rendered = await orUndefined(countChat(ask, model, greeting, signal, variables));
    return rendered && `${rendered.count}:${rendered.ids.join(" ")}`;
  };
  const tells = async (name: string, one: unknown, other: unknown): Promise<boolean> => {
    const [first, second] = [await render({ [name]: one }), await render({ [name]: other })];
    return first !== undefined && second !== undefined && first !== second;
  };
  if ((await render()) === undefined) return { counts: false, thinking: undefined, effort: false };
  const effort = await tells("reasoning_effort", "low", "medium");
  for (const name of ["enable_thinking", "thinking"] as const) {
    if (await tells(name, true, false)) return { counts: true, thinking: name, effort };
  }
  return { counts: true, thinking: effort ? "always" : undefined, effort };
}

/** What the engine refuses it does not have; that it can't be reached is another matter. */
async function orUndefined<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (thrown) {
    if (thrown instanceof NodeError && !isPassing(thrown)) return undefined;
    throw thrown;
  }
}

function isPassing({ reason }: NodeError): boolean {
  return passing.has(reason);
}
