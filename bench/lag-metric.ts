// Reads how late a node's event loop runs from its /metrics.
import { BenchError } from "./target.ts";

/** The gauge: 99th percentile over the last full ten seconds. */
const gauge = "nodejs_eventloop_lag_p99_seconds";
/** A node that lags may answer late, too. */
const timeoutMs = 10_000;
/** Longest exposition that is read, in characters. */
const lengthMax = 4 << 20;

/** The p99 of the event loop's lag in milliseconds. Throws a BenchError that says why there is none. */
export async function readLagP99(
  { url, key }: { readonly url: string; readonly key: string | undefined },
  signal: AbortSignal,
): Promise<number> {
  const text = await fetchText(url, key, signal);
  const seconds = new RegExp(`^${gauge}(?:\\{[^}]*\\})? (\\S+)`, "m").exec(text)?.[1];
  if (seconds === undefined) throw new BenchError(`${url} has no ${gauge}`);
  const lag = Number(seconds) * 1000;
  if (!Number.isFinite(lag)) throw new BenchError(`${url} says ${gauge} is ${seconds}`);
  return lag;
}

async function fetchText(url: string, key: string | undefined, signal: AbortSignal): Promise<string> {
  let response: Response;
  try {
    response = await fetch(url, {
      headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      redirect: "error",
    });
    if (response.ok) return (await response.text()).slice(0, lengthMax);
    await response.body?.cancel();
  } catch (error) {
    signal.throwIfAborted();
    throw new BenchError(`${url} can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  throw new BenchError(`${url} answers ${response.status}${response.status === 401 ? " (--metrics-key)" : ""}`);
}
