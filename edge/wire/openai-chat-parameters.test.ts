// The table of parameters is whole, and names what the node blames as the client would.
import { describe, expect, test } from "vitest";
import { CHAT_PARAMETERS, chatParamOf } from "./openai-chat-parameters.ts";
import { chatRequestSchema } from "./openai-chat-schema.ts";

/** The parameters of OpenAI's chat API, as its own SDK lists them. */
const OPENAI =
  "messages model audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens " +
  "metadata modalities moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key " +
  "prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier " +
  "stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity web_search_options";

describe("the table of parameters", () => {
  test("decides on every parameter of OpenAI's API", () => {
    expect(OPENAI.split(" ").filter((name) => !(name in CHAT_PARAMETERS))).toEqual([]);
  });

  test("honours exactly what the schema checks", () => {
    const honoured = Object.keys(CHAT_PARAMETERS).filter((name) => CHAT_PARAMETERS[name]?.verdict === "honoured");
    expect(honoured.toSorted()).toEqual(Object.keys(chatRequestSchema.shape).toSorted());
  });
});

describe("a field that the node blames", () => {
  test.each([
    ["model", [], "model"],
    ["prompt", [], "messages"],
    ["prompt.chat", [], "messages"],
    ["prompt.chat.messages[2].content", [], "messages[2].content"],
    ["prompt.chat.messages[2].tool_calls[0].name", [], "messages[2].tool_calls[0].function.name"],
    ["prompt.chat.messages[1].reasoning", [], "messages[1].reasoning_content"],
    ["prompt.chat.continue_final_message", [], "messages"],
    ["prompt.chat.tools", [], "tools"],
    ["prompt.chat.tools[1].parameters_json", [], "tools[1].function.parameters"],
    ["prompt.chat.tools[0].parameters_json.properties.x.not", [], "tools[0].function.parameters.properties.x.not"],
    ['prompt.chat.tools[0].parameters_json["a b"]', [], 'tools[0].function.parameters["a b"]'],
    ["prompt.chat.tools[0].name", [], "tools[0].function.name"],
    ["prompt.chat.tool_choice.mode", [], "tool_choice"],
    ["sampling.logit_bias[3].token_id", [], "logit_bias"],
    ["stopping.stop_strings[0]", [], "stop"],
    ["stopping.max_tokens", ["max_tokens"], "max_tokens"],
    ["stopping.max_tokens", ["max_completion_tokens"], "max_completion_tokens"],
    ["constraint.json_schema", [], "response_format"],
    ["thinking", ["reasoning_effort"], "reasoning_effort"],
    ["thinking", ["thinking"], "thinking"],
    ["logprobs", [], "logprobs"],
    ["logprobs.top", [], "top_logprobs"],
    ["choice_count", [], "n"],
    ["best_of", [], undefined],
    ["promptless", [], undefined],
  ])("%s is named as the client knows it (%j)", (path, given, name) => {
    expect(chatParamOf(path, new Set(given))).toBe(name);
  });
});
