// Reads an SSE response as a strict parser would, and event by event where a test asks for that.

const PING = ": ping\n\n";

export interface SseReader {
  /** The next block, its blank line included; "" at the end of the body. */
  next(): Promise<string>;
  /** Everything that is left. */
  rest(): Promise<string>;
  cancel(): Promise<void>;
}

export function readSse(response: Response): SseReader {
  if (response.body === null) throw new Error("no body");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffered = "";
  const more = async (): Promise<boolean> => {
    const { done, value } = await reader.read();
    if (!done) buffered += value;
    return !done;
  };
  return {
    async next() {
      while (!buffered.includes("\n\n")) if (!(await more())) break;
      const end = buffered.indexOf("\n\n");
      const block = end < 0 ? buffered : buffered.slice(0, end + 2);
      buffered = buffered.slice(block.length);
      return block;
    },
    async rest() {
      while (await more());
      return buffered;
    },
    cancel: () => reader.cancel(),
  };
}

/** The data of each event, without comments; JSON parsed, `[DONE]` as text. */
export function dataOf(text: string) {
  return text
    .replaceAll(PING, "")
    .split("\n\n")
    .filter((block) => block !== "")
    .map((block) => {
      if (!block.startsWith("data: ")) throw new Error(`no data: ${block}`);
      const data = block.slice("data: ".length);
      return data === "[DONE]" ? data : JSON.parse(data);
    });
}
