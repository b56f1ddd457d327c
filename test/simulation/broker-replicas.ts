/**
 * The replicas of a simulated broker: brings them in line with the metadata, fetches from leaders, keeps ISRs, and serves clients and followers.
 */
import { ErrorCode } from "#common/error-code.ts";
import { SetAside } from "#broker/set-aside.ts";
import { createLogger } from "#common/logger.ts";
import type { Random } from "#common/time.ts";
import { OFFSETS_TOPIC } from "#coordinator/group/group-coordinator.ts";
import { Columns, Isolation, LogError } from "#log/log.ts";
import type { ClusterDelta } from "#metadata/cluster-delta.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import type { MetadataPublisher } from "#metadata/metadata-loader.ts";
import type {
  AlterPartitionRequest,
  AlterPartitionResponse,
} from "#protocol/generated/alter-partition.ts";
import {
  type FetchRequest,
  type FetchResponse,
  makeEpochEndOffset,
  makeFetchableTopicResponse,
  makeFetchResponse,
  makePartitionData,
} from "#protocol/generated/fetch.ts";
import {
  type ListOffsetsRequest,
  type ListOffsetsResponse,
  makeListOffsetsPartitionResponse,
  makeListOffsetsResponse,
  makeListOffsetsTopicResponse,
} from "#protocol/generated/list-offsets.ts";
import type { FollowerEvents, FollowerPartition } from "#replica/following/follower-partition.ts";
import { IsrManager } from "#replica/following/isr-manager.ts";
import { IsrManagerDriver } from "#replica/following/isr-manager-driver.ts";
import { DEFAULT_FOLLOWING_CONFIG, type FollowingConfig } from "#replica/following/ports.ts";
import { NativeReplicas } from "#replica/following/native-replicas.ts";
import { ReplicaFetchers } from "#replica/following/replica-fetchers.ts";
import { ReplicaPublisher } from "#replica/following/replica-publisher.ts";
import { AppendOrigin, FETCH_RESULT_COLUMNS, FetchColumn } from "#replica/log-port.ts";
import { FetchRows, isReadable, ReplicaManager } from "#replica/replica-manager.ts";
import type { ClientRequest, FetchAnswer, MetadataAnswer, ProduceAnswer } from "./clients.ts";
import type { SimulatedStore } from "./disk.ts";
import type { Plan } from "./faults.ts";
import type { Peers } from "./peers.ts";
import { lookAt } from "./replica-look.ts";
import type { ReplicaLook } from "./replica-rules.ts";
import { CallFailure } from "./rpc.ts";
import type { Lookable, Rules } from "./rules.ts";
import { GroupCoordination } from "./group-coordination.ts";
import { slotOf, TOPIC } from "./names.ts";
import type { Machine, World } from "./world.ts";

const LAG_TIME_MAX_MS = 1000;
const FETCH_BYTES = 1 << 20;
/** Pause before a partition is tried again that could not be made, or whose log was set aside on a full disk. */
const RETRY_MS = 500;

/** What they work with. */
export interface BrokerReplicasOptions {
  readonly nodeId: number;
  readonly machine: Machine;
  readonly world: World;
  readonly store: SimulatedStore;
  readonly peers: Peers;
  readonly plan: Plan;
  readonly rules: Rules;
  readonly random: Random;
  readonly brokerEpoch: () => number;
  readonly alterPartition: (request: AlterPartitionRequest) => Promise<AlterPartitionResponse>;
}

interface Hosted extends Lookable {
  readonly topicId: string;
}

const CONFIG: FollowingConfig = {
  ...DEFAULT_FOLLOWING_CONFIG,
  lagTimeMaxMs: LAG_TIME_MAX_MS,
  socketTimeoutMs: 2000,
};

/** See the head of the file. */
export class BrokerReplicas implements MetadataPublisher {
  readonly #options: BrokerReplicasOptions;
  /** By slot, as what follows. */
  readonly #hosted: Map<number, Hosted> = new Map();
  /** On disk, and unknown to everybody until the metadata says what they are. */
  readonly #found: Map<number, number> = new Map();
  readonly #fetchers: ReplicaFetchers;
  readonly #isr: IsrManagerDriver;
  readonly #publisher: ReplicaPublisher;
  readonly #manager: ReplicaManager;
  readonly #groups: GroupCoordination | null;
  #image: ClusterImage | null = null;
  #isClosed = false;

  constructor(options: BrokerReplicasOptions) {
    this.#options = options;
    const { nodeId, machine, peers, brokerEpoch, plan } = options;
    const logger = createLogger("error", (_, message, fields) =>
      options.world.trace(`node ${nodeId} logs ${message} ${JSON.stringify(fields)}`),
    );
    this.#manager = new ReplicaManager(options.store, machine, machine);
    const common = { clock: machine, scheduler: machine, logger };
    this.#fetchers = new ReplicaFetchers({
      ...common,
      nodeId,
      brokerEpoch,
      config: CONFIG,
      connect: (leaderId) => Promise.resolve(peers.connect(leaderId)),
    });
    const manager = new IsrManager({
      nodeId,
      brokerEpoch,
      events: { onChanged: () => {}, onRefused: () => {} },
      rules: { usesMaximalIsr: !plan.switchedOff.includes("maximal-isr") },
    });
    this.#isr = new IsrManagerDriver({
      ...common,
      manager,
      alterPartition: options.alterPartition,
      lagTimeMaxMs: LAG_TIME_MAX_MS,
    });
    this.#publisher = new ReplicaPublisher({
      nodeId,
      replicas: new NativeReplicas({
        log: options.store,
        nodeId,
        clock: machine,
        lagTimeMaxMs: LAG_TIME_MAX_MS,
        handleOf: (topic, topicId, partition) => {
          const hosted = this.#hostedOf(topic, partition);
          return hosted?.topicId === topicId ? hosted.handle : undefined;
        },
      }),
      fetchers: this.#fetchers,
      isr: manager,
      onIsrChange: () => this.#isr.turn(),
      events: this.#events(),
      fetchBackoffMs: CONFIG.fetchBackoffMs,
      logger,
      followerRules: {
        truncatesToHighWatermark: plan.switchedOff.includes("truncate-by-epoch"),
      },
    });
    for (const { handle, topic, partition } of options.store.report.partitions) {
      this.#found.set(slotOf(topic, partition, plan.partitionCount) ?? -1, handle);
    }
    this.#groups = plan.memberCount === 0 ? null : this.#openGroups();
    const setAside = new SetAside({
      store: options.store,
      onReopened: (candidates) => {
        options.world.count("log open again after a full disk");
        if (this.#image !== null) this.#publisher.followAnew(this.#image, candidates);
        this.#loadGroups();
      },
      logger,
    });
    this.#lookLater(setAside);
  }

  /** What there is to look at. */
  hosted(): Iterable<Lookable> {
    return this.#hosted.values();
  }

  close(): void {
    this.#isClosed = true;
    this.#fetchers.stop();
    this.#isr.stop();
    this.#manager.close();
  }

  onMetadataUpdate(delta: ClusterDelta, image: ClusterImage): void {
    const { nodeId, plan } = this.#options;
    this.#image = image;
    this.#provideAll(image);
    this.#publisher.onMetadataUpdate(delta, image);
    for (const publisher of this.#groups?.publishers ?? [])
      void publisher.onMetadataUpdate(delta, image);
    for (const { name, partitions } of image.topicsById.values()) {
      for (const { partitionId, replicas } of partitions) {
        const slot = slotOf(name, partitionId, plan.partitionCount);
        if (slot !== undefined && !replicas.includes(nodeId)) this.#delete(slot);
      }
    }
  }

  #openGroups(): GroupCoordination {
    const { world, machine, plan, store, random } = this.#options;
    return new GroupCoordination({
      world,
      machine,
      plan,
      store,
      random,
      replicas: this.#manager,
      find: (partition) => {
        const hosted = this.#hostedOf(OFFSETS_TOPIC, partition);
        const known = this.#image?.topicsByName.get(OFFSETS_TOPIC)?.partitions[partition];
        if (hosted === undefined || known === undefined) return undefined;
        return { handle: hosted.handle, leaderEpoch: known.leaderEpoch };
      },
    });
  }

  #hostedOf(topic: string | undefined, partition: number): Hosted | undefined {
    return this.#hosted.get(slotOf(topic, partition, this.#options.plan.partitionCount) ?? -1);
  }

  /** The partition is somebody else's now. */
  #delete(slot: number): void {
    const { store, rules, nodeId, world } = this.#options;
    const handle = this.#hosted.get(slot)?.handle ?? this.#found.get(slot);
    this.#hosted.delete(slot);
    this.#found.delete(slot);
    if (handle === undefined) return;
    world.trace(`node ${nodeId} partition ${slot}: deletes its replica`);
    store.deletePartition(handle);
    rules.onDeleted(nodeId, slot);
  }

  #provide(topic: string, topicId: string, partition: number): void {
    const { store, plan } = this.#options;
    const slot = slotOf(topic, partition, plan.partitionCount) ?? -1;
    const config = { minInsyncReplicas: plan.switchedOff.includes("min-isr") ? 1 : plan.minIsr };
    if (this.#hosted.has(slot)) return;
    const found = this.#found.get(slot);
    let handle: number;
    try {
      handle = found ?? store.createPartition({ topic, partition, topicId, config });
    } catch (error) {
      if (!(error instanceof LogError)) throw error;
      this.#retryLater(topic, error);
      return;
    }
    if (found !== undefined) store.configurePartition(found, config);
    const look = (before?: ReplicaLook | null): ReplicaLook | null => lookAt(store, handle, before);
    this.#hosted.set(slot, { slot, topicId, store, handle, look });
  }

  /** Tries logs that were set aside at the start again and again, as a broker does. */
  #lookLater(setAside: SetAside): void {
    this.#options.machine.after(RETRY_MS, () => {
      if (this.#isClosed) return;
      setAside.look();
      this.#lookLater(setAside);
    });
  }

  /** The coordinator hears that a log it may have missed is there. */
  #loadGroups(): void {
    const led = this.#image?.topicsByName.get(OFFSETS_TOPIC)?.partitions[0];
    if (led?.leader === this.#options.nodeId) this.#groups?.load(0, led.leaderEpoch);
  }

  /** A partition could not be made on a full disk: it is tried again, as a broker does. */
  #retryLater(topic: string, why: LogError): void {
    const { machine, world, nodeId } = this.#options;
    world.count("replica not made on a full disk");
    world.trace(`node ${nodeId} cannot make a replica: ${why.message}`);
    machine.after(RETRY_MS, () => {
      const image = this.#image;
      if (this.#isClosed || image === null) return;
      this.#provideAll(image);
      this.#publisher.retryMissing(image);
      if (topic === OFFSETS_TOPIC && this.#hostedOf(topic, 0) !== undefined) this.#loadGroups();
    });
  }

  #provideAll(image: ClusterImage): void {
    for (const { name, id, partitions } of image.topicsById.values()) {
      for (const { partitionId, replicas } of partitions)
        if (replicas.includes(this.#options.nodeId)) this.#provide(name, id, partitionId);
    }
  }

  #events(): FollowerEvents {
    const tell = (partition: FollowerPartition, what: string): void => {
      const { nodeId, world } = this.#options;
      world.trace(`node ${nodeId} partition ${partition.assignment.partition}: ${what}`);
    };
    return {
      onTruncated: (partition, from, to) => tell(partition, `cuts its log from ${from} to ${to}`),
      onRestarted: (partition, from, to) =>
        tell(partition, `starts over at ${to} instead of ${from}`),
      onFailed: (partition, code) => tell(partition, `fails to follow: ${code}`),
      onRefused: (partition, code) => tell(partition, `is refused: ${code}`),
    };
  }

  // ---- serving

  serveClient(request: ClientRequest, image: ClusterImage): Promise<unknown> {
    switch (request.kind) {
      case "metadata": {
        const leaders = [TOPIC, OFFSETS_TOPIC].flatMap((name) =>
          (image.topicsByName.get(name)?.partitions ?? []).map(({ leader, leaderEpoch }) => ({
            leader,
            leaderEpoch,
          })),
        );
        return Promise.resolve({ leaders } satisfies MetadataAnswer);
      }
      case "group":
        return this.#groups?.serve(request) ?? Promise.reject(new CallFailure("refused"));
      case "produce":
        return this.#produce(request);
      case "fetch":
        return Promise.resolve(this.#consume(request));
    }
  }

  async #produce(request: ClientRequest & { kind: "produce" }): Promise<ProduceAnswer> {
    const { partition, acks, timeoutMs, records } = request;
    const hosted = this.#hosted.get(partition);
    const look = hosted?.look();
    if (hosted === undefined || !look) return refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    const { rules, nodeId } = this.#options;
    const { leaderEpoch } = look;
    const { handle } = hosted;
    // The batch is patched in place: each attempt has its own.
    const outcome = this.#manager.append(
      handle,
      records.slice(),
      leaderEpoch,
      acks,
      AppendOrigin.CLIENT,
    );
    const { errorCode, baseOffset, lastOffset, waitsFor } = outcome;
    if (errorCode === ErrorCode.KAFKA_STORAGE_ERROR)
      this.#options.world.count("write refused by a full disk");
    if (errorCode !== ErrorCode.NONE || acks !== -1) return { errorCode, baseOffset };
    const pending = { handle, lastOffset, leaderEpoch, waitsFor, errorCode: 0 };
    if (waitsFor !== 0) await this.#manager.awaitReplicated([pending], timeoutMs);
    if (pending.errorCode !== ErrorCode.NONE) return refused(pending.errorCode);
    rules.look(nodeId, this.hosted(), "all");
    rules.onAcknowledged(nodeId, partition, lastOffset);
    return { errorCode: ErrorCode.NONE, baseOffset };
  }

  #consume({ partition, offset, leaderEpoch }: ClientRequest & { kind: "fetch" }): FetchAnswer {
    const hosted = this.#hosted.get(partition);
    const none = (errorCode: number, highWatermark: number): FetchAnswer => ({
      errorCode,
      highWatermark,
      records: new Uint8Array(0),
    });
    if (hosted === undefined) return none(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1);
    if (hosted.look()?.isLeader !== true) return none(ErrorCode.NOT_LEADER_OR_FOLLOWER, -1);
    const { store } = this.#options;
    const rows = new Float64Array(Columns.FETCH_REQUEST);
    rows.set([hosted.handle, offset, FETCH_BYTES, leaderEpoch, -1, -1]);
    const out = new Float64Array(FETCH_RESULT_COLUMNS);
    const plan = store.fetch(rows, 1, FETCH_BYTES, true, Isolation.READ_UNCOMMITTED, out);
    const highWatermark = out[FetchColumn.HIGH_WATERMARK] as number;
    if (out[FetchColumn.ERROR] !== 0) return none(out[FetchColumn.ERROR] as number, highWatermark);
    const records = new Uint8Array(out[FetchColumn.BYTES] as number);
    if (plan !== 0) {
      store.planCopy(plan, 0, records, 0);
      store.planDrop(plan);
    }
    return { errorCode: ErrorCode.NONE, highWatermark, records };
  }

  /** A follower's fetch: notes how far it is, and waits until there is something. */
  async serveFetch(request: FetchRequest): Promise<FetchResponse> {
    const { replicaId, replicaEpoch } = request.replicaState;
    const ignoresEpochs = this.#options.plan.switchedOff.includes("fetch-epochs");
    const rows = new FetchRows();
    const wanted = request.topics.flatMap(({ topicId, partitions }) =>
      partitions.map((row) => {
        const name = this.#image?.topicsById.get(topicId)?.name;
        const handle = this.#hostedOf(name, row.partition)?.handle ?? 0;
        const leaderEpoch = ignoresEpochs ? -1 : row.currentLeaderEpoch;
        const { fetchOffset, partitionMaxBytes, lastFetchedEpoch, logStartOffset } = row;
        const at = rows.add(
          handle,
          fetchOffset,
          partitionMaxBytes,
          leaderEpoch,
          ignoresEpochs ? -1 : lastFetchedEpoch,
          logStartOffset,
        );
        rows.wantHighWatermark(at, row.highWatermark);
        return { topicId, partition: row.partition };
      }),
    );
    const parameters = {
      minBytes: request.minBytes,
      maxBytes: request.maxBytes,
      hasMinOneMessage: true,
      isolation: Isolation.LOG_END,
      replica: { id: replicaId, brokerEpoch: replicaEpoch },
    };
    let plan = this.#manager.read(rows, parameters);
    if (!isReadable(rows, request.minBytes)) {
      this.#manager.drop(plan);
      plan = await this.#manager.awaitReadable(rows, parameters, request.maxWaitMs);
    }
    const { store } = this.#options;
    const responses = wanted.map(({ topicId, partition }, row) => {
      const records = new Uint8Array(rows.result(row, FetchColumn.BYTES));
      if (plan !== 0 && records.length > 0) store.planCopy(plan, row, records, 0);
      return makeFetchableTopicResponse({
        topicId,
        partitions: [
          makePartitionData({
            partitionIndex: partition,
            errorCode: rows.result(row, FetchColumn.ERROR),
            highWatermark: rows.result(row, FetchColumn.HIGH_WATERMARK),
            logStartOffset: rows.result(row, FetchColumn.LOG_START_OFFSET),
            divergingEpoch: makeEpochEndOffset({
              epoch: rows.result(row, FetchColumn.DIVERGING_EPOCH),
              endOffset: rows.result(row, FetchColumn.DIVERGING_END_OFFSET),
            }),
            records,
          }),
        ],
      });
    });
    this.#manager.drop(plan);
    return makeFetchResponse({ responses });
  }

  serveListOffsets({ topics }: ListOffsetsRequest): Promise<ListOffsetsResponse> {
    const answer = makeListOffsetsResponse({
      topics: topics.map(({ name, partitions }) =>
        makeListOffsetsTopicResponse({
          name,
          partitions: partitions.map(({ partitionIndex, timestamp, currentLeaderEpoch }) => {
            const hosted = this.#hostedOf(name, partitionIndex);
            const look = hosted?.look();
            const errorCode =
              look?.isLeader !== true || look.leaderEpoch !== currentLeaderEpoch
                ? ErrorCode.NOT_LEADER_OR_FOLLOWER
                : ErrorCode.NONE;
            const offset = timestamp === -2 ? 0 : (look?.logEndOffset ?? -1);
            return makeListOffsetsPartitionResponse({ partitionIndex, errorCode, offset });
          }),
        }),
      ),
    });
    return Promise.resolve(answer);
  }
}

function refused(errorCode: number): ProduceAnswer {
  return { errorCode, baseOffset: -1 };
}
