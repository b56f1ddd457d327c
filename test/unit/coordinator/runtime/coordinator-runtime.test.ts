/** The runtime through the group coordinator: batching, loading, losing a partition, records that don't fit. */
import { describe, expect, test } from "bun:test";
import { ErrorCode } from "#common/error-code.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { CommitInput } from "#coordinator/group/messages.ts";
import { GroupContext } from "../../../support/group-context.ts";
import { MemoryGroups } from "../../../support/memory-groups.ts";
import { MemoryInternalTopic } from "../../../support/memory-log.ts";

function commitOf(rows: number, metadata = ""): CommitInput {
  const partitions = Array.from({ length: rows }, (_, partitionIndex) => ({
    partitionIndex,
    committedOffset: 1,
    committedLeaderEpoch: -1,
    commitTimestamp: -1,
    committedMetadata: metadata,
  }));
  return {
    groupId: "group",
    generationIdOrMemberEpoch: -1,
    memberId: "",
    groupInstanceId: null,
    retentionTimeMs: -1,
    isUnknownGroupNamed: true,
    topics: [{ name: "orders", topicId: ZERO_UUID, partitions }],
  };
}

describe("the coordinator runtime", () => {
  test("collects what arrives during an append into one batch", async () => {
    const group = await GroupContext.start();
    group.log.hold();
    const commits = Array.from({ length: 50 }, (_, partition) =>
      group.commit(null, "orders", partition, 1),
    );
    group.log.release();
    expect(new Set(await Promise.all(commits))).toEqual(new Set([ErrorCode.NONE]));
    expect(group.log.batchCount).toBe(2);
    expect(await group.offsets()).toHaveLength(50);
  });

  test("a failed append takes down what was built on it, and nothing else", async () => {
    const group = await GroupContext.start();
    await group.commit(null, "orders", 0, 1);
    group.log.failNext(ErrorCode.KAFKA_STORAGE_ERROR);
    const failing = [group.commit(null, "orders", 0, 2), group.commit(null, "orders", 1, 2)];
    const { NOT_COORDINATOR } = ErrorCode;
    expect(await Promise.all(failing)).toEqual([NOT_COORDINATOR, NOT_COORDINATOR]);
    expect(await group.offsets()).toEqual(["orders-0@1"]);
    expect(await group.commit(null, "orders", 1, 3)).toBe(ErrorCode.NONE);
    await group.restart();
    expect(await group.offsets()).toEqual(["orders-0@1", "orders-1@3"]);
  });

  test("answers at once where nothing has to be waited for, and in order where something has", async () => {
    const group = await GroupContext.start();
    group.log.isImmediate = true;
    const { coordinator } = group;
    expect(coordinator.commitOffsets(commitOf(2))).toMatchObject({ errorCode: ErrorCode.NONE });
    expect(await group.offsets()).toEqual(["orders-0@1", "orders-1@1"]);
    group.log.hold();
    const first = coordinator.commitOffsets(commitOf(1));
    const second = coordinator.commitOffsets(commitOf(3));
    expect([first, second].map((answer) => answer instanceof Promise)).toEqual([true, true]);
    group.log.release();
    expect((await second).errorCode).toBe(ErrorCode.NONE);
    expect(coordinator.commitOffsets(commitOf(1))).toMatchObject({ errorCode: ErrorCode.NONE });
    expect(await group.offsets()).toHaveLength(3);
  });

  test("an append that fails at once is undone at once", async () => {
    const group = await GroupContext.start();
    group.log.isImmediate = true;
    const { coordinator, log } = group;
    await group.commit(null, "orders", 0, 1);
    log.failNext(ErrorCode.KAFKA_STORAGE_ERROR);
    const failed = coordinator.commitOffsets(commitOf(2));
    expect(failed).toEqual({ errorCode: ErrorCode.NOT_COORDINATOR, topics: [] });
    expect(await group.offsets()).toEqual(["orders-0@1"]);
    expect(coordinator.commitOffsets(commitOf(2))).toMatchObject({ errorCode: ErrorCode.NONE });
  });

  test("what was committed at once stays when a later append fails, and what failed at once never was", async () => {
    const group = await GroupContext.start();
    group.log.isImmediate = true;
    const { coordinator, log } = group;
    const { NOT_COORDINATOR } = ErrorCode;
    log.failNext(ErrorCode.KAFKA_STORAGE_ERROR);
    expect(coordinator.commitOffsets(commitOf(1))).toMatchObject({ errorCode: NOT_COORDINATOR });
    expect(group.describe()).toBe("no group");
    expect(coordinator.commitOffsets(commitOf(1))).toMatchObject({ errorCode: ErrorCode.NONE });
    log.isImmediate = false;
    log.failNext(ErrorCode.KAFKA_STORAGE_ERROR);
    expect(await coordinator.commitOffsets(commitOf(2))).toMatchObject({
      errorCode: NOT_COORDINATOR,
    });
    expect(await group.offsets()).toEqual(["orders-0@1"]);
    await group.restart();
    expect(await group.offsets()).toEqual(["orders-0@1"]);
  });

  test("a commit that waits too long is answered, whether it is the first in line or not", async () => {
    const group = await GroupContext.start({ offsetsCommitTimeoutMs: 100 });
    group.log.hold();
    const answers = [1, 2].map((rows) => group.coordinator.commitOffsets(commitOf(rows)));
    await group.advance(100);
    const late = { errorCode: ErrorCode.COORDINATOR_NOT_AVAILABLE, topics: [] };
    expect(await Promise.all(answers)).toEqual([late, late]);
  });

  test("refuses a commit that fits no batch, and goes on", async () => {
    const group = await GroupContext.start();
    group.log.maxBytes = 2_000;
    const output = await group.coordinator.commitOffsets(commitOf(100));
    expect(output).toEqual({ errorCode: ErrorCode.UNKNOWN_SERVER_ERROR, topics: [] });
    expect(await group.offsets()).toEqual([]);
    expect(await group.commit(null, "orders", 0, 1)).toBe(ErrorCode.NONE);
  });

  test("deletes a group over several batches when it has to", async () => {
    const group = await GroupContext.start();
    await group.coordinator.commitOffsets(commitOf(100));
    group.log.maxBytes = 1_000;
    const before = group.log.batchCount;
    await group.deleteGroup();
    expect(group.takeEvents()).toEqual(["delete: NONE"]);
    expect(group.log.batchCount - before).toBeGreaterThan(2);
    await group.restart();
    expect(await group.offsets()).toEqual([]);
    expect(group.describe()).toBe("no group");
  });

  test("refuses strings that no record can hold", async () => {
    const group = await GroupContext.start();
    const input = { ...commitOf(1), groupId: "g".repeat(40_000) };
    expect((await group.coordinator.commitOffsets(input)).errorCode).toBe(
      ErrorCode.UNKNOWN_SERVER_ERROR,
    );
  });

  test("answers COORDINATOR_LOAD_IN_PROGRESS while it loads, NOT_COORDINATOR for what it does not lead", async () => {
    const log = new MemoryInternalTopic();
    const loading = Promise.withResolvers<void>();
    log.load = () => loading.promise;
    const groups = MemoryGroups.startBare({ log, config: { offsetsTopicNumPartitions: 1 } });
    const { coordinator } = groups;
    const errorNow = async (): Promise<number> =>
      (await coordinator.commitOffsets(commitOf(1))).errorCode;
    expect(await errorNow()).toBe(ErrorCode.NOT_COORDINATOR);
    const ready = coordinator.ensureReady();
    expect(await errorNow()).toBe(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
    expect(coordinator.listGroups().errorCode).toBe(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS);
    const beat = { groupId: "group", memberId: "m", generationId: 1, groupInstanceId: null };
    expect(await coordinator.heartbeat(beat)).toBe(ErrorCode.NONE);
    loading.resolve();
    expect(await ready).toBe(ErrorCode.NONE);
    expect(await errorNow()).toBe(ErrorCode.NONE);
    coordinator.unload(0);
    expect(await errorNow()).toBe(ErrorCode.NOT_COORDINATOR);
    coordinator.stop();
    expect(await errorNow()).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE);
  });

  test("a partition that can't be loaded is nobody's, until it can", async () => {
    const log = new MemoryInternalTopic();
    const readable = log.load.bind(log);
    log.load = () => Promise.reject(new Error("unreadable"));
    const { coordinator } = MemoryGroups.startBare({
      log,
      config: { offsetsTopicNumPartitions: 1 },
    });
    expect(coordinator.load(0, 1)).rejects.toThrow("unreadable");
    expect((await coordinator.commitOffsets(commitOf(1))).errorCode).toBe(
      ErrorCode.NOT_COORDINATOR,
    );
    log.load = readable;
    await coordinator.load(0, 1);
    expect((await coordinator.commitOffsets(commitOf(1))).errorCode).toBe(ErrorCode.NONE);
  });

  test("losing the partition answers everything that is parked, and leaves no timer", async () => {
    const group = await GroupContext.start();
    group.join("a");
    await group.settle();
    group.log.hold();
    void group.commit(null, "orders", 0, 1);
    await group.settle();
    group.coordinator.unload(0);
    await group.settle();
    expect(group.takeEvents().toSorted()).toEqual([
      "a join: NOT_COORDINATOR",
      "somebody commit orders-0@1: UNKNOWN_MEMBER_ID",
    ]);
    expect(group.time.pendingCount).toBe(0);
  });
});
