/** Moving partitions between the log directories of a store (KIP-113): a native thread copies, and puts the copy in its place. */
import type { PartitionHandle } from "./log.ts";

/** What became of a move. */
export interface MoveEvent {
  /** `abandoned`: the target failed. `stopped`: it cannot go on before a restart, or before it is asked for again. `waiting`: there is no room. */
  readonly kind: "moved" | "abandoned" | "stopped" | "waiting";
  readonly topic: string;
  readonly partition: number;
  /** Paths of the directories. */
  readonly from: string;
  readonly to: string;
  /** Why; empty for `moved`. */
  readonly reason: string;
}

/** The moves of a store. */
export interface PartitionMoves {
  /**
   * Begins to move a partition to the directory of this index in the report; in the directory it is in, a move under way ends. The handle, and
   * all that waits for it, stays good.
   *
   * @throws LogError PARTITION_UNKNOWN, INVALID_ARGUMENT, LOG_POISONED, LOG_QUARANTINED, LOG_IO. Nothing was begun.
   */
  movePartition(handle: PartitionHandle, dir: number): void;
  /**
   * Index of the directory that a partition is in.
   *
   * @throws LogError PARTITION_UNKNOWN for a stale handle.
   */
  directoryOf(handle: PartitionHandle): number;
  /** Bytes a second that may be copied; below 0 for no limit. */
  setMoveRate(bytesPerSecond: number): void;
  /** What became of moves since the last call. */
  takeMoveEvents(): readonly MoveEvent[];
}
