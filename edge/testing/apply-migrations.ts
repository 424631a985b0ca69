// Brings each test file's D1 to the newest schema.
import { applyD1Migrations } from "cloudflare:test";
import { testBindings } from "./test-bindings.ts";

await applyD1Migrations(testBindings.DB, testBindings.TEST_MIGRATIONS);
