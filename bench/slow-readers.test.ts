// Many slow streams are held together for as long as was told, and what they cost is read meanwhile.
import { describe, expect, it } from "vitest";
import { sendJson } from "./fake-server.ts";
import { type HoldPlan, holdStreams } from "./slow-readers.ts";
import { slowReadersFaults, slowReadersLines, summarizeSlowReaders } from "./slow-readers-report.ts";
import { scriptOf } from "./slow-script.ts";
import { startFakeTarget } from "./testing/fake-target.ts";

const never = new AbortController().signal;

const plan: HoldPlan = {
  streams: 20,
  holdMs: 300,
  chunkDelayMs: 20,
  spreadMs: 0,
  sampleMemory: undefined,
  readLag: undefined,
  pauseMs: 0,
};

describe("holdStreams", () => {
  it("holds all streams at once, looks meanwhile, and hangs up", async () => {
    const { server, target } = await startFakeTarget({ tokenMs: 20 });
    const seen: number[] = [];
    const sampleMemory = async () => {
      seen.push(server.running());
      return [{ pid: 7, name: "node", rssBytes: 1e6 * seen.length }];
    };
    const readLag = async () => 4;
    const result = await holdStreams(target, { ...plan, sampleMemory, readLag }, never);
    expect(result.began).toBe(20);
    expect(result.record.errorCount).toBe(0);
    expect(server.concurrencyMax()).toBe(20);
    expect(seen[0]).toBe(0);
    expect(seen[1]).toBe(20);
    expect(result.before).toHaveLength(1);
    expect(result.held.length).toBeGreaterThanOrEqual(1);
    expect(result.after).toHaveLength(1);
    expect(result).toMatchObject({ lagsMs: [4], lagMissing: undefined });
    await expect.poll(() => server.running(), { timeout: 10_000 }).toBe(0);
  });

  it("asks for a script that outlasts the hold", async () => {
    const { server, target } = await startFakeTarget({ tokenMs: 20 });
    await holdStreams(target, { ...plan, streams: 1 }, never);
    const { prompt, chunks } = scriptOf(plan);
    expect(server.requests[0]?.messages).toEqual([{ role: "user", content: prompt }]);
    expect(JSON.parse(prompt)).toEqual({ chunks, delay_ms: 20 });
    expect(chunks * plan.chunkDelayMs).toBeGreaterThan(60_000 + plan.holdMs);
  });

  it("begins them over a time, one after another, when told so", async () => {
    const arrivals: number[] = [];
    const { target } = await startFakeTarget({
      tokenMs: 20,
      intercept: () => {
        arrivals.push(performance.now());
        return false;
      },
    });
    const result = await holdStreams(target, { ...plan, streams: 4, spreadMs: 400 }, never);
    expect(result.began).toBe(4);
    expect((arrivals.at(-1) ?? 0) - (arrivals[0] ?? 0)).toBeGreaterThan(150);
  });

  it("counts streams that are refused or end before the hold is over as failed", async () => {
    const { target } = await startFakeTarget({
      tokenMs: 20,
      intercept: (response, ordinal) => {
        if (ordinal > 2) return false;
        if (ordinal === 1) sendJson(response, 503, { error: { message: "Full." } });
        else {
          response.writeHead(200, { "content-type": "text/event-stream" });
          response.end(`data: ${JSON.stringify({ choices: [{ delta: { content: "x" } }] })}\n\ndata: [DONE]\n\n`);
        }
        return true;
      },
    });
    const result = await holdStreams(target, { ...plan, streams: 5 }, never);
    expect(result.began).toBe(4);
    expect(Object.fromEntries(result.record.errors)).toEqual({
      "HTTP 503: Full.": 1,
      "the stream ended before it was hung up on": 1,
    });
  });

  it("rejects when no stream begins", async () => {
    const { target } = await startFakeTarget({
      intercept: (response) => {
        sendJson(response, 503, { error: { message: "Full." } });
        return true;
      },
    });
    await expect(holdStreams(target, plan, never)).rejects.toThrow("no stream began: HTTP 503: Full.");
  });

  it("goes on without a lag that nobody tells", async () => {
    const { target } = await startFakeTarget({ tokenMs: 20 });
    const readLag = async () => {
      throw new Error("no such gauge");
    };
    const result = await holdStreams(target, { ...plan, streams: 2, readLag }, never);
    expect(result.lagMissing).toBe("no such gauge");
    const lines = slowReadersLines(summarizeSlowReaders(result, 2));
    expect(lines).toContain("note: the event loop's lag is not known: no such gauge");
  });
});

describe("the report of slow streams", () => {
  it("tells memory before, while held and after, the share of a stream, and holds the worst lag to its bound", async () => {
    const { target } = await startFakeTarget({ tokenMs: 20 });
    let looks = 0;
    const sampleMemory = async () => [{ pid: 7, name: "node main.ts", rssBytes: looks++ === 0 ? 100e6 : 110e6 }];
    const held = await holdStreams(target, { ...plan, sampleMemory }, never);
    const summary = summarizeSlowReaders({ ...held, lagsMs: [5, 25, 10], lagMissing: undefined }, 20);
    expect(summary.processes).toEqual([
      { pid: 7, name: "node main.ts", beforeBytes: 100e6, heldBytes: 110e6, peakBytes: 110e6, afterBytes: 110e6 },
    ]);
    expect(slowReadersLines(summary).join("\n")).toContain(
      "100.0 MB -> 110.0 MB, peak 110.0 MB, after 110.0 MB, 500 kB",
    );
    expect(summary.lagP99Ms).toEqual({ min: 5, median: 10, max: 25 });
    expect(slowReadersFaults(summary, 20)).toEqual([
      "the event loop lagged by 25.0 ms (p99 over ten seconds), above 20 ms",
    ]);
    expect(slowReadersFaults(summary, 25)).toEqual([]);
  });
});
