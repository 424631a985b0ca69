// The chats of a model that was loaded: what it can do, and what the operator is told about its template.
import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { Capability } from "../../../proto/gen/sluice/inference/v1/model_pb.js";
import { PromptSchema, Role } from "../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import type { LogEntry } from "../../log.ts";
import { Code } from "../../node-error.ts";
import { manualClock } from "../../testing/manual-clock.ts";
import { Chats } from "./chats.ts";

function chats(template: string | undefined) {
  const entries: LogEntry[] = [];
  const made = new Chats({ clock: manualClock(), log: (entry) => entries.push(entry), force: () => undefined });
  const source = template === undefined ? undefined : { template, bosToken: "", eosToken: "", controlTokens: [] };
  made.adopt(source);
  made.adopt(source);
  return { chats: made, entries };
}

const plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";

it("a template is looked at once, and the choice told in one sentence", () => {
  const { chats: made, entries } = chats(plain);
  expect(made.capabilities).toEqual([Capability.CHAT, Capability.TOOLS]);
  expect(entries).toEqual([
    {
      level: "info",
      event: "chat_format.chosen",
      tool_format: "generic",
      reasoning: false,
      message: "The chat template has no tool format that is known: tools are called in the generic JSON form.",
    },
  ]);
});

it("a template whose own form fails its self-test gets the generic form, and the log says why", () => {
  const { chats: made, entries } = chats(`${plain}{# <tool_call> #}{{ tools[0].function.name if tools else '' }}`);
  expect(made.capabilities).toContain(Capability.TOOLS);
  expect(entries[0]).toMatchObject({
    tool_format: "generic",
    message: expect.stringMatching(/^The chat template failed \(hermes: /),
  });
});

it("a template that shows neither tools nor messages takes no tools", () => {
  const { chats: made, entries } = chats("Hello.");
  expect(made.capabilities).toEqual([Capability.CHAT]);
  expect(entries[0]).toMatchObject({ tool_format: "", message: expect.stringMatching(/this model takes no tools\.$/) });
});

it("a model that marks its thoughts reasons", () => {
  expect(chats(`${plain}<think>{# </think> #}`).chats.capabilities).toContain(Capability.REASONING);
});

it.each([
  ["that can't be read", "{% for %}"],
  ["that is not there", undefined],
])("a template %s leaves the model without chats, and refuses them", (_, template) => {
  const { chats: made, entries } = chats(template);
  expect(made.capabilities).toEqual([]);
  expect(entries.map(({ level }) => level)).toEqual(template === undefined ? [] : ["error"]);
  const messages = [{ role: Role.USER, content: "x" }];
  const prompt = create(PromptSchema, { form: { case: "chat", value: { messages } } });
  expect(() => made.render(prompt, undefined)).toThrow(expect.objectContaining({ code: Code.FAILED_PRECONDITION }));
});
