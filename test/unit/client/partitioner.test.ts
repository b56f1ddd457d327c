/** Keys land where Kafka's own clients put them; the figures are of org.apache.kafka.common.utils.Utils, Kafka 4.4, 2026-11-23. */
import { expect, test } from "bun:test";
import { murmur2, partitionOfKey } from "#client/partitioner.ts";

const encoder = new TextEncoder();

test.each([
  ["1", -1_993_445_489, 0],
  ["2", 648_968_168, 2],
  ["3", -1_148_165_505, 2],
  ["4", 1_514_888_353, 1],
  ["long key", 56_861_570, 2],
  ["", 275_646_681, 0],
])("%j hashes to %i", (key, hash, partition) => {
  const bytes = encoder.encode(key);
  expect([murmur2(bytes), partitionOfKey(bytes, 3)]).toEqual([hash, partition]);
});
