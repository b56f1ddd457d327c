/**
 * Where our answer differs from Kafka's on purpose: the cases, and why. Reviewed by hand; the runner fails on a difference that is
 * not here and on a case here that no longer differs.
 */

/** One decision. */
export interface Decision {
  readonly reason: string;
  readonly cases: readonly string[];
}

/** All decisions. */
export const DECISIONS: readonly Decision[] = [
  {
    reason:
      "Message formats and versions older than Kafka 4 serves are still served, because clients still send them, so the ranges begin lower.",
    cases: [
      "api-versions/v0",
      "api-versions/three times",
      "every-api/ApiVersions v0 sound",
      "every-api/ApiVersions v0 no body",
      "every-api/ApiVersions v0 half a body",
      "every-api/ApiVersions v0 a byte short",
      "every-api/ApiVersions v0 trailing bytes",
    ],
  },
  {
    reason: "An empty name is an invalid name; Kafka's answer is UNKNOWN_SERVER_ERROR.",
    cases: ["topics/describe empty name"],
  },
  {
    reason:
      "Network threads, listeners and their protocols are set at start (one thread by default, where Kafka has three): a change is refused with a sentence that says so.",
    cases: [
      "config-resources/broker num.network.threads=9",
      "config-resources/broker num.network.threads=2",
      "config-resources/broker num.recovery.threads.per.data.dir=3",
      "config-resources/broker listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    ],
  },
  {
    reason:
      "Kafka fails inside, never answers and keeps the connection muted; we answer INVALID_RECORD, and close after acks=0 as for any error.",
    cases: [
      "produce/null records",
      "produce/null records v3",
      "produce/null records, acks 0",
      "produce/records of -2 bytes",
    ],
  },
  {
    reason:
      "Kafka answers UNKNOWN_SERVER_ERROR for bytes it cannot read; we say what is wrong with them.",
    cases: [
      "produce/length 2147483647",
      "produce/record length endless",
      "produce/endless varint",
      "produce/codec 5",
      "produce/codec 6",
      "produce/codec 7",
      "produce/gzip of garbage",
      "produce/gzip of nothing",
      "produce/gzip of zeros",
      "produce/snappy of garbage",
      "produce/snappy of nothing",
      "produce/snappy of zeros",
      "produce/lz4 of garbage",
      "produce/lz4 of nothing",
      "produce/lz4 of zeros",
      "produce/zstd of garbage",
      "produce/zstd of nothing",
      "produce/zstd of zeros",
      "produce/gzip cut short",
      "produce/gzip with a flipped byte",
      "produce/zstd cut short",
      "produce/zstd with bytes behind",
    ],
  },
  {
    reason:
      "Kafka takes a compressed record that runs past the end of its block, which no consumer can read; we refuse it.",
    cases: ["produce/gzip of a lying record", "produce/zstd of a lying record"],
  },
  {
    reason:
      "Transactions are not served yet: UNSUPPORTED_VERSION ends a transactional producer at once.",
    cases: [
      "idempotence/init transactional id",
      "idempotence/init transaction timeout 0",
      "idempotence/init transaction timeout -1",
      "idempotence/init transaction timeout too long",
      "groups/find type 1",
    ],
  },
  {
    reason:
      "The voters of a cluster of one node are fixed, so kraft.version is no feature here; Kafka supports 0 to 1.",
    cases: ["features/kraft.version to 2 v1", "features/kraft.version to 2 v2"],
  },
  {
    reason:
      "Kafka fails inside and answers UNKNOWN_SERVER_ERROR; we say what is wrong, or what is answered without it.",
    cases: [
      "scram/without salt and password",
      "every-api/CreateDelegationToken v3 compactString 1 null",
    ],
  },
  {
    reason:
      "Not served yet, so not advertised: the connection closes, as Kafka closes it for any API it does not know.",
    cases: [
      "cluster/SaslHandshake",
      "cluster/AddPartitionsToTxn",
      "cluster/AddOffsetsToTxn",
      "cluster/EndTxn",
      "cluster/WriteTxnMarkers",
      "cluster/TxnOffsetCommit",
      "cluster/SaslAuthenticate",
      "cluster/DescribeTransactions",
      "cluster/ListTransactions",
      "cluster/ShareGroupHeartbeat",
      "cluster/ShareGroupDescribe",
      "cluster/ShareFetch",
      "cluster/ShareAcknowledge",
      "cluster/AddRaftVoter",
      "cluster/RemoveRaftVoter",
      "cluster/InitializeShareGroupState",
      "cluster/ReadShareGroupState",
      "cluster/WriteShareGroupState",
      "cluster/DeleteShareGroupState",
      "cluster/ReadShareGroupStateSummary",
      "cluster/StreamsGroupHeartbeat",
      "cluster/StreamsGroupDescribe",
      "cluster/DescribeShareGroupOffsets",
      "cluster/AlterShareGroupOffsets",
      "cluster/DeleteShareGroupOffsets",
      "cluster/StreamsGroupTopologyDescriptionUpdate",
      "cluster/UnregisterController",
    ],
  },
];

/** Reasons by case. @throws Error when a case is listed twice. */
export function intendedDifferences(): ReadonlyMap<string, string> {
  const reasons = new Map<string, string>();
  for (const { reason, cases } of DECISIONS) {
    for (const name of cases) {
      if (reasons.has(name)) throw new Error(`${name} is listed twice`);
      reasons.set(name, reason);
    }
  }
  return reasons;
}
