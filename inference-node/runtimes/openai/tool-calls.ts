// Puts an engine's pieces of tool calls in order: stable indexes, one id and one name a call, arguments as text.
import { randomBytes } from "node:crypto";
import type { ToolCallDelta } from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { malformed } from "./errors.ts";
import { countField, field, stringField } from "./json.ts";

interface OpenCall {
  readonly index: number;
  /** As the engine counts it. */
  readonly upstreamIndex: number | undefined;
  id: string;
  named: boolean;
  /** Arguments that came before the name. */
  held: string;
}

const callsMax = 1_024;
const heldCharsMax = 1_048_576;

/** The calls of one answer. */
export class ToolCalls {
  readonly #calls: OpenCall[] = [];

  /** Whether any call was begun. */
  get any(): boolean {
    return this.#calls.some(({ named }) => named);
  }

  /** The contract's pieces for one entry of `delta.tool_calls`. Throws INTERNAL for a call that never says its name. */
  read(entry: unknown): ToolCallDelta[] {
    const call = this.#callOf(entry);
    const fn = field(entry, "function");
    const name = stringField(fn, "name") ?? "";
    const text = argumentsOf(field(fn, "arguments"));
    if (call.named) return text === "" ? [] : [piece(call.index, "", "", text)];
    if (name === "") {
      call.held += text;
      if (call.held.length > heldCharsMax) throw malformed("a tool call has arguments and no name");
      return [];
    }
    call.named = true;
    // Engines that send no id give none to answer by, either.
    call.id ||= `call_${randomBytes(12).toString("hex")}`;
    return [piece(call.index, call.id, name, call.held + text)];
  }

  /**
   * Some engines give every call of an answer the index 0, some give none: an id that is another's begins a call, and so
   * does a name where the call has one already and this one's id is new or missing.
   */
  #callOf(entry: unknown): OpenCall {
    const upstreamIndex = countField(entry, "index");
    const id = stringField(entry, "id") ?? "";
    const name = stringField(field(entry, "function"), "name") ?? "";
    const same =
      upstreamIndex === undefined
        ? this.#calls.at(-1)
        : this.#calls.findLast((one) => one.upstreamIndex === upstreamIndex);
    const byId = id === "" ? undefined : this.#calls.find((one) => one.id === id);
    if (byId !== undefined) return byId;
    const isNew = same === undefined || startsAnother(same, id, name, upstreamIndex === undefined);
    if (!isNew) {
      if (id !== "" && !same.named) same.id = id;
      return same;
    }
    if (this.#calls.length === callsMax) throw malformed("it has too many tool calls");
    const call = { index: this.#calls.length, upstreamIndex, id, named: false, held: "" };
    this.#calls.push(call);
    return call;
  }
}

function startsAnother(same: OpenCall, id: string, name: string, unindexed: boolean): boolean {
  if (!same.named) return id !== "" && same.id !== "" && id !== same.id;
  // An id that changes with every piece of one call comes without a name; a new call has both.
  return name !== "" && (unindexed || (id !== "" && id !== same.id));
}

function argumentsOf(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "" : JSON.stringify(value);
}

function piece(index: number, id: string, name: string, text: string): ToolCallDelta {
  return { $typeName: "sluice.inference.v1.ToolCallDelta", index, id, name, arguments: text };
}
