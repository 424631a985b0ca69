// The line serves the tenant that was served least, keeps nobody's claims for later, and forgets who is long gone.
import { expect, it } from "vitest";
import { FairLine, type FairWaiter } from "./fair-line.ts";
import { seededRandom } from "./testing/slot-simulation.ts";

function waiter(tenant: string, tokens = 10): FairWaiter {
  return { tenant, tokens, sequences: 1 };
}

/** Starts whoever is next, has it generate and end. */
function serve(line: FairLine<FairWaiter>, generated = 0): string {
  const next = line.next();
  if (next === undefined) return "nobody";
  const charge = line.start(next);
  line.generated(charge, generated);
  line.end(charge);
  return next.tenant;
}

function serveAll(line: FairLine<FairWaiter>, generated = 0): string {
  let order = "";
  while (line.length > 0) order += serve(line, generated);
  return order;
}

it("takes turns between tenants that cost the same, and keeps each one's order", () => {
  const line = new FairLine();
  const [first, second] = [waiter("a"), waiter("a")];
  for (const one of [first, second, waiter("a"), waiter("b"), waiter("b"), waiter("c")]) line.push(one);
  expect(line.next()).toBe(first);
  serve(line);
  expect([serve(line), serve(line)]).toEqual(["b", "c"]);
  expect(line.next()).toBe(second);
  expect(serveAll(line)).toBe("aba");
});

it("weighs a generated token twice as much as one of the prompt", () => {
  const line = new FairLine();
  for (let count = 0; count < 4; count += 1) line.push(waiter("writes", 0));
  for (let count = 0; count < 8; count += 1) line.push(waiter("reads", 10));
  const served: string[] = [];
  while (line.length > 0) served.push(serve(line, line.next()?.tenant === "writes" ? 10 : 0));
  expect(served.filter((tenant, index) => tenant === "writes" && index < 6)).toHaveLength(2);
  expect(served.lastIndexOf("writes")).toBeGreaterThan(8);
});

it("puts a newcomer before a tenant with a long queue, and behind nobody that was served less", () => {
  const line = new FairLine();
  for (let count = 0; count < 100; count += 1) line.push(waiter("a"));
  for (let count = 0; count < 20; count += 1) serve(line, 5);
  line.push(waiter("b"));
  expect(line.ahead("c").requests).toBe(0);
  expect(serve(line)).toBe("b");
  expect(serve(line)).toBe("a");
});

it("lets nobody save up a claim by idling", () => {
  const line = new FairLine();
  line.push(waiter("idle"));
  for (let count = 0; count < 50; count += 1) line.push(waiter("busy"));
  for (let count = 0; count < 30; count += 1) serve(line, 100);
  for (let count = 0; count < 20; count += 1) line.push(waiter("idle"));
  const order = Array.from({ length: 20 }, () => serve(line, 100));
  expect(order.filter((tenant) => tenant === "idle")).toHaveLength(10);
});

it("lifts who comes to an empty line to the one that left it last", () => {
  const line = new FairLine();
  for (let count = 0; count < 30; count += 1) {
    line.push(waiter("early"));
    serve(line, 100);
  }
  for (const tenant of ["late", "late", "late", "early", "early", "early"]) line.push(waiter(tenant));
  expect(serveAll(line, 100)).toMatch(/^(lateearly){3}$/);
});

it("charges a long answer while it runs", () => {
  const line = new FairLine();
  for (const tenant of ["a", "a", "b", "b", "b"]) line.push(waiter(tenant));
  const charge = line.start(line.next() as FairWaiter);
  line.generated(charge, 6);
  line.generated(charge, 6);
  line.generated(charge, 5);
  expect([serve(line), serve(line)]).toEqual(["b", "b"]);
  line.generated(charge, 16);
  expect([serve(line), serve(line)]).toEqual(["b", "a"]);
});

it("gives back what a reused prompt did not cost, once", () => {
  const line = new FairLine();
  for (const one of [waiter("a", 100), waiter("a"), waiter("a"), waiter("b", 100), waiter("b")]) line.push(one);
  const charge = line.start(line.next() as FairWaiter);
  line.reused(charge, 80);
  line.reused(charge, 80);
  line.reused(charge, 95);
  line.end(charge);
  expect(serveAll(line)).toBe("baab");
});

it("forgets the longest idle tenants, and none that waits or runs", () => {
  const line = new FairLine({ idleTenantsMax: 3 });
  line.push(waiter("runs"));
  line.start(line.next() as FairWaiter);
  line.push(waiter("waits"));
  serve(line);
  line.push(waiter("waits"));
  for (let count = 0; count < 1_000; count += 1) {
    const one = waiter(`tenant ${count}`);
    line.push(one);
    expect(line.delete(one)).toBe(true);
    expect(line.delete(one)).toBe(false);
  }
  expect(line.tenants).toBe(5);
  expect([line.length, line.sequences]).toEqual([1, 1]);
});

it("serves each of ten thousand that stayed once, and none that left", () => {
  const line = new FairLine();
  const random = seededRandom(3);
  const waiters = Array.from({ length: 20_000 }, (_, index) => waiter(`tenant ${index % 5_000}`));
  for (const one of waiters) line.push(one);
  for (const one of waiters) if (random(2) === 0) line.delete(one);
  const left = line.length;
  const served = new Set<FairWaiter>();
  while (line.length > 0) {
    served.add(line.next() as FairWaiter);
    serve(line);
  }
  expect(served.size).toBe(left);
  for (const one of served) expect(waiters).toContain(one);
});

it("foretells who is served before a newcomer when all cost the same", () => {
  const random = seededRandom(11);
  for (let round = 0; round < 200; round += 1) {
    const line = new FairLine();
    const tenants = 1 + random(6);
    for (let count = 0; count < tenants; count += 1) {
      line.push(waiter(`${count}`));
      serve(line, 5);
    }
    for (let count = 0; count < 40; count += 1) line.push(waiter(`${random(tenants)}`));
    for (let count = 0; count < random(30); count += 1) serve(line, 5);
    const tenant = `${random(tenants + 1)}`;
    const foretold = line.ahead(tenant).requests;
    const newcomer = waiter(tenant);
    line.push(newcomer);
    let ahead = 0;
    while (line.next() !== newcomer) {
      serve(line, 5);
      ahead += 1;
    }
    expect(Math.abs(ahead - foretold)).toBeLessThanOrEqual(tenants);
  }
});
