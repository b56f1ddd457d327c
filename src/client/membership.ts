/**
 * What a member of a group does for whoever reads through it, in either protocol: joins, is assigned partitions of one topic, commits
 * offsets and leaves; in between it says by itself that it is alive.
 */
import { ErrorCode } from "#common/error-code.ts";

/** See the head of the file. */
export interface Membership {
  /** Aborted when the assignment holds no longer: stop reading, commit, then `join` again. */
  readonly rebalance: AbortSignal;
  /**
   * Joins, or joins again, and gives the partitions of the topic that this member is to read.
   *
   * @throws ClientError REFUSED when the group does not take it, for instance with INCONSISTENT_GROUP_PROTOCOL.
   */
  join(): Promise<readonly number[]>;
  /** Committed offset of each partition; -1 where there is none. */
  committed(partitions: readonly number[]): Promise<ReadonlyMap<number, number>>;
  /**
   * Commits where to read on.
   *
   * @throws ClientError REFUSED when the membership is over: nothing was committed.
   */
  commit(offsets: ReadonlyMap<number, number>): Promise<void>;
  /** Leaves, so that the others need not wait for the session to end. Never fails: the session ends by itself. */
  leave(): Promise<void>;
}

/** Whether the code says that the member has to join again. */
export function isLostMembership(errorCode: number): boolean {
  return (
    errorCode === ErrorCode.REBALANCE_IN_PROGRESS ||
    errorCode === ErrorCode.ILLEGAL_GENERATION ||
    errorCode === ErrorCode.UNKNOWN_MEMBER_ID ||
    errorCode === ErrorCode.FENCED_MEMBER_EPOCH ||
    errorCode === ErrorCode.STALE_MEMBER_EPOCH
  );
}
