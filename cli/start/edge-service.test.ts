// How the edge is started: on loopback, offline, with its secrets in a file.
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configurationFault, edgeSpec, isRuntimeCrash, migrateSpec, writeEdgeEnv } from "./edge-service.ts";
import { keyHash, statePaths } from "./state.ts";

const paths = statePaths("/state");
const input = { root: "/checkout", paths, inherited: { PATH: "/bin", WRANGLER_SEND_METRICS: "true" } };
const secrets = { version: 1, nodeSecret: "n".repeat(64), keyPepper: "p".repeat(64), adminKey: "sk-sluice-admin" };

test("the edge is served at the port given, over the state folder's database", () => {
  const command = edgeSpec(input, 8787).args.join(" ");
  expect(command).toContain("--config /checkout/wrangler.toml");
  expect(command).toContain("--persist /state/state --env-file /state/edge.env --port 8787");
});

test("the migrations go to the same database", () => {
  const command = migrateSpec(input).args.join(" ");
  expect(command).toContain("d1 migrations apply DB --local --persist-to /state/state");
});

test("nothing is sent, fetched or written outside the state folder, whatever the environment says", () => {
  expect(edgeSpec(input, 1).env).toMatchObject({
    PATH: "/bin",
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_SEND_ERROR_REPORTS: "false",
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
    X_LOCAL_EXPLORER: "false",
    WRANGLER_CACHE_DIR: "/state/wrangler/cache",
    WRANGLER_REGISTRY_PATH: "/state/wrangler/registry",
  });
});

test("the file of secrets is closed to others and holds the admin key's hash, never the key", () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-edge-"));
  try {
    const own = statePaths(folder);
    writeEdgeEnv(own, secrets, "http://127.0.0.1:1", { SLUICE_SECRET_OF_ANOTHER: "x", SLUICE_REQUEST_TIMEOUT_MS: "" });
    expect(statSync(own.edgeEnv).mode & 0o777).toBe(0o600);
    const text = readFileSync(own.edgeEnv, "utf8");
    expect(text.split("\n")).toEqual([
      'SLUICE_NODE_URL="http://127.0.0.1:1"',
      `SLUICE_NODE_SECRET="${secrets.nodeSecret}"`,
      `SLUICE_KEY_PEPPER="${secrets.keyPepper}"`,
      `SLUICE_ADMIN_KEY_HASH="${keyHash(secrets.keyPepper, secrets.adminKey)}"`,
      "",
    ]);
    expect(text).not.toContain(secrets.adminKey);
    writeEdgeEnv(own, secrets, "http://127.0.0.1:1", { SLUICE_REQUEST_TIMEOUT_MS: "5000" });
    expect(readFileSync(own.edgeEnv, "utf8")).toContain('SLUICE_REQUEST_TIMEOUT_MS="5000"\n');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("the local server's word for a dead workerd is understood", () => {
  expect(isRuntimeCrash("[warn] The Workers runtime crashed unexpectedly and is being restarted (crash #1)")).toBe(
    true,
  );
  expect(isRuntimeCrash('{"event":"request","path":"/x"}')).toBe(false);
});

test("a worker that refuses its settings is quoted", () => {
  const line =
    '{"event":"request","path":"/readyz","error_detail":"The worker is not configured: X must be a number."}\n';
  expect(configurationFault(`{"event":"other"}\n${line}`)).toBe("X must be a number.");
  expect(configurationFault('{"event":"request","path":"/readyz"}\n')).toBeUndefined();
});
