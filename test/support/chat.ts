// Chats with a stack: scripted messages, streams taken apart, and what the node says of its slots.
import { type Ask, type Exchange, exchange } from "./exchange.ts";
import type { Stack } from "./stack.ts";
import { until } from "./wait.ts";

export interface Chunk {
  id: string;
  object: string;
  created: number;
  model: string;
  choices: {
    index: number;
    delta: { role?: string; content?: string };
    logprobs: { content: { token: string; logprob: number; bytes: number[]; top_logprobs: unknown[] }[] } | null;
    finish_reason: string | null;
  }[];
  usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number } | null;
  error?: { message: string; type: string; param: string | null; code: string | null };
}

/** The message that makes the scripted model answer as the script says. */
export function scripted(script: Record<string, unknown>) {
  return [{ role: "user" as const, content: JSON.stringify(script) }];
}

/** Begins a chat completion over a socket of its own. */
export function chat(stack: Stack, body: Record<string, unknown>, ask: Ask = {}): Exchange {
  const whole = { model: stack.model, ...body };
  return exchange(`${stack.url}/v1/chat/completions`, { key: stack.apiKey, body: whole, ...ask });
}

/** The events of a stream in order: chunks, and `[DONE]` as it is. Throws on anything that is neither event nor ping. */
export function eventsOf(text: string): (Chunk | "[DONE]")[] {
  const blocks = text.split("\n\n");
  if (blocks.pop() !== "") throw new Error(`the stream ends within an event: ${text.slice(-200)}`);
  return blocks
    .filter((block) => block !== ": ping")
    .map((block) => {
      if (!block.startsWith("data: ") || block.includes("\n")) throw new Error(`no event: ${block}`);
      const data = block.slice("data: ".length);
      return data === "[DONE]" ? data : (JSON.parse(data) as Chunk);
    });
}

/** The chunks of a stream, without `[DONE]`. */
export function chunksOf(text: string): Chunk[] {
  return eventsOf(text).filter((event) => event !== "[DONE]");
}

/** What a stream said. */
export function contentOf(text: string): string {
  return chunksOf(text)
    .map(({ choices }) => choices?.[0]?.delta.content ?? "")
    .join("");
}

const DELTA = /"delta":\{"content":"/g;

/** Waits until the stream has brought so many deltas with text. */
export async function untilDeltas(stream: Exchange, count: number): Promise<void> {
  const seen = (): boolean => (stream.text().match(DELTA)?.length ?? 0) >= count;
  await until(`${count} deltas of the stream`, seen);
}

/** Requests that hold a slot and that wait for one, by the node's own metrics. */
async function slots(stack: Stack): Promise<{ running: number; waiting: number }> {
  const headers = { authorization: `Bearer ${stack.nodeSecret}` };
  const text = await (await fetch(`${stack.nodeWeb}/metrics`, { headers })).text();
  const gauge = (name: string): number => Number(new RegExp(`^${name}\\{[^}]*\\} (\\d+)$`, "m").exec(text)?.[1]);
  return { running: gauge("sluice_num_requests_running"), waiting: gauge("sluice_num_requests_waiting") };
}

/** Waits until the node runs and holds so many requests. */
export async function untilSlots(stack: Stack, running: number, waiting: number, timeoutMs = 5_000): Promise<void> {
  const reached = async (): Promise<boolean> => {
    const now = await slots(stack);
    return now.running === running && now.waiting === waiting;
  };
  await until(`${running} requests running and ${waiting} waiting`, reached, timeoutMs);
}
