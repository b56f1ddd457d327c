import { describe, expect, test } from "bun:test";
import { ZERO_UUID } from "#common/uuid.ts";
import { quotaEntry } from "#metadata/client-quotas.ts";
import { ClusterDelta } from "#metadata/cluster-delta.ts";
import { EMPTY_IMAGE } from "#metadata/cluster-image.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import { imageRecords } from "#metadata/image-records.ts";
import { makeBrokerRegistrationChangeRecord } from "#protocol/generated/records/broker-registration-change-record.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { makePartitionChangeRecord } from "#protocol/generated/records/partition-change-record.ts";
import { makePartitionRecord } from "#protocol/generated/records/partition-record.ts";
import { makeRegisterBrokerRecord } from "#protocol/generated/records/register-broker-record.ts";
import { makeUserScramCredentialRecord } from "#protocol/generated/records/user-scram-credential-record.ts";
import type { UserScramCredentialRecord } from "#protocol/generated/records/user-scram-credential-record.ts";

const ID = "AAAAAAAAAAAAAAAAAAAAcw";
const OTHER_ID = "AAAAAAAAAAAAAAAAAAAAdA";

const topic = (name: string, topicId: string): MetadataRecord => ({
  kind: "TopicRecord",
  record: { name, topicId },
});
const partition = (topicId: string, partitionId: number): MetadataRecord => ({
  kind: "PartitionRecord",
  record: makePartitionRecord({
    topicId,
    partitionId,
    replicas: [1, 2],
    isr: [1, 2],
    leader: 1,
    leaderEpoch: 0,
    partitionEpoch: 0,
    directories: [ZERO_UUID, ZERO_UUID],
  }),
});
const config = (name: string, value: string | null, resourceName = "t"): MetadataRecord => ({
  kind: "ConfigRecord",
  record: { resourceType: 2, resourceName, name, value },
});

const scram = (name: string, mechanism: number): UserScramCredentialRecord =>
  makeUserScramCredentialRecord({ name, mechanism, iterations: 4096, salt: new Uint8Array([1]) });

function replay(
  base: ClusterImage,
  ...records: MetadataRecord[]
): { delta: ClusterDelta; image: ClusterImage } {
  const delta = new ClusterDelta(base);
  for (const record of records) delta.replay(record);
  return { delta, image: delta.apply(base.offset + records.length, 1) };
}

describe("topics", () => {
  test("appear with their partitions, and the base image stays as it was", () => {
    const { delta, image } = replay(
      EMPTY_IMAGE,
      topic("t", ID),
      partition(ID, 0),
      partition(ID, 1),
    );
    expect(image.topicsByName.get("t")?.partitions.map(({ partitionId }) => partitionId)).toEqual([
      0, 1,
    ]);
    expect([...image.topicsById.values()]).toEqual([...image.topicsByName.values()]);
    expect(delta.changedTopics().map(({ now, before }) => [now.name, before])).toEqual([
      ["t", undefined],
    ]);
    expect(EMPTY_IMAGE.topicsByName.size).toBe(0);
  });

  test("go with their configuration", () => {
    const { image } = replay(
      EMPTY_IMAGE,
      topic("t", ID),
      partition(ID, 0),
      config("retention.ms", "1"),
    );
    const { delta, image: after } = replay(image, {
      kind: "RemoveTopicRecord",
      record: { topicId: ID },
    });
    expect([after.topicsByName.size, after.topicsById.size, after.configs.size]).toEqual([0, 0, 0]);
    expect(delta.deletedTopics().map(({ id }) => id)).toEqual([ID]);
    expect(image.configs.size).toBe(1);
  });

  test("may be deleted and created again in one step", () => {
    const { image } = replay(
      EMPTY_IMAGE,
      topic("t", ID),
      partition(ID, 0),
      config("retention.ms", "1"),
    );
    const { delta, image: after } = replay(
      image,
      { kind: "RemoveTopicRecord", record: { topicId: ID } },
      topic("t", OTHER_ID),
      partition(OTHER_ID, 0),
    );
    expect(after.topicsByName.get("t")?.id).toBe(OTHER_ID);
    expect(after.topicsById.has(ID)).toBe(false);
    expect(after.configs.size).toBe(0);
    expect([delta.deletedTopics().length, delta.changedTopics().length]).toEqual([1, 1]);
  });
});

test("a partition change raises the leader epoch only with a leader", () => {
  const { image } = replay(EMPTY_IMAGE, topic("t", ID), partition(ID, 0));
  const change = (
    init: Partial<Parameters<typeof makePartitionChangeRecord>[0]>,
  ): MetadataRecord => ({
    kind: "PartitionChangeRecord",
    record: makePartitionChangeRecord({ topicId: ID, partitionId: 0, ...init }),
  });
  const { image: shrunk } = replay(image, change({ isr: [1] }));
  expect(shrunk.topicsById.get(ID)?.partitions[0]).toMatchObject({
    isr: [1],
    leader: 1,
    leaderEpoch: 0,
    partitionEpoch: 1,
  });
  const { image: moved } = replay(shrunk, change({ leader: 2 }));
  expect(moved.topicsById.get(ID)?.partitions[0]).toMatchObject({
    isr: [1],
    leader: 2,
    leaderEpoch: 1,
    partitionEpoch: 2,
  });
});

test("a record about something unknown stops the broker", () => {
  expect(() => replay(EMPTY_IMAGE, partition(ID, 0))).toThrow("unknown topic id");
});

test("brokers are fenced and unfenced by what their change records say", () => {
  const register: MetadataRecord = {
    kind: "RegisterBrokerRecord",
    record: makeRegisterBrokerRecord({ brokerId: 1, fenced: true, logDirs: [ID] }),
  };
  const change: MetadataRecord = {
    kind: "BrokerRegistrationChangeRecord",
    record: makeBrokerRegistrationChangeRecord({ brokerId: 1, fenced: -1 }),
  };
  const { image } = replay(EMPTY_IMAGE, register, change);
  expect(image.brokers.get(1)).toMatchObject({ isFenced: false, logDirs: [ID] });
});

test("an image is what replaying its records gives, records of other concerns included", () => {
  const { image } = replay(
    EMPTY_IMAGE,
    { kind: "FeatureLevelRecord", record: { name: "group.version", featureLevel: 1 } },
    { kind: "FeatureLevelRecord", record: { name: "metadata.version", featureLevel: 33 } },
    {
      kind: "RegisterBrokerRecord",
      record: makeRegisterBrokerRecord({ brokerId: 1, rack: "r", logDirs: [ID] }),
    },
    topic("t", ID),
    partition(ID, 0),
    config("retention.ms", "1"),
    config("min.insync.replicas", "1", ""),
    { kind: "ProducerIdsRecord", record: { brokerId: 1, brokerEpoch: 1, nextProducerId: 3000n } },
    {
      kind: "DelegationTokenRecord",
      record: {
        owner: "o",
        requester: "r",
        renewers: [],
        issueTimestamp: 1,
        maxTimestamp: 2,
        expirationTimestamp: 3,
        tokenId: "k",
      },
    },
    quotaEntry(new Map([["user", null]]), "x", 1.5),
    quotaEntry(new Map([["user", null]]), "y", 1),
    quotaEntry(new Map([["user", null]]), "y", null),
    { kind: "UserScramCredentialRecord", record: scram("anna", 1) },
    { kind: "UserScramCredentialRecord", record: scram("anna", 2) },
    { kind: "RemoveUserScramCredentialRecord", record: { name: "anna", mechanism: 1 } },
  );
  const records = [...imageRecords(image)];
  expect(records[0]?.record).toEqual({ name: "metadata.version", featureLevel: 33 });
  const delta = new ClusterDelta(EMPTY_IMAGE);
  for (const record of records) delta.replay(record);
  expect(delta.apply(image.offset, image.epoch)).toEqual(image);
  expect(image.carried.size).toBe(1);
  expect([...image.clientQuotas.values()]).toEqual([
    { entity: new Map([["user", null]]), values: new Map([["x", 1.5]]) },
  ]);
  expect([...image.scramCredentials.keys()]).toEqual(["2:anna"]);
});
