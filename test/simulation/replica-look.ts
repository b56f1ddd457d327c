/** How a replica of a simulated store is now, for the rules; looking changes nothing. */
import { REPLICATION_STATE_LENGTH, ReplicaRole, ReplicationHead } from "#log/replication.ts";
import type { SimulatedStore } from "./disk.ts";
import type { ReplicaLook } from "./replica-rules.ts";

const state: Float64Array = new Float64Array(REPLICATION_STATE_LENGTH);

/**
 * Null for a stale handle. A partition that was not told a role yet leads nothing.
 *
 * @param before - the same object comes back when nothing has changed since.
 */
export function lookAt(
  store: SimulatedStore,
  handle: number,
  before: ReplicaLook | null = null,
): ReplicaLook | null {
  // Told no time, the log lets go of no follower.
  if (store.replicationState(handle, 0, state) !== 0) return null;
  const leaderEpoch = state[ReplicationHead.LEADER_EPOCH] as number;
  if (
    before !== null &&
    before.leaderEpoch === leaderEpoch &&
    before.logEndOffset === state[ReplicationHead.LOG_END_OFFSET] &&
    before.highWatermark === state[ReplicationHead.HIGH_WATERMARK] &&
    before.isrSize === state[ReplicationHead.ISR_SIZE] &&
    before.minIsr === state[ReplicationHead.MIN_ISR] &&
    before.isLeader === (state[ReplicationHead.ROLE] !== ReplicaRole.FOLLOWER && leaderEpoch >= 0)
  ) {
    return before;
  }
  return {
    isLeader: state[ReplicationHead.ROLE] !== ReplicaRole.FOLLOWER && leaderEpoch >= 0,
    leaderEpoch,
    logEndOffset: state[ReplicationHead.LOG_END_OFFSET] as number,
    highWatermark: state[ReplicationHead.HIGH_WATERMARK] as number,
    isrSize: state[ReplicationHead.ISR_SIZE] as number,
    minIsr: state[ReplicationHead.MIN_ISR] as number,
  };
}
