/** The assignors of classic members: complete, without overlap, and with Kafka's own results. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  assignCooperatively,
  assignRanges,
  assignRoundRobin,
  type GroupAssignment,
  type Subscription,
} from "#client/assignor.ts";

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

const member = (memberId: string, topics: readonly string[]): Subscription => ({
  memberId,
  topics,
  owned: new Map(),
  generation: -1,
});

const plain = (assignment: GroupAssignment): object =>
  Object.fromEntries([...assignment].map(([id, topics]) => [id, Object.fromEntries(topics)]));

test("round robin deals in turn, past who does not want a topic", () => {
  const members = [member("c", ["u"]), member("a", ["t"]), member("b", ["t", "u"])];
  const counts = new Map([
    ["u", 3],
    ["t", 3],
  ]);
  expect(plain(assignRoundRobin(members, counts))).toEqual({
    a: { t: [0, 2] },
    b: { t: [1], u: [0, 2] },
    c: { u: [1] },
  });
});

/** Members that keep what they read until they see it missing, as cooperative ones do. */
class CooperativeGroup {
  members: Subscription[] = [];
  readonly counts: Map<string, number>;

  constructor(counts: Map<string, number>) {
    this.counts = counts;
  }

  /** Rebalances until nobody has to give anything up; the number of rounds. */
  settle(): number {
    for (let round = 1; ; round++) {
      const assignment = assignCooperatively(this.members, this.counts);
      let hasRevoked = false;
      this.members = this.members.map((one) => {
        const owned = new Map(assignment.get(one.memberId));
        for (const [topic, partitions] of one.owned)
          if (partitions.some((partition) => owned.get(topic)?.includes(partition) !== true))
            hasRevoked = true;
        return { ...one, owned, generation: one.generation + 1 };
      });
      const all = this.members.flatMap(({ owned }) =>
        [...owned].flatMap(([topic, partitions]) => partitions.map((each) => `${topic}:${each}`)),
      );
      // Nobody reads what another one reads, in no round.
      expect(new Set(all).size).toBe(all.length);
      if (!hasRevoked) return round;
    }
  }

  loads(): number[] {
    return this.members.map(({ owned }) =>
      [...owned.values()].reduce((sum, { length }) => sum + length, 0),
    );
  }
}

test("cooperative: complete, even, and settled after two rounds, however members come and go", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 0, max: 20 }),
      (sizes, count) => {
        const group = new CooperativeGroup(
          new Map([
            ["t", count],
            ["u", 3],
          ]),
        );
        for (const size of sizes) {
          const kept = group.members.slice(-size);
          const joined = Array.from({ length: size - kept.length }, () =>
            member(`m${Math.floor(count * 7 + group.members.length)}-${crypto.randomUUID()}`, [
              "t",
              "u",
            ]),
          );
          group.members = [...kept, ...joined];
          expect(group.settle()).toBeLessThanOrEqual(3);
          const loads = group.loads();
          expect(loads.reduce((sum, load) => sum + load, 0)).toBe(count + 3);
          expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1);
        }
      },
    ),
  );
});

test("cooperative: who joins takes no more than its share from the others", () => {
  const group = new CooperativeGroup(new Map([["t", 6]]));
  group.members = [member("a", ["t"]), member("b", ["t"])];
  group.settle();
  const before = new Map(
    group.members.map(({ memberId, owned }) => [memberId, owned.get("t") ?? []]),
  );
  group.members = [...group.members, member("c", ["t"])];
  group.settle();
  for (const { memberId, owned } of group.members.slice(0, 2)) {
    const now = owned.get("t") ?? [];
    expect([now.length, now.every((each) => before.get(memberId)?.includes(each))]).toEqual([
      2,
      true,
    ]);
  }
});

test("cooperative: topics that not everybody wants", () => {
  const members = [member("a", ["t"]), member("b", ["t", "u"]), member("c", [])];
  expect(
    plain(
      assignCooperatively(
        members,
        new Map([
          ["t", 2],
          ["u", 2],
        ]),
      ),
    ),
  ).toEqual({
    a: { t: [0, 1] },
    b: { u: [0, 1] },
    c: {},
  });
});
