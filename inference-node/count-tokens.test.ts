// CountTokens says what Generate bills, and refuses what Generate refuses.
import { afterEach, describe, expect, it } from "vitest";
import { FinishReason } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import { Capability } from "../proto/gen/sluice/inference/v1/model_pb.js";
import { Role } from "../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code } from "./node-error.ts";
import { namedRuntime } from "./testing/named-runtime.ts";
import { type StreamResult, scripted } from "./testing/test-client.ts";
import { startTestNode, type TestNode, type TestNodeOptions } from "./testing/test-node.ts";

const open: TestNode[] = [];

const finishedOf = ({ events }: StreamResult) =>
  events.flatMap(({ event }) => (event.case === "finished" ? [event.value] : [])).at(0);

async function start(options?: TestNodeOptions): Promise<TestNode> {
  const node = await startTestNode(options);
  open.push(node);
  return node;
}

afterEach(async () => {
  for (const node of open.splice(0)) await node.close();
});

const chat = (more: object = {}) => ({
  form: { case: "chat", value: { messages: [{ role: Role.USER, content: "How many tokens, naïve 你好?" }], ...more } },
});
const tools = [{ name: "weather", description: "", parametersJson: "{}" }];

describe("CountTokens", () => {
  it("counts exactly what a generation of the same prompt is billed for", async () => {
    const { clients } = await start();
    const request = scripted("How many tokens, naïve 你好?");
    const generated = await clients.native.generate(request);
    expect(finishedOf(generated)?.reason).toBe(FinishReason.STOP);
    for (const client of Object.values(clients)) {
      const counted = await client.unary<{ promptTokens: number }>("countTokens", {
        model: "scripted",
        prompt: request.prompt,
      });
      expect(counted.promptTokens).toBe(finishedOf(generated)?.usage?.promptTokens);
    }
  });

  it.each<[string, object, string]>([
    ["tools", chat({ tools }), "prompt.chat.tools"],
    [
      "a fill in the middle",
      { form: { case: "fillInMiddle", value: { prefix: "a", suffix: "b" } } },
      "prompt.fill_in_middle",
    ],
  ])("refuses %s to a model that can't, as Generate does", async (_name, prompt, param) => {
    const { clients } = await start({ runtime: namedRuntime("plain", { capabilities: [Capability.CHAT] }) });
    const { failure } = await clients.web.generate(scripted("", { model: "plain", prompt: prompt as never }));
    const counted = clients.web.unary("countTokens", { model: "plain", prompt });
    expect(failure?.metadata.param).toBe(param);
    await expect(counted).rejects.toMatchObject({ code: failure?.code, metadata: { param } });
  });

  it("counts what a generation would be too long for", async () => {
    const { clients } = await start({ contextLength: 16 });
    const prompt = scripted("a b c d e f g h i j k l m n o p q r s t").prompt;
    const counted = await clients.web.unary<{ promptTokens: number }>("countTokens", { model: "scripted", prompt });
    expect(counted.promptTokens).toBeGreaterThan(16);
  });

  it("names the model that is not there", async () => {
    const { clients } = await start();
    const counted = clients.web.unary("countTokens", { model: "x", prompt: chat() });
    await expect(counted).rejects.toMatchObject({ code: Code.NOT_FOUND, reason: "MODEL_NOT_FOUND" });
  });
});
