// Opens one file of the Hugging Face hub for reading, from a byte on, and says what a refusal means.
import type { HubSource } from "./catalogue.ts";
import type { ModelSourceConfig } from "./config.ts";
import { ModelError, systemCode } from "./model-error.ts";
import { formatHub } from "./reference.ts";

const REDIRECTS_MAX = 5;

/** An open answer of the hub, its body not yet read. */
export interface HubAnswer {
  readonly body: AsyncIterable<Uint8Array>;
  /** Has to live as long as its body is wanted: fetch cancels the body, as if it had ended, when this is collected. */
  readonly response: Response;
  /** Where the body begins: 0 when the server does not resume. */
  readonly offset: number;
  /** Size of the whole file; undefined when the server does not say. */
  readonly totalBytes: number | undefined;
  /** What tells this content from another; undefined when the server does not say. */
  readonly etag: string | undefined;
  /** Lower-case hex, when the etag is that of a large file (LFS), which is its SHA-256. */
  readonly sha256: string | undefined;
}

/** A failure that another try may mend. */
export class TransientHubError extends Error {
  override readonly name = "TransientHubError";
  readonly retryAfterMs: number | undefined;
  /** Whether the hub answered at all. */
  readonly answered: boolean;

  constructor(message: string, answered: boolean, retryAfterMs?: number, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.answered = answered;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The file's address: `ENDPOINT/ORG/REPO/resolve/REVISION/PATH`. */
export function hubUrl(source: HubSource, endpoint: string): URL {
  const path = source.path.split("/").map(encodeURIComponent).join("/");
  const repository = `${source.organization}/${source.repository}`;
  return new URL(`${endpoint}/${repository}/resolve/${encodeURIComponent(source.revision)}/${path}`);
}

/**
 * Asks for the file from `offset` on. Throws a ModelError for a refusal, a TransientHubError for what may pass, and the
 * signal's reason. Redirects are followed by hand: the headers that describe a large file come with the hub's own
 * redirect, and the token must not follow to another origin.
 */
export async function openHubFile(
  source: HubSource,
  offset: number,
  config: ModelSourceConfig,
  signal: AbortSignal,
): Promise<HubAnswer> {
  let url = hubUrl(source, config.hubEndpoint);
  const hubOrigin = url.origin;
  let linked: { etag?: string; size?: number } = {};
  for (let hop = 0; hop <= REDIRECTS_MAX; hop++) {
    const headers: Record<string, string> = { "accept-encoding": "identity", "user-agent": "sluice" };
    if (offset > 0) headers.range = `bytes=${offset}-`;
    if (config.hubToken !== undefined && url.origin === hubOrigin) headers.authorization = `Bearer ${config.hubToken}`;
    const response = await ask(url, headers, signal);
    const etag = plainEtag(response.headers.get("x-linked-etag"));
    const size = response.headers.get("x-linked-size");
    if (etag !== undefined) linked = { ...linked, etag };
    if (size !== null && /^\d+$/.test(size)) linked = { ...linked, size: Number(size) };
    const location = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || location === null) {
      return answerOf(response, source, offset, linked);
    }
    await response.body?.cancel();
    url = new URL(location, url);
  }
  throw refusal(source, "redirects without end");
}

async function ask(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
  try {
    return await fetch(url, { headers, signal, redirect: "manual" });
  } catch (error) {
    signal.throwIfAborted();
    throw new TransientHubError(
      `${url.host} can't be reached (${systemCode(error) ?? "the connection failed"})`,
      false,
      undefined,
      error,
    );
  }
}

async function answerOf(
  response: Response,
  source: HubSource,
  offset: number,
  linked: { readonly etag?: string; readonly size?: number },
): Promise<HubAnswer> {
  if (response.status === 416) {
    // The part we hold is as long as the file or longer: begin again.
    await response.body?.cancel();
    throw new TransientHubError("the hub can't resume there", true, 0);
  }
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw explainStatus(response, source);
  }
  const begin = response.status === 206 ? rangeStart(response) : 0;
  if (begin !== 0 && begin !== offset) {
    await response.body.cancel();
    throw refusal(source, "answers with another range than it was asked for");
  }
  const etag = linked.etag ?? plainEtag(response.headers.get("etag"));
  const length = response.headers.get("content-length");
  const totalBytes = linked.size ?? (length === null ? undefined : begin + Number(length));
  return {
    body: response.body,
    response,
    offset: begin,
    totalBytes,
    etag,
    sha256: etag !== undefined && /^[0-9a-f]{64}$/.test(etag) ? etag : undefined,
  };
}

function rangeStart(response: Response): number {
  const match = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "");
  return match === null ? -1 : Number(match[1]);
}

function plainEtag(value: string | null): string | undefined {
  return value?.replace(/^W\//, "").replaceAll('"', "").toLowerCase() || undefined;
}

function explainStatus(response: Response, source: HubSource): Error {
  const name = formatHub(source);
  const { status } = response;
  if (status === 401 || status === 403) {
    return new ModelError(
      "hub_unauthorized",
      `the hub refuses ${name} (HTTP ${status}): it does not exist, is private, or its licence must be accepted first`,
      "check the name, accept the licence on the model's page, and set HF_TOKEN to a token that may read it",
    );
  }
  if (status === 404 || status === 410) {
    return new ModelError(
      "hub_not_found",
      `the hub has no ${name}`,
      "check organization, repository, file name (upper and lower case count) and revision",
    );
  }
  if (status === 408 || status === 429 || status >= 500) {
    const seconds = Number(response.headers.get("retry-after") ?? "");
    const wait = Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds * 1000, 60_000) : undefined;
    return new TransientHubError(`the hub answers HTTP ${status}`, true, wait);
  }
  return refusal(source, `answers HTTP ${status}`);
}

function refusal(source: HubSource, what: string): ModelError {
  return new ModelError(
    "hub_failed",
    `the hub ${what} for ${formatHub(source)}`,
    "try again later, or set HF_ENDPOINT to a mirror",
  );
}
