// Puts a node together: one runtime, one service, two doors; and takes it down in order.
import { randomUUID } from "node:crypto";
import type { Clock } from "./clock.ts";
import { type GrpcDoor, openGrpcDoor } from "./doors/grpc.ts";
import { createAuthenticate } from "./doors/secret.ts";
import type { TlsMaterial } from "./doors/tls.ts";
import { openWebDoor, type WebDoor } from "./doors/web.ts";
import { Journal } from "./journal.ts";
import type { Log } from "./log.ts";
import { createNodeMetrics } from "./node-metrics.ts";
import { drainingError, NodeModels } from "./node-models.ts";
import type { Runtime } from "./runtime.ts";
import { Service } from "./service.ts";
import { Tracer } from "./tracing.ts";
import type { TracingConfig } from "./tracing-config.ts";
import { OtlpExporter } from "./tracing-otlp.ts";

export interface NodeOptions {
  runtime: Runtime;
  clock: Clock;
  log: Log;
  host: string;
  /** 0 means any free one. */
  grpcPort: number;
  /** 0 means any free one. */
  webPort: number;
  /** What callers must show; undefined only where client certificates are asked for. */
  secret: string | undefined;
  tls: TlsMaterial | undefined;
  nodeId: string;
  queueDepthMax: number;
  queueTokensMax: number;
  /** Part of a model's slots that batch work may hold together, 1 to 100. */
  batchSlotsPercent: number;
  /** Where spans go; undefined sends none. */
  tracing?: TracingConfig | undefined;
  /** How long a new request is held while its model restarts, in milliseconds; 0 refuses it at once. */
  restartHoldMs: number;
}

export interface RunningNode {
  /** `host:port` of the native door. */
  readonly grpcAddress: string;
  /** URL of the gRPC-Web door. */
  readonly webUrl: string;
  /** Loads the models; the node serves from then on. */
  load(): Promise<void>;
  /**
   * Refuses new work, lets running generations end for at most `graceMs`, aborts the rest as UNAVAILABLE, then closes
   * doors and runtime.
   */
  shutDown(graceMs: number): Promise<void>;
}

/** How long statuses get to reach their callers once everything has ended. */
const flushMs = 1_000;
const drainPollMs = 25;

/** Opens both doors; they answer NOT_SERVING until `load` has loaded the models. Rejects when a port can't be bound. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { runtime, clock, log, host, secret, tls } = options;
  const journal = new Journal();
  let grpcDoor: GrpcDoor | undefined;
  const metrics = createNodeMetrics({
    running: () => models.samples((admission) => admission.running),
    models: () => models.list().map(({ id }) => id),
    figures: (model) => runtime.figures?.(model),
    waiting: () => models.waitingSamples(),
  });
  const models: NodeModels = new NodeModels({
    runtime,
    clock,
    queueDepthMax: options.queueDepthMax,
    queueTokensMax: options.queueTokensMax,
    batchSlotsPercent: options.batchSlotsPercent,
    restartHoldMs: options.restartHoldMs,
    onRejection: (model, reason) => metrics.rejections.add(1, { model_name: model, reason: reason.toLowerCase() }),
    onRestart: (model) => metrics.restarts.add(1, { model_name: model }),
    onServingChange: (serving, reason) => {
      grpcDoor?.setServing(serving);
      if (serving) log({ level: "info", event: "ready", models: runtime.models().map(({ id }) => id) });
      else log({ level: "warn", event: "not_serving", reason });
    },
  });
  runtime.onStep?.((model, { decoding, promptTokens, ms }) => {
    const labels = { model_name: model };
    metrics.iterationTokens.observe(decoding + promptTokens, labels);
    metrics.stepTime.observe(ms / 1_000, labels);
  });
  const exporter = options.tracing && new OtlpExporter({ ...options.tracing, clock, log, nodeId: options.nodeId });
  const service = new Service({
    runtime,
    models,
    journal,
    metrics,
    tracer: exporter && new Tracer({ clock, send: (span) => exporter.add(span) }),
    clock,
    log,
    nodeId: options.nodeId,
    bootId: randomUUID(),
  });
  const door = { service, authenticate: createAuthenticate(secret), clock, host, tls };
  grpcDoor = await openGrpcDoor({ ...door, port: options.grpcPort });
  let webDoor: WebDoor;
  try {
    webDoor = await openWebDoor({
      ...door,
      port: options.webPort,
      metrics: () => metrics.registry.render(),
      serving: () => models.serving,
    });
  } catch (error) {
    await grpcDoor.close(0);
    throw error;
  }
  grpcDoor.setServing(models.serving);
  const native = grpcDoor;
  const address = host.includes(":") ? `[${host}]` : host;
  return {
    grpcAddress: `${address}:${native.port}`,
    webUrl: `${tls ? "https" : "http"}://${address}:${webDoor.port}`,
    load: () => runtime.start(),
    shutDown: async (graceMs) => {
      models.drain();
      const busy = (): boolean => journal.runningCount > 0 || models.busy;
      await idle(busy, clock, graceMs);
      for (const generation of journal.running()) generation.abort(drainingError());
      service.abortAll(drainingError());
      await idle(busy, clock, flushMs);
      await Promise.all([native.close(flushMs), webDoor.close(flushMs)]);
      models.close();
      metrics.close();
      await exporter?.close(flushMs);
      await runtime.close();
    },
  };
}

/** Resolves when nothing runs, or after `ms`. */
async function idle(busy: () => boolean, clock: Clock, ms: number): Promise<void> {
  const end = clock.monotonic() + ms;
  while (busy() && clock.monotonic() < end) await clock.sleep(drainPollMs);
}
