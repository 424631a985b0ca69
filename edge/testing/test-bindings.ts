// The bindings that the test runner gives, typed.
import type { D1Migration } from "cloudflare:test";
import { env } from "cloudflare:workers";

interface TestBindings {
  DB: D1Database;
  TEST_MIGRATIONS: D1Migration[];
}

export const testBindings = env as unknown as TestBindings;
