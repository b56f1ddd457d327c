/**
 * Keys of ours, which Kafka does not have. All begin with `sluice.`.
 */
import type { KeyDefinition } from "../key-definition.ts";
import { atLeast, between, oneOf } from "../valid-values.ts";

/** See the head of the file. */
export const OWN_KEYS: readonly KeyDefinition[] = [
  {
    name: "sluice.acks.all.fsync",
    type: "boolean",
    default: null,
    update: "cluster-wide",
    doc: "Whether acks=all is answered only once the records are on the leader's disk, not merely in memory. Unset: where a partition has one replica, not where it has several. Topics override it.",
  },
  {
    name: "sluice.fast.lane.enable",
    type: "boolean",
    default: "true",
    doc: "Whether a native thread serves connections that send nothing but plain produces and fetches, for as long as they do. Answers are the same either way; it costs less processor time.",
  },
  {
    name: "sluice.frame.deadline.ms",
    type: "long",
    default: "30000",
    valid: atLeast(1),
    doc: "A client that has begun a request must finish it within this time, plus a second for each 16 KiB received; then its connection is closed.",
  },
  {
    name: "sluice.send.deadline.ms",
    type: "long",
    default: "60000",
    valid: atLeast(1),
    doc: "A client that takes nothing of what waits to be sent to it for this long is disconnected. A slow one that takes a little is not.",
  },
  {
    name: "sluice.admin.listener",
    type: "string",
    default: "127.0.0.1:9644",
    doc: "Address and port of the HTTP server with /metrics and /health; port 0 takes a free one, an empty value switches it off. It asks for no login: bind it to addresses that only operators reach. When the default is taken, the broker warns and runs without; an address that was set must be free. An embedded broker opens it only when this key is set.",
  },
  {
    name: "sluice.log.format",
    type: "string",
    default: "text",
    valid: oneOf("text", "json"),
    doc: "How the process writes its log to standard error: text for people, json with one object a line for programs. --log-format wins.",
  },
  {
    name: "sluice.log.level",
    type: "string",
    default: "info",
    valid: oneOf("trace", "debug", "info", "warn", "error"),
    doc: "Least severity of the lines that the process logs. --log-level wins.",
  },
  {
    name: "sluice.metrics.partitions.max",
    type: "int",
    default: "1000",
    valid: atLeast(0),
    doc: "Partitions up to which /metrics tells offsets and sizes of each one; with more, sums by topic are told instead.",
  },
  {
    name: "sluice.metrics.topics.max",
    type: "int",
    default: "1000",
    valid: atLeast(0),
    doc: "Topics that /metrics tells apart; the rest counts as one topic with an empty name.",
  },
  {
    name: "sluice.disk.reserve.bytes",
    type: "long",
    default: "67108864",
    valid: atLeast(0),
    doc: "Free bytes of each log directory's disk that only committed offsets, cluster metadata and checkpoints may use; at most 5 % of the file system is kept. Below it appends and new topics are answered with KAFKA_STORAGE_ERROR until there is room again.",
  },
  {
    name: "sluice.raise.open.files",
    type: "boolean",
    default: "true",
    doc: "Whether the start raises the process's limit of open files as far as the system allows.",
  },
  {
    name: "sluice.max.open.files",
    type: "int",
    default: "1024",
    valid: atLeast(64),
    doc: "Most segment files kept open at a time, over all partitions; never more than half of the process's limit of open files, so that sockets have the rest.",
  },
  {
    name: "sluice.verify.on.read",
    type: "boolean",
    default: "false",
    doc: "Whether batches are checked against their checksum each time they are read.",
  },
  {
    name: "sluice.scrub.bytes.per.second",
    type: "long",
    default: "4194304",
    doc: "How fast the background check reads what is on disk, looking for damage. It never disturbs the page cache. 0 or less turns it off.",
  },
  {
    name: "sluice.scrub.interval.ms",
    type: "long",
    default: "86400000",
    doc: "How long the background check rests after it has read everything once. The first pass begins this long after the start, at most a minute. 0 or less turns it off.",
  },
  {
    name: "sluice.swim.profile",
    type: "string",
    default: "default",
    valid: oneOf("default", "fast"),
    doc: "How soon a silent node of the cluster is noticed: default probes every 200 ms and suspects for 600 ms; fast, for up to 30 nodes on a local network, probes every 100 ms and suspects for 500 ms. All nodes should have the same.",
  },
  {
    name: "sluice.swim.port",
    type: "int",
    default: "0",
    valid: between(0, 65535),
    doc: "UDP port by which the nodes of a cluster watch each other; 0 takes the number of the controller listener's port.",
  },
  {
    name: "sluice.in.memory",
    type: "boolean",
    default: "false",
    doc: "Keeps all partitions in memory only: for tests and embedded use; nothing survives a stop.",
  },
  {
    name: "sluice.cluster.of.one",
    type: "boolean",
    default: "false",
    doc: "Whether a broker and controller that is the only voter is a cluster of one node, which others can join while it runs, and not a node by itself. It needs a listener for controllers; what the node had by itself it keeps. `sluice start --cluster` sets it.",
  },
  {
    name: "sluice.cluster.secret",
    type: "password",
    default: null,
    doc: "What nodes of a cluster prove to each other that they know; the same on all of them. Without it the cluster id stands in, which keeps out strays and nobody who means it.",
  },
];
