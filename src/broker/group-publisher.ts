/** Hands the group coordinator the partitions of `__consumer_offsets` that this broker leads, and tells it of topics that are gone. */
import { errorFields, type Logger } from "#common/logger.ts";
import { type GroupCoordinator, OFFSETS_TOPIC } from "#coordinator/group/group-coordinator.ts";
import type { ClusterDelta } from "#metadata/cluster-delta.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import type { MetadataPublisher } from "#metadata/metadata-loader.ts";

/** See the head of the file. */
export function groupPublisher(
  groups: GroupCoordinator,
  nodeId: number,
  logger: Logger,
): MetadataPublisher {
  return {
    onMetadataUpdate(delta: ClusterDelta, _image: ClusterImage): void {
      const deleted = delta.deletedTopics();
      for (const { name, partitions } of deleted) {
        if (name !== OFFSETS_TOPIC) continue;
        for (const { partitionId } of partitions) groups.unload(partitionId);
      }
      if (deleted.length > 0) groups.onTopicsDeleted(new Set(deleted.map(({ name }) => name)));
      for (const { now, before } of delta.changedTopics()) {
        if (now.name !== OFFSETS_TOPIC) continue;
        for (const { partitionId, leader, leaderEpoch } of now.partitions) {
          const earlier = before?.partitions[partitionId];
          if (earlier?.leader === leader && earlier.leaderEpoch === leaderEpoch) continue;
          if (leader !== nodeId) {
            if (earlier?.leader === nodeId) groups.unload(partitionId);
            continue;
          }
          loadGroups(groups, partitionId, leaderEpoch, logger);
        }
      }
    },
  };
}

/** Begins to load a partition that this broker leads from an epoch on; a failure is logged. */
export function loadGroups(
  groups: GroupCoordinator,
  partition: number,
  leaderEpoch: number,
  logger: Logger,
): void {
  groups.load(partition, leaderEpoch).catch((error: unknown) => {
    logger.error("cannot load a partition of the group coordinator", {
      partition: `${OFFSETS_TOPIC}-${partition}`,
      leaderEpoch,
      ...errorFields(error),
    });
  });
}
