/**
 * Where replicas go when nobody says where: over racks first, then over brokers, leaders only where somebody serves.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { makeCreatableTopic, makeCreateTopicsRequest } from "#protocol/generated/create-topics.ts";
import { MemoryCluster } from "./memory-cluster.ts";

async function place(
  cluster: MemoryCluster,
  numPartitions: number,
  replicationFactor: number,
): Promise<number> {
  const row = makeCreatableTopic({ name: "t", numPartitions, replicationFactor });
  const { topics } = await cluster.controller.createTopics(
    makeCreateTopicsRequest({ topics: [row], timeoutMs: 1 }),
  );
  return topics[0]?.errorCode ?? -1;
}

test("replicas lie in as many racks as there are, and are led by brokers that serve", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom("a", "b", "c", null), { minLength: 1, maxLength: 7 }),
      fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { maxLength: 3 }),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 4 }),
      async (racks, fenced, partitionCount, replicationFactor) => {
        const cluster = await MemoryCluster.start({ racks });
        for (const id of fenced.filter((each) => each <= racks.length)) await cluster.kill(id);
        const { brokers } = cluster.image;
        const serving = [...brokers.values()].filter(({ isFenced }) => !isFenced);
        const isPossible = serving.length > 0 && replicationFactor <= racks.length;
        expect(await place(cluster, partitionCount, replicationFactor)).toBe(isPossible ? 0 : 38);
        if (!isPossible) return;
        for (const { replicas, isr, leader } of cluster.image.topicsByName.get("t")?.partitions ??
          []) {
          expect(new Set(replicas).size).toBe(replicationFactor);
          expect(leader).toBe(replicas[0] ?? -1);
          expect(isr).toEqual(replicas.filter((id) => brokers.get(id)?.isFenced === false));
          const used = new Set(replicas.map((id) => brokers.get(id)?.rack ?? null));
          expect(used.size).toBe(Math.min(replicationFactor, new Set(racks).size));
        }
      },
    ),
    { numRuns: 60 },
  );
});

test("leaders and replicas are spread evenly over racks of one size", async () => {
  const racks = ["a", "b", "c", "a", "b", "c"];
  const cluster = await MemoryCluster.start({ racks });
  expect(await place(cluster, 60, 3)).toBe(0);
  const led = new Map<number, number>();
  const held = new Map<number, number>();
  for (const { replicas, leader } of cluster.image.topicsByName.get("t")?.partitions ?? []) {
    led.set(leader, (led.get(leader) ?? 0) + 1);
    for (const id of replicas) held.set(id, (held.get(id) ?? 0) + 1);
  }
  for (const id of racks.keys()) {
    expect(led.get(id + 1) ?? 0).toBeWithin(5, 16);
    expect(held.get(id + 1) ?? 0).toBeWithin(25, 36);
  }
});
