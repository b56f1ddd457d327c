/** Asks the native log whether a follower is in the committed ISR of a partition that this broker leads. */
import { ErrorCode } from "#common/error-code.ts";
import {
  FOLLOWER_COUNT_MAX,
  FollowerColumn,
  FollowerFlag,
  REPLICATION_STATE_LENGTH,
  ReplicationColumns,
  ReplicationHead,
} from "#log/replication.ts";
import type { LogPort } from "./log-port.ts";

/** See the head of the file. One instance a thread. */
export class FollowerSync {
  readonly #log: Pick<LogPort, "replicationState">;
  readonly #state: Float64Array = new Float64Array(REPLICATION_STATE_LENGTH);

  constructor(log: Pick<LogPort, "replicationState">) {
    this.#log = log;
  }

  isInSync(handle: number, replicaId: number, nowMs: number): boolean {
    const state = this.#state;
    if (this.#log.replicationState(handle, nowMs, state) !== ErrorCode.NONE) return false;
    const count = Math.min(state[ReplicationHead.FOLLOWER_COUNT] as number, FOLLOWER_COUNT_MAX);
    for (let follower = 0; follower < count; follower++) {
      const at = ReplicationColumns.HEAD + follower * ReplicationColumns.FOLLOWER;
      if (state[at + FollowerColumn.ID] !== replicaId) continue;
      return ((state[at + FollowerColumn.FLAGS] as number) & FollowerFlag.IN_SYNC) !== 0;
    }
    return false;
  }
}
