// The worker's bindings, checked once per isolate and turned into what the rest of the edge uses.
import { z } from "zod";
import { ApiKeys } from "./api-keys.ts";
import { type Clock, systemClock } from "./clock.ts";
import { ApiError } from "./errors.ts";
import { createNodePool, type NodePool } from "./node-pool.ts";

/** What wrangler.toml binds, as it arrives: nothing of it is trusted before `servicesOf` has checked it. */
export interface Bindings {
  DB: D1Database;
  /** In production: the way into the cluster (a VPC service or an mTLS binding). Absent: the global fetch. */
  NODE?: Fetcher;
  SLUICE_NODE_URL: string;
  SLUICE_NODE_SECRET: string;
  SLUICE_KEY_PEPPER: string;
  SLUICE_ADMIN_KEY_HASH: string;
  SLUICE_BODY_BYTES_MAX?: string;
  SLUICE_REQUEST_TIMEOUT_MS?: string;
}

/** What handlers work with: built once per isolate. */
export interface Services {
  readonly clock: Clock;
  readonly nodes: NodePool;
  readonly keys: ApiKeys;
  /** Lower-case hex HMAC of the admin key. */
  readonly adminKeyHash: string;
  /** A longer request body is refused. */
  readonly bodyBytesMax: number;
  /** Deadline of a whole generation. */
  readonly requestTimeoutMs: number;
}

const wholeNumber = (fallback: number, min: number, max: number) =>
  z
    .string()
    .regex(/^\d+$/, "must be a whole number")
    .transform(Number)
    .pipe(z.number().min(min).max(max))
    .default(fallback);

const bindingsSchema = z.object({
  DB: z.custom<D1Database>(
    (value) => typeof value === "object" && value !== null && "prepare" in value,
    "must be a D1 database binding",
  ),
  NODE: z
    .custom<Fetcher>((value) => typeof value === "object" && value !== null && "fetch" in value, "must have a fetch")
    .optional(),
  SLUICE_NODE_URL: z.url({ protocol: /^https?$/, error: "must be the http(s) address of the node's gRPC-Web door" }),
  SLUICE_NODE_SECRET: z.string("must be set").min(16, "must have at least 16 characters"),
  SLUICE_KEY_PEPPER: z.string("must be set").min(16, "must have at least 16 characters"),
  SLUICE_ADMIN_KEY_HASH: z.string("must be set").regex(/^[0-9a-f]{64}$/, "must be 64 lower-case hex digits"),
  // The node takes messages of 16 MiB, and a request's JSON is never smaller than its message.
  SLUICE_BODY_BYTES_MAX: wholeNumber(4 * 1024 * 1024, 1024, 16 * 1024 * 1024 - 4096),
  SLUICE_REQUEST_TIMEOUT_MS: wholeNumber(600_000, 1000, 24 * 3_600_000),
});

// workerd hands every request of an isolate the same object.
const servicesByBindings = new WeakMap<object, Services>();

/**
 * The services over these bindings.
 *
 * @throws ApiError `internal` whose detail names every binding that is missing or malformed.
 */
export function servicesOf(bindings: Bindings, clock: Clock = systemClock): Services {
  const known = servicesByBindings.get(bindings);
  if (known !== undefined) return known;
  const checked = bindingsSchema.safeParse(bindings);
  if (!checked.success) {
    const faults = checked.error.issues.map(({ path, message }) => `${path.join(".")} ${message}`);
    throw new ApiError("internal", undefined, { detail: `The worker is not configured: ${faults.join("; ")}.` });
  }
  const config = checked.data;
  const door = config.NODE;
  const services: Services = {
    clock,
    nodes: createNodePool({
      url: config.SLUICE_NODE_URL,
      secret: config.SLUICE_NODE_SECRET,
      fetch: door === undefined ? (input, init) => fetch(input, init) : (input, init) => door.fetch(input, init),
      clock,
    }),
    keys: new ApiKeys({ database: config.DB, pepper: config.SLUICE_KEY_PEPPER, clock }),
    adminKeyHash: config.SLUICE_ADMIN_KEY_HASH,
    bodyBytesMax: config.SLUICE_BODY_BYTES_MAX,
    requestTimeoutMs: config.SLUICE_REQUEST_TIMEOUT_MS,
  };
  servicesByBindings.set(bindings, services);
  return services;
}
