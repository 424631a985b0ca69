// Who asks, and whether they may: API keys for the API, the admin key for /admin.
import { ApiKeys } from "./api-keys.ts";
import type { EdgeContext, EdgeMiddleware } from "./context.ts";
import { ApiError } from "./errors.ts";

/** Far longer than any key, so that junk is not hashed. */
const AUTHORIZATION_CHARACTERS_MAX = 512;

/** The one who asks. */
export type Principal = { kind: "api"; keyId: string; projectId: string } | { kind: "admin" };

/**
 * Whose share of a node a request is of: the key's, named within its project. One key's hundred requests then don't delay
 * another's one, also when all keys are of one project.
 */
export function tenantOf({ projectId, keyId }: Extract<Principal, { kind: "api" }>): string {
  return `${projectId}/${keyId}`;
}

/** Lets the holders of a valid API key in. The admin key manages keys and nothing else: it gets a 403 here. */
export async function requireApiKey(c: EdgeContext, next: () => Promise<void>): Promise<void> {
  const principal = await authenticate(c);
  if (principal.kind !== "api") {
    throw new ApiError(
      "permission_denied",
      "The admin key only manages keys. Create an API key with POST /admin/v1/keys and use that.",
    );
  }
  c.set("principal", principal);
  await next();
}

/** Lets the holder of the admin key in; an API key gets a 403. */
export const requireAdminKey: EdgeMiddleware = async function requireAdminKey(c, next) {
  const principal = await authenticate(c);
  if (principal.kind !== "admin") throw new ApiError("permission_denied", "This path needs the admin key.");
  c.set("principal", principal);
  await next();
};

/** Finds the principal behind the Authorization header; throws `unauthenticated` when there is none. */
async function authenticate(c: EdgeContext): Promise<Principal> {
  const { keys, adminKeyHash } = c.var.services();
  const hash = await keys.hash(presentedKey(c.req.header("authorization")));
  if (equalInConstantTime(hash, adminKeyHash)) return { kind: "admin" };
  const row = await keys.findActive(hash);
  if (row === undefined) throw new ApiError("unauthenticated", "This API key is wrong, revoked or expired.");
  const { facts } = c.var.access;
  facts.keyId = row.id;
  facts.keyPrefix = row.prefix;
  facts.projectId = row.projectId;
  return { kind: "api", keyId: row.id, projectId: row.projectId };
}

/**
 * The key in `Authorization: Bearer KEY`; the scheme in any case (RFC 9110, section 11.1), one or more spaces between.
 * Two headers arrive joined by a comma, which no key contains.
 */
function presentedKey(header: string | undefined): string {
  if (header === undefined || header.trim() === "") {
    throw new ApiError("unauthenticated", "There is no API key: send it as `Authorization: Bearer YOUR_KEY`.");
  }
  const key = header.length > AUTHORIZATION_CHARACTERS_MAX ? undefined : /^\s*bearer +(\S+)\s*$/i.exec(header)?.[1];
  if (key === undefined) {
    throw new ApiError("unauthenticated", "The Authorization header must be `Bearer YOUR_KEY`.");
  }
  if (!ApiKeys.hasKeyShape(key)) throw new ApiError("unauthenticated", "This API key is malformed.");
  return key;
}

/** Compares two lower-case hex digests without telling by its time where they differ. */
function equalInConstantTime(left: string, right: string): boolean {
  const encoder = new TextEncoder();
  const [a, b] = [encoder.encode(left), encoder.encode(right)];
  return a.byteLength === b.byteLength && crypto.subtle.timingSafeEqual(a, b);
}
