/** The end of a consumer group in the log: a tombstone for each of its records, the group's own last. */
import type { ConsumerGroupRecord } from "../records.ts";
import type { ConsumerGroup } from "./consumer-group.ts";

/** Tombstones of a group, with whatever members it has. */
export function* tombstones(group: ConsumerGroup): Generator<ConsumerGroupRecord> {
  const { groupId } = group;
  // Taken before the first one is applied.
  const memberIds = Array.from(group.memberEntries(), ([memberId]) => memberId);
  const patterns = group.resolvedEntries().map(([pattern]) => pattern);
  for (const memberId of memberIds) {
    yield { kind: "consumer-current", groupId, memberId, value: null };
  }
  for (const memberId of memberIds) {
    yield { kind: "consumer-target-member", groupId, memberId, value: null };
  }
  yield { kind: "consumer-target", groupId, value: null };
  for (const memberId of memberIds) {
    yield { kind: "consumer-member", groupId, memberId, value: null };
  }
  for (const pattern of patterns) {
    yield { kind: "consumer-pattern", groupId, pattern, value: null };
  }
  yield { kind: "consumer-topics", groupId, value: null };
  yield { kind: "consumer-epoch", groupId, value: null };
}
