// The models that the runtime serves, each with its admission, and whether the node takes work.
import { type Model, ModelState } from "../proto/gen/sluice/inference/v1/model_pb.js";
import { Admission } from "./admission.ts";
import type { Clock } from "./clock.ts";
import type { GaugeSample } from "./metrics.ts";
import { Code, NodeError } from "./node-error.ts";
import { generates } from "./request-checks.ts";
import type { Runtime } from "./runtime.ts";
import { priorities } from "./waiting-line.ts";

export interface NodeModelsOptions {
  runtime: Runtime;
  clock: Clock;
  /** Most requests that wait for a slot of one model. */
  queueDepthMax: number;
  /** Most prompt tokens that wait for a slot of one model. */
  queueTokensMax: number;
  /** Part of a model's slots that batch work may hold together, 1 to 100. */
  batchSlotsPercent: number;
  /** How long a new request is held while its model restarts, in milliseconds; 0 refuses it at once. */
  restartHoldMs: number;
  /** Called each time that a model is ready again after it was not. */
  onRestart: (model: string) => void;
  /** Called for each request that admission refuses, with the reason. */
  onRejection?: (model: string, reason: string) => void;
  /** Called after the node began or ceased to take work; `reason` says why it ceased. */
  onServingChange: (serving: boolean, reason: string) => void;
}

/** How long admitted requests wait for an engine that died before they fail. */
const unreadyGraceMs = 15_000;
const restartRetryMs = 1_000;

/** Follows the runtime's models. */
export class NodeModels {
  readonly #options: NodeModelsOptions;
  readonly #served = new Map<string, Served>();
  readonly #unsubscribe: () => void;
  /** Wakes those that are held. */
  readonly #held = new Set<() => void>();
  #draining = false;
  #serving = false;

  constructor(options: NodeModelsOptions) {
    this.#options = options;
    this.#unsubscribe = options.runtime.onStateChange(() => this.#update());
    this.#update();
  }

  /**
   * Whether new work is taken: some model that generates is ready (any, where none generates) and the node is not draining.
   */
  get serving(): boolean {
    return this.#serving;
  }

  /** Whether some model works for somebody. */
  get busy(): boolean {
    return [...this.#served.values()].some(({ admission }) => admission.running + admission.waiting > 0);
  }

  list(): readonly Model[] {
    return this.#options.runtime.models();
  }

  /** Throws NOT_FOUND for a model that the node does not have. */
  find(id: string): Model {
    const model = this.list().find((one) => one.id === id);
    if (model === undefined) {
      const named = id.length > 100 ? `${id.slice(0, 100)}…` : id;
      throw new NodeError(Code.NOT_FOUND, `There is no model "${named}" on this node.`, {
        param: "model",
        reason: "MODEL_NOT_FOUND",
      });
    }
    return model;
  }

  /**
   * Holds a request while its model restarts, or loads later than the others, for that is shorter than a caller's second try. Resolves when the
   * model is back, when there is nothing to wait for, or when it took too long: `admission` then says which.
   */
  async restarted({ id }: Model, signal: AbortSignal): Promise<void> {
    const { clock, restartHoldMs, queueDepthMax } = this.#options;
    const until = clock.monotonic() + restartHoldMs;
    const { ready, everReady } = this.#of(id);
    // The node's own start is told from a model that loads after it by whether the node serves meanwhile.
    const comes = everReady || (this.#serving && this.find(id).state === ModelState.LOADING);
    if (ready || !comes || this.#held.size >= queueDepthMax) return;
    while (!this.#of(id).ready && !this.#draining && !signal.aborted && clock.monotonic() < until) {
      const woken = new AbortController();
      const wake = (): void => woken.abort();
      this.#held.add(wake);
      signal.addEventListener("abort", wake, { once: true });
      await clock.sleep(until - clock.monotonic(), woken.signal).catch(() => undefined);
      signal.removeEventListener("abort", wake);
      this.#held.delete(wake);
    }
  }

  /** The model's admission. Throws UNAVAILABLE while the node drains or the model does not answer. */
  admission(model: Model): Admission {
    if (this.#draining) {
      this.#options.onRejection?.(model.id, "DRAINING");
      throw drainingError();
    }
    if (model.state !== ModelState.READY) {
      this.#options.onRejection?.(model.id, "MODEL_NOT_READY");
      const message =
        model.state === ModelState.LOADING ? "The model is loading." : "The model's engine is restarting.";
      throw new NodeError(Code.UNAVAILABLE, message, { reason: "MODEL_NOT_READY", retryAfterMs: restartRetryMs });
    }
    return this.#of(model.id).admission;
  }

  /** Refuses all new work from now on. */
  drain(): void {
    this.#draining = true;
    this.#update();
  }

  /** Stops following the runtime. */
  close(): void {
    this.#unsubscribe();
    for (const served of this.#served.values()) served.givingUp?.abort();
  }

  /** One sample a model, for a gauge. */
  samples(read: (admission: Admission) => number): GaugeSample[] {
    return this.list().map(({ id }) => ({ labels: { model_name: id }, value: read(this.#of(id).admission) }));
  }

  /** One sample a model and queue class: the requests that wait. */
  waitingSamples(): GaugeSample[] {
    return priorities.flatMap((priority) =>
      this.samples((admission) => admission.waitingOf(priority)).map(({ labels, value }) => ({
        labels: { ...labels, priority },
        value,
      })),
    );
  }

  #of(id: string): Served {
    let served = this.#served.get(id);
    if (served === undefined) {
      const { queueDepthMax, queueTokensMax, batchSlotsPercent, clock } = this.#options;
      const current = (): Model | undefined => this.list().find((one) => one.id === id);
      const admission = new Admission({
        slots: () => current()?.sequences ?? 0,
        isReady: () => current()?.state === ModelState.READY,
        queueDepthMax,
        queueTokensMax,
        batchSlotsPercent,
        onRejection: (reason) => this.#options.onRejection?.(id, reason),
        clock,
      });
      served = { admission, ready: false, everReady: false, givingUp: undefined };
      this.#served.set(id, served);
    }
    return served;
  }

  #update(): void {
    const models = this.list();
    for (const model of models) this.#follow(model);
    for (const wake of this.#held) wake();
    const counted = models.some(generates) ? models.filter(generates) : models;
    const ready = counted.some((model) => model.state === ModelState.READY);
    const serving = ready && !this.#draining;
    if (serving === this.#serving) return;
    this.#serving = serving;
    this.#options.onServingChange(serving, this.#draining ? "draining" : "no model is ready");
  }

  #follow({ id, state }: Model): void {
    const served = this.#of(id);
    const ready = state === ModelState.READY;
    if (ready === served.ready) {
      if (ready) served.admission.pump(); // There may be more sequences now.
      return;
    }
    served.ready = ready;
    if (ready) {
      served.givingUp?.abort();
      if (served.everReady) this.#options.onRestart(id);
      served.everReady = true;
      served.admission.pump();
    } else {
      this.#giveUpLater(served);
    }
  }

  /** Admitted requests wait for a restarted engine, but not for ever. */
  #giveUpLater(served: Served): void {
    const givingUp = new AbortController();
    served.givingUp = givingUp;
    const fail = (): void =>
      served.admission.failWaiting(
        new NodeError(Code.UNAVAILABLE, "The model's engine did not come back.", {
          reason: "MODEL_NOT_READY",
          retryAfterMs: restartRetryMs,
        }),
      );
    this.#options.clock.sleep(unreadyGraceMs, givingUp.signal).then(fail, () => undefined);
  }
}

/** What the node keeps of one model. */
interface Served {
  readonly admission: Admission;
  ready: boolean;
  everReady: boolean;
  givingUp: AbortController | undefined;
}

/** The refusal of a node that is going away. */
export function drainingError(): NodeError {
  return new NodeError(Code.UNAVAILABLE, "The node is shutting down.", {
    reason: "DRAINING",
    retryAfterMs: restartRetryMs,
  });
}
