/**
 * A controller over a metadata log in memory, with one registered broker (id 1, one directory), as tests want it.
 *
 * ```ts
 * const cluster = await startCluster({ config: { "num.partitions": "3" } });
 * await cluster.createTopic("orders", 2);
 * cluster.controller.image.topicsByName.get("orders");
 * ```
 */
import { createLogger } from "#common/logger.ts";
import type { Random } from "#common/time.ts";
import { resolveBrokerConfig } from "#config/broker-config.ts";
import { LoggerLevels } from "#config/logger-levels.ts";
import { Controller } from "#controller/controller.ts";
import type { Refusal } from "#controller/decision.ts";
import { CurrentBrokerConfig } from "#metadata/current-broker-config.ts";
import { MetadataLoader } from "#metadata/metadata-loader.ts";
import { MemoryMetadataLog } from "#metadata/metadata-log.ts";
import type { MetadataLog } from "#metadata/metadata-log.ts";
import type { PartitionProvisioner } from "#metadata/provisioning-publisher.ts";
import { ProvisioningPublisher } from "#metadata/provisioning-publisher.ts";
import { makeCreatableTopic, makeCreateTopicsRequest } from "#protocol/generated/create-topics.ts";
import type { ConnectionInfo, RequestContext } from "#server/handler.ts";

/** Directory id of the only log directory. */
export const DIRECTORY_ID = "D0D0D0D0D0D0D0D0D0D0Dg";

/** Random numbers and ids that count up. */
export class CountingRandom implements Random {
  #count = 0;

  next(): number {
    return 0;
  }

  uuid(): string {
    this.#count += 1;
    return `T${String(this.#count).padStart(20, "0")}g`;
  }
}

/** What a test may choose. */
export interface ClusterOptions {
  readonly config?: Record<string, string>;
  readonly log?: MetadataLog;
  readonly provisioner?: PartitionProvisioner;
  readonly creationRefusal?: () => Refusal | null;
}

/** A running controller. */
export interface Cluster {
  readonly controller: Controller;
  readonly loader: MetadataLoader;
  readonly log: MetadataLog;
  readonly current: CurrentBrokerConfig;
  /** The logger `root` and its level. */
  readonly loggers: LoggerLevels;
  createTopic(
    name: string,
    numPartitions?: number,
    configs?: Record<string, string>,
  ): Promise<string>;
}

/** Starts a controller. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { config } = resolveBrokerConfig({ file: new Map(Object.entries(options.config ?? {})) });
  if (config === null) throw new Error("the test's configuration does not read");
  const log = options.log ?? new MemoryMetadataLog();
  const loader = new MetadataLoader({
    log,
    maxBytesBetweenSnapshots: Number.MAX_SAFE_INTEGER,
    onSnapshotFailure: (error) => {
      throw error;
    },
  });
  const current = new CurrentBrokerConfig(config, 1);
  loader.addPublisher(current);
  if (options.provisioner !== undefined) {
    loader.addPublisher(
      new ProvisioningPublisher({
        nodeId: 1,
        provisioner: options.provisioner,
        config: () => current.config,
        onFailure: () => undefined,
      }),
    );
  }
  await loader.load();
  const logger = createLogger("info", () => {});
  const loggers = new LoggerLevels(logger);
  const controller = new Controller({
    nodeId: 1,
    loader,
    config: () => current.config,
    random: new CountingRandom(),
    loggers,
    isPattern: (source) => !source.includes("["),
    ...(options.creationRefusal === undefined ? {} : { creationRefusal: options.creationRefusal }),
  });
  await controller.start({
    endpoints: [{ name: "PLAINTEXT", host: "127.0.0.1", port: 9092, securityProtocol: 0 }],
    rack: null,
    logDirs: [DIRECTORY_ID],
  });
  return {
    controller,
    loader,
    log,
    current,
    loggers,
    async createTopic(name, numPartitions = 1, configs = {}) {
      const row = makeCreatableTopic({
        name,
        numPartitions,
        replicationFactor: 1,
        configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
      });
      const { topics } = await controller.createTopics(
        makeCreateTopicsRequest({ topics: [row], timeoutMs: 1000 }),
      );
      const [created] = topics;
      if (created?.errorCode !== 0) throw new Error(`${name}: ${created?.errorMessage}`);
      return created.topicId;
    },
  };
}

/** A request of the given version from a client on the PLAINTEXT listener. */
export function contextOf(apiVersion: number): RequestContext {
  const connection: ConnectionInfo = {
    id: 1,
    listenerName: "PLAINTEXT",
    localHost: "10.0.0.9",
    localPort: 19092,
    clientHost: "10.0.0.2",
    clientPort: 50000,
    clientSoftwareName: "test",
    clientSoftwareVersion: "1",
    peerNodeId: -1,
  };
  return {
    apiKey: 0,
    apiVersion,
    correlationId: 1,
    clientId: "test",
    connection,
    receivedMonotonicMs: 0,
  };
}
