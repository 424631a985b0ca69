// Nobody gets past a door without the node's secret or, with mutual TLS, a client certificate.
import { request as httpsRequest } from "node:https";
import { type Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Code } from "../node-error.ts";
import { nativeClient } from "../testing/native-client.ts";
import { scripted } from "../testing/test-client.ts";
import { fixture, mutualTls, startTestNode, type TestNode, testSecret } from "../testing/test-node.ts";
import { webClient } from "../testing/web-client.ts";

let node: TestNode;

beforeAll(async () => {
  node = await startTestNode();
});

afterAll(() => node.close());

const wrongSecrets = [undefined, "", "wrong", `${testSecret}x`, testSecret.slice(0, -1), testSecret.toUpperCase()];

/** Calls any unary method by bytes; gives the status code. */
function call(client: Client, path: string, secret: string | undefined): Promise<number> {
  const metadata = new Metadata();
  if (secret !== undefined) metadata.set("authorization", `Bearer ${secret}`);
  const same = (bytes: Buffer): Buffer => bytes;
  return new Promise((resolve) => {
    const done = (error: ServiceError | null): void => resolve(error?.code ?? 0);
    client.makeUnaryRequest(path, same, same, Buffer.alloc(0), metadata, done);
  });
}

describe("the shared secret", () => {
  it.each(wrongSecrets)("is asked for on both doors (sent: %j)", async (secret) => {
    const options = secret === undefined ? {} : { secret };
    const native = nativeClient(node.node.grpcAddress, options);
    const web = webClient(node.node.webUrl, options);
    for (const client of [native, web]) {
      expect((await client.generate(scripted("Hi"))).failure).toMatchObject({
        code: Code.UNAUTHENTICATED,
        domain: "sluice.dev",
      });
      await expect(client.unary("listModels", {})).rejects.toMatchObject({ code: Code.UNAUTHENTICATED });
      await expect(client.unary("rerank", {})).rejects.toMatchObject({ code: Code.UNAUTHENTICATED });
    }
    native.close();
  });

  it("is asked for before the body is read", async () => {
    const response = await fetch(`${node.node.webUrl}/sluice.inference.v1.InferenceService/Generate`, {
      method: "POST",
      headers: { "content-type": "application/grpc-web+proto" },
      body: "this is no frame",
    });
    const trailers = (await response.text()) + JSON.stringify([...response.headers]);
    expect(trailers).toContain("16");
    expect(trailers).not.toContain("protocol error");
  });

  it("guards reflection, but not health", async () => {
    const { raw } = nativeClient(node.node.grpcAddress);
    for (const version of ["v1", "v1alpha"]) {
      const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
      expect(await call(raw, path, undefined)).toBe(Code.UNAUTHENTICATED);
    }
    expect(await call(raw, "/grpc.health.v1.Health/Check", undefined)).toBe(0);
    raw.close();
  });

  it("guards metrics, but not the probes", async () => {
    const { webUrl } = node.node;
    expect((await fetch(`${webUrl}/metrics`)).status).toBe(401);
    expect((await fetch(`${webUrl}/metrics`, { headers: { authorization: "Bearer wrong" } })).status).toBe(401);
    expect((await fetch(`${webUrl}/healthz`)).status).toBe(200);
    expect((await fetch(`${webUrl}/readyz`)).status).toBe(200);
    expect((await fetch(`${webUrl}/else`)).status).toBe(404);
    expect((await fetch(`${webUrl}/metrics`, { method: "POST" })).status).toBe(405);
  });

  it("is in no log line", async () => {
    await node.clients.native.generate(scripted("Hi"));
    expect(JSON.stringify(node.entries)).not.toContain(testSecret);
  });
});

describe("the log", () => {
  it("holds no prompt and no output", async () => {
    await node.clients.native.generate(scripted({ text: "the-output-text" }));
    await node.clients.native.generate(scripted("the-prompt-text", { sampling: { topP: 2 } as never }));
    expect(JSON.stringify(node.entries)).not.toMatch(/the-output-text|the-prompt-text/);
  });
});

describe("reflection", () => {
  it.each(["v1", "v1alpha"])("lists the service to those who have the secret (%s)", async (version) => {
    const { raw } = nativeClient(node.node.grpcAddress);
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${testSecret}`);
    const same = (bytes: Buffer): Buffer => bytes;
    const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
    const listed = await new Promise<string>((resolve, reject) => {
      const stream = raw.makeBidiStreamRequest(path, same, same, metadata);
      stream.on("data", (bytes: Buffer) => {
        resolve(bytes.toString("latin1"));
        stream.end();
      });
      stream.on("error", reject);
      stream.write(Buffer.from([0x3a, 0x01, 0x2a])); // list_services: "*"
    });
    expect(listed).toContain("sluice.inference.v1.InferenceService");
    raw.close();
  });
});

describe("mutual TLS", () => {
  let secured: TestNode;
  const ca = fixture("ca.pem");
  const key = fixture("client.key.pem");
  const cert = fixture("client.pem");

  beforeAll(async () => {
    secured = await startTestNode({ tls: mutualTls, secret: undefined });
  });

  afterAll(() => secured.close());

  it("knows a peer by its certificate, without a secret, on both doors", async () => {
    const native = nativeClient(secured.node.grpcAddress, { credentials: credentials.createSsl(ca, key, cert) });
    const web = webClient(secured.node.webUrl, { nodeOptions: { ca, key, cert } });
    for (const client of [native, web]) expect((await client.generate(scripted("Hi"))).failure).toBeUndefined();
    native.close();
  });

  it("refuses a peer without a certificate on both doors", async () => {
    const native = nativeClient(secured.node.grpcAddress, { credentials: credentials.createSsl(ca) });
    const web = webClient(secured.node.webUrl, { nodeOptions: { ca } });
    for (const client of [native, web]) {
      expect((await client.generate(scripted("Hi"), { timeoutMs: 2_000 })).failure).toBeDefined();
    }
    native.close();
    const refused = new Promise((resolve, reject) => {
      httpsRequest(`${secured.node.webUrl}/healthz`, { ca }, resolve).on("error", reject).end();
    });
    await expect(refused).rejects.toThrow();
  });
});
