// Spans of generations reach a collector: joined to the caller's trace, with the conventions' attributes and no text.
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "./clock.ts";
import { ConfigError } from "./env-values.ts";
import type { LogEntry } from "./log.ts";
import { nativeClient } from "./testing/native-client.ts";
import { scripted } from "./testing/test-client.ts";
import { eventually, startTestNode, type TestNode, testSecret } from "./testing/test-node.ts";
import { parseTraceparent } from "./tracing.ts";
import { readTracingConfig } from "./tracing-config.ts";
import { type FinishedSpan, OtlpExporter } from "./tracing-otlp.ts";

interface Posted {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: { resourceSpans: { resource: Attributed; scopeSpans: { spans: Span[] }[] }[] };
}
interface Attributed {
  readonly attributes: { key: string; value: Record<string, unknown> }[];
}
interface Span extends Attributed {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly events: { name: string; timeUnixNano: string }[];
  readonly status: { code?: number; message?: string };
}

let posted: Posted[];
let statuses: number[];
let url: string;
const close: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  [posted, statuses] = [[], []];
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    request.on("end", () => {
      posted.push({ path: request.url ?? "", headers: request.headers, body: JSON.parse(text) });
      response.writeHead(statuses.shift() ?? 200).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  close.push(() => new Promise((resolve) => server.close(resolve)));
});

afterEach(async () => {
  for (const one of close.splice(0)) await one();
});

const spans = (): Span[] =>
  posted.flatMap(({ body }) => body.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((one) => one.spans)));
const attributesOf = ({ attributes }: Attributed): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));

describe("a node that traces", () => {
  let node: TestNode;
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const parentId = "b7ad6b7169203331";

  beforeEach(async () => {
    const tracing = readTracingConfig({
      OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/`,
      OTEL_EXPORTER_OTLP_HEADERS: "x-key=a%20b",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
    });
    node = await startTestNode({ tracing });
    close.unshift(() => node.close());
  });

  /** Runs a script with a trace context, by the native door. */
  async function generate(script: object, flags = "01", more = {}): Promise<void> {
    const client = nativeClient(node.node.grpcAddress, {
      secret: testSecret,
      metadata: { traceparent: `00-${traceId}-${parentId}-${flags}` },
    });
    onTestFinished(() => client.close());
    await client.generate(scripted(script, more));
  }

  test("a generation is one span of the caller's trace, with the conventions' names and the times in order", async () => {
    await generate({ text: "secret words", usage: { prompt_tokens: 20, completion_tokens: 7 } }, "01", {
      sampling: { temperature: 0.5 },
      stopping: { maxTokens: 9 },
    });
    await eventually(() => spans().length === 1, 10_000);
    const [span] = spans() as [Span];
    expect(span).toMatchObject({ traceId, parentSpanId: parentId, name: "chat scripted", kind: 2, status: {} });
    expect(span.spanId).toMatch(/^[0-9a-f]{16}$/);
    expect(attributesOf(span)).toMatchObject({
      "gen_ai.operation.name": "chat",
      "gen_ai.request.model": "scripted",
      "gen_ai.request.temperature": 0.5,
      "gen_ai.request.max_tokens": "9",
      "gen_ai.usage.input_tokens": "20",
      "gen_ai.usage.output_tokens": "7",
    });
    expect(span.attributes).toContainEqual({
      key: "gen_ai.response.finish_reasons",
      value: { arrayValue: { values: [{ stringValue: "stop" }] } },
    });
    expect(span.events.map(({ name }) => name)).toEqual(["admitted", "prefilled", "first_token"]);
    const times = [span.startTimeUnixNano, ...span.events.map((one) => one.timeUnixNano), span.endTimeUnixNano].map(
      BigInt,
    );
    expect(times).toEqual(times.toSorted((a, b) => (a < b ? -1 : 1)));
    expect(Math.abs(Number((times[0] as bigint) / 1_000_000n) - Date.now())).toBeLessThan(60_000);
    expect(posted[0]).toMatchObject({
      path: "/v1/traces",
      headers: { "x-key": "a b", "content-type": "application/json" },
    });
    expect(attributesOf(posted[0]?.body.resourceSpans[0]?.resource as Attributed)).toEqual({
      "service.name": "sluice-node",
      "service.instance.id": "test-node",
      "deployment.environment.name": "test",
    });
    expect(JSON.stringify(posted)).not.toContain("secret words");
  });

  test("one that fails says so; one whose trace is not sampled sends nothing", async () => {
    await generate({ text: "never" }, "00");
    await generate({ text: "a b c", chunks: 3, fail: "unavailable", fail_after: 1 });
    await eventually(() => spans().length > 0, 10_000);
    expect(spans()).toHaveLength(1);
    expect(spans()[0]?.status).toMatchObject({ code: 2, message: expect.any(String) });
    expect(attributesOf(spans()[0] as Span)["error.type"]).toBe("UNAVAILABLE");
  });

  test("a call without a trace begins one, and shutting down sends what is left", async () => {
    await node.clients.web.generate(scripted({ text: "x" }));
    await node.close();
    expect(spans()).toHaveLength(1);
    expect(spans()[0]?.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(spans()[0]).not.toHaveProperty("parentSpanId");
  });
});

describe("the exporter", () => {
  const span = (name: string): FinishedSpan => ({
    traceId: "1".repeat(32),
    spanId: "2".repeat(16),
    parentSpanId: undefined,
    name,
    startNanos: 1n,
    endNanos: 2n,
    attributes: {},
    events: [],
    error: undefined,
  });
  let entries: LogEntry[];

  function exporterTo(target: string): OtlpExporter {
    entries = [];
    const options = {
      url: target,
      headers: {},
      resource: {},
      nodeId: "n",
      log: (entry: LogEntry) => entries.push(entry),
    };
    const exporter = new OtlpExporter({ ...options, clock: { ...systemClock, sleep: async () => undefined } });
    return exporter;
  }

  test("tries again what a busy collector refused, and loses nothing", async () => {
    statuses = [503, 429];
    const exporter = exporterTo(`${url}/v1/traces`);
    exporter.add(span("a"));
    await eventually(() => posted.length === 3, 10_000);
    expect(spans().map(({ name }) => name)).toEqual(["a", "a", "a"]);
    expect(entries).toEqual([]);
  });

  test("drops what the collector refuses for good, and says so without a header", async () => {
    statuses = [400];
    const exporter = exporterTo(`${url}/v1/traces`);
    exporter.add(span("a"));
    await eventually(() => entries.length === 1, 10_000);
    expect(posted).toHaveLength(1);
    expect(entries).toMatchObject([{ event: "trace.dropped", spans: 1, message: "the collector answered 400" }]);
  });

  test("a collector that is not there costs bounded memory and one line a minute", async () => {
    const exporter = exporterTo("http://127.0.0.1:1/v1/traces");
    for (let i = 0; i < 10_000; i++) exporter.add(span(String(i)));
    await eventually(() => entries.length > 0, 10_000);
    expect(entries).toHaveLength(1);
    expect(entries[0]).toMatchObject({ level: "warn", event: "trace.dropped" });
  });

  test("sends many spans in batches of at most 512", async () => {
    const exporter = exporterTo(`${url}/v1/traces`);
    for (let i = 0; i < 1_000; i++) exporter.add(span(String(i)));
    await eventually(() => spans().length === 1_000, 10_000);
    expect(posted).toHaveLength(2);
  });
});

test.each([
  ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", false],
  ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true],
  ["cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-what-comes-later", true],
])("the trace context %s is one", (text, sampled) => {
  expect(parseTraceparent(text)).toMatchObject({ sampled });
});

test.each([
  undefined,
  "",
  "00-00000000000000000000000000000000-b7ad6b7169203331-01",
  "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
  "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
])("the trace context %j is none", (text) => {
  expect(parseTraceparent(text)).toBeUndefined();
});

describe("the variables", () => {
  test("nobody asked, or tracing is switched off: nothing is sent", () => {
    const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:4318" };
    expect(readTracingConfig({})).toBeUndefined();
    expect(readTracingConfig({ ...endpoint, OTEL_SDK_DISABLED: "true" })).toBeUndefined();
    expect(readTracingConfig({ ...endpoint, OTEL_TRACES_EXPORTER: "none" })).toBeUndefined();
    expect(readTracingConfig(endpoint)?.url).toBe("http://c:4318/v1/traces");
    expect(readTracingConfig({ ...endpoint, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://d/x" })?.url).toBe(
      "http://d/x",
    );
  });

  test.each<[string, Record<string, string>]>([
    ["must be an http or https URL", { OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4318" }],
    ["must be http/json", { OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:4317", OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }],
    ["must be name=value pairs", { OTEL_EXPORTER_OTLP_ENDPOINT: "http://c", OTEL_EXPORTER_OTLP_HEADERS: "secret" }],
    ["no header can have", { OTEL_EXPORTER_OTLP_ENDPOINT: "http://c", OTEL_EXPORTER_OTLP_HEADERS: "a=se%0Acret" }],
  ])("a wrong one is a sentence: %s", (sentence, env) => {
    expect(() => readTracingConfig(env)).toThrow(ConfigError);
    expect(() => readTracingConfig(env)).toThrow(sentence);
    expect(() => readTracingConfig(env)).not.toThrow("cret");
  });
});
