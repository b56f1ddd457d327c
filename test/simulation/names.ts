/** Names that all of a simulated cluster goes by. */
import { OFFSETS_TOPIC } from "#coordinator/group/group-coordinator.ts";

export const CLUSTER_ID = "SimulatedClusterAAAAAA";
/** The one topic there is. */
export const TOPIC = "t";

/**
 * The partitions that rules look at, numbered: those of the topic, and then that of committed offsets.
 *
 * @returns undefined for a partition that nobody looks at.
 */
export function slotOf(
  topic: string | undefined,
  partition: number,
  partitionCount: number,
): number | undefined {
  if (topic === TOPIC) return partition;
  return topic === OFFSETS_TOPIC ? partitionCount + partition : undefined;
}
