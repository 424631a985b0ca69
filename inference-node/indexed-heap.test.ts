// The heap always knows its least member, whatever was added, moved and removed.
import { expect, it } from "vitest";
import { type HeapMember, IndexedHeap } from "./indexed-heap.ts";
import { seededRandom } from "./testing/slot-simulation.ts";

interface Member extends HeapMember {
  key: number;
}

it("has the least member first under any order of additions, moves and removals", () => {
  const random = seededRandom(7);
  const heap = new IndexedHeap<Member>((a, b) => a.key < b.key);
  const inside = new Set<Member>();
  for (let round = 0; round < 20_000; round += 1) {
    const picked = [...inside][random(Math.max(1, inside.size))];
    const action = random(inside.size > 60 ? 4 : 3);
    if (picked === undefined || action === 0) {
      const member = { key: random(50), heapIndex: -1 };
      inside.add(member);
      heap.add(member);
    } else if (action === 1) {
      picked.key = random(50);
      heap.moved(picked);
    } else {
      inside.delete(picked);
      heap.remove(picked);
      heap.remove(picked);
      expect(picked.heapIndex).toBe(-1);
    }
    expect(heap.size).toBe(inside.size);
    expect(heap.least?.key).toBe(inside.size === 0 ? undefined : Math.min(...[...inside].map(({ key }) => key)));
  }
  for (const [index, member] of heap.members.entries()) expect(member.heapIndex).toBe(index);
});
