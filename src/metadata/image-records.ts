/**
 * An image as records: what a snapshot holds. Replaying them into an empty image gives the image back.
 */
import { makeConfigRecord } from "#protocol/generated/records/config-record.ts";
import { makeFeatureLevelRecord } from "#protocol/generated/records/feature-level-record.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { makePartitionRecord } from "#protocol/generated/records/partition-record.ts";
import { makeProducerIdsRecord } from "#protocol/generated/records/producer-ids-record.ts";
import { makeRegisterBrokerRecord } from "#protocol/generated/records/register-broker-record.ts";
import { quotaEntry } from "./client-quotas.ts";
import type { BrokerImage, ClusterImage, PartitionImage } from "./cluster-image.ts";

/** Records of an image, `metadata.version` first as Kafka wants it, topics before their partitions. */
export function* imageRecords(image: ClusterImage): Generator<MetadataRecord> {
  const features = [...image.features].sort(([left], [right]) =>
    left === "metadata.version" ? -1 : right === "metadata.version" ? 1 : left < right ? -1 : 1,
  );
  for (const [name, featureLevel] of features) {
    yield { kind: "FeatureLevelRecord", record: makeFeatureLevelRecord({ name, featureLevel }) };
  }
  for (const broker of image.brokers.values()) yield registerBrokerEntry(broker);
  for (const topic of image.topicsById.values()) {
    yield { kind: "TopicRecord", record: { name: topic.name, topicId: topic.id } };
    for (const partition of topic.partitions) yield partitionEntry(topic.id, partition);
  }
  for (const [key, values] of image.configs) {
    const at = key.indexOf(":");
    for (const [name, value] of values) {
      const record = makeConfigRecord({
        resourceType: Number(key.slice(0, at)),
        resourceName: key.slice(at + 1),
        name,
        value,
      });
      yield { kind: "ConfigRecord", record };
    }
  }
  if (image.nextProducerId > 0n) {
    const record = makeProducerIdsRecord({
      brokerId: -1,
      brokerEpoch: -1,
      nextProducerId: image.nextProducerId,
    });
    yield { kind: "ProducerIdsRecord", record };
  }
  for (const { entity, values } of image.clientQuotas.values()) {
    for (const [key, value] of values) yield quotaEntry(entity, key, value);
  }
  for (const record of image.scramCredentials.values()) {
    yield { kind: "UserScramCredentialRecord", record };
  }
  yield* image.carried.values();
}

/** The record that registers a broker as the image has it. */
export function registerBrokerEntry(broker: BrokerImage): MetadataRecord {
  return {
    kind: "RegisterBrokerRecord",
    record: makeRegisterBrokerRecord({
      brokerId: broker.id,
      incarnationId: broker.incarnationId,
      brokerEpoch: broker.epoch,
      endPoints: broker.endpoints.map((endpoint) => ({ ...endpoint })),
      features: broker.features.map(({ name, min, max }) => ({
        name,
        minSupportedVersion: min,
        maxSupportedVersion: max,
      })),
      rack: broker.rack,
      fenced: broker.isFenced,
      inControlledShutdown: broker.isInControlledShutdown,
      logDirs: [...broker.logDirs],
      cordonedLogDirs: broker.cordonedLogDirs.length === 0 ? null : [...broker.cordonedLogDirs],
    }),
  };
}

/** The record that creates a partition as the image has it. */
export function partitionEntry(topicId: string, partition: PartitionImage): MetadataRecord {
  const { eligibleLeaderReplicas, lastKnownElr } = partition;
  return {
    kind: "PartitionRecord",
    record: makePartitionRecord({
      partitionId: partition.partitionId,
      topicId,
      replicas: [...partition.replicas],
      isr: [...partition.isr],
      removingReplicas: [...partition.removingReplicas],
      addingReplicas: [...partition.addingReplicas],
      leader: partition.leader,
      leaderRecoveryState: partition.leaderRecoveryState,
      leaderEpoch: partition.leaderEpoch,
      partitionEpoch: partition.partitionEpoch,
      directories: [...partition.directories],
      eligibleLeaderReplicas:
        eligibleLeaderReplicas.length === 0 ? null : [...eligibleLeaderReplicas],
      lastKnownElr: lastKnownElr.length === 0 ? null : [...lastKnownElr],
    }),
  };
}
