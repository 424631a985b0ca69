// A port is free or a sentence.
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { freePort, HOST } from "./port.ts";
import { StartError } from "./start-error.ts";

test("0 stands for a port that can then be listened on", async () => {
  const port = await freePort(0);
  expect(port).toBeGreaterThan(0);
  expect(await freePort(port)).toBe(port);
});

test("a port in use is a sentence with the way out", async () => {
  const server = createServer();
  const port = await freePort(0);
  await new Promise<void>((resolve) => server.listen(port, HOST, resolve));
  try {
    await expect(freePort(port)).rejects.toThrow(StartError);
    await expect(freePort(port)).rejects.toThrow(`Port ${port} is in use: choose another with npm start -- --port N`);
  } finally {
    server.close();
  }
});
