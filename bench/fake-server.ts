// An OpenAI-compatible server of a few lines for the tests of the benchmark: exact tokens, delays and faults on command.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface FakeBehaviour {
  readonly models?: readonly string[];
  /** When given, any other key is refused. */
  readonly key?: string;
  /** Milliseconds before each token. */
  readonly tokenMs?: number;
  readonly usage?: boolean;
  /** Tokens in one event. */
  readonly tokensPerEvent?: number;
  /** Tokens that the template adds to a prompt's words. */
  readonly templateTokens?: number;
  /** Milliseconds before the first token. */
  readonly prefillMs?: (request: ChatRequest) => number;
  /** While one prompt is prefilled the tokens of others take so many times as long. */
  readonly stallFactor?: number;
  /** Prompt tokens that it says it had computed before. */
  readonly cachedTokens?: (request: ChatRequest) => number;
  /** What `/metrics` answers. */
  readonly metrics?: string;
  /** Takes a request over when it returns true; `ordinal` counts chat requests from 1. */
  readonly intercept?: (response: ServerResponse, ordinal: number) => boolean;
}

export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly max_tokens: number;
}

export interface FakeServer {
  readonly origin: string;
  /** Parsed bodies of the chat requests, in order. */
  readonly requests: readonly ChatRequest[];
  readonly authorizations: readonly (string | undefined)[];
  /** Most streams that ran at once, and those that run now. */
  readonly concurrencyMax: () => number;
  readonly running: () => number;
  close(): Promise<void>;
}

export async function startFakeServer(behaviour: FakeBehaviour = {}): Promise<FakeServer> {
  const requests: ChatRequest[] = [];
  const authorizations: (string | undefined)[] = [];
  let running = 0;
  let runningMax = 0;
  const prefills = { running: 0 };
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    authorizations.push(request.headers.authorization);
    if (behaviour.key !== undefined && request.headers.authorization !== `Bearer ${behaviour.key}`) {
      return sendJson(response, 401, { error: { message: "Incorrect API key provided." } });
    }
    if (request.url === "/v1/models") {
      return sendJson(response, 200, { data: (behaviour.models ?? ["fake"]).map((id) => ({ id })) });
    }
    if (request.url === "/metrics" && behaviour.metrics !== undefined) return void response.end(behaviour.metrics);
    if (request.url !== "/v1/chat/completions") return sendJson(response, 404, { error: { message: "No such path." } });
    const body = JSON.parse(await text(request)) as ChatRequest;
    requests.push(body);
    if (behaviour.intercept?.(response, requests.length)) return;
    running += 1;
    runningMax = Math.max(runningMax, running);
    try {
      await stream(response, body, behaviour, prefills);
    } finally {
      running -= 1;
    }
  };
  const server = createServer((request, response) => void handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    authorizations,
    concurrencyMax: () => runningMax,
    running: () => running,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function stream(
  response: ServerResponse,
  body: ChatRequest,
  behaviour: FakeBehaviour,
  prefills: { running: number },
): Promise<void> {
  const { tokenMs = 0, usage = true, tokensPerEvent = 1, templateTokens = 5, stallFactor = 1 } = behaviour;
  const send = (value: object): boolean => response.write(`data: ${JSON.stringify(value)}\n\n`);
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  send({ choices: [{ delta: { role: "assistant", content: "" } }] });
  const prefillMs = behaviour.prefillMs?.(body) ?? 0;
  if (prefillMs > 0) {
    prefills.running += 1;
    await sleep(prefillMs);
    prefills.running -= 1;
  }
  for (let sent = 0; sent < body.max_tokens && !response.destroyed; sent += tokensPerEvent) {
    if (tokenMs > 0) await sleep(prefills.running > 0 ? tokenMs * stallFactor : tokenMs);
    response.write(": ping\n\n");
    send({ choices: [{ delta: { content: "é " } }], usage: null });
  }
  send({ choices: [{ delta: {}, finish_reason: "length" }] });
  const words = body.messages.reduce((sum, { content }) => sum + content.split(/\s+/).length, 0);
  const cached = behaviour.cachedTokens?.(body);
  const counts = { prompt_tokens: words + templateTokens, completion_tokens: body.max_tokens };
  const details = cached === undefined ? {} : { prompt_tokens_details: { cached_tokens: cached } };
  if (usage) send({ choices: [], usage: { ...counts, ...details } });
  response.end("data: [DONE]\n\n");
}

export function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

async function text(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const part of request) body += part;
  return body;
}
