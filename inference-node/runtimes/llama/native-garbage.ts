// Collects garbage in the child when enough native memory hangs on objects that nothing but a collection frees.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** A collection stops the child's thread, not the engine's, for about 10 ms. */
const bytesMax = 32e6;

/** Counts native memory of which V8 knows nothing: by its own heap, which stays small, it would hardly ever collect. */
export class NativeGarbage {
  readonly #collect: () => void;
  #bytes = 0;

  constructor(collect: () => void = collector()) {
    this.#collect = collect;
  }

  /** So many bytes more are held by an object that will be garbage some time. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < bytesMax) return;
    this.#bytes = 0;
    this.#collect();
  }
}

/** V8's own collection, which a program gets only by asking for it. */
function collector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}
