/**
 * The server-side assignors: against Kafka's own targets (`test/golden/assignors.ts`), and the promises of each over random groups.
 * Kafka's `uniform` follows hash order where several targets are equally good, so balance and stickiness are compared there.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type {
  AssignorMember,
  AssignorTopics,
  TargetAssignment,
} from "#coordinator/group/consumer/assignor/assignor.ts";
import { assignors } from "#coordinator/group/consumer/assignor/index.ts";
import { rangeAssignor } from "#coordinator/group/consumer/assignor/range.ts";
import { uniformAssignor } from "#coordinator/group/consumer/assignor/uniform.ts";
import {
  assignorInput,
  type AssignorSample,
  readAssignorSamples,
} from "../../../../../golden/assignors.ts";

type Members = ReadonlyMap<string, AssignorMember>;

const sizeOf = (share: ReadonlyMap<string, { readonly length: number }> | undefined): number =>
  [...(share?.values() ?? [])].reduce((total, { length }) => total + length, 0);
const sizes = (target: TargetAssignment): number[] => [...target.values()].map(sizeOf);
const sumOfSquares = (numbers: readonly number[]): number =>
  numbers.reduce((total, each) => total + each * each, 0);

/** How many partitions stay with the member that had them. */
function kept(members: Members, target: TargetAssignment): number {
  let count = 0;
  for (const [memberId, { assigned }] of members) {
    for (const [topicId, partitions] of target.get(memberId) ?? []) {
      count += partitions.filter((each) => assigned.get(topicId)?.has(each)).length;
    }
  }
  return count;
}

const plain = (target: TargetAssignment): unknown =>
  Object.fromEntries([...target].map(([memberId, share]) => [memberId, Object.fromEntries(share)]));

const targetOf = (sample: AssignorSample): TargetAssignment =>
  new Map(
    Object.entries(sample.target).map(([memberId, share]) => [
      memberId,
      new Map(Object.entries(share)),
    ]),
  );

const isHomogeneous = (members: Members): boolean =>
  new Set([...members.values()].map((each) => [...each.subscribedTopicIds].sort().join())).size ===
  1;

/** What holds for every target: each partition of a wanted topic is with exactly one member, who wants it. */
function expectComplete(members: Members, topics: AssignorTopics, target: TargetAssignment): void {
  expect([...target.keys()].sort()).toEqual([...members.keys()].sort());
  const wanted = new Set([...members.values()].flatMap((each) => [...each.subscribedTopicIds]));
  const given = new Map<string, number[]>();
  for (const [memberId, share] of target) {
    for (const [topicId, partitions] of share) {
      expect(members.get(memberId)?.subscribedTopicIds.has(topicId)).toBe(true);
      expect(partitions.length).toBeGreaterThan(0);
      expect(partitions.toSorted((a, b) => a - b)).toEqual([...partitions]);
      given.set(topicId, [...(given.get(topicId) ?? []), ...partitions]);
    }
  }
  for (const topicId of wanted) {
    const count = Math.max(0, topics.partitionCount(topicId));
    const all = Array.from({ length: count }, (_, partition) => partition);
    expect((given.get(topicId) ?? []).sort((a, b) => a - b)).toEqual(all);
  }
}

/** The members after they took `target` over. */
function withAssigned(members: Members, target: TargetAssignment): Map<string, AssignorMember> {
  return new Map(
    [...members].map(([memberId, member]) => [
      memberId,
      {
        ...member,
        assigned: new Map(
          [...(target.get(memberId) ?? [])].map(([topicId, each]) => [topicId, new Set(each)]),
        ),
      },
    ]),
  );
}

const topicsOf = (counts: readonly number[]): AssignorTopics => ({
  partitionCount: (topicId) => counts[Number(topicId.slice(1))] ?? -1,
  racks: () => new Set(),
});

const fresh = (memberId: string, topics: readonly number[]): AssignorMember => ({
  memberId,
  instanceId: null,
  rackId: null,
  subscribedTopicIds: new Set(topics.map((index) => `t${index}`)),
  assigned: new Map(),
});

const group = (subscriptions: readonly (readonly number[])[]): Map<string, AssignorMember> =>
  new Map(subscriptions.map((topics, index) => [`m${index}`, fresh(`m${index}`, topics)]));

const counts = fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 6 });
const subscriptions = fc.array(fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { maxLength: 6 }), {
  minLength: 1,
  maxLength: 9,
});

describe("Kafka's targets", () => {
  const samples = readAssignorSamples();

  test("there are samples of every kind", () => {
    const kinds = samples.map(
      (each) => `${each.assignor} ${isHomogeneous(assignorInput(each).members)}`,
    );
    for (const kind of ["range true", "range false", "uniform true", "uniform false"])
      expect(kinds.filter((each) => each === kind).length).toBeGreaterThan(30);
  });

  test("range gives the very same", () => {
    for (const sample of samples.filter((each) => each.assignor === "range")) {
      const { members, topics } = assignorInput(sample);
      expect(plain(rangeAssignor.assign(members, topics))).toEqual(sample.target);
    }
  });

  test("uniform is as balanced, and moves no more", () => {
    for (const sample of samples.filter((each) => each.assignor === "uniform")) {
      const { members, topics } = assignorInput(sample);
      const ours = uniformAssignor.assign(members, topics);
      const theirs = targetOf(sample);
      expectComplete(members, topics, ours);
      if (isHomogeneous(members)) {
        const ascending = (target: TargetAssignment): number[] =>
          sizes(target).sort((a, b) => a - b);
        expect(ascending(ours)).toEqual(ascending(theirs));
        expect(kept(members, ours)).toBeGreaterThanOrEqual(kept(members, theirs));
      } else {
        expect(sumOfSquares(sizes(ours))).toBeLessThanOrEqual(sumOfSquares(sizes(theirs)));
      }
    }
  });
});

describe("promises", () => {
  for (const assignor of assignors.values()) {
    test(`${assignor.name}: every partition once, with a member that wants it`, () => {
      fc.assert(
        fc.property(counts, subscriptions, subscriptions, (partitions, before, after) => {
          const topics = topicsOf(partitions);
          const first = assignor.assign(group(before), topics);
          expectComplete(group(before), topics, first);
          const members = withAssigned(group(after), first);
          expectComplete(members, topics, assignor.assign(members, topics));
        }),
      );
    });
    test(`${assignor.name}: the same group again is the same target`, () => {
      fc.assert(
        fc.property(counts, subscriptions, (partitions, wanted) => {
          const members = group(wanted);
          const target = assignor.assign(members, topicsOf(partitions));
          const again = assignor.assign(withAssigned(members, target), topicsOf(partitions));
          expect(plain(again)).toEqual(plain(target));
        }),
      );
    });
    test(`${assignor.name}: nobody, and nothing to have`, () => {
      expect(assignor.assign(new Map(), topicsOf([])).size).toBe(0);
      expect(plain(assignor.assign(group([[], [9]]), topicsOf([3])))).toEqual({ m0: {}, m1: {} });
    });
  }

  test("uniform: where all want the same, sizes differ by one and only what must moves", () => {
    const size = fc.integer({ min: 1, max: 9 });
    fc.assert(
      fc.property(counts, size, size, (partitions, before, after) => {
        const topics = topicsOf(partitions);
        const everything = partitions.map((_, index) => index);
        const of = (count: number): Members =>
          group(Array.from({ length: count }, () => everything));
        const first = uniformAssignor.assign(of(before), topics);
        const members = withAssigned(of(after), first);
        const second = uniformAssignor.assign(members, topics);
        for (const target of [first, second])
          expect(Math.max(...sizes(target)) - Math.min(...sizes(target))).toBeLessThanOrEqual(1);
        // Each keeps all it may: what it had, up to its size.
        for (const [memberId, { assigned }] of members) {
          const had = [...assigned.values()].reduce((total, each) => total + each.size, 0);
          const stays = kept(
            new Map([[memberId, members.get(memberId) as AssignorMember]]),
            second,
          );
          expect(stays).toBe(Math.min(had, sizeOf(second.get(memberId))));
        }
      }),
    );
  });

  test("uniform: no single move between members of one topic improves the balance", () => {
    fc.assert(
      fc.property(counts, subscriptions, (partitions, wanted) => {
        const members = group(wanted);
        const target = uniformAssignor.assign(members, topicsOf(partitions));
        for (const [giver, share] of target) {
          for (const topicId of share.keys()) {
            for (const [taker, { subscribedTopicIds }] of members) {
              if (!subscribedTopicIds.has(topicId)) continue;
              const difference = sizeOf(target.get(giver)) - sizeOf(target.get(taker));
              expect(difference).toBeLessThanOrEqual(1);
            }
          }
        }
      }),
    );
  });

  test("uniform: a partition that two members claim goes to one of them", () => {
    const claim = new Map([["t0", new Set([0, 1, 7])]]);
    const members = new Map(
      [...group([[0], [0]])].map(([id, member]) => [id, { ...member, assigned: claim }]),
    );
    expectComplete(members, topicsOf([2]), uniformAssignor.assign(members, topicsOf([2])));
  });

  test("a thousand members and ten thousand partitions", () => {
    const everything = Array.from({ length: 100 }, (_, index) => index);
    const topics = topicsOf(everything.map(() => 100));
    for (const mixed of [false, true]) {
      const wanted = Array.from({ length: 1000 }, (_, member) =>
        everything.filter((topic) => !mixed || (topic * 7 + member) % 3 > 0),
      );
      for (const assignor of assignors.values()) {
        const first = assignor.assign(group(wanted), topics);
        const members = withAssigned(group(wanted.slice(100)), first);
        expect(sizes(assignor.assign(members, topics)).reduce((a, b) => a + b)).toBe(10_000);
      }
    }
  }, 60_000);
});
