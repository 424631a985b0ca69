// Soaks make the right requests and judge growth fairly.
import { describe, expect, it } from "vitest";
import { sendJson } from "./fake-server.ts";
import { growthOf, type MemoryPoint, type SoakPlan, soak, windowStartOf } from "./soak.ts";
import { startFakeTarget } from "./testing/fake-target.ts";

const never = new AbortController().signal;
const plan: SoakPlan = {
  requests: 60,
  streams: 4,
  sampling: { maxTokens: 2, temperature: 0, ignoreEos: false },
  prompt: { seed: 1, wordCount: 8, sharedWords: 0 },
  sampleMemory: undefined,
};

describe("soak", () => {
  it("makes exactly the requests it was told to, so many at a time, each with its own prompt", async () => {
    const { server, target } = await startFakeTarget({ tokenMs: 1 });
    let told = 0;
    const { record } = await soak(target, plan, () => told++, never);
    expect(server.requests).toHaveLength(60);
    expect(new Set(server.requests.map(({ messages }) => messages[0]?.content)).size).toBe(60);
    expect(server.concurrencyMax()).toBe(4);
    expect(record.completionTokens).toBe(120);
    expect(told).toBe(60);
  });

  it("samples before the first request, along the way and after the last", async () => {
    const { target } = await startFakeTarget();
    let rss = 100;
    const sampleMemory = async () => [{ pid: 7, name: "node", rssBytes: rss++ }];
    const { series } = await soak(target, { ...plan, sampleMemory }, () => {}, never);
    const points = series[0]?.points ?? [];
    expect(series).toHaveLength(1);
    expect(points[0]).toEqual({ request: 0, rssBytes: 100 });
    expect(points.at(-1)?.request).toBe(60);
    expect(points.length).toBeGreaterThan(30);
  });

  it("goes on after single failures and gives up after twenty in a row", async () => {
    const refuse = (response: Parameters<typeof sendJson>[0]): true => {
      sendJson(response, 500, { error: { message: "broken" } });
      return true;
    };
    const flaky = await startFakeTarget({ intercept: (response, ordinal) => ordinal % 3 === 0 && refuse(response) });
    const { record } = await soak(flaky.target, plan, () => {}, never);
    expect(record.errorCount).toBe(20);
    const broken = await startFakeTarget({ intercept: refuse });
    await expect(soak(broken.target, plan, () => {}, never)).rejects.toThrow("20 requests in a row: HTTP 500: broken");
    expect(broken.server.requests.length).toBeLessThan(30);
  });
});

describe("growthOf", () => {
  const series = (
    rss: (request: number) => number,
    step = 10,
  ): { pid: number; name: string; points: MemoryPoint[] } => ({
    pid: 1,
    name: "node",
    points: Array.from({ length: 3000 / step + 1 }, (_, index) => ({
      request: index * step,
      rssBytes: rss(index * step),
    })),
  });

  it("compares the window's last tenth with its first, whatever came before", () => {
    const warmsUp = series((request) => (request <= 1000 ? request * 1e5 : 100e6 + (request - 1000) * 10_000));
    const { growthPercent, startBytes, endBytes } = growthOf(warmsUp, 1001, 3000);
    expect(startBytes / 1e6).toBeCloseTo(101, 0);
    expect(endBytes / 1e6).toBeCloseTo(119, 0);
    expect(growthPercent).toBeCloseTo(17.8, 0);
  });

  it("is not moved by single peaks of garbage", () => {
    const spiky = series((request) => (request % 70 === 0 ? 900e6 : 100e6));
    expect(growthOf(spiky, 1001, 3000)).toMatchObject({ growthPercent: 0, peakBytes: 900e6 });
  });

  it("has no growth for a process that came or went within the window", () => {
    const late = { ...series(() => 1), points: [{ request: 2500, rssBytes: 1 }] };
    expect(growthOf(late, 1001, 3000).growthPercent).toBeNaN();
  });
});

describe("windowStartOf", () => {
  it("is request 1,001 of a full run and a third of a short one", () => {
    expect(windowStartOf(3000)).toBe(1001);
    expect(windowStartOf(10_000)).toBe(1001);
    expect(windowStartOf(300)).toBe(101);
  });
});
