// Reads when a key is to expire: a time from now ("30d") or a date.
import { usageError } from "./cli-error.ts";

const UNIT_SECONDS: Readonly<Record<string, number>> = {
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 604_800,
  y: 31_536_000,
};
const DURATION = /^(\d{1,9})\s*([smhdwy])$/i;
const ISO = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2}))?$/i;
/** The last second of the year 9999, as far as the API goes. */
const UNIX_SECONDS_MAX = 253_402_300_799;

/** Unix seconds; undefined for "never". Throws a usage error for what can't be read or has passed. */
export function parseExpiry(text: string, nowMs: number): number | undefined {
  const word = text.trim();
  if (/^never$/i.test(word)) return undefined;
  const [, count = "", unit = ""] = DURATION.exec(word) ?? [];
  const perUnit = UNIT_SECONDS[unit.toLowerCase()];
  const seconds = perUnit === undefined ? parseDate(word) : Math.floor(nowMs / 1000) + Number(count) * perUnit;
  if (seconds === undefined || Number.isNaN(seconds) || seconds > UNIX_SECONDS_MAX) {
    throw usageError(
      `--expires can't be "${text}": write a time from now (12h, 30d, 1y), a date (2027-01-31), an ISO time with its zone (2027-01-31T12:00:00Z), or never.`,
    );
  }
  if (seconds * 1000 <= nowMs) throw usageError(`--expires must lie in the future, and "${text}" does not.`);
  return seconds;
}

/** Unix seconds of an ISO date (its first moment in UTC) or time; undefined for a day that no month has. */
function parseDate(text: string): number | undefined {
  if (!ISO.test(text)) return undefined;
  const ms = Date.parse(text);
  const day = Number(text.slice(8, 10));
  const daysOfMonth = new Date(Date.UTC(Number(text.slice(0, 4)), Number(text.slice(5, 7)), 0)).getUTCDate();
  return Number.isNaN(ms) || day > daysOfMonth ? undefined : Math.floor(ms / 1000);
}
