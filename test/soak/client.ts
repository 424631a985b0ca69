// One client of a soak: sends what the plan says, reads as it says, hangs up when it says, and tells what it saw.
import { setTimeout as sleep } from "node:timers/promises";
import { type Exchange, exchange } from "../support/exchange.ts";
import type { Observed } from "./outcome.ts";
import type { Leave, RequestPlan } from "./traffic.ts";

export interface Door {
  readonly url: string;
  readonly apiKey: string;
  /** Milliseconds after which a request without an end counts as one that has none. */
  readonly timeoutMs: number;
  /** The soak's clock, in milliseconds. */
  readonly now: () => number;
}

/** Between two looks at what has come. */
const lookEveryMs = 20;
const delta = /"delta":\{"(content|tool_calls)":/g;

/** Asks, and waits for the end. `signal` makes the client hang up. `onText` is told what has come, now and then. */
export async function ask(
  door: Door,
  plan: RequestPlan,
  signal: AbortSignal,
  onText?: (deltas: number) => void,
): Promise<Observed> {
  const sentAtMs = door.now();
  const over = new AbortController();
  const ended = AbortSignal.any([over.signal, signal]);
  const headers = { "content-type": "application/json" };
  const request = exchange(`${door.url}/v1/chat/completions`, {
    method: "POST",
    key: plan.key ?? door.apiKey,
    headers,
    body: plan.body,
    readAfter: sleep(plan.readAfterMs, undefined, { signal: ended }).catch(() => undefined),
  });
  let left: Observed["close"] | undefined;
  const hangUp = (why: "left" | "timeout"): void => {
    left ??= why;
    request.hangUp();
  };
  const onAbort = (): void => hangUp("left");
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  void after(door.timeoutMs, over.signal, () => hangUp("timeout"));
  if (plan.leave !== undefined) void leave(request, plan.leave, over.signal, onAbort);
  if (onText !== undefined) void watch(request, over.signal, onText);
  try {
    const { status, headers: got, text } = await request.answer;
    return { ...facts(got), status, text, sentAtMs, endedAtMs: door.now(), close: "whole" };
  } catch (thrown) {
    const head = await request.head.catch(() => undefined);
    const close = left ?? "broken";
    const error = (thrown as NodeJS.ErrnoException).code ?? (thrown as Error).message;
    const text = request.text();
    return { ...facts(head?.headers), status: head?.status, text, sentAtMs, endedAtMs: door.now(), close, error };
  } finally {
    over.abort();
    signal.removeEventListener("abort", onAbort);
  }
}

/** How many deltas have come. */
function deltasOf(request: Exchange): number {
  return request.text().match(delta)?.length ?? 0;
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

function facts(headers: Headers | undefined): Pick<Observed, "requestId" | "retryAfter"> {
  const one = (name: string): string | undefined => [headers?.[name]].flat()[0];
  return { requestId: one("x-request-id"), retryAfter: one("retry-after") };
}

async function after(ms: number, signal: AbortSignal, act: () => void): Promise<void> {
  await sleep(ms, undefined, { signal, ref: false }).then(act, () => undefined);
}

async function leave(request: Exchange, when: Leave, signal: AbortSignal, hangUp: () => void): Promise<void> {
  if (when.after === "sent") return after(when.ms, signal, hangUp);
  if (when.after === "deltas") {
    return watch(request, signal, (deltas) => {
      if (deltas >= when.count) hangUp();
    });
  }
  const came = await request.head.then(
    () => true,
    () => false,
  );
  if (came) await after(when.ms, signal, hangUp);
}

async function watch(request: Exchange, signal: AbortSignal, onText: (deltas: number) => void): Promise<void> {
  while (!signal.aborted) {
    onText(deltasOf(request));
    await after(lookEveryMs, signal, () => undefined);
  }
}
