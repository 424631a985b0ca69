// A small HTTP server that answers as the Hugging Face hub and its content network do.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { sha256 } from "./fake-files.ts";

export interface HubRequest {
  readonly url: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
}

/** How the next answers differ from good ones; each is used up by one request for content. */
export type Fault =
  | {
      readonly kind: "status";
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }
  /** The connection breaks after so many bytes of the body, when they have arrived if `arrivedBytes` says so. */
  | { readonly kind: "break"; readonly afterBytes: number }
  /** The server sends the whole file although a range was asked for. */
  | { readonly kind: "no-range" }
  /** Other content than the headers say. */
  | { readonly kind: "content"; readonly content: Buffer };

/** How long a break waits for what was sent. */
const arrivalMsMax = 10_000;

export class FakeHub {
  readonly requests: HubRequest[] = [];
  readonly faults: Fault[] = [];
  readonly files = new Map<string, Buffer>();
  /** Another origin that large files are redirected to, as the real hub does. */
  cdn: FakeHub | undefined;
  endpoint = "";
  /** Bytes of the file that the client has written; a break throws away what it has not read yet. */
  arrivedBytes: (() => number) | undefined;

  async #listen(): Promise<void> {
    const server = createServer((request, response) => this.#answer(request, response));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<FakeHub> {
    const hub = new FakeHub();
    await hub.#listen();
    return hub;
  }

  /** Holds a file under `org/repo/resolve/revision/path`. */
  hold(path: string, content: Buffer): void {
    this.files.set(`/${path}`, content);
    this.cdn?.files.set(`/${path}`, content);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = request.url ?? "";
    const { authorization, range } = request.headers;
    this.requests.push({ url, authorization, range });
    const content = this.files.get(decodeURIComponent(url));
    if (content === undefined) return void response.writeHead(404).end("Entry not found");
    const etag = `"${sha256(content)}"`;
    if (this.cdn !== undefined) {
      const linked = { "x-linked-etag": etag, "x-linked-size": String(content.length) };
      return void response.writeHead(302, { location: `${this.cdn.endpoint}${url}`, ...linked }).end();
    }
    const fault = this.faults.shift();
    if (fault?.kind === "status") return void response.writeHead(fault.status, fault.headers).end(fault.body ?? "");
    const sent = fault?.kind === "content" ? fault.content : content;
    const asked = fault?.kind === "no-range" ? undefined : /^bytes=(\d+)-$/.exec(range ?? "");
    const from = Number(asked?.[1] ?? 0);
    if (asked && from >= sent.length) return void response.writeHead(416).end();
    const body = sent.subarray(from);
    response.writeHead(asked ? 206 : 200, {
      etag,
      "content-length": String(body.length),
      ...(asked ? { "content-range": `bytes ${from}-${sent.length - 1}/${sent.length}` } : {}),
    });
    if (fault?.kind !== "break") return void response.end(body);
    response.write(body.subarray(0, fault.afterBytes), () => void this.#break(response, from + fault.afterBytes));
  }

  async #break(response: ServerResponse, sentBytes: number): Promise<void> {
    const giveUpMs = performance.now() + arrivalMsMax;
    do await sleep(20);
    while ((this.arrivedBytes?.() ?? sentBytes) < sentBytes && performance.now() < giveUpMs);
    response.destroy();
  }
}
