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
import type { BrokerConfig } from "#config/broker-config.ts";
import { LoggerLevels } from "#config/logger-levels.ts";
import {
  type BrokerIdAndEpoch,
  BrokerLiveness,
  type Evidence,
} from "#controller/broker-liveness.ts";
import type { ClusterController } from "#controller/cluster-controller.ts";
import { Controller } from "#controller/controller.ts";
import { type ClusterImage, EMPTY_IMAGE } from "#metadata/cluster-image.ts";
import { QuorumMetadata } from "#metadata/quorum-metadata.ts";
import type { ApiMessages } from "#protocol/api.ts";
import { AlterPartitionApi } from "#protocol/generated/alter-partition.ts";
import type { AlterPartitionRequest } from "#protocol/generated/alter-partition.ts";
import { BrokerHeartbeatApi } from "#protocol/generated/broker-heartbeat.ts";
import type { BrokerHeartbeatRequest } from "#protocol/generated/broker-heartbeat.ts";
import { BrokerRegistrationApi } from "#protocol/generated/broker-registration.ts";
import type { BrokerRegistrationRequest } from "#protocol/generated/broker-registration.ts";
import { FetchApi } from "#protocol/generated/fetch.ts";
import type { FetchRequest } from "#protocol/generated/fetch.ts";
import { ListOffsetsApi } from "#protocol/generated/list-offsets.ts";
import type { ListOffsetsRequest } from "#protocol/generated/list-offsets.ts";
import { Quorum } from "#quorum/quorum.ts";
import type { RaftNode } from "#quorum/raft.ts";
import { BrokerLifecycle } from "#cluster/broker-lifecycle.ts";
import { ControllerUnavailableError } from "#cluster/controller-channel.ts";
import { LifecycleDriver } from "#cluster/lifecycle-driver.ts";
import { configOf, openRaft, registrationOf, SESSION_MS, withPersist } from "./node-settings.ts";
import { NodeEvidence } from "./evidence.ts";
import { AlteredRequests } from "./altered-requests.ts";
import { BrokerReplicas } from "./broker-replicas.ts";
import type { ClientRequest } from "./clients.ts";
import { type CrashMode, Disk, type SimulatedStore } from "./disk.ts";
import type { Plan } from "./faults.ts";
import type { Network } from "./network.ts";
import { type PeerRequest, Peers } from "./peers.ts";
import type { SeededRandom } from "./random.ts";
import type { Rules } from "./rules.ts";
import { CallFailure, serve } from "./rpc.ts";
import { CLUSTER_ID, slotOf } from "./names.ts";
import { Machine, type World } from "./world.ts";

const TICK_MS = 50;
const HEARTBEAT_MS = 500;
const CONTROLLER_TICK_MS = 100;
const REQUEST_TIMEOUT_MS = 1000;
const LEAVE_TIMEOUT_MS = 2000;
/** Time that SWIM's good-bye takes. */
const GOOD_BYE_MS = 150;
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
  readonly store: SimulatedStore;
  readonly quorum: Quorum;
  readonly metadata: QuorumMetadata;
  readonly controller: Controller;
  readonly decider: ClusterController;
  readonly peers: Peers;
  readonly replicas: BrokerReplicas;
  readonly lifecycle: BrokerLifecycle;
  readonly driver: LifecycleDriver;
  readonly evidence: NodeEvidence;
  /** A flush will happen. */
  isFlushDue: boolean;
  isOpening: boolean;
  isLeaving: boolean;
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
    for (const slot of rules.partitions.keys()) {
      const found = store.report.partitions.find(
        ({ topic, partition }) => slotOf(topic, partition, plan.partitionCount) === slot,
      );
      // What was made and never flushed may be gone altogether.
      rules.onRecovered(this.id, slot, found?.logEndOffset ?? 0);
    }
    this.#raft ??= openRaft(plan, this.id, this.#random.uint32());
    const metadata = new QuorumMetadata({
      nowMs: () => machine.nowMs(),
      propose: (bytes) => quorum.propose(bytes),
      onFatal: (error) => world.fail(error),
    });
    const quorum = new Quorum({
      node: withPersist(this.#raft, (node) => this.#persist(node)),
      scheduler: machine,
      tickMs: TICK_MS,
      send: (to, bytes) => evidence.channel.send(to, bytes),
      onCommitted: ({ data, term }) => {
        metadata.onCommitted(data, term);
        this.#judge(() => rules.onApplied(this.id, data, metadata.committed));
        this.#onImage();
      },
      onSnapshot: ({ data }) => {
        metadata.onSnapshot(data);
        world.count("raft snapshot taken over");
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
    const peers = new Peers(network, machine);
    const lifecycle = new BrokerLifecycle({
      closedBrokerEpoch: this.#previousBrokerEpoch,
      registrationTimeoutMs: Number.POSITIVE_INFINITY,
      heartbeatIntervalMs: HEARTBEAT_MS,
      leaveTimeoutMs: LEAVE_TIMEOUT_MS,
    });
    const driver = new LifecycleDriver({
      lifecycle,
      channel: {
        send: (api, _, request, { timeoutMs }) => this.#askController(api, request, timeoutMs),
      },
      clock: machine,
      scheduler: machine,
      registration: registrationOf(this.id, incarnationId, this.#directoryId),
      metadataOffset: () => metadata.image.offset,
      offlineLogDirs: () => [],
      cordonedLogDirs: () => null,
      hasRoom: () => this.disk.hasRoom || this.#isLast(),
      onChange: () => {
        if (lifecycle.phase === "catching-up") this.#openWhenCaughtUp();
      },
      onRefused: (errorCode) => world.trace(`node ${this.id} may not register: ${errorCode}`),
      onFailure: (error) => world.fail(error),
    });
    const evidence = new NodeEvidence({
      world,
      network,
      machine,
      plan,
      rules,
      incarnationId,
      seed: this.#random.uint32() >>> 1,
      image: () => metadata.committed,
      isActive: () => decider.isActive,
      fence: (brokerId, brokerEpoch, how) => {
        world.spawn(this.#fence({ brokerId, brokerEpoch }, how));
      },
      receive: (from, bytes) => quorum.receive(from, bytes),
    });
    const replicas = new BrokerReplicas({
      nodeId: this.id,
      machine,
      world,
      store,
      peers,
      plan,
      rules,
      random: this.#random.split(`groups ${machine.life}`),
      brokerEpoch: () => lifecycle.brokerEpoch,
      alterPartition: (request) =>
        this.#askController(AlterPartitionApi, request, REQUEST_TIMEOUT_MS),
    });
    metadata.addPublisher(replicas);
    this.#life = {
      store,
      quorum,
      metadata,
      controller,
      decider,
      peers,
      replicas,
      lifecycle,
      driver,
      evidence,
      isFlushDue: false,
      isOpening: false,
      isLeaving: false,
    };
    serve(world, network, machine, "broker", (request, from) => this.#serve(request, from));
    quorum.start();
    this.#every(CONTROLLER_TICK_MS, () => world.spawn(this.#tick(decider)));
    const life = this.#life;
    store.onTouched = () => this.#flushSoon(life);
    this.#flushSoon(life);
    if (plan.switchedOff.includes("catch-up-first")) world.spawn(metadata.open());
    driver.wake();
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
    if (!this.machine.isUp || life === null || life.isLeaving) return;
    this.#of.world.trace(`node ${this.id} wants to stop`);
    life.isLeaving = true;
    await life.driver.leave(LEAVE_TIMEOUT_MS);
    if (this.#life !== life) return;
    life.evidence.leave();
    await this.#sleep(GOOD_BYE_MS);
    if (this.#life !== life) return;
    this.#of.world.trace(`node ${this.id} stops`);
    this.#of.world.count("stop in order");
    try {
      await life.store.close();
      this.#previousBrokerEpoch = life.lifecycle.brokerEpoch;
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
    this.#closeLife();
    this.machine.stop();
    this.disk.drop();
    void this.#raft?.close();
  }

  /** Something on the node has given up for good and wants a restart. */
  get isFailed(): boolean {
    return this.#isFailed;
  }

  #end(isDark: boolean): void {
    this.#judge(() => this.#life?.evidence.check());
    this.#closeLife();
    this.machine.stop();
    this.#of.rules.onStopped(this.id);
    this.#of.network.onStopped(this.machine, isDark);
  }

  #closeLife(): void {
    const life = this.#life;
    this.#life = null;
    if (life === null) return;
    life.driver.stop();
    life.evidence.close();
    life.replicas.close();
  }

  /** A verdict about a broker that the lot has drawn, as if SWIM had it. */
  onVerdict(brokerId: number, verdict: "suspect" | "down"): void {
    this.#life?.evidence.onVerdict(brokerId, verdict);
  }

  /** What can be said of this node at the end of a run. */
  check(): void {
    this.#life?.evidence.check();
  }

  // ---- raft

  async #persist(node: RaftNode): Promise<void> {
    await node.persist();
    // Everything that was ready has been taken.
    const term = this.#life?.quorum.term ?? 0;
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
    else this.#of.world.spawn(this.#beginTurn(life));
  }

  async #beginTurn({ metadata, decider, evidence }: Life): Promise<void> {
    this.#of.world.count("raft leader");
    await metadata.published();
    try {
      await decider.activate(this.machine.monotonicMs());
      evidence.watch.activate();
    } catch (error) {
      // Leadership may be gone before its first decision is committed.
      this.#of.world.trace(`node ${this.id} could not begin its turn: ${String(error)}`);
    }
  }

  // ---- broker

  #onImage(): void {
    const life = this.#life;
    if (life === null) return;
    this.#of.world.trace(`node ${this.id} is at ${life.metadata.committed.offset}`);
    this.#openWhenCaughtUp();
  }

  /** Whether nobody else is in service: who has no room then serves on. */
  #isLast(): boolean {
    for (const { id, isFenced } of this.committed?.brokers.values() ?? [])
      if (id !== this.id && !isFenced) return false;
    return true;
  }

  /** Only now is the metadata acted on: it says what this life of the node is. */
  #openWhenCaughtUp(): void {
    const life = this.#life;
    if (life === null || life.isOpening || life.lifecycle.phase !== "catching-up") return;
    if (life.metadata.committed.offset < life.lifecycle.brokerEpoch) return;
    life.isOpening = true;
    this.#of.world.trace(`node ${this.id} has epoch ${life.lifecycle.brokerEpoch}`);
    this.#of.world.spawn(this.#open(life));
  }

  async #open({ metadata, lifecycle, driver }: Life): Promise<void> {
    if (!this.#of.plan.switchedOff.includes("catch-up-first")) await metadata.open();
    lifecycle.onCaughtUp(this.machine.monotonicMs());
    driver.wake();
  }

  /**
   * Asks whoever leads the quorum.
   *
   * @throws ControllerUnavailableError when there is no answer.
   */
  async #askController<Req, Res>(
    api: ApiMessages<Req, Res>,
    request: Req,
    timeoutMs: number,
  ): Promise<Res> {
    const life = this.#life;
    if (life === null || life.quorum.leaderId < 0)
      throw new ControllerUnavailableError(ErrorCode.NOT_CONTROLLER, "no controller");
    try {
      const answer = await life.peers.call(life.quorum.leaderId, api, request, timeoutMs);
      const { errorCode } = answer as { errorCode?: number };
      if (errorCode !== ErrorCode.NOT_CONTROLLER) return answer;
      throw new ControllerUnavailableError(ErrorCode.NOT_CONTROLLER, "not the controller");
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
      throw new ControllerUnavailableError(ErrorCode.REQUEST_TIMED_OUT, error.kind);
    }
  }

  // ---- controller

  async #tick(decider: ClusterController): Promise<void> {
    for (const _ of await decider.onTick(this.machine.monotonicMs()))
      this.#of.world.count("fenced by session");
  }

  async #fence(broker: BrokerIdAndEpoch, evidence: Evidence): Promise<void> {
    const { world } = this.#of;
    const outcome = await this.#life?.decider.fence(broker, evidence, this.machine.monotonicMs());
    if (outcome === undefined) return;
    if (outcome === "fenced") world.count(`fenced by ${evidence}`);
    world.trace(`node ${this.id} fences ${broker.brokerId} by ${evidence}: ${outcome}`);
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
