/**
 * The controller of a cluster of brokers that exist only as heartbeats: they register, catch up at once, join the in-sync sets they
 * belong to through their leaders' AlterPartition, and die or leave when told.
 *
 * ```ts
 * const cluster = await MemoryCluster.start({ racks: [null, null, null] });
 * await cluster.kill(3);           // its session ends
 * await cluster.settle();          // ISRs and reassignments get where they can
 * ```
 */
import { createLogger } from "#common/logger.ts";
import { resolveBrokerConfig } from "#config/broker-config.ts";
import { LoggerLevels } from "#config/logger-levels.ts";
import { BrokerLiveness } from "#controller/broker-liveness.ts";
import type { ClusterController } from "#controller/cluster-controller.ts";
import { Controller } from "#controller/controller.ts";
import { METADATA_VERSION } from "#controller/registration.ts";
import type { ClusterImage, PartitionImage } from "#metadata/cluster-image.ts";
import { CurrentBrokerConfig } from "#metadata/current-broker-config.ts";
import { MetadataLoader } from "#metadata/metadata-loader.ts";
import { MemoryMetadataLog } from "#metadata/metadata-log.ts";
import {
  makeAlterPartitionRequest,
  makeAlterPartitionRequestPartitionData,
  makeAlterPartitionRequestTopicData,
  makeBrokerState,
} from "#protocol/generated/alter-partition.ts";
import { makeBrokerHeartbeatRequest } from "#protocol/generated/broker-heartbeat.ts";
import type { BrokerHeartbeatResponse } from "#protocol/generated/broker-heartbeat.ts";
import {
  makeBrokerRegistrationRequest,
  makeFeature,
  makeListener,
} from "#protocol/generated/broker-registration.ts";
import type {
  BrokerRegistrationRequest,
  BrokerRegistrationResponse,
} from "#protocol/generated/broker-registration.ts";
import { CountingRandom } from "./cluster-fixture.ts";

export const CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAqg";
export const SESSION_TIMEOUT_MS = 9_000;

/** A broker as the test plays it. */
interface MemoryBroker {
  readonly id: number;
  readonly rack: string | null;
  life: number;
  epoch: number;
  isUp: boolean;
  isLeaving: boolean;
  /** Epoch of the life that it closed in order; -1 when it did not. */
  closedEpoch: number;
}

/** What a test may choose. */
export interface MemoryClusterOptions {
  /** Racks of the brokers, whose ids count from 1. */
  readonly racks: readonly (string | null)[];
  readonly config?: Readonly<Record<string, string>>;
  /** Told of every commit. */
  readonly onCommit?: (before: ClusterImage, after: ClusterImage) => void;
}

/** See the head of the file. */
export class MemoryCluster {
  readonly controller: Controller;
  readonly desk: ClusterController;
  readonly liveness: BrokerLiveness;
  readonly brokers: readonly MemoryBroker[];
  nowMs = 1_000_000;

  private constructor(
    controller: Controller,
    liveness: BrokerLiveness,
    brokers: readonly MemoryBroker[],
  ) {
    this.controller = controller;
    this.liveness = liveness;
    this.brokers = brokers;
    if (controller.cluster === null) throw new Error("the controller is alone");
    this.desk = controller.cluster;
  }

  /** A cluster with all its brokers in service. */
  static async start({
    racks,
    config = {},
    onCommit,
  }: MemoryClusterOptions): Promise<MemoryCluster> {
    const { config: resolved } = resolveBrokerConfig({ file: new Map(Object.entries(config)) });
    if (resolved === null) throw new Error("the test's configuration does not read");
    const loader = new MetadataLoader({
      log: new MemoryMetadataLog(),
      maxBytesBetweenSnapshots: Number.MAX_SAFE_INTEGER,
      onSnapshotFailure: (error) => {
        throw error;
      },
    });
    const current = new CurrentBrokerConfig(resolved, 1);
    loader.addPublisher(current);
    loader.addPublisher({ onMetadataUpdate: ({ base }, image) => onCommit?.(base, image) });
    await loader.load();
    const liveness = new BrokerLiveness(() => SESSION_TIMEOUT_MS);
    const controller = new Controller({
      nodeId: 1,
      loader,
      config: () => current.config,
      random: new CountingRandom(),
      loggers: new LoggerLevels(createLogger("info", () => {})),
      isPattern: () => true,
      cluster: { clusterId: CLUSTER_ID, liveness },
    });
    const brokers = racks.map((rack, index) => ({
      id: index + 1,
      rack,
      life: 0,
      epoch: -1,
      isUp: false,
      isLeaving: false,
      closedEpoch: -1,
    }));
    const cluster = new MemoryCluster(controller, liveness, brokers);
    await cluster.desk.activate(cluster.nowMs);
    for (const { id } of brokers) await cluster.boot(id);
    return cluster;
  }

  get image(): ClusterImage {
    return this.controller.image;
  }

  broker(id: number): MemoryBroker {
    const found = this.brokers.find((broker) => broker.id === id);
    if (found === undefined) throw new Error(`there is no broker ${id}`);
    return found;
  }

  partition(topic: string, index: number): PartitionImage {
    const found = this.image.topicsByName.get(topic)?.partitions[index];
    if (found === undefined) throw new Error(`there is no partition ${topic}-${index}`);
    return found;
  }

  /** Asks for the registration of a broker's present life. */
  register(
    id: number,
    init: Partial<BrokerRegistrationRequest> = {},
  ): Promise<BrokerRegistrationResponse> {
    const { rack, life, closedEpoch } = this.broker(id);
    const request = makeBrokerRegistrationRequest({
      brokerId: id,
      clusterId: CLUSTER_ID,
      incarnationId: uuid(id, life),
      listeners: [makeListener({ name: "PLAINTEXT", host: `host-${id}`, port: 9092 })],
      features: [
        ["metadata.version", 7, METADATA_VERSION] as const,
        ["group.version", 0, 1] as const,
        ["eligible.leader.replicas.version", 0, 1] as const,
      ].map(([name, minSupportedVersion, maxSupportedVersion]) =>
        makeFeature({ name, minSupportedVersion, maxSupportedVersion }),
      ),
      rack,
      logDirs: [uuid(id, 10_000)],
      previousBrokerEpoch: closedEpoch,
      ...init,
    });
    return this.desk.registerBroker(request, this.nowMs);
  }

  /** Starts a broker: a new life, in service when this settles. Its session before must be over. */
  async boot(id: number): Promise<void> {
    const broker = this.broker(id);
    broker.life += 1;
    const { errorCode, brokerEpoch } = await this.register(id);
    if (errorCode !== 0) throw new Error(`broker ${id} was not registered: ${errorCode}`);
    broker.epoch = brokerEpoch;
    broker.isUp = true;
    broker.closedEpoch = -1;
    await this.beat(id);
  }

  /** One heartbeat of a broker that has read everything. One that leaves and may go is down after it. */
  async beat(id: number): Promise<BrokerHeartbeatResponse> {
    const broker = this.broker(id);
    const request = makeBrokerHeartbeatRequest({
      brokerId: id,
      brokerEpoch: broker.epoch,
      currentMetadataOffset: this.image.offset,
      wantShutDown: broker.isLeaving,
    });
    const response = await this.desk.brokerHeartbeat(request, this.nowMs);
    if (response.shouldShutDown) {
      broker.isUp = false;
      broker.isLeaving = false;
      broker.closedEpoch = broker.epoch;
    }
    return response;
  }

  /** Heartbeats of all brokers that are up. */
  async beatAll(): Promise<void> {
    for (const { id, isUp } of this.brokers) if (isUp) await this.beat(id);
  }

  /** Ends a broker where it stands; the others live on until its session is over. */
  async kill(id: number): Promise<void> {
    this.broker(id).isUp = false;
    await this.pass(SESSION_TIMEOUT_MS + 1);
  }

  /** Time passes: brokers that are up send heartbeats, and the controller looks at its clock. */
  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    while (this.nowMs < endMs) {
      this.nowMs = Math.min(endMs, this.nowMs + 1_000);
      await this.beatAll();
      await this.desk.onTick(this.nowMs);
    }
  }

  /** Shuts a broker down in order. */
  async stop(id: number): Promise<void> {
    const broker = this.broker(id);
    broker.isLeaving = true;
    for (let attempt = 0; attempt < 10 && broker.isUp; attempt++) await this.settle();
    if (broker.isUp) throw new Error(`broker ${id} was never allowed to go`);
  }

  /** Leaders bring their in-sync sets to what is there, and everybody reads everything, until nothing changes any more. */
  async settle(): Promise<void> {
    for (let before = -1; before !== this.image.offset;) {
      before = this.image.offset;
      await this.beatAll();
      for (const topic of this.image.topicsById.values()) {
        for (const { partitionId } of topic.partitions)
          await this.#replicate(topic.id, partitionId);
      }
    }
  }

  async #replicate(topicId: string, partitionIndex: number): Promise<void> {
    const partition = this.image.topicsById.get(topicId)?.partitions[partitionIndex];
    if (partition === undefined || partition.leader === -1) return;
    const leader = this.broker(partition.leader);
    const caughtUp = partition.replicas.filter((id) => {
      const broker = this.image.brokers.get(id);
      const isServing = broker?.isFenced === false && !broker.isInControlledShutdown;
      return isServing && this.broker(id).isUp && this.broker(id).epoch === broker.epoch;
    });
    const isr = [
      ...partition.isr.filter((id) => caughtUp.includes(id)),
      ...caughtUp.filter((id) => !partition.isr.includes(id)),
    ];
    const isSame = isr.length === partition.isr.length && partition.leaderRecoveryState === 0;
    if (!leader.isUp || isSame || !isr.includes(leader.id)) return;
    const row = makeAlterPartitionRequestPartitionData({
      partitionIndex,
      leaderEpoch: partition.leaderEpoch,
      partitionEpoch: partition.partitionEpoch,
      newIsrWithEpochs: isr.map((id) =>
        makeBrokerState({ brokerId: id, brokerEpoch: this.broker(id).epoch }),
      ),
    });
    const topics = [makeAlterPartitionRequestTopicData({ topicId, partitions: [row] })];
    await this.desk.alterPartition(
      makeAlterPartitionRequest({ brokerId: leader.id, brokerEpoch: leader.epoch, topics }),
      3,
    );
  }
}

/** An id that two numbers make up. */
function uuid(high: number, low: number): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32BE(high + 1000, 4);
  bytes.writeUInt32BE(low + 1000, 12);
  return bytes.toString("base64url");
}
