/**
 * The cluster's topics as the group coordinator sees them: the current image, and since when it has said what it says.
 */
import type { TopicLookup } from "#coordinator/group/group-coordinator.ts";
import type { ClusterDelta } from "#metadata/cluster-delta.ts";
import { type ClusterImage, EMPTY_IMAGE } from "#metadata/cluster-image.ts";
import type { MetadataPublisher } from "#metadata/metadata-loader.ts";

/** See the head of the file. */
export class GroupTopics implements TopicLookup, MetadataPublisher {
  #image: ClusterImage = EMPTY_IMAGE;
  #topicsVersion = -1;
  #creationVersion = -1;

  onMetadataUpdate(delta: ClusterDelta, image: ClusterImage): void {
    const changed = delta.changedTopics();
    const isFirst = this.#image === EMPTY_IMAGE;
    const isCreated = changed.some(({ before }) => before === undefined);
    const isChanged = changed.length > 0 || delta.deletedTopics().length > 0;
    const areRacksChanged = [...delta.changedBrokers()].length > 0;
    this.#image = image;
    if (isFirst || isCreated) this.#creationVersion = image.offset;
    if (isFirst || isChanged || areRacksChanged) this.#topicsVersion = image.offset;
  }

  nameOf(topicId: string): string | undefined {
    return this.#image.topicsById.get(topicId)?.name;
  }

  idOf(name: string): string | undefined {
    return this.#image.topicsByName.get(name)?.id;
  }

  partitionCount(name: string): number | undefined {
    return this.#image.topicsByName.get(name)?.partitions.length;
  }

  names(): Iterable<string> {
    return this.#image.topicsByName.keys();
  }

  racks(name: string, partition: number): readonly string[] {
    const replicas = this.#image.topicsByName.get(name)?.partitions[partition]?.replicas ?? [];
    return replicas.flatMap((id) => this.#image.brokers.get(id)?.rack ?? []);
  }

  version(): number {
    return this.#image.offset;
  }

  topicsVersion(): number {
    return this.#topicsVersion;
  }

  creationVersion(): number {
    return this.#creationVersion;
  }
}
