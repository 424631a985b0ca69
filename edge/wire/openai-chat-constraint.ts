// What the output of a chat completion is held to: OpenAI's response_format, and vLLM's and llama.cpp's ways to say it.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ConstraintSchema } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { ApiError } from "../errors.ts";
import type { ChatBody } from "./openai-chat-schema.ts";

export interface ChatConstraint {
  /** Where the client says it, such as `response_format.json_schema.schema`. */
  readonly param: string;
  readonly constraint: MessageInitShape<typeof ConstraintSchema>;
}

/** The contract's fields that hold the text of a constraint; what the node says of a part of it follows them. */
const TEXT_FIELDS = ["constraint.json_schema.schema_json", "constraint.regex", "constraint.grammar"];

/**
 * The one constraint of a body; undefined when it has none.
 *
 * @throws ApiError `invalid_request` when there is more than one, or text that must be JSON is not.
 */
export function constraintOf(body: ChatBody): ChatConstraint | undefined {
  const [first, second] = constraintsOf(body);
  if (first === undefined || second === undefined) return first;
  const [one, other] = [parameterOf(first.param), parameterOf(second.param)];
  const both = one === other ? `\`${one}\` says twice` : `\`${one}\` and \`${other}\` both say`;
  throw new ApiError("invalid_request", `${both} what the output must be; one may.`, { param: other });
}

/** The client's name of what the node calls by a path within the constraint. */
export function constraintParamOf(contractPath: string, { param }: ChatConstraint): string {
  const field = TEXT_FIELDS.find((name) => contractPath.startsWith(name));
  // A choice is held to as an expression: the position in it says nothing to the client.
  if (field === undefined || param.endsWith("choice")) return parameterOf(param);
  return param + contractPath.slice(field.length);
}

function constraintsOf(body: ChatBody): ChatConstraint[] {
  const { structured_outputs: structured, response_format: format } = body;
  const found: (ChatConstraint | undefined)[] = [
    format === undefined ? undefined : formatConstraint(format),
    schemaConstraint("guided_json", body.guided_json),
    schemaConstraint("json_schema", body.json_schema),
    schemaConstraint("structured_outputs.json", structured?.json),
    ...(["guided_regex", "structured_outputs.regex"] as const).map((param) =>
      textConstraint(param, "regex", param === "guided_regex" ? body.guided_regex : structured?.regex),
    ),
    textConstraint("guided_grammar", "grammar", body.guided_grammar),
    textConstraint("grammar", "grammar", body.grammar),
    textConstraint("structured_outputs.grammar", "grammar", structured?.grammar),
    choiceConstraint("guided_choice", body.guided_choice),
    choiceConstraint("structured_outputs.choice", structured?.choice),
    structured?.json_object === true ? anyObject("structured_outputs.json_object") : undefined,
  ];
  return found.filter((one) => one !== undefined);
}

function formatConstraint(format: NonNullable<ChatBody["response_format"]>): ChatConstraint | undefined {
  switch (format.type) {
    case "text":
      return undefined;
    case "json_object":
      // llama.cpp's and Together's way to name a schema.
      return schemaConstraint("response_format.schema", format.schema) ?? anyObject("response_format");
    case "json_schema": {
      const { name, schema, strict } = format.json_schema;
      const value = {
        name,
        schemaJson: JSON.stringify(schema ?? {}),
        strict: strict ?? false,
      };
      return { param: "response_format.json_schema.schema", constraint: { kind: { case: "jsonSchema", value } } };
    }
  }
}

function anyObject(param: string): ChatConstraint {
  return { param, constraint: { kind: { case: "jsonObject", value: {} } } };
}

/** A schema, or the JSON text of one. */
function schemaConstraint(param: string, schema: unknown): ChatConstraint | undefined {
  if (schema === undefined || schema === null) return undefined;
  const schemaJson = typeof schema === "string" ? schema : JSON.stringify(schema);
  return { param, constraint: { kind: { case: "jsonSchema", value: { schemaJson } } } };
}

function textConstraint(
  param: string,
  kind: "regex" | "grammar",
  text: string | null | undefined,
): ChatConstraint | undefined {
  return typeof text === "string" ? { param, constraint: { kind: { case: kind, value: text } } } : undefined;
}

function choiceConstraint(param: string, choices: readonly string[] | null | undefined): ChatConstraint | undefined {
  if (choices === undefined || choices === null) return undefined;
  const value = choices.map((choice) => choice.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|");
  return { param, constraint: { kind: { case: "regex", value } } };
}

function parameterOf(param: string): string {
  return param.split(".", 1)[0] as string;
}
