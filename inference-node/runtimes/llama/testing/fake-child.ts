// A native child that does only what a test says, in place of the process that fork would start.
import { EventEmitter } from "node:events";
import type { ToChild, ToNode } from "../protocol.ts";

export class FakeChild extends EventEmitter {
  pid: number | undefined = 1;
  readonly connected = true;
  readonly exitCode = null;
  readonly signalCode = null;
  /** Signals that it was sent. */
  readonly signals: string[] = [];

  /** What it was told, its load first. */
  readonly heard: ToChild[] = [];

  send(message: ToChild): void {
    this.heard.push(message);
  }

  /** Dies of it, a little later. */
  kill(signal: string): void {
    this.signals.push(signal);
    queueMicrotask(() => this.emit("exit", null, signal));
  }

  says(message: ToNode): void {
    this.emit("message", message);
  }
}

/** The children that were started, oldest first. */
export const children: FakeChild[] = [];

export function fork(): FakeChild {
  const child = new FakeChild();
  children.push(child);
  return child;
}
