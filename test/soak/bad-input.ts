// Requests that must be refused, each wrong in one way.
import type { Random } from "./random.ts";
import type { RequestPlan } from "./traffic.ts";

type Wrong = { readonly body: Record<string, unknown> | string; readonly key?: string };

const messages = [{ role: "user", content: "Hello." }];

/** Names are part of the kind that a failure is reported under. */
const wrongs: Readonly<Record<string, Wrong>> = {
  unknown_model: { body: { model: "no-such-model", messages } },
  no_messages: { body: { messages: [] } },
  no_json: { body: '{"model": "x", "messages": [' },
  wrong_key: { body: { messages }, key: "sk-sluice-wrong" },
  too_hot: { body: { messages, temperature: 5 } },
  text_for_number: { body: { messages, max_tokens: "many" } },
  too_many_choices: { body: { messages, n: 10_000 } },
  too_many_stops: { body: { messages, stop: Array.from({ length: 17 }, (_, index) => `stop ${index}`) } },
  token_out_of_range: { body: { messages, logit_bias: { "4000000000": 1 } } },
  longer_than_context: { body: { messages: [{ role: "user", content: "sea ".repeat(9_000) }], max_tokens: 4 } },
  more_than_context: { body: { messages, max_tokens: 4_000_000 } },
  unknown_tool: {
    body: {
      messages,
      tools: [{ type: "function", function: { name: "a", parameters: {} } }],
      tool_choice: { type: "function", function: { name: "b" } },
    },
  },
  bad_schema: {
    body: { messages, response_format: { type: "json_schema", json_schema: { name: "x", schema: { type: "color" } } } },
  },
  refused_parameter: { body: { messages, functions: [] } },
};

/** One of them. */
export function badInput(random: Random, model: string): RequestPlan {
  const [name, { body, key }] = random.pick(Object.entries(wrongs));
  return {
    kind: `bad_input.${name}`,
    body: typeof body === "string" ? body : { model, stream: random.chance(0.5), ...body },
    bad: true,
    readAfterMs: 0,
    ...(key !== undefined && { key }),
  };
}
