/**
 * One node of the simulated cluster: voter (or learner) of the quorum, controller when it leads it, and broker. The parts are production's; what is
 * here puts them together, carries their messages over the simulated network, and shows them to the rules.
 *
 * Life of a node: `start` opens what its disks hold. Raft catches up, the broker registers, and only when the node has applied its own
 * registration is any of the metadata acted on: what it says of this node's earlier life is over. `crash` takes what was not flushed.
 */
import { drainMicrotasks } from "bun:jsc";
import { ErrorCode } from "#common/error-code.ts";
import { createLogger } from "#common/logger.ts";
import { type BrokerConfig, resolveBrokerConfig } from "#config/broker-config.ts";
import { LoggerLevels } from "#config/logger-levels.ts";
import { BrokerLiveness } from "#controller/broker-liveness.ts";
import type { ClusterController } from "#controller/cluster-controller.ts";
import { Controller } from "#controller/controller.ts";
import { SUPPORTED_FEATURES } from "#controller/registration.ts";
import { type ClusterImage, EMPTY_IMAGE } from "#metadata/cluster-image.ts";
import { QuorumMetadata } from "#metadata/quorum-metadata.ts";
import type { ApiMessages } from "#protocol/api.ts";
import { AlterPartitionApi } from "#protocol/generated/alter-partition.ts";
import type { AlterPartitionRequest } from "#protocol/generated/alter-partition.ts";
import {
  BrokerHeartbeatApi,
  makeBrokerHeartbeatRequest,
} from "#protocol/generated/broker-heartbeat.ts";
import type { BrokerHeartbeatRequest } from "#protocol/generated/broker-heartbeat.ts";
import {
  BrokerRegistrationApi,
  makeBrokerRegistrationRequest,
  makeFeature,
  makeListener,
} from "#protocol/generated/broker-registration.ts";
import type { BrokerRegistrationRequest } from "#protocol/generated/broker-registration.ts";
import { makeElectLeadersRequest, makeTopicPartitions } from "#protocol/generated/elect-leaders.ts";
import { FetchApi } from "#protocol/generated/fetch.ts";
import type { FetchRequest } from "#protocol/generated/fetch.ts";
import { ListOffsetsApi } from "#protocol/generated/list-offsets.ts";
import type { ListOffsetsRequest } from "#protocol/generated/list-offsets.ts";
import { Quorum } from "#quorum/quorum.ts";
import type { RaftNode } from "#quorum/raft.ts";
import { openMemoryRaftNode } from "#quorum/raft-node.ts";
import { AlteredRequests } from "./altered-requests.ts";
import { BrokerReplicas } from "./broker-replicas.ts";
import type { ClientRequest } from "./clients.ts";
import { type CrashMode, Disk, type SimulatedStore } from "./disk.ts";
import type { Plan } from "./faults.ts";
import type { Network } from "./network.ts";
import { type PeerRequest, Peers, RaftChannel } from "./peers.ts";
import type { SeededRandom } from "./random.ts";
import type { Rules } from "./rules.ts";
import { CallFailure, serve } from "./rpc.ts";
import { CLUSTER_ID, TOPIC } from "./names.ts";
import { Machine, type World } from "./world.ts";

const TICK_MS = 50;
const ELECTION_TICKS = 10;
const HEARTBEAT_TICKS = 2;
const HEARTBEAT_MS = 500;
const SESSION_MS = 3000;
const CONTROLLER_TICK_MS = 100;
const REQUEST_TIMEOUT_MS = 1000;
const SNAPSHOT_BYTES = 4000;
/** Rounds of looking after one event. */
const LOOKS_MAX = 8;

/** What nodes live in. */
export interface NodeWorld {
  readonly world: World;
  readonly network: Network;
  readonly plan: Plan;
  readonly rules: Rules;
}

/** Everything that a crash takes. */
interface Life {
  readonly incarnationId: string;
  readonly store: SimulatedStore;
  readonly quorum: Quorum;
  readonly metadata: QuorumMetadata;
  readonly controller: Controller;
  readonly decider: ClusterController;
  readonly peers: Peers;
  readonly replicas: BrokerReplicas;
  brokerEpoch: number;
  /** A flush will happen. */
  isFlushDue: boolean;
  wantsShutDown: boolean;
  mayGo: boolean;
}

/** See the head of the file. */
export class SimulatedNode {
  readonly machine: Machine;
  readonly disk: Disk = new Disk();
  readonly #of: NodeWorld;
  readonly #random: SeededRandom;
  readonly #config: BrokerConfig;
  #raft: RaftNode | null = null;
  #life: Life | null = null;
  /** Epoch of the life that was closed in order; -1 after a crash. */
  #previousBrokerEpoch = -1;
  #isFailed = false;
  readonly #directoryId: string;
  readonly #altered: AlteredRequests;

  constructor(of: NodeWorld, id: number) {
    this.#of = of;
    this.#random = of.world.random.split(`node ${id}`);
    this.machine = new Machine(of.world, id, {
      rate: this.#random.between(0.98, 1.02),
      offsetMs: this.#random.integer(-50, 50),
    });
    of.network.add(this.machine);
    this.#config = configOf(of.plan);
    this.#directoryId = this.#random.uuid();
    this.#altered = new AlteredRequests(of.plan.switchedOff, () => this.committed ?? EMPTY_IMAGE);
  }

  get id(): number {
    return this.machine.id;
  }

  /** The newest image committed here; null while the node is down. */
  get committed(): ClusterImage | null {
    return this.#life?.metadata.committed ?? null;
  }

  get controller(): Controller | null {
    return this.#life?.controller ?? null;
  }

  get quorum(): Quorum | null {
    return this.#life?.quorum ?? null;
  }

  get replicas(): BrokerReplicas | null {
    return this.#life?.replicas ?? null;
  }

  /** Whether this node is the active controller, as far as it knows. */
  get isActive(): boolean {
    return this.#life?.decider.isActive === true;
  }

  /** Starts the node on what its disks hold. */
  start(): void {
    const { network, world, plan, rules } = this.#of;
    const { machine } = this;
    machine.start();
    this.#isFailed = false;
    network.onStarted(machine);
    world.trace(`node ${this.id} starts`);
    const incarnationId = this.#random.uuid();
    const store = this.disk.open(this.id, CLUSTER_ID);
    for (let partition = 0; partition < plan.partitionCount; partition += 1) {
      const found = store.report.partitions.find((report) => report.partition === partition);
      // What was made and never flushed may be gone altogether.
      rules.onRecovered(this.id, partition, found?.logEndOffset ?? 0);
    }
    this.#raft ??= this.#openRaft();
    const channel = new RaftChannel(network, machine, (from, bytes) => quorum.receive(from, bytes));
    const metadata = new QuorumMetadata({
      nowMs: () => machine.nowMs(),
      propose: (bytes) => quorum.propose(bytes),
      onFatal: (error) => world.fail(error),
    });
    const quorum = new Quorum({
      node: this.#slowed(this.#raft),
      scheduler: machine,
      tickMs: TICK_MS,
      send: (to, bytes) => channel.send(to, bytes),
      onCommitted: ({ data, term }) => {
        metadata.onCommitted(data, term);
        this.#judge(() => rules.onApplied(this.id, data, metadata.committed));
        this.#onImage();
      },
      onSnapshot: ({ data }) => {
        metadata.onSnapshot(data);
        this.#judge(() => rules.onSnapshot(this.id, metadata.committed));
        this.#onImage();
      },
      image: () => metadata.state(),
      snapshotBytes: SNAPSHOT_BYTES,
      onLeader: (leaderId, term) => {
        this.#judge(() => rules.onTerm(this.id, term));
        world.trace(`node ${this.id} sees leader ${leaderId} in term ${term}`);
      },
      onLeadership: (term) => this.#onLeadership(term),
      onFailure: (error) => {
        world.trace(`node ${this.id} fails: ${error.message}`);
        this.#isFailed = true;
      },
    });
    const liveness = new BrokerLiveness(() => SESSION_MS);
    const controller = new Controller({
      nodeId: this.id,
      loader: metadata,
      config: () => this.#config,
      random: this.#random,
      loggers: new LoggerLevels(createLogger("error", () => {})),
      isPattern: () => true,
      cluster: { clusterId: CLUSTER_ID, liveness },
    });
    const decider = controller.cluster;
    if (decider === null) throw new Error("the controller has no cluster");
    const peers = new Peers(network, machine, (peer, isRefused) =>
      this.#onDisconnected(peer, isRefused),
    );
    const replicas = new BrokerReplicas({
      nodeId: this.id,
      machine,
      world,
      store,
      peers,
      plan,
      rules,
      brokerEpoch: () => this.#life?.brokerEpoch ?? -1,
      alterPartition: async (request) => {
        const answer = await this.#askController(AlterPartitionApi, request);
        if (answer === null) throw new CallFailure("lost");
        return answer;
      },
    });
    metadata.addPublisher(replicas);
    this.#life = {
      incarnationId,
      store,
      quorum,
      metadata,
      controller,
      decider,
      peers,
      replicas,
      brokerEpoch: -1,
      isFlushDue: false,
      wantsShutDown: false,
      mayGo: false,
    };
    serve(world, network, machine, "broker", (request, from) => this.#serve(request, from));
    quorum.start();
    this.#every(CONTROLLER_TICK_MS, () => world.spawn(decider.onTick(machine.monotonicMs())));
    const life = this.#life;
    store.onTouched = () => this.#flushSoon(life);
    this.#flushSoon(life);
    if (plan.switchedOff.includes("catch-up-first")) world.spawn(metadata.open());
    world.spawn(this.#beat());
  }

  /** The process dies, and with it what the mode says. Only a process is refused to those who ask for it. */
  crash(mode: CrashMode, seed: number): void {
    if (!this.machine.isUp) return;
    this.#of.world.trace(`node ${this.id} crashes: ${mode}`);
    this.#previousBrokerEpoch = -1;
    const kinds = { process: "keep-written", unsynced: "lose-unsynced", power: "torn" } as const;
    this.#raft = this.#raft?.crash(kinds[mode], seed) ?? null;
    this.#end(mode !== "process");
    this.disk.crash(mode, seed);
  }

  /** Stops in order, once the controller lets it go or the time for it is over. */
  async stop(): Promise<void> {
    const life = this.#life;
    if (!this.machine.isUp || life === null || life.wantsShutDown) return;
    this.#of.world.trace(`node ${this.id} wants to stop`);
    life.wantsShutDown = true;
    this.#of.world.spawn(this.#heartbeat(life));
    for (let waitedMs = 0; waitedMs < 2000 && !life.mayGo; waitedMs += 50) await this.#sleep(50);
    if (this.#life !== life) return;
    this.#of.world.trace(`node ${this.id} stops`);
    try {
      await life.store.close();
      this.#previousBrokerEpoch = life.brokerEpoch;
    } catch (error) {
      // A disk without room: the next start takes it for a crash.
      this.#of.world.trace(`node ${this.id} could not close its logs: ${String(error)}`);
      this.#previousBrokerEpoch = -1;
    }
    // Raft's own disk is left as a process leaves it.
    this.#raft = this.#raft?.crash("keep-written", 0) ?? null;
    this.#end(false);
  }

  /** Lets requests that wait, and then the rules, look at what may have changed, until nothing does any more. */
  look(): void {
    for (let round = 0; round < LOOKS_MAX; round += 1) {
      const life = this.#life;
      const touched = life?.store.takeTouched() ?? null;
      if (life === null || touched === null) return;
      life.store.wake();
      drainMicrotasks();
      // A wake may have ended the life.
      if (this.#life === life) this.#of.rules.look(this.id, life.replicas.hosted(), touched);
    }
  }

  /** Frees what the native side holds; the run is over. */
  close(): void {
    this.#life?.replicas.close();
    this.#life = null;
    this.machine.stop();
    this.disk.drop();
    void this.#raft?.close();
  }

  /** Asks for the preferred leader of a partition. */
  async electPreferred(partition: number): Promise<void> {
    await this.#life?.controller.electLeaders(
      makeElectLeadersRequest({
        electionType: 0,
        topicPartitions: [makeTopicPartitions({ topic: TOPIC, partitions: [partition] })],
        timeoutMs: 1000,
      }),
    );
  }

  /** Something on the node has given up for good and wants a restart. */
  get isFailed(): boolean {
    return this.#isFailed;
  }

  #end(isDark: boolean): void {
    this.#life?.replicas.close();
    this.#life = null;
    this.machine.stop();
    this.#of.rules.onStopped(this.id);
    this.#of.network.onStopped(this.machine, isDark);
  }

  /** SWIM says something about a broker. */
  onVerdict(brokerId: number, verdict: "suspect" | "down"): void {
    const life = this.#life;
    if (life === null || this.machine.isPaused) return;
    this.#of.world.trace(`node ${this.id} hears that ${brokerId} is ${verdict}`);
    if (verdict === "down") this.#of.world.spawn(this.#fence(life, brokerId, "swim"));
  }

  // ---- raft

  #openRaft(): RaftNode {
    const { nodeCount, voterCount } = this.#of.plan;
    const ids = Array.from({ length: nodeCount }, (_, id) => id);
    return openMemoryRaftNode({
      id: this.id,
      voters: ids.slice(0, voterCount),
      learners: ids.slice(voterCount),
      directory: null,
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: HEARTBEAT_TICKS,
      seed: this.#random.uint32(),
      maxFrameBytes: 1 << 20,
      unsafeAcknowledgeEarly: this.#of.plan.switchedOff.includes("raft-sync"),
    });
  }

  /** A node whose writes take as long as a disk does. */
  #slowed(node: RaftNode): RaftNode {
    return new Proxy(node, {
      get: (target, key) => {
        if (key === "persist") return () => this.#persist(target);
        const value: unknown = Reflect.get(target, key);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  async #persist(node: RaftNode): Promise<void> {
    await node.persist();
    const { term } = node.status();
    await this.#sleep(this.#diskMs());
    this.#of.rules.onTermWritten(this.id, term);
  }

  /** What breaks a rule is nothing that the node itself may handle. */
  #judge(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#of.world.fail(error);
    }
  }

  #onLeadership(term: number | null): void {
    const life = this.#life;
    if (life === null) return;
    this.#of.world.trace(
      `node ${this.id} ${term === null ? "resigns" : `is active in term ${term}`}`,
    );
    if (term === null) life.decider.resign();
    else {
      // Leadership may be gone before its first decision is committed.
      life.decider.activate(this.machine.monotonicMs()).catch((error: unknown) => {
        this.#of.world.trace(`node ${this.id} could not begin its turn: ${String(error)}`);
      });
    }
  }

  // ---- broker

  #onImage(): void {
    const life = this.#life;
    if (life === null) return;
    this.#of.world.trace(`node ${this.id} is at ${life.metadata.committed.offset}`);
  }

  async #beat(): Promise<void> {
    const life = this.#life;
    while (life !== null && this.#life === life) {
      if (life.brokerEpoch < 0) await this.#register(life);
      else await this.#heartbeat(life);
      await this.#sleep(life.brokerEpoch < 0 ? 50 : HEARTBEAT_MS);
    }
  }

  async #register(life: Life): Promise<void> {
    const request = makeBrokerRegistrationRequest({
      brokerId: this.id,
      clusterId: CLUSTER_ID,
      incarnationId: life.incarnationId,
      listeners: [makeListener({ name: "PLAINTEXT", host: `node${this.id}`, port: 9092 })],
      previousBrokerEpoch: this.#previousBrokerEpoch,
      logDirs: [this.#directoryId],
      features: SUPPORTED_FEATURES.map(({ name, min, max }) =>
        makeFeature({ name, minSupportedVersion: min, maxSupportedVersion: max }),
      ),
    });
    const answer = await this.#askController(BrokerRegistrationApi, request);
    if (answer === null || this.#life !== life) return;
    this.#of.world.trace(
      `node ${this.id} registers: ${answer.errorCode} epoch ${answer.brokerEpoch}`,
    );
    if (answer.errorCode !== ErrorCode.NONE) return;
    life.brokerEpoch = answer.brokerEpoch;
    await this.#openWhenCaughtUp(life);
  }

  /** Only now is the metadata acted on: it says what this life of the node is. */
  async #openWhenCaughtUp(life: Life): Promise<void> {
    while (life.metadata.committed.offset < life.brokerEpoch) {
      await this.#sleep(5);
      if (this.#life !== life) return;
    }
    if (!this.#of.plan.switchedOff.includes("catch-up-first")) await life.metadata.open();
  }

  async #heartbeat(life: Life): Promise<void> {
    const request = makeBrokerHeartbeatRequest({
      brokerId: this.id,
      brokerEpoch: life.brokerEpoch,
      currentMetadataOffset: life.metadata.image.offset,
      wantFence: false,
      wantShutDown: life.wantsShutDown,
    });
    const answer = await this.#askController(BrokerHeartbeatApi, request);
    if (answer === null || this.#life !== life) return;
    life.mayGo ||= answer.shouldShutDown;
  }

  /** Asks whoever leads the quorum; null for no answer. */
  async #askController<Req, Res>(api: ApiMessages<Req, Res>, request: Req): Promise<Res | null> {
    const life = this.#life;
    if (life === null || life.quorum.leaderId < 0) return null;
    try {
      return await life.peers.call(life.quorum.leaderId, api, request, REQUEST_TIMEOUT_MS);
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
      return null;
    }
  }

  // ---- evidence

  /** A closed connection that cannot be made again is the end of a process. */
  #onDisconnected(peer: number, isRefused: boolean): void {
    const life = this.#life;
    if (life === null || !isRefused) return;
    if (life.decider.isActive) this.#of.world.spawn(this.#fence(life, peer, "connection"));
  }

  async #fence(life: Life, brokerId: number, evidence: "connection" | "swim"): Promise<void> {
    const broker = life.metadata.committed.brokers.get(brokerId);
    if (broker === undefined || !life.decider.isActive) return;
    const outcome = await life.decider.fence(
      { brokerId, brokerEpoch: broker.epoch },
      evidence,
      this.machine.monotonicMs(),
    );
    this.#of.world.trace(`node ${this.id} fences ${brokerId} by ${evidence}: ${outcome}`);
  }

  // ---- serving

  #serve(message: unknown, from: number): Promise<unknown> {
    const request = message as PeerRequest | ClientRequest;
    const life = this.#life;
    if (life === null) return Promise.reject(new CallFailure("lost"));
    if (request.kind !== "peer") return life.replicas.serveClient(request, life.metadata.image);
    const nowMs = this.machine.monotonicMs();
    switch (request.api) {
      case BrokerRegistrationApi.key:
        return life.decider.registerBroker(
          this.#altered.registration(request.request as BrokerRegistrationRequest),
          nowMs,
        );
      case BrokerHeartbeatApi.key:
        return life.decider.brokerHeartbeat(request.request as BrokerHeartbeatRequest, nowMs);
      case AlterPartitionApi.key:
        return life.decider.alterPartition(
          this.#altered.alterPartition(request.request as AlterPartitionRequest),
          3,
        );
      case FetchApi.key:
        return life.replicas.serveFetch(request.request as FetchRequest);
      case ListOffsetsApi.key:
        return life.replicas.serveListOffsets(request.request as ListOffsetsRequest);
      default:
        throw new Error(`node ${from} sent api ${request.api}`);
    }
  }

  // ---- time

  /** Flushes what was asked for a disk's time after the first change since the last flush. */
  #flushSoon(life: Life): void {
    if (life.isFlushDue) return;
    life.isFlushDue = true;
    this.machine.after(this.#diskMs(), () => {
      life.isFlushDue = false;
      life.store.step();
    });
  }

  #diskMs(): number {
    return this.#of.plan.flushDelayMs * this.#random.between(0.5, 2);
  }

  #every(ms: number, run: () => void): void {
    this.machine.after(ms, () => {
      run();
      this.#every(ms, run);
    });
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.machine.after(ms, resolve));
  }
}

function configOf(plan: Plan): BrokerConfig {
  const { config, errors } = resolveBrokerConfig({
    file: new Map([
      ["default.replication.factor", String(plan.replicationFactor)],
      ["min.insync.replicas", String(plan.minIsr)],
      ["broker.session.timeout.ms", String(SESSION_MS)],
    ]),
  });
  if (config === null) throw new Error(errors.join("\n"));
  return config;
}
