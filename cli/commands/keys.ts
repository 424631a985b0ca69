// `sluice keys`: makes, lists and revokes API keys with the admin key.
import { CliError, usageError } from "../cli-error.ts";
import type { Command, CommandContext } from "../command.ts";
import { parseExpiry } from "../expiry.ts";
import { callApi } from "../http.ts";
import { formatTime, printable } from "../output.ts";

const PAGE_SIZE = 100;
/** Bounds the list when a server always says that there is more. */
const PAGES_MAX = 1_000;

interface KeyInfo {
  readonly id: string;
  readonly name: string;
  readonly prefix: string;
  readonly createdAt: unknown;
  readonly expiresAt: unknown;
  readonly revokedAt: unknown;
}

const create: Command = {
  words: "keys create",
  arguments: "NAME",
  arity: [1, 1],
  summary: "Makes an API key and prints it, this once.",
  details: ["The key alone goes to stdout, so that a script can take it: KEY=$(sluice keys create ci)."],
  options: [{ name: "expires", value: "WHEN", help: "a time from now (12h, 30d, 1y), a date, an ISO time, or never" }],
  examples: [
    "sluice keys create laptop",
    "sluice keys create ci --expires 30d",
    "sluice keys create demo --expires 2027-01-31 --json",
  ],
  async run({ positionals, flags, connection, output, now, signal }) {
    const [name = ""] = positionals;
    if (name.trim() === "") throw usageError("NAME must not be empty: it tells this key from others.");
    const expires = typeof flags.expires === "string" ? parseExpiry(flags.expires, now()) : undefined;
    const body = expires === undefined ? { name } : { name, expires_at: expires };
    const answer = await callApi(connection, { method: "POST", path: "/admin/v1/keys", key: "admin", body, signal });
    if (typeof answer.key !== "string")
      throw new CliError("The server made a key and did not show it.", { code: "bad_answer" });
    if (output.json) return output.value(answer);
    const info = keyInfo(answer);
    output.remark(`Made ${info.id} "${printable(info.name)}", which ${validity(info)}.`);
    output.remark("Store it now: it is not shown again.");
    output.line(printable(answer.key));
  },
};

const list: Command = {
  words: "keys list",
  arguments: "",
  arity: [0, 0],
  summary: "Lists the API keys, newest first; of each key only its beginning is known.",
  options: [],
  examples: ["sluice keys list", "sluice keys list --json | jq -r '.data[].id'"],
  async run(context) {
    const { output, now } = context;
    const keys = await fetchAll(context);
    if (output.json) return output.value({ object: "list", data: keys, has_more: false });
    if (keys.length === 0) return output.remark("There are no keys yet: make one with sluice keys create NAME.");
    const rows = keys.map((key) => {
      const info = keyInfo(key);
      const expires = info.expiresAt === null ? "never" : formatTime(info.expiresAt);
      return [info.id, info.name, info.prefix, formatTime(info.createdAt), expires, stateOf(info, now())];
    });
    output.table(["ID", "NAME", "KEY", "CREATED", "EXPIRES", "STATE"], rows);
  },
};

const revoke: Command = {
  words: "keys revoke",
  arguments: "ID",
  arity: [1, 1],
  summary: "Revokes an API key for good; requests with it are refused from then on.",
  details: ["Asks first when a person is there to answer; a script is not asked."],
  options: [{ name: "yes", short: "y", help: "do not ask" }],
  examples: [
    "sluice keys revoke key_01KB2Q6V9Z7M5E3T1R8W4X0YNC",
    "sluice keys revoke key_01KB2Q6V9Z7M5E3T1R8W4X0YNC --yes",
  ],
  async run({ positionals, flags, connection, output, confirm, signal }) {
    const [id = ""] = positionals;
    if (id.startsWith("sk-")) {
      throw usageError("That is a key, and revoke takes its id (key_...): see sluice keys list.");
    }
    if (id.trim() === "") throw usageError("ID must not be empty: see sluice keys list.");
    if (flags.yes !== true && !output.json && confirm !== undefined) {
      const agreed = await confirm(`Revoke ${printable(id)}? Whoever uses it is locked out. [y/N] `);
      if (!agreed) throw new CliError("Nothing was revoked.", { code: "canceled" });
    }
    const path = `/admin/v1/keys/${encodeURIComponent(id)}`;
    const answer = await callApi(connection, { method: "DELETE", path, key: "admin", signal });
    if (output.json) return output.value(answer);
    output.line(`Revoked ${printable(id)}.`);
  },
};

/** The `sluice keys` commands. */
export const keyCommands: readonly Command[] = [create, list, revoke];

/** All pages; the API says `has_more` and takes the last id of a page as `after`. */
async function fetchAll({ connection, signal }: CommandContext): Promise<Record<string, unknown>[]> {
  const keys: Record<string, unknown>[] = [];
  let after = "";
  for (let page = 0; page < PAGES_MAX; page++) {
    const path = `/admin/v1/keys?limit=${PAGE_SIZE}${after}`;
    const answer = await callApi(connection, { method: "GET", path, key: "admin", signal });
    const data = Array.isArray(answer.data) ? answer.data.filter((key) => typeof key === "object" && key !== null) : [];
    keys.push(...data);
    const last: unknown = data.at(-1)?.id;
    if (answer.has_more !== true || typeof last !== "string") break;
    after = `&after=${encodeURIComponent(last)}`;
  }
  return keys;
}

function keyInfo(key: Record<string, unknown>): KeyInfo {
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  return {
    id: text(key.id),
    name: text(key.name),
    prefix: text(key.prefix),
    createdAt: key.created_at ?? null,
    expiresAt: key.expires_at ?? null,
    revokedAt: key.revoked_at ?? null,
  };
}

function validity({ expiresAt }: KeyInfo): string {
  return expiresAt === null ? "never expires" : `expires ${formatTime(expiresAt)}`;
}

function stateOf({ expiresAt, revokedAt }: KeyInfo, nowMs: number): string {
  if (revokedAt !== null) return "revoked";
  return typeof expiresAt === "number" && expiresAt * 1000 <= nowMs ? "expired" : "active";
}
