// Checks the secret that an edge shows to a node.
import { createHash, timingSafeEqual } from "node:crypto";
import { Code, NodeError } from "../node-error.ts";

/** Throws UNAUTHENTICATED unless the header is `Bearer <secret>`. */
export type Authenticate = (authorization: string | null | undefined) => void;

/** Makes the check. Without a secret every peer is let in: only for doors that ask for client certificates. */
export function createAuthenticate(secret: string | undefined): Authenticate {
  if (secret === undefined) return () => undefined;
  // Digests have one length, so that the comparison takes the same time whatever was sent.
  const expected = digest(`Bearer ${secret}`);
  return (authorization) => {
    if (typeof authorization === "string" && timingSafeEqual(digest(authorization), expected)) return;
    throw new NodeError(Code.UNAUTHENTICATED, "The node's secret is missing or wrong.");
  };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
