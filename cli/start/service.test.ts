// A service's whole family ends with it, and its lines arrive whole.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { Service } from "./service.ts";
import { Warden } from "./warden.ts";

const warden = new Warden();
afterAll(() => warden.close());

function shell(script: string, onLine: (line: string) => void = () => undefined): Promise<Service> {
  return Service.start(
    { command: "sh", args: ["-c", script], cwd: "/", env: { PATH: "/usr/bin:/bin" }, onLine },
    warden,
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function eventually(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 200 && !condition(); tries += 1) await sleep(50);
  expect(condition()).toBe(true);
}

test("lines of both streams arrive whole, the last one without its newline too", async () => {
  const lines: string[] = [];
  const service = await shell("printf 'half '; sleep 0.1; printf 'line\\nerror\\n' >&2; printf 'end'", (l) =>
    lines.push(l),
  );
  expect(await service.exited).toEqual({ code: 0, signal: null });
  await eventually(() => lines.length === 3);
  expect(lines.sort()).toEqual(["error", "half end", "line"]);
});

test("a line without an end arrives in bounded pieces", async () => {
  const lines: string[] = [];
  const service = await shell("head -c 200000 /dev/zero | tr '\\0' x", (line) => lines.push(line));
  await service.exited;
  await eventually(() => lines.join("").length === 200_000);
  expect(lines.length).toBeGreaterThan(1);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(200_000);
});

test("stop ends a service that obeys, within its grace", async () => {
  const service = await shell("trap 'exit 7' TERM; while :; do sleep 0.05; done");
  await sleep(100);
  await service.stop(10_000);
  expect(await service.exited).toEqual({ code: 7, signal: null });
  expect(service.ended).toBe(true);
  await service.stop(10_000);
});

test("stop ends a service that does not obey, after its grace, and its children", async () => {
  let child = 0;
  const service = await shell("trap '' TERM; sleep 1000 & echo $!; while :; do sleep 0.05; done", (line) => {
    child = Number(line);
  });
  await eventually(() => child > 0);
  await service.stop(200);
  expect((await service.exited).signal).toBe("SIGKILL");
  await eventually(() => !isAlive(child));
});

test("what a killed leader leaves behind is killed after it", async () => {
  let child = 0;
  const service = await shell("trap '' TERM; (trap '' TERM; sleep 1000) & echo $!; wait", (line) => {
    child = Number(line);
  });
  await eventually(() => child > 0);
  process.kill(service.pid, "SIGKILL");
  await service.exited;
  await eventually(() => !isAlive(child));
});

test("a command that does not exist rejects", async () => {
  const spec = { command: "/nowhere/program", args: [], cwd: "/", env: {} };
  await expect(Service.start(spec, warden)).rejects.toThrow(/ENOENT/);
});

test("the warden ends guarded groups when its master dies, obedient or not, and no released one", async () => {
  const own = new Warden();
  const groups = ["sleep 1000", "trap '' TERM; while :; do sleep 0.05; done", "sleep 1000"].map((script) => {
    return spawn("sh", ["-c", script], { detached: true, stdio: "ignore" });
  });
  const [first, second, third] = groups.map((child) => child.pid as number);
  for (const pid of [first, second, third]) own.guard(pid as number);
  own.release(third as number);
  const ended = groups.slice(0, 2).map((child) => once(child, "exit"));
  // Its pipe ends: the same as the master's death.
  own.close();
  const [[, firstSignal], [, secondSignal]] = (await Promise.all(ended)) as [unknown[], unknown[]];
  expect([firstSignal, secondSignal]).toEqual(["SIGTERM", "SIGKILL"]);
  expect(isAlive(third as number)).toBe(true);
  process.kill(-(third as number), "SIGKILL");
});
