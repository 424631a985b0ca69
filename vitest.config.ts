// The test projects: unit (Node), edge (workerd), model (real weights), start (how the stack comes up and goes), e2e (the rest of it).
import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** Mostly they wait for processes. */
const startTests = ["test/e2e/start*.test.ts"];
/** They measure what a user waits for, so that each has the machine alone. */
const stackTests = ["test/e2e/**/*.test.ts", "test/clients/**/*.test.ts", "test/model/llama-hang.test.ts"];

export default defineConfig({
  test: {
    // Logs are for those who read a failure.
    silent: "passed-only",
    projects: [
      {
        test: {
          name: "unit",
          include: ["inference-node/**/*.test.ts", "cli/**/*.test.ts", "bench/**/*.test.ts"],
          testTimeout: 20_000,
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: { bindings: { TEST_MIGRATIONS: await readD1Migrations("edge/migrations") } },
          }),
        ],
        test: {
          name: "edge",
          include: ["edge/**/*.test.ts"],
          setupFiles: ["edge/testing/apply-migrations.ts"],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: "model",
          include: ["test/**/*.test.ts"],
          exclude: stackTests,
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: "start",
          include: startTests,
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: "e2e",
          include: stackTests,
          exclude: startTests,
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
