/** The range assignment: complete, without overlap, and with Kafka's own results. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { assignRanges } from "#client/assignor.ts";

test("consecutive partitions, the first members one more", () => {
  const assignment = assignRanges(
    [
      { memberId: "b", topics: ["t", "u"] },
      { memberId: "a", topics: ["t"] },
      { memberId: "c", topics: ["t", "gone"] },
    ],
    new Map([
      ["t", 7],
      ["u", 2],
    ]),
  );
  expect([...assignment].map(([member, topics]) => [member, Object.fromEntries(topics)])).toEqual([
    ["b", { t: [3, 4], u: [0, 1] }],
    ["a", { t: [0, 1, 2] }],
    ["c", { t: [5, 6] }],
  ]);
});

test("every partition has one member, and a member without partitions an entry", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 0, max: 30 }),
      (members, count) => {
        const ids = Array.from({ length: members }, (_, index) => `m${index}`);
        const assignment = assignRanges(
          ids.map((memberId) => ({ memberId, topics: ["t"] })),
          new Map([["t", count]]),
        );
        const all = [...assignment.values()].flatMap((topics) => topics.get("t") ?? []);
        expect([assignment.size, all.toSorted((a, b) => a - b)]).toEqual([
          members,
          Array.from({ length: count }, (_, index) => index),
        ]);
      },
    ),
  );
});
