// The edge's tables in D1. `npm run migrations` writes migrations/ from it.
import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** API keys. Times are Unix seconds. The key itself is nowhere: only its HMAC is. */
export const apiKeys = sqliteTable(
  "api_keys",
  {
    id: text("id").primaryKey(),
    projectId: text("project_id").notNull().default("prj_default"),
    name: text("name").notNull(),
    /** The key's beginning, for people to tell keys apart. */
    prefix: text("prefix").notNull(),
    /** Lower-case hex HMAC-SHA256 of the whole key under the pepper. */
    hash: text("hash").notNull().unique(),
    createdAt: integer("created_at").notNull(),
    expiresAt: integer("expires_at"),
    revokedAt: integer("revoked_at"),
  },
  (table) => [index("api_keys_project").on(table.projectId, table.id)],
);
