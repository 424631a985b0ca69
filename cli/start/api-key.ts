// Makes sure that the printed API key works: the saved one when the edge still takes it, else a new one.
import { StartError } from "./start-error.ts";

export interface KeyRing {
  url: string;
  adminKey: string;
  saved: string | undefined;
}

const TIMEOUT_MS = 10_000;

async function works(url: string, key: string, stop: AbortSignal): Promise<boolean> {
  const response = await fetch(`${url}/v1/models`, {
    headers: { authorization: `Bearer ${key}` },
    signal: AbortSignal.any([stop, AbortSignal.timeout(TIMEOUT_MS)]),
  });
  await response.arrayBuffer();
  // Anything else than a refusal of the key (a node that restarts, say) is no reason to replace it.
  return response.status !== 401 && response.status !== 403;
}

async function create({ url, adminKey }: KeyRing, stop: AbortSignal): Promise<string> {
  const response = await fetch(`${url}/admin/v1/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "npm start" }),
    signal: AbortSignal.any([stop, AbortSignal.timeout(TIMEOUT_MS)]),
  });
  const text = await response.text();
  if (response.status !== 201) {
    throw new StartError(`The edge made no API key: it answered ${response.status} ${text.slice(0, 300)}`);
  }
  return (JSON.parse(text) as { key: string }).key;
}

/** An API key that the edge at `url` takes. Rejects with StartError when it makes none, and on `stop`. */
export async function ensureApiKey(ring: KeyRing, stop: AbortSignal): Promise<string> {
  if (ring.saved !== undefined && (await works(ring.url, ring.saved, stop))) return ring.saved;
  return create(ring, stop);
}
