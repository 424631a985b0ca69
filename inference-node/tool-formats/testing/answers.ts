// Real templates, and answers read through their formats however the text is cut.
import { readFileSync } from "node:fs";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Thinking, ThinkingSchema } from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { ChatPromptSchema, Role } from "../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { ChatFormat, type RenderedChat } from "../chat-format.ts";
import type { OutputPiece } from "../output.ts";

/** What the vocabularies of these families have as control tokens. */
const controlTokens = [
  ..."<｜User｜> <｜Assistant｜> <｜tool▁calls▁begin｜> <｜tool▁call▁begin｜> <｜tool▁sep｜> <｜tool▁call▁end｜>".split(
    " ",
  ),
  ..."<｜tool▁calls▁end｜> <｜tool▁outputs▁begin｜> <｜tool▁output▁begin｜> <｜end▁of▁sentence｜> ｜DSML｜".split(" "),
  ..."<|im_start|> <|im_end|> [INST] [/INST] [TOOL_CALLS] [ARGS] [CALL_ID] [THINK] [/THINK] [TOOL_RESULTS]".split(" "),
  ..."<|start|> <|channel|> <|message|> <|end|> <|call|> <|return|> <|constrain|> <|python_tag|> <|eot_id|>".split(" "),
  ..."<|start_header_id|> <|end_header_id|> <s> </s>".split(" "),
];

/** The format of a template in `templates/`. */
export function formatOf(name: string): ChatFormat {
  const template = readFileSync(new URL(`./templates/${name}.jinja`, import.meta.url), "utf8");
  return new ChatFormat({ template, bosToken: "<s>", eosToken: "</s>", controlTokens });
}

export const weatherTool = {
  name: "get_weather",
  description: "The weather in a city.",
  parametersJson: JSON.stringify({
    type: "object",
    properties: {
      city: { type: "string", description: "Its name." },
      days: { type: "integer", description: "How many." },
      options: { type: "object", description: "More.", properties: { units: { type: "string" } } },
    },
    required: ["city"],
  }),
};
export const clockTool = { name: "get_time", description: "The time.", parametersJson: "" };

export type ChatInit = Exclude<MessageInitShape<typeof ChatPromptSchema>, { $typeName: string }>;

/** A chat with both tools on offer, rendered. */
export function rendered(format: ChatFormat, init: ChatInit = {}, thinking?: Thinking): RenderedChat {
  const messages = [{ role: Role.USER, content: "Which?" }];
  return format.render(create(ChatPromptSchema, { messages, tools: [weatherTool, clockTool], ...init }), thinking);
}

export const thinking = (init: MessageInitShape<typeof ThinkingSchema>): Thinking => create(ThinkingSchema, init);

export interface Answer {
  text: string;
  reasoning: string;
  calls: { name: string; arguments: string }[];
  ids: string[];
}

/** An answer's pieces put together. Throws for what a client could not put together. */
export function folded(pieces: readonly OutputPiece[]): Answer {
  const answer: Answer = { text: "", reasoning: "", calls: [], ids: [] };
  for (const piece of pieces) {
    if (piece.type !== "toolCall") {
      answer[piece.type] += piece.text;
      continue;
    }
    const call = answer.calls[piece.index];
    if (call === undefined) {
      if (piece.index !== answer.calls.length || piece.name === undefined || piece.id === undefined) {
        throw new Error("a call began without index, id and name");
      }
      answer.calls.push({ name: piece.name, arguments: piece.arguments });
      answer.ids.push(piece.id);
    } else {
      if (piece.name !== undefined || piece.id !== undefined) throw new Error("a call's id and name came twice");
      call.arguments += piece.arguments;
    }
  }
  return answer;
}

/** Reads a text that comes in these pieces. */
export function read(format: ChatFormat, chat: RenderedChat, texts: readonly string[]): Answer {
  let ids = 0;
  const parser = format.parser(chat, (length) => String(++ids).padStart(length, "0"));
  return folded([...texts.flatMap((text) => parser.push(text)), ...parser.end()]);
}

/** Reads a text whole, cut at every place, and character by character: always the same must come of it. */
export function readEveryWay(format: ChatFormat, chat: RenderedChat, text: string): Answer {
  const whole = read(format, chat, [text]);
  const ways = [[...text], ...Array.from(text, (_, at) => [text.slice(0, at), text.slice(at)])];
  for (const way of ways) {
    const answer = read(format, chat, way);
    if (JSON.stringify(answer) !== JSON.stringify(whole)) {
      throw new Error(
        `cut as ${JSON.stringify(way.slice(0, 2))}: ${JSON.stringify(answer)}, not ${JSON.stringify(whole)}`,
      );
    }
  }
  return whole;
}
