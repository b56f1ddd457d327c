import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Timeline, VersionedMap } from "#coordinator/runtime/timeline.ts";

function write(timeline: Timeline, map: VersionedMap<string, number>, value?: number): number {
  const sequence = timeline.begin();
  map.set("key", value);
  return sequence;
}

describe("a map with a memory", () => {
  test("shows the newest value to deciders and the committed one to readers", () => {
    const timeline = new Timeline();
    const map = new VersionedMap<string, number>(timeline);
    const first = write(timeline, map, 1);
    const second = write(timeline, map, 2);
    expect([map.get("key"), map.getCommitted("key")]).toEqual([2, undefined]);
    timeline.commit(first);
    expect([map.get("key"), map.getCommitted("key")]).toEqual([2, 1]);
    timeline.commit(second);
    expect([map.get("key"), map.getCommitted("key")]).toEqual([2, 2]);
  });

  test("takes back what was not committed", () => {
    const timeline = new Timeline();
    const map = new VersionedMap<string, number>(timeline);
    const first = write(timeline, map, 1);
    write(timeline, map, 2);
    write(timeline, map, undefined);
    timeline.commit(first);
    timeline.rollback(first);
    expect([map.get("key"), map.getCommitted("key")]).toEqual([1, 1]);
  });

  test("leaves nothing behind of a deleted key", () => {
    const timeline = new Timeline();
    const map = new VersionedMap<string, number>(timeline);
    write(timeline, map, 1);
    timeline.commit(write(timeline, map, undefined));
    expect(map.isVacant).toBe(true);
  });

  test("agrees with a model that copies everything", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("set" as const), key: fc.nat(3), value: fc.option(fc.nat(9)) }),
      fc.record({ kind: fc.constant("commit" as const), back: fc.nat(3) }),
      fc.record({ kind: fc.constant("rollback" as const) }),
    );
    const property = fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const timeline = new Timeline();
      const map = new VersionedMap<number, number>(timeline);
      const copies = new Map<number, Map<number, number>>([[0, new Map()]]);
      let newest = 0;
      for (const one of steps) {
        if (one.kind === "set") {
          const copy = new Map(copies.get(newest));
          newest = timeline.begin();
          map.set(one.key, one.value ?? undefined);
          if (one.value === null) copy.delete(one.key);
          else copy.set(one.key, one.value);
          copies.set(newest, copy);
        } else if (one.kind === "commit") {
          const known = [...copies.keys()]
            .filter((sequence) => sequence <= newest)
            .toSorted((a, b) => a - b);
          const sequence = known.at(-1 - Math.min(one.back, known.length - 1)) ?? 0;
          if (sequence > timeline.committed) timeline.commit(sequence);
        } else {
          timeline.rollback(timeline.committed);
          newest = timeline.committed;
          for (const sequence of copies.keys()) if (sequence > newest) copies.delete(sequence);
        }
        const byKey = (left: [number, number], right: [number, number]): number =>
          left[0] - right[0];
        expect([...map.entries()].toSorted(byKey)).toEqual(
          [...(copies.get(newest) ?? [])].toSorted(byKey),
        );
        const committed = copies.get(timeline.committed) ?? [];
        expect([...map.committedEntries()].toSorted(byKey)).toEqual([...committed].toSorted(byKey));
      }
    });
    fc.assert(property, { numRuns: 300 });
  });
});
