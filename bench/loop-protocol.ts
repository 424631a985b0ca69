// What the benchmark and its decode loop, a child process, say to each other; plain data only.
import type { Sampling } from "./target.ts";

export interface LoopOptions {
  readonly modelPath: string;
  /** Compute threads. */
  readonly threads: number;
  /** Sequences that the context has room for. */
  readonly sequences: number;
  /** Tokens of one sequence, prompt and output together. */
  readonly contextLength: number;
  /** Most tokens in one batch. */
  readonly batchTokens: number;
}

export type LoopCommand =
  | ({ readonly type: "load" } & LoopOptions)
  | { readonly type: "count"; readonly prompt: string }
  | { readonly type: "round"; readonly streams: readonly (readonly string[])[]; readonly sampling: Sampling };

/** One request of a round; times are milliseconds of the child's monotonic clock. */
export interface LoopRequest {
  readonly promptTokens: number;
  readonly startedAt: number;
  /** When each token was sampled. */
  readonly tokenTimes: readonly number[];
}

export type LoopReply =
  | { readonly type: "loaded"; readonly model: string }
  | { readonly type: "counted"; readonly tokens: number }
  | {
      readonly type: "measured";
      readonly requests: readonly LoopRequest[];
      /** Processor time that the child used since the round before, in milliseconds: waiting must cost nothing. */
      readonly idleCpuMs: number;
    }
  | { readonly type: "failed"; readonly message: string };
