// Bundles the edge with wrangler and writes what the local server needs beside the bundle, then ends: wrangler's 300 MB go with it.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { unstable_getMiniflareWorkerOptions } from "wrangler";

const [wrangler = "", config = "", outDir = ""] = process.argv.slice(2);

const bundled = spawnSync(
  process.execPath,
  ["--no-warnings", wrangler, "deploy", "--dry-run", "--config", config, "--outdir", outDir],
  { stdio: "inherit" },
);
if (bundled.status !== 0) process.exit(bundled.status ?? 1);

const { workerOptions } = unstable_getMiniflareWorkerOptions(config);
// Rules for finding modules were followed by the bundler already, and a bundle is one module.
const { modulesRules: _, ...options } = workerOptions;
writeFileSync(join(outDir, "options.json"), JSON.stringify(options));
