// Finds out whether a port is free, or a free port, on the loopback address.
import { createServer } from "node:net";
import { StartError } from "./start-error.ts";

/** The address that everything started here listens on. */
export const HOST = "127.0.0.1";

/**
 * Resolves to `port`, or for 0 to a free one, after having listened there for a moment.
 * Rejects with StartError when it is taken or forbidden.
 */
export function freePort(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      const reason = error.code === "EADDRINUSE" ? "is in use" : `cannot be used (${error.code})`;
      reject(
        new StartError(
          `Port ${port} ${reason}: choose another with npm start -- --port N, or any free one with --port 0.`,
        ),
      );
    });
    server.listen({ port, host: HOST, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : port));
    });
  });
}
