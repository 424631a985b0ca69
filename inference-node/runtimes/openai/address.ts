// Where an engine's HTTP API is: a URL, or a Unix socket, without anything secret in it.
import { ConfigError } from "../../env-values.ts";

export interface UpstreamAddress {
  readonly tls: boolean;
  /** Without brackets. Of a Unix socket: localhost. */
  readonly hostname: string;
  readonly port: number;
  readonly socketPath: string | undefined;
  /** Before `/chat/completions`; usually "/v1", never with a slash at its end. */
  readonly apiPath: string;
  /** Before `/metrics` and `/health`; usually empty. */
  readonly rootPath: string;
  /** For sentences and logs. */
  readonly label: string;
}

/**
 * Reads `http://host:8000/v1`, `https://…`, `unix:/run/engine.sock` or `unix:/run/engine.sock:/v1`. A URL without a path
 * means `/v1`. Throws a ConfigError, which never repeats a password.
 */
export function readAddress(text: string, variable: string): UpstreamAddress {
  return text.startsWith("unix:") ? unixAddress(text, variable) : urlAddress(text, variable);
}

function unixAddress(text: string, variable: string): UpstreamAddress {
  const parts = /^unix:(\/[^:]+)(?::(\/[^:]*))?$/.exec(text);
  const [, socketPath, path = ""] = parts ?? [];
  if (socketPath === undefined) {
    throw new ConfigError(
      `${variable} must name a socket by its whole path, as unix:/run/engine.sock or unix:PATH:/v1.`,
    );
  }
  return { tls: false, hostname: "localhost", port: 80, socketPath, ...paths(path), label: `unix:${socketPath}` };
}

function urlAddress(text: string, variable: string): UpstreamAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new ConfigError(`${variable} must be a URL such as http://127.0.0.1:8000/v1, or unix:/run/engine.sock.`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new ConfigError(`${variable} must hold no user or password: the key goes into SLUICE_OPENAI_KEY.`);
  }
  if (url.search !== "" || url.hash !== "") throw new ConfigError(`${variable} must have no query and no fragment.`);
  const tls = url.protocol === "https:";
  return {
    tls,
    hostname: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port || (tls ? 443 : 80)),
    socketPath: undefined,
    ...paths(url.pathname),
    label: `${url.protocol}//${url.host}`,
  };
}

function paths(path: string): { apiPath: string; rootPath: string } {
  const apiPath = path.replace(/\/+$/, "") || "/v1";
  return { apiPath, rootPath: apiPath.replace(/\/v1$/, "") };
}
