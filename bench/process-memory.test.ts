// Memory is read from a made-up /proc and from the real one.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { sampleProcesses } from "./process-memory.ts";

let proc: string;

beforeEach(async () => {
  proc = await mkdtemp(join(tmpdir(), "bench-proc-"));
});

afterEach(() => rm(proc, { recursive: true }));

async function addProcess(
  pid: number,
  parent: number,
  kilobytes: number | undefined,
  command: string[],
): Promise<void> {
  await mkdir(join(proc, String(pid)));
  await writeFile(join(proc, String(pid), "stat"), `${pid} (a) (b c)) S ${parent} 1 1 0\n`);
  const memory = kilobytes === undefined ? "" : `VmRSS:\t  ${kilobytes} kB\n`;
  await writeFile(join(proc, String(pid), "status"), `Name:\tx\nVmHWM:\t  999999 kB\n${memory}`);
  await writeFile(join(proc, String(pid), "cmdline"), command.map((word) => `${word}\0`).join(""));
}

describe("sampleProcesses", () => {
  it("reads the resident memory of the named processes", async () => {
    await addProcess(10, 1, 2048, ["/usr/bin/node", "--flag", "/app/main.ts", "--key", "secret"]);
    await addProcess(11, 10, 1, ["/opt/workerd", "serve"]);
    expect(await sampleProcesses([10], [], proc)).toEqual([{ pid: 10, name: "node main.ts", rssBytes: 2048 * 1024 }]);
  });

  it("follows a tree down to the last descendant, whatever the order of the ids", async () => {
    await addProcess(50, 1, 4, ["root"]);
    await addProcess(20, 50, 4, ["child"]);
    await addProcess(10, 20, 4, ["grandchild"]);
    await addProcess(60, 1, 4, ["stranger"]);
    const found = await sampleProcesses([], [50], proc);
    expect(found.map(({ name }) => name).toSorted()).toEqual(["child", "grandchild", "root"]);
  });

  it("never names arguments, which may be secrets", async () => {
    await addProcess(10, 1, 4, ["/bin/server", "--password=hunter2", "hunter2"]);
    expect(JSON.stringify(await sampleProcesses([10], [], proc))).not.toContain("hunter2");
  });

  it("leaves out what is gone or has no memory of its own", async () => {
    await addProcess(10, 1, undefined, ["kernel"]);
    expect(await sampleProcesses([10, 99], [], proc)).toEqual([]);
  });

  it("says where it can't work", async () => {
    await expect(sampleProcesses([], [1], join(proc, "missing"))).rejects.toThrow("run the soak on Linux");
  });

  it("reads this very process from the system", async () => {
    const [own] = await sampleProcesses([], [process.pid]);
    expect(own?.pid).toBe(process.pid);
    expect(own?.rssBytes).toBeGreaterThan(10e6);
  });
});
