/**
 * The broker's configuration as the rest of the program uses it: one property per supported key, named after it in
 * camelCase with its unit, typed and with derived values worked out (addresses, directories).
 */
import type { BrokerConfig } from "./broker-config.ts";
import { type ClusterSettings, clusterSettings } from "./cluster-settings.ts";
import { cordonError, logDirsOf } from "./cordoned-log-dirs.ts";
import { locateError } from "./explain-config.ts";
import { parseListeners, parseProtocolMap } from "./listeners.ts";
import type { Listener } from "./listeners.ts";
import { topicDefaultError } from "./topic-config.ts";

/** The one selector of replicas there is beside none, by the name of Kafka's class. */
const RACK_AWARE_SELECTOR = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

/** Limits on connections; the keys may change while the broker runs. */
export interface ConnectionLimitSettings {
  readonly maxConnections: number;
  readonly maxConnectionsPerIp: number;
  readonly maxConnectionCreationRate: number;
  /** Address to count. */
  readonly maxConnectionsPerIpOverrides: ReadonlyMap<string, number>;
}

/** See the head of the file. Long values are cut to 2^53-1. */
export interface BrokerSettings extends ConnectionLimitSettings {
  readonly nodeId: number;
  readonly brokerRack: string | null;
  /** Null for a node that runs by itself. */
  readonly cluster: ClusterSettings | null;
  readonly logDirs: readonly string[];
  readonly metadataLogDir: string;
  /** Listeners for clients: those of the controller are left out. */
  readonly listeners: readonly Listener[];
  /** What clients are told, one per listener for clients. An empty host stands for the address they came to. */
  readonly advertisedListeners: readonly Listener[];
  readonly numNetworkThreads: number;
  readonly socketRequestMaxBytes: number;
  readonly socketSendBufferBytes: number;
  readonly socketReceiveBufferBytes: number;
  readonly connectionsMaxIdleMs: number;
  /** -1: the built-in pool. */
  readonly queuedMaxRequestBytes: number;
  readonly fetchMaxBytes: number;
  readonly maxIncrementalFetchSessionCacheSlots: number;
  readonly maxRequestPartitionSizeLimit: number;
  readonly logRetentionCheckIntervalMs: number;
  readonly logFlushOffsetCheckpointIntervalMs: number;
  readonly logFlushStartOffsetCheckpointIntervalMs: number;
  readonly replicaHighWatermarkCheckpointIntervalMs: number;
  /** Consumers are sent to a replica in their own rack (KIP-392). */
  readonly replicaSelectsByRack: boolean;
  readonly numRecoveryThreadsPerDataDir: number;
  readonly offsetsTopicNumPartitions: number;
  readonly offsetMetadataMaxBytes: number;
  readonly offsetsRetentionMinutes: number;
  readonly offsetsRetentionCheckIntervalMs: number;
  readonly offsetsCommitTimeoutMs: number;
  readonly groupMinSessionTimeoutMs: number;
  readonly groupMaxSessionTimeoutMs: number;
  readonly groupInitialRebalanceDelayMs: number;
  readonly groupMaxSize: number;
  readonly groupConsumerMaxSize: number;
  readonly groupConsumerAssignors: readonly string[];
  readonly groupConsumerMigrationPolicy: "disabled" | "upgrade" | "downgrade" | "bidirectional";
  readonly groupConsumerRegexRefreshIntervalMs: number;
  readonly groupCoordinatorRebalanceProtocols: readonly string[];
  readonly metadataLogMaxRecordBytesBetweenSnapshots: number;
  readonly metadataLogMaxSnapshotIntervalMs: number;
  readonly telemetryMaxBytes: number;
  readonly sluiceFastLaneEnable: boolean;
  readonly sluiceFrameDeadlineMs: number;
  readonly sluiceSendDeadlineMs: number;
  readonly sluiceDiskReserveBytes: number;
  readonly sluiceRaiseOpenFiles: boolean;
  readonly sluiceMaxOpenFiles: number;
  readonly sluiceVerifyOnRead: boolean;
  readonly sluiceScrubBytesPerSecond: number;
  readonly sluiceScrubIntervalMs: number;
  readonly sluiceInMemory: boolean;
  readonly sluiceSwimProfile: "default" | "fast";
  /** 0: the number of the controller listener's port. */
  readonly sluiceSwimPort: number;
  /** Where the admin port listens; null for nowhere. */
  readonly sluiceAdminListener: { readonly host: string; readonly port: number } | null;
  readonly sluiceMetricsPartitionsMax: number;
  readonly sluiceMetricsTopicsMax: number;
}

/** Settings, or every reason why there are none. */
export type BrokerSettingsResult =
  | { readonly settings: BrokerSettings; readonly errors: readonly [] }
  | { readonly settings: null; readonly errors: readonly string[] };

/** Works the settings out of a configuration, with the checks that concern several keys. */
export function brokerSettings(config: BrokerConfig): BrokerSettingsResult {
  const errors: string[] = [];
  const addresses = resolveListeners(config, errors);
  const logDirs = logDirsOf(config);
  const [firstLogDir] = logDirs;
  if (firstLogDir === undefined || logDirs.includes("")) {
    errors.push("At least one log directory must be defined via log.dirs or log.dir.");
  }
  const cordon = cordonError(config);
  if (cordon !== null) errors.push(cordon);
  const perIp = parsePerIpOverrides(config.string("max.connections.per.ip.overrides") ?? "");
  if (perIp.error !== null) errors.push(perIp.error);
  const adminListener = parseAdminListener(config.string("sluice.admin.listener") ?? "");
  if (adminListener.error !== null) errors.push(adminListener.error);
  for (const name of config.staticValues.keys()) {
    const error = topicDefaultError(name, config.value(name));
    if (error !== null) errors.push(error);
  }
  const assignors = consumerAssignors(config.list("group.consumer.assignors"), errors);
  const roles = config.list("process.roles");
  const cluster = addresses?.cluster ?? null;
  const isWhole = roles.includes("broker") && roles.includes("controller");
  if (!isWhole && addresses !== null && cluster === null) {
    errors.push(
      "process.roles: a node without a quorum is broker and controller; it must be 'broker,controller', or controller.quorum.voters must name others",
    );
  }
  if (errors.length > 0 || addresses === null)
    return {
      settings: null,
      errors: errors.map((sentence) => locateError(sentence, config.origins)),
    };
  const number = (name: string): number => config.number(name);
  const settings: BrokerSettings = {
    nodeId: number("node.id"),
    brokerRack: config.string("broker.rack"),
    cluster,
    logDirs,
    metadataLogDir: config.string("metadata.log.dir") ?? firstLogDir ?? "",
    listeners: addresses.listeners,
    advertisedListeners: addresses.advertised,
    numNetworkThreads: number("num.network.threads"),
    socketRequestMaxBytes: number("socket.request.max.bytes"),
    socketSendBufferBytes: number("socket.send.buffer.bytes"),
    socketReceiveBufferBytes: number("socket.receive.buffer.bytes"),
    ...connectionLimitSettings(config),
    connectionsMaxIdleMs: number("connections.max.idle.ms"),
    queuedMaxRequestBytes: number("queued.max.request.bytes"),
    fetchMaxBytes: number("fetch.max.bytes"),
    maxIncrementalFetchSessionCacheSlots: number("max.incremental.fetch.session.cache.slots"),
    maxRequestPartitionSizeLimit: number("max.request.partition.size.limit"),
    logRetentionCheckIntervalMs: number("log.retention.check.interval.ms"),
    logFlushOffsetCheckpointIntervalMs: number("log.flush.offset.checkpoint.interval.ms"),
    logFlushStartOffsetCheckpointIntervalMs: number(
      "log.flush.start.offset.checkpoint.interval.ms",
    ),
    replicaSelectsByRack: config.text("replica.selector.class") === RACK_AWARE_SELECTOR,
    replicaHighWatermarkCheckpointIntervalMs: number(
      "replica.high.watermark.checkpoint.interval.ms",
    ),
    numRecoveryThreadsPerDataDir: number("num.recovery.threads.per.data.dir"),
    offsetsTopicNumPartitions: number("offsets.topic.num.partitions"),
    offsetMetadataMaxBytes: number("offset.metadata.max.bytes"),
    offsetsRetentionMinutes: number("offsets.retention.minutes"),
    offsetsRetentionCheckIntervalMs: number("offsets.retention.check.interval.ms"),
    offsetsCommitTimeoutMs: number("offsets.commit.timeout.ms"),
    groupMinSessionTimeoutMs: number("group.min.session.timeout.ms"),
    groupMaxSessionTimeoutMs: number("group.max.session.timeout.ms"),
    groupInitialRebalanceDelayMs: number("group.initial.rebalance.delay.ms"),
    groupMaxSize: number("group.max.size"),
    groupConsumerMaxSize: number("group.consumer.max.size"),
    groupConsumerAssignors: assignors,
    groupConsumerMigrationPolicy: migrationPolicy(config),
    groupCoordinatorRebalanceProtocols: config.list("group.coordinator.rebalance.protocols"),
    groupConsumerRegexRefreshIntervalMs: number("group.consumer.regex.refresh.interval.ms"),
    metadataLogMaxRecordBytesBetweenSnapshots: number(
      "metadata.log.max.record.bytes.between.snapshots",
    ),
    metadataLogMaxSnapshotIntervalMs: number("metadata.log.max.snapshot.interval.ms"),
    telemetryMaxBytes: number("telemetry.max.bytes"),
    sluiceFastLaneEnable: config.boolean("sluice.fast.lane.enable"),
    sluiceFrameDeadlineMs: number("sluice.frame.deadline.ms"),
    sluiceSendDeadlineMs: number("sluice.send.deadline.ms"),
    sluiceDiskReserveBytes: number("sluice.disk.reserve.bytes"),
    sluiceRaiseOpenFiles: config.boolean("sluice.raise.open.files"),
    sluiceMaxOpenFiles: number("sluice.max.open.files"),
    sluiceVerifyOnRead: config.boolean("sluice.verify.on.read"),
    sluiceScrubBytesPerSecond: number("sluice.scrub.bytes.per.second"),
    sluiceScrubIntervalMs: number("sluice.scrub.interval.ms"),
    sluiceInMemory: config.boolean("sluice.in.memory"),
    sluiceSwimProfile: config.string("sluice.swim.profile") === "fast" ? "fast" : "default",
    sluiceSwimPort: number("sluice.swim.port"),
    sluiceAdminListener: adminListener.address,
    sluiceMetricsPartitionsMax: number("sluice.metrics.partitions.max"),
    sluiceMetricsTopicsMax: number("sluice.metrics.topics.max"),
  };
  return { settings, errors: [] };
}

/** An address, or what is wrong with the text. */
export interface AdminListenerResult {
  readonly address: { readonly host: string; readonly port: number } | null;
  readonly error: string | null;
}

/** Reads `sluice.admin.listener`: `host:port`, `[IPv6]:port` or nothing. */
export function parseAdminListener(text: string): AdminListenerResult {
  const trimmed = text.trim();
  if (trimmed === "") return { address: null, error: null };
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]/\s]+)):(\d{1,5})$/.exec(trimmed);
  const port = Number(parts?.[3] ?? "");
  if (parts === null || port > 65535) {
    const error = `sluice.admin.listener: '${trimmed}' is not HOST:PORT, for example 127.0.0.1:9644`;
    return { address: null, error };
  }
  return { address: { host: parts[1] ?? parts[2] ?? "", port }, error: null };
}

/** The assignors there are, under their names and those of Kafka's classes. */
const CONSUMER_ASSIGNORS: ReadonlyMap<string, string> = new Map([
  ["uniform", "uniform"],
  ["range", "range"],
  ["org.apache.kafka.coordinator.group.assignor.UniformAssignor", "uniform"],
  ["org.apache.kafka.coordinator.group.assignor.RangeAssignor", "range"],
]);

function consumerAssignors(names: readonly string[], errors: string[]): string[] {
  const known: string[] = [];
  for (const name of names) {
    const assignor = CONSUMER_ASSIGNORS.get(name);
    if (assignor === undefined) {
      errors.push(`group.consumer.assignors: '${name}' is not one of uniform, range`);
    } else {
      known.push(assignor);
    }
  }
  if (names.length === 0) errors.push("group.consumer.assignors: at least one is needed");
  return known;
}

function migrationPolicy(config: BrokerConfig): BrokerSettings["groupConsumerMigrationPolicy"] {
  const policy = config.string("group.consumer.migration.policy")?.toLowerCase();
  switch (policy) {
    case "disabled":
    case "upgrade":
    case "downgrade":
      return policy;
    default:
      return "bidirectional";
  }
}

/** The limits on connections now in force; exceptions that do not read, which no check lets through, count as none. */
export function connectionLimitSettings(config: BrokerConfig): ConnectionLimitSettings {
  const text = config.string("max.connections.per.ip.overrides") ?? "";
  return {
    maxConnections: config.number("max.connections"),
    maxConnectionsPerIp: config.number("max.connections.per.ip"),
    maxConnectionCreationRate: config.number("max.connection.creation.rate"),
    maxConnectionsPerIpOverrides: parsePerIpOverrides(text).overrides ?? new Map(),
  };
}

/** Limits by address, or what is wrong with the text. */
export type PerIpOverridesResult =
  | { readonly overrides: ReadonlyMap<string, number>; readonly error: null }
  | { readonly overrides: null; readonly error: string };

/** Reads `max.connections.per.ip.overrides`: `host:count` separated by commas. */
export function parsePerIpOverrides(text: string): PerIpOverridesResult {
  const overrides = new Map<string, number>();
  for (const entry of text.split(",")) {
    if (entry.trim() === "") continue;
    const at = entry.lastIndexOf(":");
    const count = entry.slice(at + 1).trim();
    if (at <= 0 || !/^\d{1,9}$/.test(count)) {
      // What is wrong with an entry without a colon is told in the words of Java's substring.
      const why = at === -1 ? `begin 0, end -1, length ${entry.trim().length}` : entry.trim();
      const error = `Error parsing configuration property 'max.connections.per.ip.overrides': ${why}`;
      return { overrides: null, error };
    }
    overrides.set(entry.slice(0, at).trim(), Number(count));
  }
  return { overrides, error: null };
}

interface Addresses {
  readonly listeners: readonly Listener[];
  readonly advertised: readonly Listener[];
  readonly cluster: ClusterSettings | null;
}

/** Addresses for clients and what clients are told, after all checks; null with `errors` filled. */
function resolveListeners(config: BrokerConfig, errors: string[]): Addresses | null {
  const map = parseProtocolMap(config.string("listener.security.protocol.map") ?? "");
  if (map.protocols === null) {
    errors.push(map.error);
    return null;
  }
  // The controller's listener needs no mapping of its own while it is on the default one, as in Kafka.
  const controllerNames = config
    .list("controller.listener.names")
    .map((name) => name.toUpperCase());
  const protocols = new Map(map.protocols);
  for (const name of controllerNames) if (!protocols.has(name)) protocols.set(name, "PLAINTEXT");
  const configured = parseListeners("listeners", config.list("listeners"), protocols);
  const told = parseListeners(
    "advertised.listeners",
    config.list("advertised.listeners"),
    protocols,
  );
  for (const result of [configured, told]) if (result.error !== null) errors.push(result.error);
  if (configured.listeners === null || told.listeners === null) return null;
  const isForClients = (listener: Listener): boolean => !controllerNames.includes(listener.name);
  const listeners = configured.listeners.filter(isForClients);
  const cluster = clusterSettings(config, configured.listeners, errors);
  if (listeners.length === 0 && cluster?.isBroker !== false) {
    errors.push(
      "There must be at least one broker advertised listener. Perhaps all listeners appear in controller.listener.names?",
    );
  }
  for (const listener of listeners) {
    if (listener.securityProtocol !== "PLAINTEXT") {
      errors.push(
        `listeners: ${listener.name} asks for ${listener.securityProtocol}, and only PLAINTEXT is served yet`,
      );
    }
  }
  const advertised: Listener[] = [];
  for (const listener of told.listeners.filter(isForClients)) {
    if (!listeners.some((other) => other.name === listener.name)) {
      errors.push(`advertised.listeners: ${listener.name} is not among listeners`);
    }
    if (listener.host === "0.0.0.0") {
      errors.push(
        "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address.",
      );
    }
  }
  for (const listener of listeners) {
    const override = told.listeners.find((other) => other.name === listener.name);
    const isAnyHost = listener.host === "0.0.0.0" || listener.host === "::";
    advertised.push(override ?? (isAnyHost ? { ...listener, host: "" } : listener));
  }
  return errors.length > 0 ? null : { listeners, advertised, cluster };
}
