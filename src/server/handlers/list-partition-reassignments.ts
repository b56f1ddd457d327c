/**
 * ListPartitionReassignments (key 46): partitions whose replicas are on their way (KIP-455).
 *
 * - v0: flexible from the start. Null topics ask for all; what is unknown or stands still is left out.
 */
import { isReassigning } from "#controller/reassignments.ts";
import type { ClusterImage, PartitionImage } from "#metadata/cluster-image.ts";
import {
  ListPartitionReassignmentsApi,
  makeListPartitionReassignmentsResponse,
  makeOngoingPartitionReassignment,
  makeOngoingTopicReassignment,
} from "#protocol/generated/list-partition-reassignments.ts";
import type {
  ListPartitionReassignmentsRequest,
  ListPartitionReassignmentsResponse,
} from "#protocol/generated/list-partition-reassignments.ts";
import type { ApiHandler } from "../handler.ts";

/** What the handler works with. */
export interface ListPartitionReassignmentsDependencies {
  readonly image: () => ClusterImage;
}

/** Serves ListPartitionReassignments. */
export function createListPartitionReassignmentsHandler({
  image,
}: ListPartitionReassignmentsDependencies): ApiHandler<
  ListPartitionReassignmentsRequest,
  ListPartitionReassignmentsResponse
> {
  return {
    api: ListPartitionReassignmentsApi,
    minVersion: 0,
    maxVersion: 0,
    handle: ({ topics }) => {
      const { topicsByName } = image();
      const wanted =
        topics === null
          ? [...topicsByName.values()].map(({ name, partitions }) => ({ name, partitions }))
          : topics.map(({ name, partitionIndexes }) => ({
              name,
              partitions: partitionIndexes
                .map((index) => topicsByName.get(name)?.partitions[index])
                .filter((partition) => partition !== undefined),
            }));
      return makeListPartitionReassignmentsResponse({
        errorMessage: null,
        topics: wanted
          .map(({ name, partitions }) =>
            makeOngoingTopicReassignment({
              name,
              partitions: partitions.filter(isReassigning).map(describe),
            }),
          )
          .filter(({ partitions }) => partitions.length > 0),
      });
    },
  };
}

function describe({
  partitionId,
  replicas,
  addingReplicas,
  removingReplicas,
}: PartitionImage): ReturnType<typeof makeOngoingPartitionReassignment> {
  return makeOngoingPartitionReassignment({
    partitionIndex: partitionId,
    replicas: [...replicas],
    addingReplicas: [...addingReplicas],
    removingReplicas: [...removingReplicas],
  });
}
