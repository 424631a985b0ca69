// What goes wrong around `npm start` is told in one sentence, and spoils nothing.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launch, startStack } from "../support/stack.ts";

const stateDir = mkdtempSync(join(tmpdir(), "sluice-start-"));

async function refusal(args: string[], env: Record<string, string> = {}): Promise<string> {
  const start = launch(["--runtime", "scripted", "--port", "0", ...args], env);
  expect(await start.exited).toBe(1);
  const lines = start.output().trim().split("\n");
  expect(lines.at(-1)).toMatch(/^sluice: .*\.$/);
  expect(start.output()).not.toMatch(/^\s+at /m);
  return lines.at(-1) ?? "";
}

function database(): DatabaseSync {
  const folder = join(stateDir, "state", "v3", "d1", "miniflare-D1DatabaseObject");
  const name = readdirSync(folder).find((file) => file.endsWith(".sqlite") && file !== "metadata.sqlite");
  return new DatabaseSync(join(folder, name ?? ""));
}

beforeAll(async () => {
  const stack = await startStack({ runtime: "scripted", stateDir });
  await stack.stop();
});

afterAll(() => rmSync(stateDir, { recursive: true, force: true }));

describe("a start that cannot be", () => {
  test("quotes the edge on a setting that it refuses", async () => {
    const sentence = await refusal(["--state", stateDir], { SLUICE_REQUEST_TIMEOUT_MS: "5 minutes" });
    expect(sentence).toBe("sluice: The edge's settings are wrong: SLUICE_REQUEST_TIMEOUT_MS must be a whole number.");
  });

  test("names the port that is in use and the way out", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    try {
      const sentence = await refusal(["--state", stateDir, "--port", String(port)]);
      expect(sentence).toContain(`Port ${port} is in use`);
      expect(sentence).toContain("--port 0");
      expect(await refusal(["--state", stateDir, "--port", "99999"])).toContain("0 to 65535");
    } finally {
      server.close();
    }
  });

  test("names the start that already runs on the same state, which goes on", async () => {
    await using stack = await startStack({ runtime: "scripted", stateDir });
    const sentence = await refusal(["--state", stateDir]);
    expect(sentence).toContain(String(stack.pids.start));
    expect(sentence).toContain(stack.url);
    expect((await fetch(`${stack.url}/readyz`)).status).toBe(200);
  });

  test("says that the state folder cannot be made", async () => {
    const file = join(stateDir, "a-file");
    writeFileSync(file, "");
    expect(await refusal(["--state", join(file, "below")])).toContain("a file lies where a folder must be");
  });

  test("says which option it does not know", async () => {
    expect(await refusal(["--state", stateDir, "--prot", "1"])).toContain("--prot");
  });

  test("passes on the sentence of a node that gives up", async () => {
    const sentence = await refusal(["--state", stateDir], { SLUICE_QUEUE_DEPTH_MAX: "many" });
    expect(sentence).toContain("SLUICE_QUEUE_DEPTH_MAX");
  });

  test("passes on why there is no model", async () => {
    const sentence = await refusal(["--state", stateDir, "--runtime", "llama", "--model", "/nowhere/model.gguf"]);
    expect(sentence).toContain("/nowhere/model.gguf");
  });
});

describe("state of another version", () => {
  test("of a newer checkout is refused and left alone", async () => {
    let db = database();
    db.exec("INSERT INTO d1_migrations (name) VALUES ('9999_from_the_future.sql')");
    db.close();
    expect(await refusal(["--state", stateDir])).toContain("newer checkout (migration 9999_from_the_future.sql");
    db = database();
    expect(db.prepare("DELETE FROM d1_migrations WHERE name LIKE '9999%'").run().changes).toBe(1);
    db.close();
  });

  test("of an older checkout is backed up, then migrated", async () => {
    const db = database();
    const tables = db.prepare(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'",
    );
    for (const { name } of tables.all()) {
      if (name !== "d1_migrations" && !String(name).startsWith("sqlite_")) db.exec(`DROP TABLE "${name}"`);
    }
    db.exec("DELETE FROM d1_migrations; CREATE TABLE keepsake (id TEXT); INSERT INTO keepsake VALUES ('kept')");
    db.close();
    await using stack = await startStack({ runtime: "scripted", stateDir });
    expect(stack.output()).toMatch(/migrations? applied, backup in .*backups/);
    const [backup = ""] = readdirSync(join(stateDir, "backups"));
    const saved = join(stateDir, "backups", backup);
    expect(readdirSync(saved).sort()).toEqual(["secrets.json", "state"]);
    expect(
      (await fetch(`${stack.url}/v1/models`, { headers: { authorization: `Bearer ${stack.apiKey}` } })).status,
    ).toBe(200);
    await stack.stop();
    const after = database();
    expect(after.prepare("SELECT id FROM keepsake").get()?.id).toBe("kept");
    after.close();
  });

  test("that is damaged is named, with where the backups are", async () => {
    const damaged = mkdtempSync(join(tmpdir(), "sluice-start-"));
    try {
      const folder = join(damaged, "state", "v3", "d1", "miniflare-D1DatabaseObject");
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, "a.sqlite"), "this is no database, but long enough to be taken for one".repeat(100));
      expect(await refusal(["--state", damaged])).toMatch(/cannot be read .*backups/);
    } finally {
      rmSync(damaged, { recursive: true, force: true });
    }
  });

  test("whose secrets are damaged gets new ones, and says so", async () => {
    const path = join(stateDir, "secrets.json");
    const before = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, "{");
    await using stack = await startStack({ runtime: "scripted", stateDir });
    expect(stack.output()).toContain("the earlier ones no longer work");
    expect(stack.adminKey).not.toBe(before.adminKey);
    expect(
      (await fetch(`${stack.url}/v1/models`, { headers: { authorization: `Bearer ${stack.apiKey}` } })).status,
    ).toBe(200);
  });
});
