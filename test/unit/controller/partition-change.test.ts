/**
 * The one rule of how a partition changes, against what Kafka's own class made of the same partitions and wishes.
 */
import { describe, expect, test } from "bun:test";
import { ZERO_UUID } from "#common/uuid.ts";
import { changePartition } from "#controller/partition-change.ts";
import type { PartitionChangeRecord } from "#protocol/generated/records/partition-change-record.ts";
import { readPartitionChanges } from "../../golden/partition-changes.ts";
import type { PartitionChangeSample, PartitionWish } from "../../golden/partition-changes.ts";

function change({
  before,
  goal,
  serving,
  minIsr,
  hasElr,
}: PartitionWish): Record<string, unknown> | null {
  const { adding, removing, elr, ...rest } = before;
  const record = changePartition(
    "topic",
    {
      ...rest,
      partitionId: 0,
      leaderEpoch: 3,
      partitionEpoch: 5,
      addingReplicas: adding,
      removingReplicas: removing,
      eligibleLeaderReplicas: elr,
      directories: before.replicas.map(() => ZERO_UUID),
    },
    goal,
    {
      mayLead: (id) => serving.includes(id),
      minIsr,
      hasElr,
      chooseDirectory: () => ZERO_UUID,
      isAlone: false,
    },
  );
  return record === null ? null : fields(record);
}

function fields(record: PartitionChangeRecord): Record<string, unknown> {
  const { partitionId: _, topicId: __, directories: ___, ...rest } = record;
  return rest;
}

/**
 * Where Kafka writes what changes nothing ours is silent: an ISR that is the same after an unclean election. Kafka notes the last
 * leader of a partition that had none before as -1, where ours notes nobody. And Kafka keeps as eligible who is no replica any more.
 */
function expected({ record, before }: PartitionChangeSample): PartitionChangeSample["record"] {
  if (record === null) return null;
  const { isr, lastKnownElr } = record;
  const replicas = idsOf(record["replicas"]) ?? before.replicas;
  const elr = (idsOf(record["eligibleLeaderReplicas"]) ?? before.elr).filter((id) =>
    replicas.includes(id),
  );
  return {
    ...record,
    ...(Bun.deepEquals(isr, before.isr) && { isr: null }),
    ...(Bun.deepEquals(lastKnownElr, [-1]) && { lastKnownElr: null }),
    eligibleLeaderReplicas: Bun.deepEquals(elr, before.elr) ? null : elr,
  };
}

function idsOf(value: unknown): readonly number[] | null {
  return Array.isArray(value) ? value.map(Number) : null;
}

describe("a partition", () => {
  test("changes as Kafka's class says", () => {
    const samples = readPartitionChanges();
    expect(samples.length).toBeGreaterThan(3000);
    const wrong = samples.flatMap((sample) => {
      const ours = change(sample);
      return Bun.deepEquals(ours, expected(sample)) ? [] : [{ ...sample, ours }];
    });
    expect(wrong.slice(0, 3)).toEqual([]);
    expect(wrong.length).toBe(0);
  });
});
