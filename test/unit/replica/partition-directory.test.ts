import { describe, expect, test } from "bun:test";
import { type DirectoryChange, PartitionDirectory } from "#replica/partition-directory.ts";

function topic(name: string, topicId: string, ...handles: readonly number[]): DirectoryChange {
  return {
    kind: "topic",
    name,
    topicId,
    partitions: handles.map((handle, index) => ({ index, handle, leaderEpoch: 0 })),
  };
}

describe("PartitionDirectory", () => {
  test("finds partitions by name and by id", () => {
    const directory = new PartitionDirectory();
    directory.apply(topic("orders", "id-1", 10, 11));
    expect([
      directory.topicByName("orders")?.partitions[1]?.handle,
      directory.topicById("id-1")?.partitions[0]?.handle,
      directory.topicByName("orders")?.partitions[2],
      directory.topicByName("orders")?.partitions[-1],
      directory.topicById("id-2"),
    ]).toEqual([11, 10, undefined, undefined, undefined]);
  });

  test("a topic created again under its name takes the place of the old one", () => {
    const directory = new PartitionDirectory();
    directory.apply(topic("orders", "id-1", 10));
    directory.apply(topic("orders", "id-2", 20));
    // The removal of the old one may come late: it must not take the new one along.
    directory.apply({ kind: "topic-removed", name: "orders", topicId: "id-1" });
    expect([
      directory.topicById("id-1"),
      directory.topicByName("orders")?.topicId,
      directory.topicById("id-2")?.partitions[0]?.handle,
    ]).toEqual([undefined, "id-2", 20]);
  });

  test("every change changes the generation", () => {
    const directory = new PartitionDirectory();
    const generations = new Set([directory.generation]);
    directory.apply(topic("orders", "id-1", 10));
    generations.add(directory.generation);
    directory.apply({ kind: "topic-removed", name: "orders", topicId: "id-1" });
    generations.add(directory.generation);
    expect(generations.size).toBe(3);
  });

  test("a snapshot builds an equal directory", () => {
    const directory = new PartitionDirectory();
    directory.apply(topic("orders", "id-1", 10, 11));
    directory.apply(topic("bills", "id-2", 20));
    const copy = new PartitionDirectory();
    for (const change of structuredClone(directory.snapshot())) copy.apply(change);
    expect(copy.snapshot()).toEqual(directory.snapshot());
  });
});
