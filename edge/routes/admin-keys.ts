// /admin/v1/keys: API keys made, listed and revoked with the admin key.
import { z } from "zod";
import type { ApiKeyRow } from "../api-keys.ts";
import { readJsonObject } from "../body.ts";
import type { EdgeContext } from "../context.ts";
import { ApiError } from "../errors.ts";
import { checked, text } from "../wire/validation.ts";

const PAGE_DEFAULT = 20;
const PAGE_MAX = 100;
/** The last second of the year 9999; what is later was meant as milliseconds. */
const UNIX_SECONDS_MAX = 253_402_300_799;

const name = text
  .min(1)
  .max(128)
  .refine((value) => !/\p{Cc}/u.test(value), "must have no control characters")
  .refine((value) => value.trim() !== "", "must not be blank");

const expiresAt = z.union([
  z.int().min(0).max(UNIX_SECONDS_MAX),
  z
    .union(
      [z.iso.datetime({ offset: true }), z.iso.date()],
      "must be Unix seconds or an ISO 8601 time with a time zone",
    )
    .transform((iso) => Math.floor(Date.parse(iso) / 1000)),
]);

const createSchema = z.object({ name, expires_at: expiresAt.nullish() });

const pageSchema = z.object({
  limit: z
    .string()
    .regex(/^\d{1,4}$/, "must be a whole number")
    .transform(Number)
    .pipe(z.int().min(1).max(PAGE_MAX))
    .default(PAGE_DEFAULT),
  after: z.string().max(64).optional(),
});

/** 201 with the key itself, this once. `expires_at` is taken as Unix seconds or ISO 8601 and given as Unix seconds. */
export async function createKey(c: EdgeContext): Promise<Response> {
  const { keys, clock } = c.var.services();
  const asked = checked(createSchema, await readJsonObject(c));
  const expires = asked.expires_at ?? null;
  if (expires !== null && expires * 1000 <= clock.now()) {
    throw new ApiError("invalid_request", "`expires_at` must be in the future.", { param: "expires_at" });
  }
  const { key, row } = await keys.create({ name: asked.name, expiresAt: expires });
  const { revoked_at: _, ...shown } = keyBody(row);
  c.header("cache-control", "no-store");
  return c.json({ ...shown, key }, 201);
}

/** Newest first; `after` is the last id of the page before. */
export async function listKeys(c: EdgeContext): Promise<Response> {
  const { limit, after } = checked(pageSchema, c.req.query());
  const { rows, hasMore } = await c.var.services().keys.list({ limit, after });
  const data = rows.map(keyBody);
  return c.json({
    object: "list",
    data,
    first_id: data.at(0)?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  });
}

/** Revoking again is the same as revoking once; an id that never was is a 404. */
export async function revokeKey(c: EdgeContext): Promise<Response> {
  const row = await c.var.services().keys.revoke(c.req.param("id") ?? "");
  if (row === undefined) throw new ApiError("not_found", "There is no key of this id.", { param: "id" });
  return c.json({ ...keyBody(row), deleted: true });
}

/** What is shown of a key: never its hash. Times are Unix seconds. */
function keyBody(row: ApiKeyRow) {
  return {
    id: row.id,
    object: "api_key",
    name: row.name,
    prefix: row.prefix,
    project_id: row.projectId,
    created_at: row.createdAt,
    expires_at: row.expiresAt,
    revoked_at: row.revokedAt,
  };
}
