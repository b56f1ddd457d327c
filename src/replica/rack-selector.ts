/**
 * Which replica a consumer should read from: the one in its own rack that has come furthest, the leader if it is there too (KIP-392,
 * Kafka's RackAwareReplicaSelector).
 */
import {
  FOLLOWER_COUNT_MAX,
  FollowerColumn,
  FollowerFlag,
  REPLICATION_STATE_LENGTH,
  ReplicaRole,
  ReplicationColumns,
  ReplicationHead,
} from "#log/replication.ts";
import { ErrorCode } from "#common/error-code.ts";
import type { LogPort } from "./log-port.ts";

/** Where brokers are. */
export interface BrokerRacks {
  /** This broker. */
  readonly nodeId: number;
  /** Rack of a broker that lives; null for one without. */
  rackOf(nodeId: number): string | null;
}

/** Asks the native log and picks. One instance a thread. */
export class RackSelector {
  readonly #log: Pick<LogPort, "replicationState">;
  readonly #state: Float64Array = new Float64Array(REPLICATION_STATE_LENGTH);

  constructor(log: Pick<LogPort, "replicationState">) {
    this.#log = log;
  }

  /**
   * The replica for a consumer in `clientRack` that wants `fetchOffset`.
   *
   * @returns its broker's id, or -1 where the leader, this broker, should serve it.
   */
  select(
    handle: number,
    fetchOffset: number,
    clientRack: string,
    racks: BrokerRacks,
    nowMs: number,
  ): number {
    const state = this.#state;
    if (clientRack === "" || clientRack === racks.rackOf(racks.nodeId)) return -1;
    if (this.#log.replicationState(handle, nowMs, state) !== ErrorCode.NONE) return -1;
    if (state[ReplicationHead.ROLE] !== ReplicaRole.LEADER) return -1;
    let best = -1;
    let bestEnd = -1;
    let bestCaughtUpMs = -1;
    const count = Math.min(state[ReplicationHead.FOLLOWER_COUNT] as number, FOLLOWER_COUNT_MAX);
    for (let follower = 0; follower < count; follower++) {
      const at = ReplicationColumns.HEAD + follower * ReplicationColumns.FOLLOWER;
      const column = (name: number): number => state[at + name] as number;
      const endOffset = column(FollowerColumn.LOG_END_OFFSET);
      const isInSync = (column(FollowerColumn.FLAGS) & FollowerFlag.IN_SYNC) !== 0;
      const startOffset = column(FollowerColumn.LOG_START_OFFSET);
      if (!isInSync || endOffset < fetchOffset || startOffset > fetchOffset) continue;
      const id = column(FollowerColumn.ID);
      if (racks.rackOf(id) !== clientRack) continue;
      const caughtUpMs = column(FollowerColumn.LAST_CAUGHT_UP_MS);
      if (endOffset > bestEnd || (endOffset === bestEnd && caughtUpMs > bestCaughtUpMs)) {
        best = id;
        bestEnd = endOffset;
        bestCaughtUpMs = caughtUpMs;
      }
    }
    return best;
  }
}
