/**
 * The whole broker, put together and started in order: configuration, addresses, log directories, cluster metadata,
 * coordinators, and only then the first request. Connections are accepted early and wait, so that a client which comes
 * during a recovery is served late instead of refused.
 *
 * Stopping goes the other way round and loses nothing that was acknowledged: what is in flight is answered, then the logs
 * are flushed and marked as closed in order.
 */
import type { HealthReport } from "#admin/health.ts";
import { assert } from "#common/assert.ts";
import { errorFields, type Logger, SILENT_LOGGER } from "#common/logger.ts";
import { TimerWheel } from "#common/timer-wheel.ts";
import type { BrokerConfig, ConfigValues } from "#config/broker-config.ts";
import {
  type BrokerSettings,
  brokerSettings,
  connectionLimitSettings,
} from "#config/broker-settings.ts";
import type { ClusterSettings } from "#config/cluster-settings.ts";
import { GroupSettingsCache } from "#config/group-config.ts";
import { LoggerLevels } from "#config/logger-levels.ts";
import { defaultLogConfig } from "#config/topic-config.ts";
import { BrokerLiveness } from "#controller/broker-liveness.ts";
import { Controller } from "#controller/controller.ts";
import { SecurityProtocolId } from "#controller/registration.ts";
import {
  createGroupCoordinator,
  type GroupCoordinator,
  OFFSETS_TOPIC,
} from "#coordinator/group/group-coordinator.ts";
import type { LogStore } from "#log/log.ts";
import {
  nativeCodecs,
  openNativeStore,
  raiseOpenFileLimit,
  recoveryProgress,
} from "#log/native-log.ts";
import {
  compilePattern,
  InvalidPatternError,
  matchingNames,
} from "#coordinator/group/consumer/topic-pattern.ts";
import { configValues, ResourceType } from "#metadata/cluster-image.ts";
import { CurrentBrokerConfig } from "#metadata/current-broker-config.ts";
import { MetadataLoader } from "#metadata/metadata-loader.ts";
import { MemoryMetadataLog, type MetadataLog } from "#metadata/metadata-log.ts";
import { FileMetadataLog } from "#metadata/metadata-log-driver.ts";
import { ProvisioningPublisher } from "#metadata/provisioning-publisher.ts";
import type { ClusterStatistics } from "#metrics/cluster-statistics.ts";
import type { ExpositionFormat } from "#metrics/exposition.ts";
import { PartitionDirectory } from "#replica/partition-directory.ts";
import { ReplicaManager } from "#replica/replica-manager.ts";
import { Dispatcher } from "#server/dispatcher.ts";
import { ClientTelemetry } from "#server/client-telemetry.ts";
import { EarlyRequests } from "#server/early-requests.ts";
import { FetchSessionCache } from "#server/fetch-session.ts";
import { HandlerTable } from "#server/handler-table.ts";
import { LaneFeed } from "#server/lane-feed.ts";
import { ReplyEncoder } from "#server/reply-encoder.ts";
import type { RequestStatistics } from "#server/request-statistics.ts";
import { openFileLimit } from "#transport/sendfile.ts";
import type { BoundListener } from "#transport/transport.ts";
import { ClusterBroker, requireNoMember } from "./cluster-broker.ts";
import { ClusterNode } from "./cluster-node.ts";
import { countCluster, ElectionCounter } from "./cluster-observation.ts";
import { resolveOptions } from "./configuration.ts";
import { CoordinatorLog } from "./coordinator-log.ts";
import { groupPublisher, loadGroups } from "./group-publisher.ts";
import { CONTROLLER_UNAVAILABLE, type ControllerAccess } from "./forwarding.ts";
import { Following } from "./following.ts";
import { type Frontend, openFrontend, SESSION_EVICTION_MS } from "./frontend.ts";
import { addHandlers } from "./handlers.ts";
import { GroupTopics } from "./group-topics.ts";
import { CordonedDirectories } from "./cordoned-directories.ts";
import { DirectoryAssignments } from "./directory-assignments.ts";
import { DirectoryWatch } from "./directory-watch.ts";
import { Housekeeping } from "./housekeeping.ts";
import { Observation } from "./observation.ts";
import { metadataDirectoryId } from "./metadata-directory.ts";
import { PartitionStore } from "./partition-store.ts";
import { formCluster } from "./quorum-formation.ts";
import { ReplicaMoves } from "./replica-moves.ts";
import { ReplicationThrottles } from "./replication-throttles.ts";
import { RequestLog } from "./request-log.ts";
import { SetAside } from "./set-aside.ts";
import { BrokerStartError } from "./start-error.ts";
import { SYSTEM_CLOCK, SYSTEM_RANDOM, SYSTEM_SCHEDULER } from "./system-ports.ts";

/** Deadlines of waiting requests are met this much late at most. */
const DEADLINE_SLOT_MS = 5;
/** Time that requests in flight get when the broker stops. */
const STOP_DEADLINE_MS = 5_000;
const DEFAULT_PORT = 9092;
/** Of a node that is no broker. */
const NO_BROKER_EPOCH = -1;

/** How an embedded broker is started. Every Kafka key can be given in `config`. */
export interface BrokerOptions {
  /** Directory for everything the broker keeps. Without it, and without `log.dirs` in `config`, nothing outlives the broker. */
  readonly dataDir?: string;
  /** Address to listen on; 127.0.0.1 unless said otherwise. */
  readonly host?: string;
  /** Port to listen on, 0 for a free one; 9092 unless said otherwise. */
  readonly port?: number;
  /** Broker configuration by Kafka key; wins over the options above. */
  readonly config?: Readonly<Record<string, string | number | boolean>>;
  /** Pairs of a `server.properties`; null or absent for the embedded defaults. */
  readonly properties?: ConfigValues | null;
  /** A configuration resolved already (`loadConfiguration`); the options above are then not looked at. */
  readonly configuration?: BrokerConfig;
  /** Hears what the broker has to say; nobody unless given. */
  readonly logger?: Logger;
  /** Told when the broker can no longer trust itself; it should be stopped then. */
  readonly onFatal?: (error: unknown) => void;
  /**
   * Ends the start, with {@link BrokerStartError} START_ABORTED. Logs that are being opened, or recovered, are opened first, so that they
   * are closed in order. Means nothing once the broker serves.
   */
  readonly signal?: AbortSignal;
}

/**
 * A running broker.
 *
 *     await using broker = await Broker.start({ dataDir: "./data", port: 0 });
 *     console.log(broker.bootstrapServers);
 */
export class Broker implements AsyncDisposable {
  readonly clusterId: string;
  readonly nodeId: number;
  /** Addresses the broker listens on, with the ports it got. */
  readonly listeners: readonly BoundListener[];
  /** Log directories. */
  readonly dataDirs: readonly string[];
  /** The static configuration it was started with. */
  readonly config: BrokerConfig;
  readonly #observation: Observation;
  readonly #shutdown: (deadlineMs: number) => Promise<void>;
  #stopping: Promise<void> | null = null;

  private constructor(running: RunningBroker) {
    this.clusterId = running.store.report.clusterId;
    this.nodeId = running.settings.nodeId;
    this.listeners = running.frontend.listeners;
    this.dataDirs = running.settings.logDirs;
    this.config = running.config;
    this.#observation = running.observation;
    this.#shutdown = (deadlineMs) => stopBroker(running, deadlineMs);
  }

  /**
   * Starts a broker; it serves requests when the promise settles.
   *
   * @throws BrokerStartError when it cannot start; nothing stays open or locked.
   */
  static async start(options: BrokerOptions = {}): Promise<Broker> {
    return new Broker(await startBroker(options));
  }

  /** What clients put into `bootstrap.servers`. */
  get bootstrapServers(): string {
    return this.listeners
      .map(({ hostname, port }) => {
        const isAnyAddress = hostname === "" || hostname === "0.0.0.0" || hostname === "::";
        const host = isAnyAddress ? "127.0.0.1" : hostname;
        return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
      })
      .join(",");
  }

  /** Port of the first listener. */
  get port(): number {
    return this.listeners[0]?.port ?? DEFAULT_PORT;
  }

  /** Where the admin port (`sluice.admin.listener`) is; null when it is not open. */
  get adminAddress(): { readonly host: string; readonly port: number } | null {
    return this.#observation.adminAddress;
  }

  /**
   * Everything the broker counts, as Prometheus reads it: what the admin port serves at `/metrics`, for a program that has an
   * HTTP server of its own.
   */
  metrics(format: ExpositionFormat = "text"): Promise<string> {
    return this.#observation.metrics(format);
  }

  /** Whether the broker is well, and why not: what the admin port serves at `/health`. */
  health(): HealthReport {
    return this.#observation.health();
  }

  /** Stops: answers what is in flight until the deadline, then closes the logs in order. Twice is once. */
  stop(deadlineMs: number = STOP_DEADLINE_MS): Promise<void> {
    this.#stopping ??= this.#shutdown(deadlineMs);
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** The parts of a running broker that its stop concerns. */
interface RunningBroker {
  readonly config: BrokerConfig;
  readonly settings: BrokerSettings;
  readonly frontend: Frontend;
  readonly groups: GroupCoordinator;
  readonly housekeeping: Housekeeping;
  readonly directories: DirectoryWatch;
  readonly replicas: ReplicaManager;
  /** Of a node by itself. */
  readonly metadataLog: MetadataLog | null;
  /** Of a node of a cluster. */
  readonly clusterBroker: ClusterBroker | null;
  readonly following: Following | null;
  readonly life: BrokerLife;
  readonly store: LogStore;
  readonly requestLog: RequestLog;
  readonly observation: Observation;
}

async function stopBroker(running: RunningBroker, deadlineMs: number): Promise<void> {
  running.observation.onStopping();
  // What this broker leads moves first: clients notice no more than that.
  await running.clusterBroker?.leave();
  running.frontend.stopListening();
  // Parked joins and syncs would otherwise hold their connections until the deadline.
  running.groups.stop();
  running.replicas.finishFetches();
  await running.frontend.stop(deadlineMs);
  await running.housekeeping.stop();
  running.directories.stop();
  running.following?.stop();
  running.replicas.close();
  running.observation.onStoreClosing();
  await running.metadataLog?.close();
  await running.clusterBroker?.stop();
  await running.store.close(running.life.epoch());
  running.requestLog.close();
  await running.observation.close();
}

async function startBroker(options: BrokerOptions): Promise<RunningBroker> {
  const logger = options.logger ?? SILENT_LOGGER;
  const config = resolveConfig(options, logger);
  const { settings, errors } = brokerSettings(config);
  if (settings === null) throw new BrokerStartError("CONFIG_INVALID", errors.join("\n"));
  const table = new HandlerTable();
  const undo: (() => void | Promise<void>)[] = [];
  const observation = new Observation(settings, logger);
  undo.push(() => observation.close());
  try {
    const encoder = new ReplyEncoder({
      planCopy: (plan, row, into, at) => store.planCopy(plan, row, into, at),
      planDrop: (plan) => store.planDrop(plan),
    });
    const requestLog = new RequestLog(logger, (error) => options.onFatal?.(error));
    undo.push(() => requestLog.close());
    const dispatcher = new Dispatcher(table, encoder, requestLog, () => SYSTEM_CLOCK.monotonicMs());
    if (settings.sluiceRaiseOpenFiles) raiseOpenFileLimit();
    const node = await openClusterNode(settings, config, logger, options);
    const early =
      settings.cluster?.isController === false
        ? new EarlyRequests(dispatcher, (apiKey) => table.get(apiKey) !== undefined)
        : null;
    const frames = node?.guard(early ?? dispatcher) ?? dispatcher;
    const frontend = await openFrontend(settings, frames, requestLog, logger, (line) =>
      options.onFatal?.(new Error(line)),
    );
    undo.push(() => frontend.stop(0));
    requireWanted(options.signal);
    // An embedding program gets no port that it did not ask for.
    const isAdminSet = config.origins.has("sluice.admin.listener");
    if (isAdminSet || options.configuration !== undefined) observation.openAdmin(isAdminSet);
    observation.onRecovering(frontend, dispatcher.statistics);
    const startedMs = SYSTEM_CLOCK.monotonicMs();
    const store = await openStore(config, settings, node?.identity.clusterId ?? null, logger);
    const life: BrokerLife = { epoch: () => NO_BROKER_EPOCH };
    undo.push(() => store.close(life.epoch()));
    node?.useDirectory(await metadataDirectoryId(settings, store.report));
    observation.onStoreOpen(store, (SYSTEM_CLOCK.monotonicMs() - startedMs) / 1000);
    undo.push(() => observation.onStoreClosing());
    requireWanted(options.signal);
    return await assemble({
      logger,
      observation,
      requestLog,
      config,
      settings,
      table,
      node,
      frontend,
      early,
      requests: dispatcher.statistics,
      store,
      life,
      undo,
      onFatal: (error) => options.onFatal?.(error),
      signal: options.signal,
    });
  } catch (error) {
    observation.onStopping();
    for (const step of undo.reverse()) await step();
    throw asStartError(error);
  }
}

/** The life of this process as a broker. */
interface BrokerLife {
  /** Its epoch: what a stop in order is remembered by. */
  epoch: () => number;
}

interface Assembly {
  readonly logger: Logger;
  readonly observation: Observation;
  readonly requestLog: RequestLog;
  readonly config: BrokerConfig;
  readonly settings: BrokerSettings;
  readonly table: HandlerTable;
  /** Null for a node by itself. */
  readonly node: ClusterNode | null;
  readonly frontend: Frontend;
  /** Where requests wait that come before this node serves clients; null where its sockets are not read before. */
  readonly early: EarlyRequests | null;
  /** Of the requests that this thread serves. */
  readonly requests: RequestStatistics;
  readonly store: LogStore;
  readonly life: BrokerLife;
  /** What to undo, last first, when the start fails later on. */
  readonly undo: (() => void | Promise<void>)[];
  readonly onFatal: (error: Error) => void;
  readonly signal: AbortSignal | undefined;
}

/** This node's part in its cluster; null for a node by itself. Nothing is open yet. */
async function openClusterNode(
  settings: BrokerSettings,
  config: BrokerConfig,
  logger: Logger,
  options: BrokerOptions,
): Promise<ClusterNode | null> {
  const { cluster } = settings;
  if (cluster === null) {
    requireNoMember(settings);
    return null;
  }
  const formation = await formCluster({ settings, cluster, logger, signal: options.signal });
  const onFatal = (error: Error): void => options.onFatal?.(error);
  return new ClusterNode({ settings, cluster, formation, config, logger, onFatal });
}

/** @throws BrokerStartError when nobody wants the broker any more. */
function requireWanted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true)
    throw new BrokerStartError("START_ABORTED", "stopped while it started");
}

/** Metadata of a node by itself. */
interface OwnMetadata {
  readonly log: MetadataLog;
  readonly loader: MetadataLoader;
}

function ownMetadata(
  settings: BrokerSettings,
  logger: Logger,
  onPoisoned: (error: Error) => void,
): OwnMetadata {
  const { nodeId, metadataLogDir: directory } = settings;
  const log = settings.sluiceInMemory
    ? new MemoryMetadataLog()
    : new FileMetadataLog({ directory, nodeId, clock: SYSTEM_CLOCK, onPoisoned });
  const loader = new MetadataLoader({
    log,
    maxBytesBetweenSnapshots: settings.metadataLogMaxRecordBytesBetweenSnapshots,
    onSnapshotFailure: (error) =>
      logger.error("cannot write a metadata snapshot", errorFields(error)),
  });
  return { log, loader };
}

/** From open logs to the first request. */
async function assemble(assembly: Assembly): Promise<RunningBroker> {
  const { logger, observation, requestLog, config, settings, table, frontend, store, undo } =
    assembly;
  const { onFatal, node, early, signal } = assembly;
  const { nodeId } = settings;
  const { clusterId } = store.report;
  const wheel = new TimerWheel(SYSTEM_CLOCK, SYSTEM_SCHEDULER, DEADLINE_SLOT_MS);
  const replicas = new ReplicaManager(store, SYSTEM_CLOCK, wheel);
  undo.push(() => replicas.close());
  const directory = new PartitionDirectory(settings.sluiceMetricsTopicsMax);
  const { transport } = frontend;
  const lane =
    transport === null
      ? null
      : new LaneFeed({
          transport,
          directory,
          replicas,
          requests: assembly.requests,
          fetchMaxBytes: settings.fetchMaxBytes,
        });
  const own = node === null ? ownMetadata(settings, logger, onFatal) : null;
  if (own !== null) undo.push(() => own.log.close());
  const loader = own?.loader ?? requireNode(node).metadata;
  const current = new CurrentBrokerConfig(config, nodeId);
  const directories = new DirectoryWatch({
    store,
    logger,
    onAllFailed: onFatal,
    onLook: () => {
      setAside.look();
      moves.look();
      assignments.look();
      partitions
        .retryMissing(loader.image)
        .then((made) => {
          if (made.length > 0) following?.retryMissing(loader.image);
          for (const { topic, partition, leaderEpoch } of made) {
            logger.info("partition made at last", { topic, partition });
            if (topic === OFFSETS_TOPIC) loadGroups(groups, partition, leaderEpoch, logger);
          }
        })
        .catch((error: unknown) => logger.error("cannot tell of partitions", errorFields(error)));
    },
  });
  undo.push(() => directories.stop());
  const loggers = new LoggerLevels(logger);
  const decisions = {
    nodeId,
    loader: node?.controllerState ?? loader,
    config: () => node?.controllerConfig ?? current.config,
    random: SYSTEM_RANDOM,
    loggers,
    isPattern,
  };
  const controller = new Controller({
    ...decisions,
    // Which broker's disks are full is not the controller's to see.
    ...(settings.cluster === null
      ? { creationRefusal: () => directories.creationRefusal() }
      : { cluster: { clusterId, liveness: livenessOf(settings.cluster) } }),
  });
  const cordons = new CordonedDirectories({
    dirs: store.report.dirs,
    config: () => current.config,
    image: () => loader.image,
    onChange: () => {
      if (clusterBroker !== null) return clusterBroker.tellCordoned();
      controller.cordon(cordons.shown).catch((error: unknown) => {
        logger.error("cannot note which log directories are cordoned", errorFields(error));
      });
    },
  });
  const throttles = node === null ? null : new ReplicationThrottles(nodeId, config);
  const setAside = new SetAside({
    store,
    logger,
    onReopened: (candidates) => {
      following?.followAnew(loader.image, candidates);
      for (const { topic, partition } of candidates) {
        const led = loader.image.topicsByName.get(topic)?.partitions[partition];
        if (topic === OFFSETS_TOPIC && led?.leader === nodeId)
          loadGroups(groups, partition, led.leaderEpoch, logger);
      }
    },
  });
  const moves = new ReplicaMoves({
    nodeId,
    store,
    image: () => loader.image,
    handleOf: (topic, partition) => partitions.handleOf(topic, partition),
    isCordoned: (path) => cordons.isCordoned(path),
    onMoved: (topic, partition) => assignments.check(topic, partition),
    logger,
  });
  const partitions = new PartitionStore({
    store,
    throttles,
    takeWish: (topic, partition) => moves.takeWish(topic, partition),
    logger,
    nodeId: settings.nodeId,
    givesRoles: node === null,
    onDirectoryChange: (changes) => {
      for (const change of changes) directory.apply(change);
      return frontend.publish(changes);
    },
  });
  const endpoints = settings.advertisedListeners.map((listener, index) => ({
    name: listener.name,
    host: listener.host,
    // Another broker cannot be told "the port you came to".
    port:
      node !== null && listener.port === 0 ? (frontend.listeners[index]?.port ?? 0) : listener.port,
    securityProtocol: securityProtocolId(listener.securityProtocol),
  }));
  const logDirs = store.report.dirs
    .filter(({ error }) => error === null)
    .map(({ directoryId }) => directoryId);
  const clusterBroker =
    node === null || settings.cluster === null
      ? null
      : new ClusterBroker({
          node,
          settings,
          cluster: settings.cluster,
          controller,
          requestLog,
          endpoints,
          logDirs,
          closedBrokerEpoch: store.report.closedBrokerEpoch,
          directories,
          cordons,
          logger,
          onFatal: (error) => onFatal(error instanceof Error ? error : new Error(String(error))),
        });
  if (clusterBroker !== null) undo.push(() => clusterBroker.stop());
  assembly.life.epoch = () =>
    clusterBroker?.brokerEpoch ?? loader.image.brokers.get(nodeId)?.epoch ?? NO_BROKER_EPOCH;
  const following =
    clusterBroker === null || settings.cluster === null
      ? null
      : new Following({
          nodeId,
          config,
          node: clusterBroker.node,
          brokerEpoch: () => clusterBroker.brokerEpoch,
          controllerTimeoutMs: settings.cluster.controllerSocketTimeoutMs,
          store,
          partitions,
          throttles,
          logger,
        });
  if (following !== null) undo.push(() => following.stop());
  const access: ControllerAccess = clusterBroker?.access(
    () => current.config,
    // Loggers are set here, whoever decides on everything else.
    new Controller(decisions),
    new Controller({ ...decisions, refusal: CONTROLLER_UNAVAILABLE }),
  ) ?? {
    serve: (create) => create(controller),
    route: (handler) => handler,
    configs: controller,
    createAutomatically: (names) => controller.createAutomatically(names),
    allocateProducerIds: () => controller.allocateProducerIds(),
    assignReplicasToDirs: (request) => controller.assignReplicasToDirs(request),
  };
  const assignments = new DirectoryAssignments({
    nodeId,
    store,
    image: () => loader.image,
    brokerEpoch: () => assembly.life.epoch(),
    handleFor: (topic, topicId, partition) => partitions.handleFor(topic, topicId, partition),
    assign: (request) => access.assignReplicasToDirs(request),
    logger,
  });
  const topics = new GroupTopics();
  loader.addPublisher(topics);
  const offsetsLog = new CoordinatorLog({
    topic: OFFSETS_TOPIC,
    find: (partition) => directory.topicByName(OFFSETS_TOPIC)?.partitions[partition],
    maxMessageBytes: (partition) => partitions.configOf(OFFSETS_TOPIC, partition)?.maxMessageBytes,
    replicas,
    log: store,
    decompressor: nativeCodecs,
    clock: SYSTEM_CLOCK,
    scheduler: SYSTEM_SCHEDULER,
    giveWay: () => new Promise((resolve) => void setImmediate(resolve)),
  });
  const settingsOfGroups = new GroupSettingsCache(() => current.config);
  const groups = createGroupCoordinator({
    config: {
      ...settings,
      offsetsRetentionMs: settings.offsetsRetentionMinutes * 60_000,
    },
    groupSettings: (groupId) =>
      settingsOfGroups.of(configValues(loader.image, ResourceType.GROUP, groupId)),
    writer: offsetsLog,
    loader: offsetsLog,
    topics,
    xxh3: (bytes) => Bun.hash.xxHash3(bytes),
    clock: SYSTEM_CLOCK,
    scheduler: SYSTEM_SCHEDULER,
    random: SYSTEM_RANDOM,
    ensureOffsetsTopic: () => createInternalTopic(access, OFFSETS_TOPIC),
    onCompactionFailed: (partition, error) =>
      logger.warn("cannot compact a log of committed offsets; it grows until that succeeds", {
        partition: `${OFFSETS_TOPIC}-${partition}`,
        ...errorFields(error),
      }),
  });
  loader.addPublisher(current);
  loader.addPublisher(cordons);
  const elections = new ElectionCounter();
  loader.addPublisher(elections);
  loader.addPublisher(moves);
  let limitedBy = config;
  loader.addPublisher({
    onMetadataUpdate(): void | Promise<void> {
      if (current.config === limitedBy) return undefined;
      limitedBy = current.config;
      return frontend.limitConnections(connectionLimitSettings(limitedBy));
    },
  });
  loader.addPublisher(
    new ProvisioningPublisher({
      nodeId,
      provisioner: partitions,
      config: () => current.config,
      onFailure: (action, error) =>
        logger.error("cannot bring a partition in line with the metadata", {
          action,
          ...errorFields(error),
        }),
    }),
  );
  if (following !== null) loader.addPublisher(following);
  loader.addPublisher(partitions);
  loader.addPublisher(assignments);
  loader.addPublisher(groupPublisher(groups, nodeId, logger));
  // A node that is only a broker has no listener but this one for what the quorum tells it.
  if (early !== null) frontend.serve();
  if (own === null) await clusterBroker?.join(signal);
  else await own.loader.load();
  requireWanted(signal);
  const strays = partitions.strayNames;
  if (strays.length > 0) {
    logger.warn("no topic explains these partitions, they are left alone", {
      partitionCount: strays.length,
      partitions: strays.join(" "),
    });
  }
  if (clusterBroker === null) {
    await controller.start({ endpoints, rack: settings.brokerRack, logDirs });
    await controller.cordon(cordons.shown);
  }
  cordons.start();
  groups.start();
  const sessions = new FetchSessionCache(
    settings.maxIncrementalFetchSessionCacheSlots,
    SESSION_EVICTION_MS,
    SYSTEM_RANDOM,
  );
  const telemetry = new ClientTelemetry({
    image: () => loader.image,
    monotonicMs: () => SYSTEM_CLOCK.monotonicMs(),
    random: SYSTEM_RANDOM,
    telemetryMaxBytes: settings.telemetryMaxBytes,
    decompressor: nativeCodecs,
    isMatch,
  });
  addHandlers(table, {
    clusterId,
    settings,
    config: () => current.config,
    image: () => loader.image,
    access,
    groups,
    topics,
    directory,
    replicas,
    store,
    moves,
    // In a cluster the controller is told of failed directories, and takes leadership away.
    isDirectoryOnline: (id) => node !== null || directories.isOnline(id),
    cordons,
    loggers,
    telemetry,
    sessions,
    requestLog,
  });
  const housekeeping = new Housekeeping({
    store,
    logger,
    retentionIntervalMs: settings.logRetentionCheckIntervalMs,
    checkpointIntervalMs: Math.min(
      settings.logFlushOffsetCheckpointIntervalMs,
      settings.logFlushStartOffsetCheckpointIntervalMs,
      settings.replicaHighWatermarkCheckpointIntervalMs,
    ),
    snapshotIntervalMs: settings.metadataLogMaxSnapshotIntervalMs,
    snapshotMetadata: () => controller.snapshotIfGrown(),
  });
  housekeeping.start();
  directories.start();
  await clusterBroker?.enterService(signal);
  // The last wait: from here to the first request nobody can change his mind.
  requireWanted(signal);
  if (early === null) frontend.serve();
  else early.serve();
  const cluster = (): ClusterStatistics =>
    countCluster({
      nodeId,
      image: loader.image,
      config: current.config,
      isActiveController:
        settings.cluster?.isController === false ? null : (controller.cluster?.isActive ?? true),
      controllerId: node === null ? nodeId : node.leaderId,
      members: node?.members() ?? null,
      elections,
    });
  const parts = { replicas, sessions, directory, groups, telemetry, cordons };
  observation.onServing({ ...parts, node, cluster, following, lane });
  return {
    config,
    settings,
    frontend,
    groups,
    housekeeping,
    directories,
    replicas,
    metadataLog: own?.log ?? null,
    clusterBroker,
    following,
    life: assembly.life,
    store,
    requestLog,
    observation,
  };
}

function resolveConfig(options: BrokerOptions, logger: Logger): BrokerConfig {
  if (options.configuration !== undefined) return options.configuration;
  const { config, errors, warnings } = resolveOptions(options);
  for (const warning of warnings) logger.warn(warning);
  if (config === null) throw new BrokerStartError("CONFIG_INVALID", errors.join("\n"));
  return config;
}

/** Segment files that may be open at a time: at most half of all descriptors, so that connections have the rest. */
function maxOpenSegmentFiles(settings: BrokerSettings): number {
  return Math.min(settings.sluiceMaxOpenFiles, Math.floor(openFileLimit() / 2));
}

/** Opens the log directories, telling of a recovery that takes more than a moment. */
async function openStore(
  config: BrokerConfig,
  settings: BrokerSettings,
  clusterId: string | null,
  logger: Logger,
): Promise<LogStore> {
  const startedMs = SYSTEM_CLOCK.monotonicMs();
  const timer = setInterval(() => {
    const { total, done, currentPartition } = recoveryProgress();
    if (total > 0) {
      logger.info("recovering logs", {
        doneCount: done,
        totalCount: total,
        partition: currentPartition,
      });
    }
  }, 1000);
  try {
    const store = await openNativeStore({
      dirs: settings.logDirs,
      clusterId,
      nodeId: settings.nodeId,
      defaults: defaultLogConfig(config),
      recoveryThreads: settings.numRecoveryThreadsPerDataDir,
      maxOpenFiles: maxOpenSegmentFiles(settings),
      diskReserveBytes: settings.sluiceDiskReserveBytes,
      verifyOnRead: settings.sluiceVerifyOnRead,
      scrubBytesPerSecond: settings.sluiceScrubBytesPerSecond,
      scrubIntervalMs: settings.sluiceScrubIntervalMs,
      inMemory: settings.sluiceInMemory,
    });
    const { wasClean, partitions, dirs } = store.report;
    const partitionCount = partitions.length;
    const elapsedMs = Math.round(SYSTEM_CLOCK.monotonicMs() - startedMs);
    if (wasClean) logger.debug("opened the logs", { partitionCount, elapsedMs });
    else logger.info("recovered the logs after an unclean stop", { partitionCount, elapsedMs });
    for (const { path, error } of dirs) {
      if (error !== null) logger.error("a log directory is out of use", { path, error });
    }
    return store;
  } finally {
    clearInterval(timer);
  }
}

/** Whether names can be matched against a text. */
function isPattern(source: string): boolean {
  try {
    compilePattern(source);
    return true;
  } catch (error) {
    if (error instanceof InvalidPatternError) return false;
    throw error;
  }
}

/** Whether a pattern matches the whole of a text; one that an earlier broker stored and that is none here matches nothing. */
function isMatch(pattern: string, text: string): boolean {
  if (!isPattern(pattern)) return false;
  // Nobody is told apart by having no name, or by line feeds in it.
  const name = text === "" ? " " : text.replaceAll("\n", " ");
  return matchingNames(compilePattern(pattern), [name]).length > 0;
}

async function createInternalTopic(access: ControllerAccess, name: string): Promise<void> {
  const outcome = await access.createAutomatically([name]);
  const errorCode = outcome.get(name) ?? -1;
  if (errorCode !== 0) throw new Error(`cannot create ${name}: error ${errorCode}`);
}

function securityProtocolId(name: string): number {
  return (
    (SecurityProtocolId as Readonly<Record<string, number>>)[name] ?? SecurityProtocolId.PLAINTEXT
  );
}

function requireNode(node: ClusterNode | null): ClusterNode {
  assert(node !== null, "a node has metadata of its own or of a quorum");
  return node;
}

function livenessOf(cluster: ClusterSettings): BrokerLiveness {
  return new BrokerLiveness(() => cluster.brokerSessionTimeoutMs);
}

function asStartError(error: unknown): BrokerStartError {
  if (error instanceof BrokerStartError) return error;
  const code =
    error instanceof Error && "code" in error && typeof error.code === "string"
      ? error.code
      : "START_FAILED";
  return new BrokerStartError(code, error instanceof Error ? error.message : String(error), error);
}
