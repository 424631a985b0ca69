// An engine for tests: answers what it is told to, byte by byte if need be, and keeps what it was asked.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  /** JSON; undefined for no body. */
  readonly body: Record<string, unknown>;
}

/** Answers one request. */
export type Handler = (response: ServerResponse, asked: Asked) => void | Promise<void>;

export interface FakeUpstream {
  /** `http://127.0.0.1:PORT/v1`, or `unix:PATH`. */
  readonly url: string;
  /** All requests so far, oldest first. */
  readonly asked: readonly Asked[];
  /** Connections taken so far. */
  readonly connections: number;
  /** Connections that are open. */
  readonly open: number;
  /** By path, with or without the method before it: "POST /v1/chat/completions". */
  readonly routes: Map<string, Handler>;
  /** The requests to a path. */
  to(path: string): Asked[];
  close(): Promise<void>;
}

/** Starts an engine with a list of models and nothing else: what it has no route for is a 404. */
export async function fakeUpstream(routes: Record<string, Handler> = {}, socketPath?: string): Promise<FakeUpstream> {
  const asked: Asked[] = [];
  const sockets = new Set<Socket>();
  const table = new Map(
    Object.entries({ "/v1/models": models("fake", { owned_by: "vllm", max_model_len: 4_096 }), ...routes }),
  );
  let connections = 0;
  const server: Server = createServer((request, response) => {
    void readBody(request).then(async (body) => {
      const path = request.url ?? "";
      const one: Asked = { method: request.method ?? "", path, headers: request.headers, body };
      asked.push(one);
      const handler = table.get(`${one.method} ${path}`) ?? table.get(path);
      if (handler === undefined) return json(404, { detail: "Not Found" })(response, one);
      await handler(response, one);
    });
  });
  server.on("connection", (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => {
    if (socketPath === undefined) server.listen(0, "127.0.0.1", resolve);
    else server.listen(socketPath, resolve);
  });
  const url =
    socketPath === undefined ? `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` : `unix:${socketPath}`;
  return {
    url,
    asked,
    routes: table,
    get connections() {
      return connections;
    },
    get open() {
      return sockets.size;
    },
    to: (path) => asked.filter((one) => one.path === path),
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) text += piece;
  return text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
}

/** Answers with JSON. */
export function json(status: number, value: unknown, headers: Record<string, string> = {}): Handler {
  return (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(value));
  };
}

/** A list of one model. */
export function models(id: string, more: Record<string, unknown> = {}): Handler {
  return json(200, { object: "list", data: [{ id, object: "model", created: 1, ...more }] });
}

/** A stream of these events as they are, after which the answer ends. Objects are sent as `data:` lines. */
export function sse(...events: (Record<string, unknown> | string)[]): Handler {
  return (response) => {
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    for (const event of events) response.write(sseText(event));
    response.end();
  };
}

/** One event as text; a string is sent as it is. */
export function sseText(event: Record<string, unknown> | string): string {
  return typeof event === "string" ? event : `data: ${JSON.stringify(event)}\n\n`;
}

export const done = "data: [DONE]\n\n";

/** A chunk of a chat's first choice. */
export function chunk(
  delta: Record<string, unknown>,
  finish: string | null = null,
  more: Record<string, unknown> = {},
) {
  return {
    id: "chatcmpl-fake",
    object: "chat.completion.chunk",
    created: 1,
    model: "fake",
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
    ...more,
  };
}

/** The chunk that holds the usage alone. */
export function usageChunk(prompt: number, completion: number, more: Record<string, unknown> = {}) {
  const usage = { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion, ...more };
  return { id: "chatcmpl-fake", object: "chat.completion.chunk", created: 1, model: "fake", choices: [], usage };
}
