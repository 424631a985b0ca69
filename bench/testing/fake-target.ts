// A fake server and a target that asks it, both gone when the test is over.
import { onTestFinished } from "vitest";
import { type FakeBehaviour, type FakeServer, startFakeServer } from "../fake-server.ts";
import { HttpTarget } from "../http-target.ts";

export async function startFakeTarget(
  behaviour: FakeBehaviour = {},
): Promise<{ server: FakeServer; target: HttpTarget }> {
  const server = await startFakeServer(behaviour);
  const connection = { baseUrl: `${server.origin}/v1`, key: undefined, timeoutMs: 10_000 };
  const target = new HttpTarget({ ...connection, keyFlag: "--key", model: "fake" });
  onTestFinished(async () => {
    await target.close();
    await server.close();
  });
  return { server, target };
}
