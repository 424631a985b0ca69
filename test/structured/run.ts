// Asks a stack for many outputs of all forms at once, streamed and whole, with free text beside them, and judges each.
import { chat, chunksOf, contentOf } from "../support/chat.ts";
import type { Stack } from "../support/stack.ts";
import { type Form, forms } from "./forms.ts";

export interface StructuredRun {
  readonly complete: number;
  /** Ended by the output limit, and said so. */
  readonly cut: number;
  readonly freeTexts: number;
  /** One sentence for each output that was wrong, and each answer that was none. */
  readonly faults: readonly string[];
}

/** Long enough for most documents of the forms. */
const maxTokens = 64;
/** Every so many generations, free text runs beside them. */
const freeTextEvery = 6;

/** Runs `count` generations at temperature 1, `concurrency` at a time. */
export async function runStructured(stack: Stack, count: number, concurrency: number): Promise<StructuredRun> {
  const run = { complete: 0, cut: 0, freeTexts: 0, faults: [] as string[] };
  let next = 0;
  const work = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      if (index % freeTextEvery === 0) await Promise.all([generateFree(stack, run), generateOne(stack, index, run)]);
      else await generateOne(stack, index, run);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return run;
}

type Counts = { -readonly [K in keyof StructuredRun]: StructuredRun[K] extends number ? number : string[] };

async function generateOne(stack: Stack, index: number, run: Counts): Promise<void> {
  const form = forms[index % forms.length] as Form;
  // Not in step with the forms, so that each comes in both ways.
  const stream = Math.floor(index / forms.length) % 2 === index % 2;
  const { text, finish } = await answerOf(stack, { ...form.body, stream, max_tokens: maxTokens }, form.prompt);
  if (finish === "length") run.cut += 1;
  else if (finish === "stop") run.complete += 1;
  const fault = finish === "length" ? undefined : finish === "stop" ? form.fault(text) : `ended as ${finish}`;
  if (fault !== undefined) run.faults.push(`${form.name} (stream: ${stream}): ${JSON.stringify(text)} ${fault}`);
}

async function generateFree(stack: Stack, run: Counts): Promise<void> {
  const { text, finish } = await answerOf(stack, { max_tokens: 16 }, "Tell me a story.");
  if (text !== "" && (finish === "stop" || finish === "length")) run.freeTexts += 1;
  else run.faults.push(`free text ended as ${finish}`);
}

async function answerOf(stack: Stack, body: object, content: string): Promise<{ text: string; finish: string }> {
  const { status, text } = await chat(stack, { temperature: 1, messages: [{ role: "user", content }], ...body }).answer;
  if (status !== 200) return { text, finish: `status ${status}` };
  if (text.startsWith("data:") || text.startsWith(":")) {
    const finish = chunksOf(text)
      .flatMap(({ choices }) => choices?.[0]?.finish_reason ?? [])
      .at(-1);
    return { text: contentOf(text), finish: finish ?? "nothing" };
  }
  const { choices, error } = JSON.parse(text) as {
    choices?: [{ message: { content: string }; finish_reason: string }];
    error?: { message: string };
  };
  if (choices === undefined) return { text, finish: `error ${error?.message}` };
  return { text: choices[0].message.content, finish: choices[0].finish_reason };
}
