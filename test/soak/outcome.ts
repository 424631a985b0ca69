// Says how a request ended: as one of the ends that every client is promised, or as a failure with its reason.
import { ZodError } from "zod";
import { eventsOf } from "../support/chat.ts";
import { type Answer, faultOfAnswer, readBody, readChunks, readError } from "./answer.ts";
import type { RequestPlan } from "./traffic.ts";

/** What a client saw of its request. */
export interface Observed {
  /** Milliseconds of the soak's clock. */
  readonly sentAtMs: number;
  readonly endedAtMs: number;
  /** Undefined when no head came. */
  readonly status: number | undefined;
  readonly requestId: string | undefined;
  readonly retryAfter: string | undefined;
  /** What came of the body. */
  readonly text: string;
  /** `left` is the client's own hang-up, `broken` the connection's end before the body's. */
  readonly close: "whole" | "left" | "broken" | "timeout";
  /** Of a connection that broke. */
  readonly error?: string;
}

export type Outcome =
  /** A whole answer. */
  | { readonly end: "answered"; readonly answer: Answer }
  /** Bad input, and the client was told. */
  | { readonly end: "refused" }
  /** Told to come back later, and when. */
  | { readonly end: "turned_away" }
  /** The engine died under it, and the client was told once, in words. */
  | { readonly end: "lost" }
  /** The client hung up. */
  | { readonly end: "left" }
  | { readonly end: "failed"; readonly reason: string };

/** What the outcome of a request depends on besides what its client saw. */
export interface Circumstances {
  /** Whether the engine was down, by the soak's own hand, at any time while the request ran. */
  readonly outage: boolean;
}

/** Which end a request had. */
export function outcomeOf(plan: RequestPlan, observed: Observed, circumstances: Circumstances): Outcome {
  try {
    return readOutcome(plan, observed, circumstances);
  } catch (thrown) {
    if (thrown instanceof ZodError) {
      const [issue] = thrown.issues;
      return failed(`the answer is not of its shape: ${issue?.path.join(".")} ${issue?.message}`);
    }
    return failed((thrown as Error).message);
  }
}

function readOutcome(plan: RequestPlan, observed: Observed, circumstances: Circumstances): Outcome {
  const { close, status, text, endedAtMs, sentAtMs } = observed;
  if (close === "left") return { end: "left" };
  if (close === "timeout") return failed(`no end after ${Math.round(endedAtMs - sentAtMs)} ms`);
  if (close === "broken") return failed(`the connection broke (${observed.error}) with ${text.length} characters read`);
  if (observed.requestId === undefined) return failed("the response has no x-request-id");
  if (status !== 200) return readRefusal(plan, observed);
  if (plan.bad) return failed("bad input was answered");
  const isStream = typeof plan.body === "object" && plan.body.stream === true;
  return isStream ? readStream(plan, text, circumstances) : readUnary(plan, text, circumstances);
}

function readRefusal({ bad }: RequestPlan, { status = 0, text, retryAfter }: Observed): Outcome {
  const error = readError(JSON.parse(text));
  if (error === undefined) return failed(`status ${status} without an error in OpenAI's shape`);
  if (status === 429 || status === 503) {
    // A wait of no length, or an endless one, is as good as none.
    const seconds = Number(retryAfter);
    return seconds >= 1 && seconds <= 600 ? { end: "turned_away" } : failed(`${status} with Retry-After ${retryAfter}`);
  }
  if (status >= 400 && status < 500 && bad) return { end: "refused" };
  return failed(`status ${status}, ${error.type}, ${error.code}: ${text.slice(0, 300)}`);
}

function readStream(plan: RequestPlan, text: string, circumstances: Circumstances): Outcome {
  const events: unknown[] = eventsOf(text);
  const ends = events.filter((event) => event === "[DONE]" || isError(event));
  const last = events.at(-1);
  if (ends.length !== 1 || ends[0] !== last)
    return failed(`the stream has ${ends.length} ends, the last not at its end`);
  if (last !== "[DONE]") return readLoss(last, circumstances);
  return judged(plan, readChunks(events.slice(0, -1)));
}

function readUnary(plan: RequestPlan, text: string, circumstances: Circumstances): Outcome {
  const body: unknown = JSON.parse(text);
  return isError(body) ? readLoss(body, circumstances) : judged(plan, readBody(body));
}

function readLoss(value: unknown, { outage }: Circumstances): Outcome {
  const error = readError(value);
  if (error === undefined) return failed("an error event that is not in OpenAI's shape");
  if (error.code !== "overloaded") return failed(`ended in an error that no kill explains: ${JSON.stringify(value)}`);
  return outage ? { end: "lost" } : failed("ended as if the engine had died, and nobody had killed it");
}

function judged({ body }: RequestPlan, answer: Answer): Outcome {
  const fault = typeof body === "string" ? undefined : faultOfAnswer(body, answer);
  return fault === undefined ? { end: "answered", answer } : failed(`the answer ${fault}`);
}

function isError(value: unknown): boolean {
  return typeof value === "object" && value !== null && "error" in value;
}

function failed(reason: string): Outcome {
  return { end: "failed", reason };
}
