// Chat templates: the model's own words around the user's, and the user's never taken for control.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ChatPromptSchema, Role } from "../proto/gen/sluice/inference/v1/prompt_pb.js";
import { ChatTemplate } from "./chat-template.ts";

const chatMl =
  "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

function template(source = chatMl): ChatTemplate {
  return new ChatTemplate({
    template: source,
    bosToken: "<s>",
    eosToken: "</s>",
    controlTokens: ["<|im_start|>", "<|im_end|>"],
  });
}

const chat = (init: MessageInitShape<typeof ChatPromptSchema>) => create(ChatPromptSchema, init);

describe("rendering", () => {
  it("puts the messages in order and asks for the assistant's turn", () => {
    const prompt = chat({
      messages: [
        { role: Role.SYSTEM, content: "Be kind." },
        { role: Role.USER, content: "Hi" },
        { role: Role.ASSISTANT, content: "Hello" },
        { role: Role.USER, content: "Bye" },
      ],
    });
    expect(template().render(prompt)).toEqual([
      "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n" +
        "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
    ]);
  });

  it("gives the template its begin and end tokens", () => {
    const source = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}";
    expect(template(source).render(chat({ messages: [{ role: Role.USER, content: "x" }] }))).toEqual(["<s>x</s>"]);
  });

  it("renders developer as system where the template knows no developer, and as developer where it does", () => {
    const prompt = chat({ messages: [{ role: Role.DEVELOPER, content: "d" }] });
    const roles = "{% for m in messages %}{{ m.role }}{% endfor %}";
    expect(template(roles).render(prompt)).toEqual(["system"]);
    expect(template(`${roles}{# developer #}`).render(prompt)).toEqual(["developer"]);
  });

  it("hands tools, calls and results to the template as Hugging Face shapes them", () => {
    const source =
      "{% for t in tools %}{{ t.function.name }}:{{ t.function.parameters.type }};{% endfor %}" +
      "{% for m in messages %}{{ m.role }}" +
      "{% if m.tool_calls %}{{ m.tool_calls[0].id }}{{ m.tool_calls[0].function.arguments.city }}{% endif %}" +
      "{% if m.tool_call_id %}{{ m.tool_call_id }}{{ m.content }}{% endif %}{{ m.reasoning_content }};{% endfor %}";
    const prompt = chat({
      tools: [{ name: "weather", parametersJson: '{"type":"object"}' }, { name: "now" }],
      messages: [
        {
          role: Role.ASSISTANT,
          reasoning: "hm",
          toolCalls: [{ id: "c1", name: "weather", arguments: '{"city":"Oslo"}' }],
        },
        { role: Role.TOOL, toolCallId: "c1", content: "rain" },
      ],
    });
    expect(template(source).render(prompt)).toEqual(["weather:object;now:object;assistantc1Oslohm;toolc1rain;"]);
  });

  it("leaves the assistant's last message open to be continued", () => {
    const prompt = chat({
      continueFinalMessage: true,
      messages: [
        { role: Role.USER, content: "Hi" },
        { role: Role.ASSISTANT, content: "Once upon" },
      ],
    });
    expect(template().render(prompt).join("")).toBe("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nOnce upon");
  });
});
