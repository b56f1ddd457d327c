/**
 * Where a tool prints something else on purpose, and why. Reviewed by hand; a decision that nothing needs any more is reported, so that
 * the list never holds more than what is true.
 */

/** One decision. */
export interface Decision {
  readonly reason: string;
  readonly section: string;
  /** The command lines it is about; all of the section without it. */
  readonly command?: RegExp;
  /** The lines that may differ, on both sides; the whole output without it. */
  readonly lines?: RegExp;
}

/** All decisions. */
export const DECISIONS: readonly Decision[] = [
  {
    reason: "Transactions are not served yet, so nothing lists them.",
    section: "topics",
    command: /^kafka-transactions list$/,
  },
  {
    reason: "Our own keys are described beside Kafka's.",
    section: "configs",
    command: / --all$/,
    lines: /^ {2}sluice\./,
  },
  {
    reason:
      "The controller of one node has no listener and no voters of its own, and some defaults are ours (docs/compatibility.md).",
    section: "configs",
    command: /--entity-type brokers --entity-name 1 --all$/,
    lines:
      /^ {2}(controller\.quorum\.voters|listener\.security\.protocol\.map|listeners|log\.dir|num\.network\.threads|socket\.(receive|send)\.buffer\.bytes)=/,
  },
  {
    reason: "Kafka's loggers are named after its Java classes; we have one.",
    section: "configs",
    command: /broker-loggers/,
  },
  {
    reason: "Versions that Kafka 4 dropped are still served, because clients still send them.",
    section: "cluster",
    command: /^kafka-broker-api-versions$/,
    lines: /^\t(OffsetCommit|OffsetFetch|CreateTopics|DeleteTopics|DescribeConfigs)\(/,
  },
  {
    reason: "Transactions, SASL, share and streams groups, changes of voters: not served yet.",
    section: "cluster",
    command: /^kafka-broker-api-versions$/,
    lines:
      /^\t(Sasl\w+|AddPartitionsToTxn|AddOffsetsToTxn|EndTxn|WriteTxnMarkers|TxnOffsetCommit|DescribeTransactions|ListTransactions|\w*Share\w+|Streams\w+|AddRaftVoter|RemoveRaftVoter|UNKNOWN)\(/,
  },
  {
    reason:
      "Kafka advertises client telemetry only with a plug-in that receives metrics; we receive them.",
    section: "cluster",
    command: /^kafka-broker-api-versions$/,
    lines: /^\t(GetTelemetrySubscriptions|PushTelemetry)\(/,
  },
  {
    reason: "Features whose APIs are not served have no level.",
    section: "cluster",
    command: /^kafka-features describe$/,
    lines: /^Feature: (eligible\.leader\.replicas|kraft|share|streams|transaction)\.version /,
  },
  {
    reason: "A feature without a level cannot be given one; Kafka complains of another one first.",
    section: "cluster",
    command: /^kafka-features (upgrade --release-version|downgrade --feature transaction.version)/,
  },
  {
    reason: "The voter is reached where clients reach the broker.",
    section: "cluster",
    command: /^kafka-metadata-quorum describe --status$/,
    lines: /^CurrentVoters:/,
  },
];
