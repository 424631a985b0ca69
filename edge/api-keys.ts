// API keys: made, looked up, listed and revoked. D1 holds only their HMACs.
import { and, desc, eq, isNull, lt } from "drizzle-orm";
import { type DrizzleD1Database, drizzle } from "drizzle-orm/d1";
import { ulid } from "ulid";
import type { Clock } from "./clock.ts";
import { KeyCache } from "./key-cache.ts";
import { apiKeys } from "./schema.ts";

const KEY_PREFIX = "sk-sluice-";
const KEY_BYTES = 32;
/** `sk-sluice-` and 32 bytes in base64url. */
const KEY_SHAPE = /^sk-sluice-[A-Za-z0-9_-]{43}$/;
/** How much of a key is kept for people to tell it by: 24 of its 256 bits. */
const DISPLAY_CHARACTERS = KEY_PREFIX.length + 4;

export type ApiKeyRow = typeof apiKeys.$inferSelect;

export interface NewApiKey {
  name: string;
  /** Unix seconds; null for never. */
  expiresAt: number | null;
}

export interface ApiKeysConfig {
  database: D1Database;
  /** Secret key of the HMAC: a stolen table can't be searched for keys without it. */
  pepper: string;
  clock: Clock;
}

/** The keys of the API. */
export class ApiKeys {
  readonly #database: DrizzleD1Database;
  readonly #pepper: string;
  readonly #clock: Clock;
  readonly #cache: KeyCache<ApiKeyRow>;
  #hmacKey: CryptoKey | undefined;

  constructor(config: ApiKeysConfig) {
    this.#database = drizzle(config.database);
    this.#pepper = config.pepper;
    this.#clock = config.clock;
    this.#cache = new KeyCache(config.clock);
  }

  /** Whether the text has the form of a key: what has not is no key, and costs no look-up. */
  static hasKeyShape(text: string): boolean {
    return KEY_SHAPE.test(text);
  }

  /** Lower-case hex HMAC-SHA256 of a key under the pepper. */
  async hash(key: string): Promise<string> {
    const encoder = new TextEncoder();
    // Kept for the isolate's life: importing costs as much as signing.
    this.#hmacKey ??= await crypto.subtle.importKey(
      "raw",
      encoder.encode(this.#pepper),
      { name: "HMAC", hash: "SHA-256" },
      false,
      ["sign"],
    );
    return hexOf(new Uint8Array(await crypto.subtle.sign("HMAC", this.#hmacKey, encoder.encode(key))));
  }

  /** The key with this hash that is neither revoked nor expired; a revocation elsewhere shows within the cache's time. */
  async findActive(hash: string): Promise<ApiKeyRow | undefined> {
    let row = this.#cache.get(hash);
    if (row === undefined) {
      const [found] = await this.#database.select().from(apiKeys).where(eq(apiKeys.hash, hash)).limit(1);
      row = found ?? null;
      this.#cache.set(hash, row);
    }
    return row !== null && this.#isActive(row) ? row : undefined;
  }

  /** Makes a key. The key itself is in this answer and nowhere else. */
  async create(asked: NewApiKey): Promise<{ key: string; row: ApiKeyRow }> {
    const key = KEY_PREFIX + base64Url(crypto.getRandomValues(new Uint8Array(KEY_BYTES)));
    const now = this.#clock.now();
    const [row] = await this.#database
      .insert(apiKeys)
      .values({
        id: `key_${ulid(now)}`,
        name: asked.name,
        prefix: `${key.slice(0, DISPLAY_CHARACTERS)}…`,
        hash: await this.hash(key),
        createdAt: Math.floor(now / 1000),
        expiresAt: asked.expiresAt,
      })
      .returning();
    if (row === undefined) throw new Error("D1 returned no row for an inserted key.");
    return { key, row };
  }

  /** A page of keys, newest first, revoked and expired ones among them. */
  async list(page: { limit: number; after: string | undefined }): Promise<{ rows: ApiKeyRow[]; hasMore: boolean }> {
    const rows = await this.#database
      .select()
      .from(apiKeys)
      .where(page.after === undefined ? undefined : lt(apiKeys.id, page.after))
      .orderBy(desc(apiKeys.id))
      .limit(page.limit + 1);
    return { rows: rows.slice(0, page.limit), hasMore: rows.length > page.limit };
  }

  /** Revokes for good; again is the same. Undefined when there is no such key. */
  async revoke(id: string): Promise<ApiKeyRow | undefined> {
    const revokedAt = Math.floor(this.#clock.now() / 1000);
    await this.#database
      .update(apiKeys)
      .set({ revokedAt })
      .where(and(eq(apiKeys.id, id), isNull(apiKeys.revokedAt)));
    const [row] = await this.#database.select().from(apiKeys).where(eq(apiKeys.id, id)).limit(1);
    if (row !== undefined) this.#cache.delete(row.hash);
    return row;
  }

  #isActive({ expiresAt, revokedAt }: ApiKeyRow): boolean {
    return revokedAt === null && (expiresAt === null || this.#clock.now() < expiresAt * 1000);
  }
}

function hexOf(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += byte.toString(16).padStart(2, "0");
  return hex;
}

function base64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
