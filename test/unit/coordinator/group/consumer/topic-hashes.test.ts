import { expect, test } from "bun:test";
import { TopicHashes } from "#coordinator/group/consumer/topic-hashes.ts";
import type { TopicLookup } from "#coordinator/group/topic-lookup.ts";
import { xxh3 } from "../../../../support/consumer-group-ports.ts";

/** What Kafka 4.4.0 stored as metadata hash of a group that reads this one topic (kafka-dump-log, 2026-11-23). */
const NAME = "groups-tsi954qc";
const ID = "rJOJ4FyCRea75p9ADPWySA";
const STORED = -6_227_455_446_609_726_800n;

function lookup(racks: readonly string[], partitionCount = 2): TopicLookup {
  return {
    nameOf: (topicId) => (topicId === ID ? NAME : undefined),
    idOf: (name) => (name === NAME ? ID : undefined),
    partitionCount: (name) => (name === NAME ? partitionCount : undefined),
    names: () => [NAME],
    racks: () => racks,
    version: () => 1,
    topicsVersion: () => 1,
    creationVersion: () => 1,
  };
}

test("a topic of two partitions, as Kafka hashes it", () => {
  expect(new TopicHashes(lookup([]), xxh3).ofGroup([NAME])).toBe(STORED);
});

test("topics that do not exist do not count; no topics are 0", () => {
  const hashes = new TopicHashes(lookup([]), xxh3);
  expect(hashes.ofGroup(["another", NAME])).toBe(STORED);
  expect(hashes.ofGroup(["another"])).toBe(0n);
  expect(hashes.ofGroup([])).toBe(0n);
});

test("partitions and racks change it, the order of racks does not", () => {
  const of = (racks: readonly string[], count?: number): bigint =>
    new TopicHashes(lookup(racks, count), xxh3).ofGroup([NAME]);
  expect(of([], 3)).not.toBe(STORED);
  expect(of(["r1"])).not.toBe(STORED);
  expect(of(["r1", "r2"])).toBe(of(["r2", "r1"]));
  expect(of(["r1"])).not.toBe(of(["r2"]));
});
