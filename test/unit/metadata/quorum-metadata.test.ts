/** Metadata that a quorum commits: what every node makes of the same entries, and what publishers are told. */
import { expect, test } from "bun:test";
import type { ClusterDelta } from "#metadata/cluster-delta.ts";
import { EMPTY_IMAGE, type ClusterImage } from "#metadata/cluster-image.ts";
import { decodeState, encodeCommit } from "#metadata/quorum-format.ts";
import { QuorumMetadata } from "#metadata/quorum-metadata.ts";
import { makeConfigRecord } from "#protocol/generated/records/config-record.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { makePartitionRecord } from "#protocol/generated/records/partition-record.ts";

const TOPIC_ID = "aaaaaaaaaaaaaaaaaaaaaA";
const OTHER_ID = "bbbbbbbbbbbbbbbbbbbbbA";

function topic(name: string, topicId: string): MetadataRecord[] {
  const partition = makePartitionRecord({
    topicId,
    partitionId: 0,
    replicas: [1, 2],
    isr: [1, 2],
    leader: 1,
  });
  return [
    { kind: "TopicRecord", record: { name, topicId } },
    { kind: "PartitionRecord", record: partition },
  ];
}

function config(name: string, value: string | null): MetadataRecord {
  const resource = { resourceType: 2, resourceName: "t" };
  return { kind: "ConfigRecord", record: makeConfigRecord({ ...resource, name, value }) };
}

function follower(): { metadata: QuorumMetadata; told: string[]; fatal: unknown[] } {
  const fatal: unknown[] = [];
  const told: string[] = [];
  const metadata: QuorumMetadata = new QuorumMetadata({
    nowMs: () => 1,
    propose: (bytes) => Promise.resolve(metadata.onCommitted(bytes, 5)),
    onFatal: (error) => fatal.push(error),
  });
  metadata.addPublisher({
    async onMetadataUpdate(delta: ClusterDelta, image: ClusterImage): Promise<void> {
      await Promise.resolve();
      const changed = delta.changedTopics().map(({ now }) => now.name);
      const deleted = delta.deletedTopics().map(({ name }) => `-${name}`);
      told.push([image.offset, ...changed, ...deleted, ...delta.changedConfigs()].join(" "));
    },
  });
  return { metadata, told, fatal };
}

test("offsets are counted as entries are applied, and a commit ends when publishers have acted", async () => {
  const { metadata, told } = follower();
  metadata.onCommitted(encodeCommit(topic("t", TOPIC_ID), 1), 4);
  await metadata.open();
  expect([metadata.image.offset, metadata.image.epoch, told]).toEqual([1, 4, ["1 t"]]);
  await metadata.commit([config("retention.ms", "5")]);
  expect([metadata.image.offset, metadata.image.epoch, told]).toEqual([2, 5, ["1 t", "2 2:t"]]);
});

test("a state makes another node the same, and publishers hear of what is gone", async () => {
  const one = follower();
  await one.metadata.open();
  await one.metadata.commit([...topic("t", TOPIC_ID), config("a", "1"), config("b", "1")]);
  const other = follower();
  await other.metadata.open();
  other.metadata.onSnapshot(one.metadata.state());
  expect(other.metadata.committed).toEqual(one.metadata.committed);
  await one.metadata.commit([config("a", null), ...topic("u", OTHER_ID)]);
  await one.metadata.commit([{ kind: "RemoveTopicRecord", record: { topicId: TOPIC_ID } }]);
  other.metadata.onSnapshot(one.metadata.state());
  await other.metadata.published();
  expect(other.metadata.image).toEqual(one.metadata.image);
  expect(other.told).toEqual(["-1", "3 t 2:t", "7 u -t 2:t"]);
});

test("an entry that cannot be applied stops the node", () => {
  const { metadata, fatal } = follower();
  metadata.onCommitted(new Uint8Array([1, 2, 3]), 1);
  expect([fatal.length, metadata.committed]).toEqual([1, EMPTY_IMAGE]);
  expect(() => decodeState(new Uint8Array(14))).toThrow("version 0");
});
