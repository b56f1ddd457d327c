/** When a group's epoch moves: the topics its members read are others than those it was last decided for, or the members are. */
import type { GroupStep } from "../classic/context.ts";
import type { ConsumerGroup } from "./consumer-group.ts";
import type { ConsumerContext } from "./context.ts";

/** Topics are looked at again after this long even if nothing was heard of them: Kafka's number. */
const METADATA_REFRESH_MS = 0x7fff_ffff;

/** Moves the group's epoch when `isBumped`, or when the topics it reads have changed since it last looked. */
export function refreshMetadata(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
  isBumped: boolean,
): void {
  if (!isBumped && !isStale(context, step, group)) return;
  const { groupId } = group;
  const metadataHash = context.hashes.ofGroup(group.subscribedTopics());
  if (isBumped || metadataHash !== group.metadataHash) {
    bumpEpoch(context, step, group, metadataHash);
  } else {
    noteRefresh(context, step, group);
  }
  if (group.isTopicsRecordStored) {
    context.emit(step, { kind: "consumer-topics", groupId, value: null });
  }
}

/** Moves the group's epoch. */
export function bumpEpoch(
  context: ConsumerContext,
  step: GroupStep,
  group: ConsumerGroup,
  metadataHash: bigint = context.hashes.ofGroup(group.subscribedTopics()),
): void {
  const { groupId } = group;
  const value = { epoch: group.groupEpoch + 1, metadataHash };
  context.emit(step, { kind: "consumer-epoch", groupId, value });
  noteRefresh(context, step, group);
}

function noteRefresh(context: ConsumerContext, step: GroupStep, group: ConsumerGroup): void {
  group.refresh = {
    topicsVersion: context.topics.topicsVersion(),
    deadlineMs: step.nowMs + METADATA_REFRESH_MS,
    epoch: group.groupEpoch,
  };
}

function isStale(context: ConsumerContext, step: GroupStep, group: ConsumerGroup): boolean {
  const { refresh } = group;
  return (
    refresh === null ||
    refresh.topicsVersion !== context.topics.topicsVersion() ||
    step.nowMs >= refresh.deadlineMs ||
    // The look was part of an operation that has been undone.
    group.groupEpoch < refresh.epoch
  );
}
