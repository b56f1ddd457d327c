/**
 * Changes on top of an image. Records are replayed into the delta, whether they come from the log at start or were just
 * committed; `apply` gives the next image, and the sets of changed things tell publishers what to act on.
 *
 * A replay never fails on a record Kafka wrote: a record about something unknown (a partition of a topic that a later
 * record deleted) is a programmer error in our own log and an assertion, except where Kafka itself is lenient.
 */
import { assert } from "#common/assert.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import type { PartitionChangeRecord } from "#protocol/generated/records/partition-change-record.ts";
import type { PartitionRecord } from "#protocol/generated/records/partition-record.ts";
import type { RegisterBrokerRecord } from "#protocol/generated/records/register-broker-record.ts";
import type { UserScramCredentialRecord } from "#protocol/generated/records/user-scram-credential-record.ts";
import { ClientQuotasDelta } from "./client-quotas.ts";
import { resourceKey, ResourceType } from "./cluster-image.ts";
import type { BrokerImage, ClusterImage, PartitionImage, TopicImage } from "./cluster-image.ts";
import { scramKey } from "./scram-credentials.ts";

/** Leader value of a PartitionChangeRecord that leaves the leader alone. */
export const NO_LEADER_CHANGE = -2;

/** See the head of the file. Not reusable after `apply`. */
export class ClusterDelta {
  readonly base: ClusterImage;
  readonly #topics = new Map<string, TopicImage | null>();
  readonly #copiedPartitions = new Map<string, PartitionImage[]>();
  readonly #brokers = new Map<number, BrokerImage | null>();
  readonly #configs = new Map<string, Map<string, string>>();
  readonly #features = new Map<string, number>();
  readonly #carried = new Map<string, MetadataRecord | null>();
  readonly #clientQuotas: ClientQuotasDelta;
  readonly #scramCredentials = new Map<string, UserScramCredentialRecord | null>();
  readonly #elections = { uncleanCount: 0, eligibleCount: 0 };
  #nextProducerId: bigint | null = null;
  #recordCount = 0;

  constructor(base: ClusterImage) {
    this.base = base;
    this.#clientQuotas = new ClientQuotasDelta(base.clientQuotas);
  }

  /** Records replayed so far. */
  get recordCount(): number {
    return this.#recordCount;
  }

  /** Elections among the replayed records whose winner was not in sync: one that may lack records, or one that was eligible (KIP-966). */
  get elections(): { readonly uncleanCount: number; readonly eligibleCount: number } {
    return this.#elections;
  }

  /** Topics of the base image that are gone. A topic deleted and created again under its name is in both lists. */
  deletedTopics(): TopicImage[] {
    const deleted: TopicImage[] = [];
    for (const [id, topic] of this.#topics) {
      const before = this.base.topicsById.get(id);
      if (topic === null && before !== undefined) deleted.push(before);
    }
    return deleted;
  }

  /** Topics that are new or have new or changed partitions, as they are now, with what they were. */
  changedTopics(): { now: TopicImage; before: TopicImage | undefined }[] {
    const changed: { now: TopicImage; before: TopicImage | undefined }[] = [];
    for (const [id, topic] of this.#topics) {
      if (topic !== null) changed.push({ now: topic, before: this.base.topicsById.get(id) });
    }
    return changed;
  }

  /** Keys ({@link resourceKey}) of resources whose values changed. */
  changedConfigs(): Iterable<string> {
    return this.#configs.keys();
  }

  /** Ids of brokers that were registered, changed or removed. */
  changedBrokers(): Iterable<number> {
    return this.#brokers.keys();
  }

  /** Adds the effect of one record. */
  replay(entry: MetadataRecord): void {
    this.#recordCount += 1;
    switch (entry.kind) {
      case "TopicRecord": {
        const { name, topicId } = entry.record;
        this.#topics.set(topicId, { name, id: topicId, partitions: [] });
        return;
      }
      case "PartitionRecord":
        return this.#replayPartition(entry.record);
      case "PartitionChangeRecord":
        return this.#replayPartitionChange(entry.record);
      case "RemoveTopicRecord": {
        const topic = this.#topic(entry.record.topicId);
        assert(
          topic !== undefined,
          `RemoveTopicRecord of unknown topic id ${entry.record.topicId}`,
        );
        this.#topics.set(topic.id, null);
        const key = resourceKey(ResourceType.TOPIC, topic.name);
        if (this.base.configs.has(key) || this.#configs.has(key)) this.#configs.set(key, new Map());
        return;
      }
      case "ConfigRecord": {
        const { resourceType, resourceName, name, value } = entry.record;
        const values = this.#configsToChange(resourceKey(resourceType, resourceName));
        if (value === null) values.delete(name);
        else values.set(name, value);
        return;
      }
      case "FeatureLevelRecord":
        this.#features.set(entry.record.name, entry.record.featureLevel);
        return;
      case "ProducerIdsRecord":
        this.#nextProducerId = entry.record.nextProducerId;
        return;
      case "RegisterBrokerRecord":
        this.#brokers.set(entry.record.brokerId, brokerFromRecord(entry.record));
        return;
      case "UnregisterBrokerRecord":
        this.#brokers.set(entry.record.brokerId, null);
        return;
      case "FenceBrokerRecord":
        return this.#changeBroker(entry.record.id, { isFenced: true });
      case "UnfenceBrokerRecord":
        return this.#changeBroker(entry.record.id, { isFenced: false });
      case "BrokerRegistrationChangeRecord": {
        const { brokerId, fenced, inControlledShutdown, logDirs, cordonedLogDirs } = entry.record;
        return this.#changeBroker(brokerId, {
          ...(fenced === 0 ? {} : { isFenced: fenced > 0 }),
          ...(inControlledShutdown === 0
            ? {}
            : { isInControlledShutdown: inControlledShutdown > 0 }),
          ...(logDirs.length === 0 ? {} : { logDirs }),
          ...(cordonedLogDirs === null ? {} : { cordonedLogDirs }),
        });
      }
      case "ClearElrRecord":
        return this.#clearElr(entry.record.topicName);
      case "NoOpRecord":
      case "ZkMigrationStateRecord":
      case "BeginTransactionRecord":
      case "EndTransactionRecord":
      case "AbortTransactionRecord":
        return;
      case "AccessControlEntryRecord":
        return this.#carry(`acl:${entry.record.id}`, entry);
      case "RemoveAccessControlEntryRecord":
        return this.#carry(`acl:${entry.record.id}`, null);
      case "UserScramCredentialRecord":
        this.#scramCredentials.set(
          scramKey(entry.record.mechanism, entry.record.name),
          entry.record,
        );
        return;
      case "RemoveUserScramCredentialRecord":
        this.#scramCredentials.set(scramKey(entry.record.mechanism, entry.record.name), null);
        return;
      case "DelegationTokenRecord":
        return this.#carry(`token:${entry.record.tokenId}`, entry);
      case "RemoveDelegationTokenRecord":
        return this.#carry(`token:${entry.record.tokenId}`, null);
      case "ClientQuotaRecord":
        return this.#clientQuotas.replay(entry.record);
      case "RegisterControllerRecord":
        return this.#carry(`controller:${entry.record.controllerId}`, entry);
      case "UnregisterControllerRecord":
        return this.#carry(`controller:${entry.record.controllerId}`, null);
    }
  }

  /** The image after every replayed record. */
  apply(offset: number, epoch: number): ClusterImage {
    const { base } = this;
    const topicsById = this.#topics.size === 0 ? base.topicsById : new Map(base.topicsById);
    const topicsByName = this.#topics.size === 0 ? base.topicsByName : new Map(base.topicsByName);
    if (topicsById instanceof Map && topicsByName instanceof Map && this.#topics.size > 0) {
      // Deletions first: a topic may have been deleted and created again under the same name.
      for (const [id, topic] of this.#topics) {
        if (topic !== null) continue;
        const before = base.topicsById.get(id);
        topicsById.delete(id);
        if (before !== undefined) topicsByName.delete(before.name);
      }
      for (const [id, topic] of this.#topics) {
        if (topic === null) continue;
        topicsById.set(id, topic);
        topicsByName.set(topic.name, topic);
      }
    }
    const configs = new Map<string, ReadonlyMap<string, string>>(base.configs);
    for (const [key, values] of this.#configs) {
      if (values.size === 0) configs.delete(key);
      else configs.set(key, values);
    }
    return {
      offset,
      epoch,
      brokers: overlay(base.brokers, this.#brokers),
      topicsByName,
      topicsById,
      configs: this.#configs.size === 0 ? base.configs : configs,
      features: overlayFeatures(base.features, this.#features),
      nextProducerId: this.#nextProducerId ?? base.nextProducerId,
      clientQuotas: this.#clientQuotas.apply(),
      scramCredentials: overlay(base.scramCredentials, this.#scramCredentials),
      carried: overlay(base.carried, this.#carried),
    };
  }

  #topic(id: string): TopicImage | undefined {
    const changed = this.#topics.get(id);
    return changed === undefined ? this.base.topicsById.get(id) : (changed ?? undefined);
  }

  #replayPartition(record: PartitionRecord): void {
    const topic = this.#topic(record.topicId);
    assert(topic !== undefined, `PartitionRecord of unknown topic id ${record.topicId}`);
    this.#setPartition(topic, partitionFromRecord(record));
  }

  #replayPartitionChange(record: PartitionChangeRecord): void {
    const topic = this.#topic(record.topicId);
    const before = topic?.partitions[record.partitionId];
    assert(
      topic !== undefined && before !== undefined,
      `PartitionChangeRecord of unknown partition ${record.topicId}-${record.partitionId}`,
    );
    const { eligibleLeaderReplicas: eligible } = before;
    if (eligible.includes(record.leader)) this.#elections.eligibleCount += 1;
    else if (isElectedUncleanly(before, record)) this.#elections.uncleanCount += 1;
    this.#setPartition(topic, partitionAfter(before, record));
  }

  /** The first change of a topic copies its partitions; the ones after it change the copy, which nobody has seen yet. */
  #setPartition(topic: TopicImage, partition: PartitionImage): void {
    let partitions = this.#copiedPartitions.get(topic.id);
    if (partitions === undefined || partitions !== topic.partitions) {
      partitions = [...topic.partitions];
      this.#copiedPartitions.set(topic.id, partitions);
      this.#topics.set(topic.id, { ...topic, partitions });
    }
    partitions[partition.partitionId] = partition;
  }

  #clearElr(topicName: string): void {
    for (const topic of this.base.topicsById.values()) {
      if (topicName !== "" && topic.name !== topicName) continue;
      const current = this.#topic(topic.id);
      if (current === undefined) continue;
      for (const partition of current.partitions) {
        const { eligibleLeaderReplicas, lastKnownElr } = partition;
        if (eligibleLeaderReplicas.length + lastKnownElr.length === 0) continue;
        const cleared = { ...partition, eligibleLeaderReplicas: [], lastKnownElr: [] };
        this.#setPartition(this.#topic(topic.id) ?? current, cleared);
      }
    }
  }

  #configsToChange(key: string): Map<string, string> {
    let values = this.#configs.get(key);
    if (values === undefined) {
      values = new Map(this.base.configs.get(key));
      this.#configs.set(key, values);
    }
    return values;
  }

  #changeBroker(id: number, change: Partial<BrokerImage>): void {
    const changed = this.#brokers.get(id);
    const before = changed === undefined ? this.base.brokers.get(id) : changed;
    assert(
      before !== undefined && before !== null,
      `change of broker ${id}, which is not registered`,
    );
    this.#brokers.set(id, { ...before, ...change });
  }

  #carry(key: string, entry: MetadataRecord | null): void {
    this.#carried.set(key, entry);
  }
}

/** A partition after a change: another leader begins another leader epoch, and every change another partition epoch. */
export function partitionAfter(
  before: PartitionImage,
  record: PartitionChangeRecord,
): PartitionImage {
  const hasNewLeader = record.leader !== NO_LEADER_CHANGE;
  return {
    partitionId: before.partitionId,
    leader: hasNewLeader ? record.leader : before.leader,
    leaderEpoch: before.leaderEpoch + (hasNewLeader ? 1 : 0),
    partitionEpoch: before.partitionEpoch + 1,
    leaderRecoveryState:
      record.leaderRecoveryState === -1 ? before.leaderRecoveryState : record.leaderRecoveryState,
    replicas: record.replicas ?? before.replicas,
    isr: record.isr ?? before.isr,
    removingReplicas: record.removingReplicas ?? before.removingReplicas,
    addingReplicas: record.addingReplicas ?? before.addingReplicas,
    directories: record.directories ?? before.directories,
    eligibleLeaderReplicas: record.eligibleLeaderReplicas ?? before.eligibleLeaderReplicas,
    lastKnownElr: record.lastKnownElr ?? before.lastKnownElr,
  };
}

/** Whether a change makes somebody the leader who was neither in sync nor eligible. Who joins in this very change to end a reassignment is in sync. */
function isElectedUncleanly(
  { leader, isr, addingReplicas }: PartitionImage,
  change: PartitionChangeRecord,
): boolean {
  const isNew = change.leader >= 0 && change.leader !== leader;
  const hasJoined = change.addingReplicas !== null && addingReplicas.includes(change.leader);
  return isNew && !isr.includes(change.leader) && !hasJoined;
}

function overlay<K, V>(
  base: ReadonlyMap<K, V>,
  changes: ReadonlyMap<K, V | null>,
): ReadonlyMap<K, V> {
  if (changes.size === 0) return base;
  const result = new Map(base);
  for (const [key, value] of changes) {
    if (value === null) result.delete(key);
    else result.set(key, value);
  }
  return result;
}

/** A feature at level 0 is the same as an absent one. */
function overlayFeatures(
  base: ReadonlyMap<string, number>,
  changes: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  return overlay(
    base,
    new Map([...changes].map(([name, level]) => [name, level === 0 ? null : level])),
  );
}

function partitionFromRecord(record: PartitionRecord): PartitionImage {
  return {
    partitionId: record.partitionId,
    leader: record.leader,
    leaderEpoch: record.leaderEpoch,
    partitionEpoch: record.partitionEpoch,
    leaderRecoveryState: record.leaderRecoveryState,
    replicas: record.replicas,
    isr: record.isr,
    removingReplicas: record.removingReplicas,
    addingReplicas: record.addingReplicas,
    directories: record.directories,
    eligibleLeaderReplicas: record.eligibleLeaderReplicas ?? [],
    lastKnownElr: record.lastKnownElr ?? [],
  };
}

function brokerFromRecord(record: RegisterBrokerRecord): BrokerImage {
  return {
    id: record.brokerId,
    epoch: record.brokerEpoch,
    incarnationId: record.incarnationId,
    endpoints: record.endPoints,
    features: record.features.map(({ name, minSupportedVersion, maxSupportedVersion }) => ({
      name,
      min: minSupportedVersion,
      max: maxSupportedVersion,
    })),
    rack: record.rack,
    isFenced: record.fenced,
    isInControlledShutdown: record.inControlledShutdown,
    logDirs: record.logDirs,
    cordonedLogDirs: record.cordonedLogDirs ?? [],
  };
}
