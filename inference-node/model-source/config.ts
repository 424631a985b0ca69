// What model sources read from the environment, once.
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

export interface ModelSourceConfig {
  /** Where downloaded models are kept. */
  readonly cacheDir: string;
  /** Base URL of the hub, without a trailing slash. */
  readonly hubEndpoint: string;
  /** Sent to the hub's own origin only. */
  readonly hubToken: string | undefined;
  /** Nothing is fetched: a model is in the cache or fails. */
  readonly offline: boolean;
  /** Interpreters to try, in order. */
  readonly pythons: readonly string[];
  /** The environment that child processes get. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Reads XDG_CACHE_HOME, HF_ENDPOINT, HF_TOKEN and SLUICE_OFFLINE; a relative XDG_CACHE_HOME is ignored, as its specification says. */
export function modelSourceConfig(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): ModelSourceConfig {
  const xdg = environment.XDG_CACHE_HOME;
  const base = xdg !== undefined && isAbsolute(xdg) ? xdg : join(environment.HOME || homedir(), ".cache");
  return {
    cacheDir: join(base, "sluice", "models"),
    hubEndpoint: (environment.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, ""),
    hubToken: environment.HF_TOKEN || undefined,
    offline: /^(1|true|yes|on)$/i.test(environment.SLUICE_OFFLINE ?? ""),
    pythons: ["python3", "python"],
    environment,
  };
}
