/** What a drain sets and takes away to throttle its moves. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { entriesOf, leftBehind, type ThrottledMove } from "#cli/cluster/drain-throttle.ts";

const move = (
  partition: number,
  sources: readonly number[],
  destinations: readonly number[],
): ThrottledMove => ({ topic: "t", partition, sources, destinations });

describe("entriesOf", () => {
  test("names who may be read from, and who reads and did not have it", () => {
    const other = { ...move(0, [9], [8]), topic: "u" };
    expect(entriesOf([move(0, [4, 2], [3, 2]), move(1, [1, 4], [1, 3]), other])).toEqual(
      new Map([
        ["t", { leaders: ["0:4", "0:2", "1:1", "1:4"], followers: ["0:3", "1:3"] }],
        ["u", { leaders: ["0:9"], followers: ["0:8"] }],
      ]),
    );
  });
});

describe("leftBehind", () => {
  test("is what stands beside the emptied node, in both lists", () => {
    const leaders = ["0:4", "0:2", "1:1", "10:14", "14:4"];
    const followers = ["0:3", "1:3", "10:3", "14:1"];
    expect(leftBehind(4, { leaders, followers })).toEqual({
      leaders: ["0:4", "0:2", "14:4"],
      followers: ["0:3", "14:1"],
    });
    expect(leftBehind(3, { leaders, followers })).toEqual({ leaders: [], followers: [] });
  });

  test("is nothing of a list for all replicas, nor of what is no entry", () => {
    const leaders = ["*", "x", ":", "4"];
    expect(leftBehind(4, { leaders, followers: ["*"] })).toEqual({ leaders: [], followers: [] });
  });

  test("is all of a drain, and nothing of other moves", () => {
    const ids = fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 });
    const moves = fc.uniqueArray(
      fc.record({ partition: fc.nat({ max: 12 }), sources: ids, destinations: ids }),
      { selector: ({ partition }) => partition },
    );
    fc.assert(
      fc.property(moves, fc.integer({ min: 1, max: 6 }), (rows, node) => {
        const of = (
          some: typeof rows,
        ): { leaders: readonly string[]; followers: readonly string[] } =>
          entriesOf(some.map((row) => ({ topic: "t", ...row }))).get("t") ?? {
            leaders: [],
            followers: [],
          };
        const drained = rows.filter(({ sources }) => sources.includes(node));
        expect(leftBehind(node, of(rows))).toEqual(of(drained));
      }),
    );
  });
});
