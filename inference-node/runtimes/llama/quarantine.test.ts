// Who ran at two deaths of the engine is refused; who only happened to run beside it is not.
import { beforeEach, expect, test } from "vitest";
import { Code } from "../../node-error.ts";
import { type ManualClock, manualClock } from "../../testing/manual-clock.ts";
import type { GenerateOptions } from "./protocol.ts";
import { Quarantine, requestKey } from "./quarantine.ts";

let clock: ManualClock;
let quarantine: Quarantine;
const never = new AbortController().signal;

beforeEach(() => {
  clock = manualClock();
  quarantine = new Quarantine(clock);
});

/** Whether a promise is settled once everything that could settle it has run. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  const mark = (): void => {
    done = true;
  };
  promise.then(mark, mark);
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  return done;
}

test("two deaths refuse a request, with a status that says not to try again, and one does not", () => {
  quarantine.convict("a", 0);
  quarantine.check("a");
  quarantine.convict("a", 0);
  expect(() => quarantine.check("a")).toThrow(
    expect.objectContaining({ code: Code.INVALID_ARGUMENT, reason: "QUARANTINED", retryAfterMs: undefined }),
  );
  expect(quarantine.refused).toBe(1);
});

test("a refusal ends after ten minutes", async () => {
  quarantine.convict("a", 0);
  quarantine.convict("a", 0);
  await clock.advance(600_000);
  quarantine.check("a");
  expect(quarantine.refused).toBe(0);
});

test("a suspect that ends well is no suspect any more", () => {
  quarantine.convict("a", 0);
  quarantine.acquit("a");
  quarantine.convict("a", 0);
  quarantine.check("a");
});

test("suspects run one at a time, so that the next death tells which of them it was", async () => {
  for (const key of ["guilty", "innocent", "bystander"]) quarantine.convict(key, 0);
  const first = await quarantine.enter("guilty", never);
  const others = [quarantine.enter("innocent", never), quarantine.enter("bystander", never)];
  expect(await settled(Promise.race(others))).toBe(false);
  // The engine dies again: only the one that ran is to blame.
  quarantine.convict("guilty", 0);
  first.end();
  const second = await others[0];
  expect(await settled(others[1] as Promise<unknown>)).toBe(false);
  second?.end();
  await others[1];
  expect(() => quarantine.check("guilty")).toThrow();
  quarantine.check("innocent");
  quarantine.check("bystander");
});

test("requests that are no suspects wait for nobody", async () => {
  quarantine.convict("suspect", 0);
  await quarantine.enter("suspect", never);
  expect(await settled(quarantine.enter("new", never))).toBe(true);
});

test("a suspect that is well past the point of the death lets the next one run", async () => {
  quarantine.convict("a", 12);
  quarantine.convict("b", 0);
  const trial = await quarantine.enter("a", never);
  const next = quarantine.enter("b", never);
  trial.progress(12 + 64);
  expect(await settled(next)).toBe(false);
  trial.progress(13 + 64);
  expect(await settled(next)).toBe(true);
});

test("a slow suspect holds the others up for ten seconds at most", async () => {
  quarantine.convict("a", 100);
  quarantine.convict("b", 0);
  await quarantine.enter("a", never);
  const next = quarantine.enter("b", never);
  await clock.advance(9_999);
  expect(await settled(next)).toBe(false);
  await clock.advance(1);
  expect(await settled(next)).toBe(true);
});

test("an acquittal frees those that wait under the same name", async () => {
  for (const key of ["a", "b"]) quarantine.convict(key, 0);
  await quarantine.enter("a", never);
  const again = quarantine.enter("b", never);
  quarantine.acquit("b");
  expect(await settled(again)).toBe(true);
});

test("a suspect whose caller goes away leaves the line", async () => {
  for (const key of ["a", "b", "c"]) quarantine.convict(key, 0);
  const trial = await quarantine.enter("a", never);
  const caller = new AbortController();
  const gone = quarantine.enter("b", caller.signal);
  const last = quarantine.enter("c", never);
  caller.abort(new Error("gone"));
  await expect(gone).rejects.toThrow("gone");
  trial.end();
  expect(await settled(last)).toBe(true);
});

test("no more than 1,024 are remembered, the oldest is forgotten", () => {
  quarantine.convict("oldest", 0);
  for (let i = 0; i < 1_024; i++) quarantine.convict(`k${i}`, 0);
  quarantine.convict("oldest", 0);
  quarantine.check("oldest");
});

const options = (over: Partial<GenerateOptions> = {}, seed = 1): GenerateOptions =>
  ({
    requestId: "r1",
    tokens: Uint32Array.of(1, 2, 3),
    maxTokens: 8,
    sampling: { temperature: 1, seed },
    visibleTokens: [],
    stopStrings: [],
    ...over,
  }) as unknown as GenerateOptions;

test("a request keeps its name with another id and seed, and has another with other tokens or options", () => {
  const name = requestKey(options());
  expect(requestKey(options({ requestId: "r2" }, 2))).toBe(name);
  expect(requestKey(options({ tokens: Uint32Array.of(1, 2, 4) }))).not.toBe(name);
  expect(requestKey(options({ maxTokens: 9 }))).not.toBe(name);
  expect(requestKey(options({ stopStrings: ["x"] }))).not.toBe(name);
});

test("all answers of one request count once a death", () => {
  const work = [1, 2, 3].map((seed) => ({ options: options({}, seed), tokens: seed }));
  quarantine.convictAll(work, undefined);
  quarantine.check(requestKey(options()));
});

test("a prompt whose tokens were waited for at two deaths is refused, and no other", () => {
  const prompt = Uint8Array.of(9);
  quarantine.convictAll([], prompt);
  quarantine.checkPrompt(prompt);
  quarantine.convictAll([], prompt);
  expect(() => quarantine.checkPrompt(prompt)).toThrow(expect.objectContaining({ reason: "QUARANTINED" }));
  quarantine.checkPrompt(Uint8Array.of(8));
});
