/** Where the replicas of a broker go that is to be emptied. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type DrainBroker, type DrainPartition, planDrain } from "#cli/cluster/drain-plan.ts";

const broker = (id: number, rack: string | null = null, isOpen = true): DrainBroker => ({
  id,
  rack,
  isOpen,
});

const partitionsOf = (...assignments: readonly (readonly number[])[]): DrainPartition[] =>
  assignments.map((replicas, partition) => ({ topic: "t", partition, replicas }));

const targets = (brokers: readonly DrainBroker[], partitions: readonly DrainPartition[]): unknown =>
  planDrain(1, brokers, partitions).moves.map(({ partition, to }) => [partition, ...to]);

describe("planDrain", () => {
  test("puts another broker in the place of the one that leaves, and leaves the rest alone", () => {
    const brokers = [1, 2, 3, 4].map((id) => broker(id));
    expect(targets(brokers, partitionsOf([1, 2], [3, 1], [2, 3]))).toEqual([
      [0, 4, 2],
      [1, 3, 4],
    ]);
  });

  test("takes a rack that has no replica yet, before the emptiest broker", () => {
    const brokers = [broker(1, "a"), broker(2, "b"), broker(3, "b"), broker(4, "a")];
    const partitions = partitionsOf([1, 2], [4, 2], [4, 3], [4, 3]);
    // 4 is preferred leader of three others, 2 of none.
    expect(targets(brokers, partitions)).toEqual([[0, 2, 4]]);
  });

  test("takes a rack twice where there is no other", () => {
    const brokers = [broker(1, "a"), broker(2, "b"), broker(3, "b")];
    expect(targets(brokers, partitionsOf([1, 2]))).toEqual([[0, 3, 2]]);
  });

  test("tells what has nowhere to go: fenced brokers are given nothing", () => {
    const brokers = [broker(1), broker(2), broker(3, null, false)];
    const plan = planDrain(1, brokers, partitionsOf([1, 2], [1]));
    expect(plan.moves.map(({ partition, to }) => [partition, ...to])).toEqual([[1, 2]]);
    expect(plan.stuck.map(({ partition }) => partition)).toEqual([0]);
  });

  test("keeps the number of replicas, nobody twice, and the load even", () => {
    const cluster = fc
      .record({
        brokerCount: fc.integer({ min: 2, max: 7 }),
        factor: fc.integer({ min: 1, max: 6 }),
        rackCount: fc.integer({ min: 1, max: 3 }),
        starts: fc.array(fc.nat(6), { maxLength: 40 }),
      })
      .map(({ brokerCount, factor, rackCount, starts }) => {
        const width = Math.min(factor, brokerCount);
        const brokers = Array.from({ length: brokerCount }, (_, index) =>
          broker(index + 1, rackCount === 1 ? null : `rack-${index % rackCount}`),
        );
        const assignments = starts.map((start) =>
          Array.from({ length: width }, (_, at) => ((start + at) % brokerCount) + 1),
        );
        return { brokers, partitions: partitionsOf(...assignments) };
      });
    fc.assert(
      fc.property(cluster, ({ brokers, partitions }) => {
        const { moves, stuck } = planDrain(1, brokers, partitions);
        const held = partitions.filter(({ replicas }) => replicas.includes(1));
        expect(moves.length + stuck.length).toBe(held.length);
        for (const { from, to } of moves) {
          expect(new Set(to).size).toBe(from.length);
          expect(to).not.toContain(1);
          const stays = from.filter((id) => id !== 1);
          expect(stays.every((id) => to.includes(id))).toBe(true);
          // Only who led by preference gives the others another order.
          if (from[0] !== 1)
            expect(from.map((id, at) => id === 1 || id === to[at])).not.toContain(false);
        }
        for (const { replicas } of stuck) expect(replicas).toHaveLength(brokers.length);
      }),
    );
  });

  test("shares out what the broker led, where there is no choice of brokers", () => {
    const brokers = [1, 2, 3, 4].map((id) => broker(id));
    const partitions = partitionsOf(...Array.from({ length: 9 }, () => [1, 2, 3]));
    const { moves } = planDrain(1, brokers, partitions);
    const leaders = moves.map(({ to }) => to[0]);
    expect([2, 3, 4].map((id) => leaders.filter((leader) => leader === id).length)).toEqual([
      3, 3, 3,
    ]);
  });

  test("fills the emptiest first", () => {
    const brokers = [1, 2, 3, 4].map((id) => broker(id));
    const partitions = partitionsOf(...Array.from({ length: 9 }, () => [1]));
    const counts = new Map<number, number>();
    for (const { to } of planDrain(1, brokers, partitions).moves) {
      const [id = -1] = to;
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    expect(Object.fromEntries(counts)).toEqual({ 2: 3, 3: 3, 4: 3 });
  });
});
