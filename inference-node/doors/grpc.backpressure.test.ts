// A caller that does not read holds its own stream only, and hanging up frees its slot.
import { toBinary } from "@bufbuild/protobuf";
import { Metadata } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { JournalResponse } from "../../proto/gen/sluice/inference/v1/journal_pb.js";
import { InferenceService } from "../../proto/gen/sluice/inference/v1/service_pb.js";
import { systemClock } from "../clock.ts";
import { nativeClient } from "../testing/native-client.ts";
import { scripted, textOf } from "../testing/test-client.ts";
import { eventually, startTestNode, type TestNode, testSecret } from "../testing/test-node.ts";

let node: TestNode;

beforeAll(async () => {
  node = await startTestNode({ contextLength: 2_000_000, queueTokensMax: 10_000_000 });
});

afterAll(() => node.close());

it("stops generating for a caller that does not read, while others go on", async () => {
  const { input, output, name } = InferenceService.method.generate;
  const { raw } = nativeClient(node.node.grpcAddress);
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${testSecret}`);
  const stopping = { maxTokens: 1_000_000 } as never;
  const request = scripted({ text: "word".repeat(200_000), chunks: 400 }, { stopping });
  const stalled = raw.makeServerStreamRequest(
    `/${InferenceService.typeName}/${name}`,
    () => Buffer.from(toBinary(input, request)),
    () => output,
    request,
    metadata,
  );
  stalled.on("error", () => undefined);
  stalled.once("data", () => stalled.pause()); // grpc-js holds back only what was read from once.
  const generated = async (): Promise<number> => {
    const { entries } = await node.clients.native.unary<JournalResponse>("journal", {
      requestIds: [request.requestId],
    });
    return entries[0]?.usage?.completionTokens ?? 0;
  };
  await eventually(async () => (await generated()) > 0);
  await systemClock.sleep(200);
  const before = await generated();
  await systemClock.sleep(100);
  expect(await generated()).toBe(before);
  expect(before).toBeLessThan(150_000);
  expect(textOf(await node.clients.native.generate(scripted("others go on")))).toBe("others go on");
  stalled.cancel();
  await eventually(async () => (await node.metric("sluice_num_requests_running")) === 0);
  raw.close();
});
