// When a key is to expire, as people write it.
import { expect, test } from "vitest";
import { parseExpiry } from "./expiry.ts";

const now = Date.UTC(2026, 10, 25, 12, 0, 0, 500);
const nowSeconds = Math.floor(now / 1000);

test.each([
  ["90s", 90],
  ["45m", 2_700],
  ["12h", 43_200],
  ["30d", 2_592_000],
  ["2w", 1_209_600],
  ["1y", 31_536_000],
  ["30 D", 2_592_000],
])("%s from now is %d seconds", (text, seconds) => {
  expect(parseExpiry(text, now)).toBe(nowSeconds + seconds);
});

test.each([
  ["2027-01-31", Date.UTC(2027, 0, 31)],
  ["2027-01-31T12:00:00Z", Date.UTC(2027, 0, 31, 12)],
  ["2027-01-31T12:00+02:00", Date.UTC(2027, 0, 31, 10)],
  ["2028-02-29", Date.UTC(2028, 1, 29)],
])("%s is that moment", (text, ms) => {
  expect(parseExpiry(text, now)).toBe(ms / 1000);
});

test("never is no expiry", () => {
  expect(parseExpiry("never", now)).toBeUndefined();
});

test.each(["", "soon", "30", "30x", "-1d", "2027-13-01", "2027-02-30", "2027-01-31T12:00:00", "99999999999y", "1e9d"])(
  "%j is refused with the ways to write it",
  (text) => {
    expect(() => parseExpiry(text, now)).toThrow("write a time from now (12h, 30d, 1y), a date (2027-01-31)");
  },
);

test.each(["0d", "2026-11-25", "2020-01-01T00:00:00Z"])("%s has passed", (text) => {
  expect(() => parseExpiry(text, now)).toThrow(`--expires must lie in the future, and "${text}" does not.`);
});
