/**
 * The replication of a cluster node, put together: roles from metadata, fetchers for what it follows, and the in-sync replicas of what
 * it leads.
 */
import type { PeerConnector } from "#cluster/peer-connection.ts";
import type { ControllerChannel } from "#cluster/controller-channel.ts";
import { errorInfo } from "#common/error-code.ts";
import { LogLimiter } from "#common/log-limiter.ts";
import type { Logger } from "#common/logger.ts";
import type { BrokerConfig } from "#config/broker-config.ts";
import type { LogStore } from "#log/log.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import type { MetadataPublisher } from "#metadata/metadata-loader.ts";
import { AlterPartitionApi } from "#protocol/generated/alter-partition.ts";
import type { FollowerEvents, FollowerPartition } from "#replica/following/follower-partition.ts";
import {
  type FollowingStatistics,
  followingStatistics,
} from "#replica/following/following-statistics.ts";
import { IsrManager } from "#replica/following/isr-manager.ts";
import { IsrManagerDriver } from "#replica/following/isr-manager-driver.ts";
import { NativeReplicas } from "#replica/following/native-replicas.ts";
import { type FollowingConfig, maxAnswerBytes } from "#replica/following/ports.ts";
import { ReplicaFetchers } from "#replica/following/replica-fetchers.ts";
import { ReplicaPublisher } from "#replica/following/replica-publisher.ts";
import { createNativeAssist, createReadiness } from "#transport/sendfile.ts";
import type { NativeAssist } from "#transport/transport.ts";
import type { ClusterNode } from "./cluster-node.ts";
import type { PartitionStore } from "./partition-store.ts";
import type { ReplicationThrottles } from "./replication-throttles.ts";
import type { SetAsidePartition } from "./set-aside.ts";
import { SYSTEM_CLOCK, SYSTEM_SCHEDULER } from "./system-ports.ts";

const ALTER_PARTITION_VERSION = 3;

/** What following is made of. */
export interface FollowingOptions {
  readonly nodeId: number;
  readonly config: BrokerConfig;
  readonly node: ClusterNode;
  readonly brokerEpoch: () => number;
  readonly controllerTimeoutMs: number;
  readonly store: LogStore;
  readonly partitions: PartitionStore;
  readonly throttles: ReplicationThrottles | null;
  readonly logger: Logger;
}

/** See the head of the file. */
export class Following implements MetadataPublisher {
  readonly fetchers: ReplicaFetchers;
  readonly isr: IsrManager;
  readonly #publisher: ReplicaPublisher;
  readonly #driver: IsrManagerDriver;
  readonly #channel: ControllerChannel;

  constructor(options: FollowingOptions) {
    const { nodeId, node, brokerEpoch, store, partitions, logger } = options;
    const config = followingConfig(options.config);
    const assist = createNativeAssist();
    const connector = {
      maxFrameBytes: maxAnswerBytes(config),
      receiver: assist.receiver,
      readiness: createReadiness(),
      ...receiveBuffer(assist, options.config),
    };
    this.#channel = node.openChannel();
    this.fetchers = new ReplicaFetchers({
      nodeId,
      brokerEpoch,
      config,
      ...(options.throttles === null ? {} : { throttle: options.throttles }),
      connect: (leaderId) => node.connectToBroker(leaderId, connector),
      clock: SYSTEM_CLOCK,
      scheduler: SYSTEM_SCHEDULER,
      logger,
    });
    this.isr = new IsrManager({
      nodeId,
      brokerEpoch,
      events: {
        onChanged: ({ topic, partition }, before, after) =>
          logger.info("in-sync replicas changed", {
            partition: `${topic}-${partition}`,
            before: before.join(","),
            after: after.join(","),
          }),
        onRefused: ({ topic, partition }, errorCode) =>
          logger.debug("a change of in-sync replicas was refused", {
            partition: `${topic}-${partition}`,
            error: errorInfo(errorCode).name,
          }),
      },
    });
    this.#driver = new IsrManagerDriver({
      manager: this.isr,
      alterPartition: (request) =>
        this.#channel.send(AlterPartitionApi, ALTER_PARTITION_VERSION, request, {
          timeoutMs: options.controllerTimeoutMs,
        }),
      lagTimeMaxMs: config.lagTimeMaxMs,
      clock: SYSTEM_CLOCK,
      scheduler: SYSTEM_SCHEDULER,
      logger,
    });
    this.#publisher = new ReplicaPublisher({
      nodeId,
      replicas: new NativeReplicas({
        log: store,
        nodeId,
        clock: SYSTEM_CLOCK,
        lagTimeMaxMs: config.lagTimeMaxMs,
        handleOf: (topic, topicId, partition) => partitions.handleFor(topic, topicId, partition),
      }),
      fetchers: this.fetchers,
      isr: this.isr,
      onIsrChange: () => this.#driver.turn(),
      events: followerEvents(logger),
      fetchBackoffMs: config.fetchBackoffMs,
      logger,
    });
  }

  onMetadataUpdate(...update: Parameters<MetadataPublisher["onMetadataUpdate"]>): void {
    this.#publisher.onMetadataUpdate(...update);
  }

  /** Partitions that could not be made before may be there now. */
  retryMissing(image: ClusterImage): void {
    this.#publisher.retryMissing(image);
  }

  /** These may be in use again after their logs were not: they are fetched once more. */
  followAnew(image: ClusterImage, candidates: readonly SetAsidePartition[]): void {
    this.#publisher.followAnew(image, candidates);
  }

  /** What is counted, with at most `lagsMax` lags one by one. */
  statistics(lagsMax: number): FollowingStatistics {
    const { isr, fetchers } = this;
    return followingStatistics({
      isr,
      fetchers,
      missingCount: this.#publisher.missingCount,
      lagsMax,
    });
  }

  /** Fetches and proposes nothing more. */
  stop(): void {
    this.fetchers.stop();
    this.#driver.stop();
    this.#channel.close();
  }
}

/** Sets the kernel's buffer where somebody asked for one: Kafka's default is less than one answer, and the system's own sizing costs less. */
function receiveBuffer(
  assist: NativeAssist,
  config: BrokerConfig,
): Pick<PeerConnector, "configure"> {
  const key = "replica.socket.receive.buffer.bytes";
  const bytes = config.number(key);
  if (bytes < 0 || !config.origins.has(key)) return {};
  return { configure: (fd) => assist.setSocketBuffers(fd, -1, bytes) };
}

function followingConfig(config: BrokerConfig): FollowingConfig {
  return {
    fetchMaxBytes: config.number("replica.fetch.max.bytes"),
    fetchMinBytes: config.number("replica.fetch.min.bytes"),
    fetchWaitMaxMs: config.number("replica.fetch.wait.max.ms"),
    fetchResponseMaxBytes: config.number("replica.fetch.response.max.bytes"),
    fetchBackoffMs: config.number("replica.fetch.backoff.ms"),
    socketTimeoutMs: config.number("replica.socket.timeout.ms"),
    fetcherCount: config.number("num.replica.fetchers"),
    lagTimeMaxMs: config.number("replica.lag.time.max.ms"),
  };
}

/** What an operator is told of followed partitions: few lines, since one fault may concern thousands of them. */
function followerEvents(logger: Logger): FollowerEvents {
  const limiter = new LogLimiter(logger, SYSTEM_CLOCK);
  const named = ({ assignment }: FollowerPartition): Record<string, string | number> => ({
    partition: `${assignment.topic}-${assignment.partition}`,
    leaderId: assignment.leaderId,
    leaderEpoch: assignment.leaderEpoch,
  });
  return {
    onTruncated: (partition, fromOffset, toOffset, highWatermark) =>
      limiter.write("info", "truncated", "a followed log was cut to agree with its leader", () => ({
        ...named(partition),
        fromOffset,
        toOffset,
        highWatermark,
      })),
    onRestarted: (partition, fromOffset, toOffset) =>
      limiter.write("warn", "restarted", "a followed log starts over", () => ({
        ...named(partition),
        fromOffset,
        toOffset,
      })),
    onFailed: (partition, errorCode) =>
      limiter.write("error", "failed", "a partition cannot be followed", () => ({
        ...named(partition),
        error: errorInfo(errorCode).name,
      })),
    onRefused: (partition, errorCode) =>
      limiter.write("debug", "refused", "a leader has no records for now", () => ({
        ...named(partition),
        error: errorInfo(errorCode).name,
      })),
  };
}
