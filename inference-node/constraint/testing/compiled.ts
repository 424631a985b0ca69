// Compiles constraints as the node does, for tests.
import { NodeError } from "../../node-error.ts";
import { compileConstraint } from "../compile.ts";

export function schemaGrammar(schema: unknown): string {
  return textGrammar("jsonSchema", JSON.stringify(schema));
}

export function textGrammar(kind: "jsonSchema" | "regex" | "grammar", source: string): string {
  const constraint =
    kind === "jsonSchema"
      ? {
          case: kind,
          value: { $typeName: "sluice.inference.v1.JsonSchema", name: "", schemaJson: source, strict: false } as const,
        }
      : { case: kind, value: source };
  return compileConstraint(constraint) ?? "";
}

/** What compiling throws. */
export function refusalOf(compile: () => unknown): NodeError {
  try {
    compile();
  } catch (thrown) {
    if (thrown instanceof NodeError) return thrown;
    throw thrown;
  }
  throw new Error("accepted");
}

/** Milliseconds of processor time, which other processes do not lengthen. */
export function processorMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
