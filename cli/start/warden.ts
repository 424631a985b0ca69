// Ends the services when this process dies in a way that leaves it no time to do so itself.
import { type ChildProcess, spawn } from "node:child_process";

/**
 * A shell in a session of its own reads the process groups of the services from a pipe, one line replacing the one before.
 * The kernel closes the pipe when the writer dies, by SIGKILL too: then the groups get SIGTERM and, 3 s later, SIGKILL.
 */
const SCRIPT = `
groups=
while read -r line; do groups=$line; done
for group in $groups; do kill -s TERM -- "-$group" 2>/dev/null; done
tries=0
while [ "$tries" -lt 30 ]; do
  alive=
  for group in $groups; do kill -s 0 -- "-$group" 2>/dev/null && alive=yes; done
  [ -z "$alive" ] && exit 0
  sleep 0.1
  tries=$((tries + 1))
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
`;

export class Warden {
  readonly #shell: ChildProcess;
  readonly #groups = new Set<number>();

  constructor() {
    this.#shell = spawn("sh", ["-c", SCRIPT, "sluice-warden"], { detached: true, stdio: ["pipe", "ignore", "ignore"] });
    // Without its warden a start still works; only its SIGKILL would leave services behind.
    this.#shell.on("error", () => undefined);
    this.#shell.stdin?.on("error", () => undefined);
  }

  /** Adds the process group that `pid` leads. */
  guard(pid: number): void {
    this.#groups.add(pid);
    this.#tell();
  }

  /** Forgets a group that has ended, before its number can be used again. */
  release(pid: number): void {
    this.#groups.delete(pid);
    this.#tell();
  }

  /** Dismisses the warden; groups still guarded are ended by it. */
  close(): void {
    this.#shell.stdin?.end();
    this.#shell.unref();
  }

  #tell(): void {
    this.#shell.stdin?.write(`${[...this.#groups].join(" ")}\n`);
  }
}
