/** Offsets of a topic against the simplest thing that could hold them: a list of maps, one for each operation. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { OffsetRecordValue } from "#coordinator/group/records.ts";
import { TopicOffsets } from "#coordinator/group/topic-offsets.ts";
import { Timeline } from "#coordinator/runtime/timeline.ts";

type Rows = ReadonlyMap<number, OffsetRecordValue>;

const PARTITIONS = 6;
const value: fc.Arbitrary<OffsetRecordValue> = fc.record({
  offset: fc.constantFrom(-7, 0, 5, 2 ** 53 - 1),
  leaderEpoch: fc.constantFrom(-1, 3),
  metadata: fc.constantFrom("", "m"),
  commitTimestampMs: fc.constantFrom(1, 1_700_000_000_000),
  expireTimestampMs: fc.constantFrom(-1, 9),
  topicId: fc.constantFrom("a", "b"),
});
const write = fc.record({
  partition: fc.nat(PARTITIONS - 1),
  value: fc.option(value, { nil: undefined }),
});
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant("write" as const), writes: fc.array(write) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("commit" as const), back: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("rollback" as const), back: fc.nat(3) }) },
);

function check(offsets: TopicOffsets, newest: Rows, committed: Rows): void {
  const sorted = (rows: Rows): [number, OffsetRecordValue][] =>
    [...rows].toSorted(([one], [other]) => one - other);
  expect([...offsets.entries()]).toEqual(sorted(newest));
  expect([...offsets.committedEntries()]).toEqual(sorted(committed));
  for (let partition = 0; partition < PARTITIONS; partition++) {
    expect(offsets.get(partition)).toEqual(newest.get(partition));
    expect(offsets.getCommitted(partition)).toEqual(committed.get(partition));
  }
}

describe("offsets of a topic", () => {
  test("know what is newest and what is committed, through commits and undone operations", () => {
    const property = fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const timeline = new Timeline();
      const offsets = new TopicOffsets(timeline, "a");
      // What each operation since the last committed one left behind; the first is the committed one.
      const states: Rows[] = [new Map()];
      for (const each of steps) {
        if (each.do === "write") {
          timeline.begin();
          const rows = new Map(states.at(-1));
          for (const { partition, value: written } of each.writes) {
            offsets.set(partition, written);
            if (written === undefined) rows.delete(partition);
            else rows.set(partition, written);
          }
          states.push(rows);
        } else {
          const kept = Math.max(1, states.length - each.back);
          if (each.do === "commit") {
            timeline.commit(timeline.committed + kept - 1);
            states.splice(0, kept - 1);
          } else {
            // Sequences go on from the newest, also over those undone, as in the runtime: all or nothing.
            timeline.rollback(timeline.committed);
            timeline.commit(timeline.current);
            states.splice(1);
          }
        }
        check(offsets, states.at(-1) ?? new Map(), states[0] ?? new Map());
      }
      timeline.commit(timeline.current);
      const last = states.at(-1) ?? new Map();
      check(offsets, last, last);
      expect(offsets.isVacant).toBe(last.size === 0);
    });
    fc.assert(property, { numRuns: 300 });
  });

  test("are read back as they were loaded", () => {
    const offsets = new TopicOffsets(new Timeline(), "a");
    for (const partition of [3, 1, 2_000_000_000, 2])
      offsets.write(partition, 10, 20, 4, "m", -1, "b");
    offsets.write(1, 11, 21, -1, "", -1, "a");
    expect([...offsets.entries()].map(([partition]) => partition)).toEqual([
      1, 2, 3, 2_000_000_000,
    ]);
    const row = { leaderEpoch: 4, metadata: "m", expireTimestampMs: -1, topicId: "b" };
    expect(offsets.get(2)).toEqual({ offset: 10, commitTimestampMs: 20, ...row });
    expect(offsets.get(1)).toEqual({
      offset: 11,
      commitTimestampMs: 21,
      leaderEpoch: -1,
      metadata: "",
      expireTimestampMs: -1,
      topicId: "a",
    });
  });
});
