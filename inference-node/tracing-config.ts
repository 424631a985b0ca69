// Reads OpenTelemetry's own variables: whether, where to and under what name spans are sent.
import { ConfigError, type Environment } from "./env-values.ts";

export interface TracingConfig {
  /** Where spans are posted to. */
  readonly url: string;
  /** May hold secrets: never logged. */
  readonly headers: Readonly<Record<string, string>>;
  readonly resource: Readonly<Record<string, string>>;
}

/** Undefined when nobody asked for spans. Throws a ConfigError for what can't be honoured. */
export function readTracingConfig(env: Environment): TracingConfig | undefined {
  const own = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || undefined;
  const base = env.OTEL_EXPORTER_OTLP_ENDPOINT || undefined;
  const off = env.OTEL_SDK_DISABLED?.toLowerCase() === "true" || env.OTEL_TRACES_EXPORTER === "none";
  if (off || (own === undefined && base === undefined)) return undefined;
  const protocol = env.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL || env.OTEL_EXPORTER_OTLP_PROTOCOL || "http/json";
  if (!protocol.startsWith("http/")) {
    throw new ConfigError(
      `OTEL_EXPORTER_OTLP_PROTOCOL must be http/json, but is "${protocol}": name the collector's HTTP port, 4318 by default.`,
    );
  }
  const name = own === undefined ? "OTEL_EXPORTER_OTLP_ENDPOINT" : "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
  const headers = env.OTEL_EXPORTER_OTLP_TRACES_HEADERS || env.OTEL_EXPORTER_OTLP_HEADERS;
  return {
    url: own === undefined ? `${httpUrl(name, base ?? "").replace(/\/+$/, "")}/v1/traces` : httpUrl(name, own),
    headers: headersOf(headers),
    resource: {
      ...pairs("OTEL_RESOURCE_ATTRIBUTES", env.OTEL_RESOURCE_ATTRIBUTES),
      ...(env.OTEL_SERVICE_NAME ? { "service.name": env.OTEL_SERVICE_NAME } : {}),
    },
  };
}

function httpUrl(name: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "http:" || url?.protocol === "https:") return text;
  throw new ConfigError(`${name} must be an http or https URL, but is "${text}".`);
}

function headersOf(text: string | undefined): Record<string, string> {
  const headers = pairs("OTEL_EXPORTER_OTLP_HEADERS", text);
  try {
    new Headers(headers);
    return headers;
  } catch {
    // The values may be secrets: the message names none.
    throw new ConfigError("OTEL_EXPORTER_OTLP_HEADERS has a name or a value that no header can have.");
  }
}

/** `name=value,name=value`, percent-encoded, as the specification of these variables has it. */
function pairs(name: string, text: string | undefined): Record<string, string> {
  const found: Record<string, string> = {};
  for (const pair of (text ?? "").split(",")) {
    if (pair.trim() === "") continue;
    const at = pair.indexOf("=");
    try {
      if (at <= 0) throw new URIError("no name");
      found[decodeURIComponent(pair.slice(0, at).trim())] = decodeURIComponent(pair.slice(at + 1).trim());
    } catch {
      throw new ConfigError(`${name} must be name=value pairs with commas between them, percent-encoded.`);
    }
  }
  return found;
}
