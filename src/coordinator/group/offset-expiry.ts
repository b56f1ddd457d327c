/**
 * When a committed offset has outlived its use (KIP-211).
 *
 * | group | age counts from |
 * |---|---|
 * | with members that are not consumers, or rebalancing | never expires |
 * | stable consumers | the commit, for topics nobody in it reads |
 * | empty, had members once | when it became empty |
 * | only ever stored offsets | the commit |
 * | of the consumer protocol | the commit, for topics nobody in it reads |
 *
 * An offset committed with a retention time of its own (OffsetCommit v2–v4) lives exactly that long.
 */
import type { ClassicGroup } from "./classic/classic-group.ts";
import type { ConsumerGroup } from "./consumer/consumer-group.ts";
import type { OffsetRecordValue } from "./records.ts";

/** True when the offset of `topic` may be removed at `nowMs`. */
export function isOffsetExpired(
  group: ClassicGroup | ConsumerGroup,
  topic: string,
  value: OffsetRecordValue,
  nowMs: number,
  retentionMs: number,
): boolean {
  const baseMs = ageBaseMs(group, value);
  if (baseMs === null || group.isSubscribedTo(topic)) return false;
  if (value.expireTimestampMs !== -1) return nowMs >= value.expireTimestampMs;
  return nowMs - baseMs >= retentionMs;
}

/** From when the offset's age counts, ms; `null` while it can't age. */
function ageBaseMs(group: ClassicGroup | ConsumerGroup, value: OffsetRecordValue): number | null {
  if (group.type === "consumer") return value.commitTimestampMs;
  if (group.protocolType === null) return value.commitTimestampMs;
  if (group.state === "Empty") {
    const emptySinceMs = group.currentStateTimestampMs;
    return emptySinceMs === -1 ? value.commitTimestampMs : emptySinceMs;
  }
  const isReadable = group.isConsumerGroup && group.topics !== null && group.state === "Stable";
  return isReadable ? value.commitTimestampMs : null;
}
