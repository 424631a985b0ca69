// Runs the command line in memory: sinks for its output, a fixed clock, and a small server to speak to.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { readEnvironment } from "../config.ts";
import { run, type World } from "../run.ts";

/** 2026-11-25 12:00:00 UTC. */
export const NOW_MS = Date.UTC(2026, 10, 25, 12);

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly checkout?: string;
  /** Whether stdout and stderr are terminals of this many columns. */
  readonly columns?: number;
  /** The answer to every question; absent where nobody can be asked. */
  readonly answer?: boolean;
  readonly signal?: AbortSignal;
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly questions: readonly string[];
}

/** Runs `sluice ARGS`. */
export async function sluice(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const written = { stdout: "", stderr: "" };
  const questions: string[] = [];
  const sink = (name: "stdout" | "stderr") => ({
    write: (text: string) => {
      written[name] += text;
    },
    ...(options.columns === undefined ? {} : { isTTY: true, columns: options.columns }),
  });
  const { answer } = options;
  const confirm: World["confirm"] = async (question) => {
    questions.push(question);
    return answer === true;
  };
  const code = await run(args, {
    stdout: sink("stdout"),
    stderr: sink("stderr"),
    env: readEnvironment(options.env ?? {}),
    cwd: options.cwd ?? "/",
    checkout: options.checkout ?? "/",
    version: "1.2.3",
    now: () => NOW_MS,
    confirm: answer === undefined ? undefined : confirm,
    signal: options.signal ?? new AbortController().signal,
  });
  return { code, ...written, questions };
}

export interface ServerRequest {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly body: unknown;
}

export interface ServerAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON, text as it is. */
  readonly body: object | string;
}

/** A server on loopback that answers by `answer` and remembers what it was asked. */
export async function fakeServer(
  answer: (request: ServerRequest) => ServerAnswer,
): Promise<{ url: string; requests: ServerRequest[] }> {
  const requests: ServerRequest[] = [];
  const server = createServer((incoming, response) => {
    let text = "";
    incoming.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    incoming.on("end", () => {
      const request: ServerRequest = {
        method: incoming.method ?? "",
        url: incoming.url ?? "",
        authorization: incoming.headers.authorization,
        body: text === "" ? undefined : JSON.parse(text),
      };
      requests.push(request);
      const { status = 200, headers = {}, body } = answer(request);
      const type = typeof body === "string" ? "text/plain" : "application/json";
      response.writeHead(status, { "content-type": type, "x-request-id": "req_1", ...headers });
      response.end(typeof body === "string" ? body : JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}
