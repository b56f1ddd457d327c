/**
 * Each key that counts as supported, with the place that acts on it: a file and the text there that reads the setting. The list is
 * reviewed by people; the test holds it to be complete and the places to exist. A key whose place goes away must get a status with
 * the reason, and a key that gets a place loses its status.
 */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BROKER_KEYS } from "#config/broker-keys.ts";
import { resolveBrokerConfig } from "#config/broker-config.ts";
import { describeStatus } from "#config/describe-key.ts";
import type { KeyDefinition } from "#config/key-definition.ts";
import { defaultLogConfig } from "#config/topic-config.ts";
import { TOPIC_KEYS } from "#config/topic-keys.ts";

const root = join(import.meta.dir, "..", "..", "..");

type Place = readonly [file: string, text: string];

const APPEND = "native/crates/log/src/partition/append.rs";
const MAINTAIN = "native/crates/log/src/partition/maintain.rs";
const ROLL = "native/crates/log/src/partition/roll.rs";
const ADMISSION = "native/crates/log/src/partition/admission.rs";
const INFLATE = "native/crates/log/src/validate/walk.rs";
const VALIDATE = "native/crates/log/src/validate.rs";
const BROKER = "src/broker/broker.ts";
const FRONTEND = "src/broker/frontend.ts";
const SETTINGS = "src/config/broker-settings.ts";
const CLUSTER = "src/config/cluster-settings.ts";
const CORDONS = "src/config/cordoned-log-dirs.ts";
const GROUP_KEYS = "src/config/group-keys.ts";
const GROUP_SHARD = "src/coordinator/group/group-shard.ts";
const OFFSET_OPERATIONS = "src/coordinator/group/offset-operations.ts";
const INTERNAL_TOPICS = "src/controller/internal-topics.ts";
const FOLLOWING = "src/broker/following.ts";
const THROTTLES = "src/broker/replication-throttles.ts";
const TOPICS = "src/controller/topics.ts";
const PARTITION_RULES = "src/controller/partition-rules.ts";
const ROUNDS = "src/controller/rounds.ts";

/** Where topic keys act; the broker keys behind them act there too. */
const TOPIC_PLACES: Readonly<Record<string, Place>> = {
  "segment.bytes": [ROLL, "config.segment_bytes"],
  "segment.ms": [ROLL, "config.segment_ms"],
  "segment.jitter.ms": [ROLL, "config.segment_jitter_ms"],
  "segment.index.bytes": [ROLL, "config.segment_index_bytes"],
  "flush.messages": [APPEND, "config.flush_messages"],
  "flush.ms": ["native/crates/log/src/directory.rs", "flush_ms"],
  "retention.bytes": [MAINTAIN, "config.retention_bytes"],
  "retention.ms": [MAINTAIN, "config.retention_ms"],
  "max.message.bytes": [VALIDATE, "config.max_message_bytes"],
  "max.decompressed.message.bytes": [INFLATE, "config.max_decompressed_message_bytes"],
  "index.interval.bytes": [APPEND, "config.index_interval_bytes"],
  "file.delete.delay.ms": [MAINTAIN, "config.file_delete_delay_ms"],
  "cleanup.policy": [MAINTAIN, "is_deleting()"],
  "compression.type": [VALIDATE, "config.compression_type"],
  "compression.gzip.level": [VALIDATE, "config.compression_gzip_level"],
  "compression.zstd.level": [VALIDATE, "config.compression_zstd_level"],
  "message.timestamp.type": [VALIDATE, "config.message_timestamp_type"],
  "message.timestamp.before.max.ms": [VALIDATE, "message_timestamp_before_max_ms"],
  "message.timestamp.after.max.ms": [VALIDATE, "message_timestamp_after_max_ms"],
  "internal.segment.bytes": ["src/config/topic-config.ts", '"internal.segment.bytes"'],
  "sluice.acks.all.fsync": [ADMISSION, "acks_all_fsync"],
  "min.insync.replicas": [APPEND, "config.min_insync_replicas"],
  "unclean.leader.election.enable": [PARTITION_RULES, '"unclean.leader.election.enable"'],
  "leader.replication.throttled.replicas": [THROTTLES, "LEADER_REPLICAS"],
  "follower.replication.throttled.replicas": [THROTTLES, "FOLLOWER_REPLICAS"],
};

/** Where broker keys act that are no topic's default. */
const BROKER_PLACES: Readonly<Record<string, Place>> = {
  "broker.id": ["src/config/broker-config.ts", 'values.get("broker.id")'],
  "broker.rack": [BROKER, "settings.brokerRack"],
  "replica.lag.time.max.ms": [FOLLOWING, '"replica.lag.time.max.ms"'],
  "replica.socket.timeout.ms": [FOLLOWING, '"replica.socket.timeout.ms"'],
  "replica.socket.receive.buffer.bytes": [FOLLOWING, '"replica.socket.receive.buffer.bytes"'],
  "replica.fetch.max.bytes": [FOLLOWING, '"replica.fetch.max.bytes"'],
  "replica.fetch.wait.max.ms": [FOLLOWING, '"replica.fetch.wait.max.ms"'],
  "replica.fetch.backoff.ms": [FOLLOWING, '"replica.fetch.backoff.ms"'],
  "replica.fetch.min.bytes": [FOLLOWING, '"replica.fetch.min.bytes"'],
  "replica.fetch.response.max.bytes": [FOLLOWING, '"replica.fetch.response.max.bytes"'],
  "num.replica.fetchers": [FOLLOWING, '"num.replica.fetchers"'],
  "replication.quota.window.num": [THROTTLES, '"replication.quota.window.num"'],
  "replication.quota.window.size.seconds": [THROTTLES, '"replication.quota.window.size.seconds"'],
  "replica.selector.class": [SETTINGS, '"replica.selector.class"'],
  "process.roles": [SETTINGS, 'config.list("process.roles")'],
  "node.id": [BROKER, "settings.nodeId"],
  "initial.broker.registration.timeout.ms": [CLUSTER, '"initial.broker.registration.timeout.ms"'],
  "broker.heartbeat.interval.ms": [CLUSTER, '"broker.heartbeat.interval.ms"'],
  "broker.session.timeout.ms": [CLUSTER, '"broker.session.timeout.ms"'],
  "controller.socket.timeout.ms": [CLUSTER, '"controller.socket.timeout.ms"'],
  "controller.quorum.voters": [CLUSTER, '"controller.quorum.voters"'],
  "controller.quorum.auto.join.enable": [CLUSTER, '"controller.quorum.auto.join.enable"'],
  "controller.quorum.bootstrap.servers": [CLUSTER, '"controller.quorum.bootstrap.servers"'],
  "controller.quorum.election.timeout.ms": [CLUSTER, '"controller.quorum.election.timeout.ms"'],
  "security.inter.broker.protocol": [CLUSTER, '"security.inter.broker.protocol"'],
  "inter.broker.listener.name": [CLUSTER, '"inter.broker.listener.name"'],
  "sluice.cluster.of.one": [CLUSTER, '"sluice.cluster.of.one"'],
  "sluice.cluster.secret": [CLUSTER, '"sluice.cluster.secret"'],
  "sluice.swim.profile": [SETTINGS, '"sluice.swim.profile"'],
  "controller.listener.names": [SETTINGS, '.list("controller.listener.names")'],
  "metadata.log.max.record.bytes.between.snapshots": [
    BROKER,
    "settings.metadataLogMaxRecordBytesBetweenSnapshots",
  ],
  "metadata.log.max.snapshot.interval.ms": [BROKER, "settings.metadataLogMaxSnapshotIntervalMs"],
  "metadata.log.dir": ["src/broker/cluster-node.ts", "settings.metadataLogDir"],
  "delete.topic.enable": ["src/controller/controller.ts", '.boolean("delete.topic.enable")'],
  "max.incremental.fetch.session.cache.slots": [
    BROKER,
    "settings.maxIncrementalFetchSessionCacheSlots",
  ],
  "fetch.max.bytes": ["src/broker/handlers.ts", "settings.fetchMaxBytes"],
  "max.request.partition.size.limit": [
    "src/broker/handlers.ts",
    "settings.maxRequestPartitionSizeLimit",
  ],
  listeners: [FRONTEND, "settings.listeners"],
  "advertised.listeners": [BROKER, "settings.advertisedListeners"],
  "listener.security.protocol.map": [SETTINGS, '"listener.security.protocol.map"'],
  "socket.send.buffer.bytes": [FRONTEND, "settings.socketSendBufferBytes"],
  "socket.receive.buffer.bytes": [FRONTEND, "settings.socketReceiveBufferBytes"],
  "socket.request.max.bytes": [FRONTEND, "settings.socketRequestMaxBytes"],
  "max.connections.per.ip": [FRONTEND, "settings.maxConnectionsPerIp"],
  "max.connections.per.ip.overrides": [FRONTEND, "settings.maxConnectionsPerIpOverrides"],
  "max.connections": [FRONTEND, "settings.maxConnections"],
  "connections.max.idle.ms": [FRONTEND, "settings.connectionsMaxIdleMs"],
  "queued.max.request.bytes": [FRONTEND, "settings.queuedMaxRequestBytes"],
  "num.network.threads": [FRONTEND, "settings.numNetworkThreads"],
  "num.partitions": [TOPICS, '"num.partitions"'],
  "auto.create.topics.enable": ["src/broker/handlers.ts", '"auto.create.topics.enable"'],
  "log.dir": [CORDONS, 'config.list("log.dir")'],
  "log.dirs": [CORDONS, 'config.list("log.dirs")'],
  "cordoned.log.dirs": [CORDONS, "config.list(CORDONED_LOG_DIRS)"],
  "log.retention.check.interval.ms": [BROKER, "settings.logRetentionCheckIntervalMs"],
  "log.flush.offset.checkpoint.interval.ms": [
    BROKER,
    "settings.logFlushOffsetCheckpointIntervalMs",
  ],
  "log.flush.start.offset.checkpoint.interval.ms": [
    BROKER,
    "settings.logFlushStartOffsetCheckpointIntervalMs",
  ],
  "num.recovery.threads.per.data.dir": [BROKER, "settings.numRecoveryThreadsPerDataDir"],
  "producer.id.expiration.ms": [MAINTAIN, "config.producer_id_expiration_ms"],
  "auto.leader.rebalance.enable": [ROUNDS, '"auto.leader.rebalance.enable"'],
  "leader.imbalance.check.interval.seconds": [ROUNDS, '"leader.imbalance.check.interval.seconds"'],
  "unclean.leader.election.interval.ms": [ROUNDS, '"unclean.leader.election.interval.ms"'],
  "default.replication.factor": [TOPICS, '"default.replication.factor"'],
  "replica.high.watermark.checkpoint.interval.ms": [
    BROKER,
    "settings.replicaHighWatermarkCheckpointIntervalMs",
  ],
  "offsets.commit.timeout.ms": [
    "src/coordinator/group/group-coordinator.ts",
    "config.offsetsCommitTimeoutMs",
  ],
  "offsets.topic.replication.factor": [INTERNAL_TOPICS, '"offsets.topic.replication.factor"'],
  "offsets.topic.num.partitions": [INTERNAL_TOPICS, '"offsets.topic.num.partitions"'],
  "offsets.topic.segment.bytes": [INTERNAL_TOPICS, '"offsets.topic.segment.bytes"'],
  "offset.metadata.max.bytes": [OFFSET_OPERATIONS, "config.offsetMetadataMaxBytes"],
  "offsets.retention.minutes": [BROKER, "settings.offsetsRetentionMinutes"],
  "offsets.retention.check.interval.ms": [GROUP_SHARD, "config.offsetsRetentionCheckIntervalMs"],
  "group.min.session.timeout.ms": [
    "src/coordinator/group/group-coordinator.ts",
    "groupMinSessionTimeoutMs",
  ],
  "group.max.session.timeout.ms": [
    "src/coordinator/group/group-coordinator.ts",
    "groupMaxSessionTimeoutMs",
  ],
  "group.initial.rebalance.delay.ms": [
    "src/coordinator/group/classic/rebalance.ts",
    "groupInitialRebalanceDelayMs",
  ],
  "group.coordinator.rebalance.protocols": [
    "src/broker/handlers.ts",
    "settings.groupCoordinatorRebalanceProtocols",
  ],
  "group.consumer.max.size": [
    "src/coordinator/group/consumer/heartbeat.ts",
    "groupConsumerMaxSize",
  ],
  "group.consumer.assignors": [
    "src/coordinator/group/consumer/subscription.ts",
    "config.groupConsumerAssignors",
  ],
  "group.consumer.migration.policy": [
    "src/coordinator/group/consumer/conversion.ts",
    "groupConsumerMigrationPolicy",
  ],
  "group.consumer.regex.refresh.interval.ms": [
    "src/coordinator/group/consumer/patterns.ts",
    "config.groupConsumerRegexRefreshIntervalMs",
  ],
  "group.consumer.session.timeout.ms": [GROUP_KEYS, "group.consumer.session.timeout.ms"],
  "group.consumer.min.session.timeout.ms": [GROUP_KEYS, "group.consumer.min.session.timeout.ms"],
  "group.consumer.max.session.timeout.ms": [GROUP_KEYS, "group.consumer.max.session.timeout.ms"],
  "group.consumer.heartbeat.interval.ms": [GROUP_KEYS, "group.consumer.heartbeat.interval.ms"],
  "group.consumer.min.heartbeat.interval.ms": [
    GROUP_KEYS,
    "group.consumer.min.heartbeat.interval.ms",
  ],
  "group.consumer.max.heartbeat.interval.ms": [
    GROUP_KEYS,
    "group.consumer.max.heartbeat.interval.ms",
  ],
  "group.consumer.assignment.interval.ms": [GROUP_KEYS, "group.consumer.assignment.interval.ms"],
  "group.consumer.min.assignment.interval.ms": [
    GROUP_KEYS,
    "group.consumer.min.assignment.interval.ms",
  ],
  "group.consumer.max.assignment.interval.ms": [
    GROUP_KEYS,
    "group.consumer.max.assignment.interval.ms",
  ],
  "group.max.size": ["src/coordinator/group/classic/join.ts", "config.groupMaxSize"],
  "telemetry.max.bytes": [BROKER, "settings.telemetryMaxBytes"],
  "max.connection.creation.rate": [FRONTEND, "settings.maxConnectionCreationRate"],
};

/** Keys of ours whose code is on its way; a key must leave this list when it acts. */
const PENDING: ReadonlySet<string> = new Set([
  "sluice.admin.listener",
  "sluice.metrics.partitions.max",
  "sluice.metrics.topics.max",
]);

/** Our own keys need no reviewed place: nothing but their code ever mentions them. */
const isOurs = (name: string): boolean => name.startsWith("sluice.");

const sources: readonly string[] = readdirSync(join(root, "src"), {
  recursive: true,
  encoding: "utf8",
})
  .filter((file) => file.endsWith(".ts") && !file.startsWith("config/"))
  .map((file) => readFileSync(join(root, "src", file), "utf8"));

/** Whether code outside of src/config reads the key by its text or as a property of the settings. */
function isReadSomewhere(name: string): boolean {
  const property = name.replaceAll(/\.(.)/g, (_, letter: string) => letter.toUpperCase());
  return (
    PENDING.has(name) ||
    sources.some((text) => text.includes(`settings.${property}`) || text.includes(`"${name}"`))
  );
}

/** What is wrong with a list of places for a table. */
function faults(
  keys: readonly KeyDefinition[],
  places: Readonly<Record<string, Place>>,
  read: (file: string) => string | null,
): string[] {
  const supported = new Set(
    keys.filter((key) => describeStatus(key).startsWith("supported")).map(({ name }) => name),
  );
  const found: string[] = [];
  for (const name of supported)
    if (places[name] === undefined && !(isOurs(name) && isReadSomewhere(name)))
      found.push(`${name}: nobody says where it acts`);
  for (const [name, [file, text]] of Object.entries(places)) {
    if (!supported.has(name)) found.push(`${name}: has a place and is not supported`);
    const content = read(file);
    if (content === null) found.push(`${name}: ${file} does not exist`);
    else if (!content.includes(text)) found.push(`${name}: ${file} does not read ${text}`);
  }
  return found;
}

function readSource(file: string): string | null {
  const path = join(root, file);
  return existsSync(path) ? readFileSync(path, "utf8") : null;
}

/** Broker keys with a topic key in front of them act where that one does. */
function brokerPlaces(): Record<string, Place> {
  const places: Record<string, Place> = { ...BROKER_PLACES };
  for (const { name, synonyms } of TOPIC_KEYS) {
    const place = TOPIC_PLACES[name];
    for (const synonym of synonyms ?? []) if (place !== undefined) places[synonym.name] = place;
  }
  return places;
}

test("every supported topic key acts somewhere", () => {
  expect(faults(TOPIC_KEYS, TOPIC_PLACES, readSource)).toEqual([]);
});

test("every supported broker key acts somewhere", () => {
  expect(faults(BROKER_KEYS, brokerPlaces(), readSource)).toEqual([]);
});

test("what the native log acts on is handed to it", () => {
  const { config } = resolveBrokerConfig({ file: null });
  if (config === null) throw new Error("no configuration");
  const handed = Object.keys(defaultLogConfig(config));
  const native = readSource("native/crates/log/src/config.rs") ?? "";
  const missing = [...Object.entries(TOPIC_PLACES), ...Object.entries(BROKER_PLACES)]
    .filter(([, [file]]) => file.startsWith("native/"))
    .flatMap(([name]) => {
      const bare = name.replace(/^sluice\./, "");
      const property = bare.replaceAll(/\.(.)/g, (_, letter: string) => letter.toUpperCase());
      const field = `pub ${bare.replaceAll(".", "_")}:`;
      return handed.includes(property) && native.includes(field) ? [] : [name];
    });
  expect(missing).toEqual([]);
});

test("a place that is missing, wrong or left over is found", () => {
  const row = (name: string, reason?: string): KeyDefinition => ({
    name,
    type: "int",
    default: "1",
    ...(reason === undefined ? {} : { status: { kind: "accepted", reason } }),
  });
  const places: Record<string, Place> = {
    "is.read": ["a.ts", "isRead"],
    "was.read": ["a.ts", "wasRead"],
    "file.gone": ["gone.ts", "x"],
    "not.supported": ["a.ts", "isRead"],
  };
  const keys = [
    row("is.read"),
    row("was.read"),
    row("file.gone"),
    row("not.listed"),
    row("not.supported", "no"),
    row("sluice.no.such"),
  ];
  const read = (file: string): string | null => (file === "a.ts" ? "config.isRead" : null);
  expect(faults(keys, places, read)).toEqual([
    "not.listed: nobody says where it acts",
    "sluice.no.such: nobody says where it acts",
    "was.read: a.ts does not read wasRead",
    "file.gone: gone.ts does not exist",
    "not.supported: has a place and is not supported",
  ]);
});
