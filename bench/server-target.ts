// What all targets behind a server have in common: chats with them are timed by their text as it comes.
import { reasonOf } from "./reasons.ts";
import { type ChatEnd, type ChatMessage, type RoundPlan, RoundRecord, type Sampling, type Target } from "./target.ts";

/** A server that streams the answers to chats, whatever protocol it speaks. */
export abstract class ServerTarget implements Target {
  readonly remembers = true;
  abstract readonly label: string;
  abstract readonly model: string;
  abstract open(signal: AbortSignal): Promise<void>;
  abstract close(): Promise<void>;

  /**
   * Streams one answer. `onText` is called as each piece with text comes (content, reasoning or a tool call), with the part of
   * it that is content. Rejects with the protocol's error, or with the signal's reason.
   */
  abstract chat(
    messages: readonly ChatMessage[],
    sampling: Sampling,
    onText: (content: string) => void,
    signal: AbortSignal,
  ): Promise<ChatEnd>;

  /** A sentence about what keeps this server from being measured at all. */
  abstract explained(error: unknown, signal: AbortSignal): unknown;

  async countPromptTokens(prompt: string, signal: AbortSignal): Promise<number | undefined> {
    const sampling = { maxTokens: 1, temperature: 0, ignoreEos: false };
    try {
      const end = await this.chat([{ role: "user", content: prompt }], sampling, () => {}, signal);
      return end.usage?.promptTokens;
    } catch (error) {
      throw this.explained(error, signal);
    }
  }

  async round(plan: RoundPlan, signal: AbortSignal): Promise<RoundRecord> {
    const record = new RoundRecord();
    const runStream = async (prompts: readonly string[]): Promise<void> => {
      for (const prompt of prompts) await this.request(prompt, plan.sampling, record, signal);
    };
    await Promise.all(plan.streams.map(runStream));
    return record;
  }

  /** Asks one prompt, adds it to the record and says whether it succeeded; rejects only when the signal fires. */
  async request(prompt: string, sampling: Sampling, record: RoundRecord, signal: AbortSignal): Promise<boolean> {
    return (await this.answer([{ role: "user", content: prompt }], sampling, record, signal)) !== undefined;
  }

  /** Goes on with a chat and adds that to the record; the answer's content, or undefined when it failed. */
  async answer(
    messages: readonly ChatMessage[],
    sampling: Sampling,
    record: RoundRecord,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const pieces: string[] = [];
    const startedAt = performance.now();
    let previous = startedAt;
    record.started(startedAt);
    const onText = (content: string): void => {
      const now = performance.now();
      record.chunk(now, previous, pieces.length === 0);
      previous = now;
      pieces.push(content);
    };
    try {
      const { usage } = await this.chat(messages, sampling, onText, signal);
      record.succeeded({
        promptTokens: usage?.promptTokens,
        cachedTokens: usage?.cachedTokens,
        completionTokens: usage?.completionTokens ?? pieces.length,
        counted: usage === undefined ? "chunks" : "usage",
      });
      return pieces.join("");
    } catch (error) {
      signal.throwIfAborted();
      record.failed(reasonOf(error));
      return undefined;
    }
  }
}
