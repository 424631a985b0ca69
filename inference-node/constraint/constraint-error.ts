// The refusals of a constraint: what is wrong, and at which path of the request.
import { Code, NodeError } from "../node-error.ts";

/** INVALID_ARGUMENT: the part at `path` is malformed, contradicts itself, or is more than the engine may be asked to hold. */
export function refused(path: string, message: string): NodeError {
  return new NodeError(Code.INVALID_ARGUMENT, `${path} ${message}`, { param: path, reason: "CONSTRAINT_REFUSED" });
}

/** INVALID_ARGUMENT: the part at `path` means something, but nothing that generation can be held to. */
export function unsupported(path: string, message: string): NodeError {
  return new NodeError(Code.INVALID_ARGUMENT, `${path} ${message}`, { param: path, reason: "CONSTRAINT_UNSUPPORTED" });
}
