/**
 * Three brokers, one partition, one controller, and everything that can come in between, from one seed: the state machines of
 * `src/replica/following` on {@link ModelLog}s. Each step does one thing that could happen next: a message arrives, late or never; a
 * client writes; a broker hears of new metadata; a process dies and loses what was not on disk; the controller moves the leader, rightly or
 * not. After each step all that must always hold is looked at; what does not is in `violation`.
 *
 * ```ts
 * const cluster = new ModelCluster({ seed: 7 });
 * expect(cluster.run(500)).toBeNull();
 * ```
 *
 * Invariants are those of the design (I1 one leader an epoch, I2 what a leader takes for committed is in every in-sync log, I3 logs that
 * agree on an offset and epoch agree below, I4 acknowledged records stay, I5 high watermarks do not fall and offsets are not reassigned,
 * I7 epochs do not go back, I8 below min.insync.replicas nothing is committed).
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  type AlterPartitionRequest,
  type AlterPartitionResponse,
  makeAlterPartitionResponse,
  makeAlterPartitionResponsePartitionData,
  makeAlterPartitionResponseTopicData,
} from "#protocol/generated/alter-partition.ts";
import {
  type FetchRequest,
  type FetchResponse,
  makeFetchableTopicResponse,
  makeFetchResponse,
} from "#protocol/generated/fetch.ts";
import {
  type ListOffsetsRequest,
  type ListOffsetsResponse,
  makeListOffsetsPartitionResponse,
  makeListOffsetsResponse,
  makeListOffsetsTopicResponse,
} from "#protocol/generated/list-offsets.ts";
import {
  type FollowerEvents,
  FollowerPartition,
  type FollowerRules,
} from "#replica/following/follower-partition.ts";
import { IsrManager, type IsrRules } from "#replica/following/isr-manager.ts";
import { DEFAULT_FOLLOWING_CONFIG, replicaKey } from "#replica/following/ports.ts";
import { ReplicaFetcher } from "#replica/following/replica-fetcher.ts";
import { openFetchContext } from "#server/fetch-context.ts";
import { FetchSessionCache, type SessionPartition } from "#server/fetch-session.ts";
import { ALL_LEADER_RULES, type LeaderRules, ModelLog, type ModelRecord } from "./model-log.ts";

/** What a run is made of. */
export interface ModelClusterOptions {
  readonly seed: number;
  readonly leaderRules?: Partial<LeaderRules>;
  readonly followerRules?: FollowerRules;
  readonly isrRules?: IsrRules;
}

/** The partition as the controller has it; brokers hear of each version in order, some later than others. */
interface CommittedState {
  readonly leader: number;
  readonly leaderEpoch: number;
  readonly partitionEpoch: number;
  readonly isr: readonly number[];
  readonly brokers: ReadonlyMap<number, { readonly epoch: number; readonly isFenced: boolean }>;
}

interface ModelBroker {
  readonly id: number;
  readonly log: ModelLog;
  isUp: boolean;
  /** Lost records when it died: not to be trusted until it has registered again. */
  hasLost: boolean;
  /** Number of the version of the committed state that it knows. */
  version: number;
  brokerEpoch: number;
  isr: IsrManager;
  fetcher: ReplicaFetcher;
  leaderId: number;
  /** What its fetcher waits for; the answer to anything else is dropped, as its connection is gone. */
  exchange: object | null;
  /** Bumped when the process dies: what was on its way to the old one is lost. */
  life: number;
  sessions: FetchSessionCache;
}

/** Something that can happen next, on some broker, and how likely it is. */
interface Weight {
  readonly weight: number;
  readonly happens: (broker: ModelBroker) => void;
}

interface Message {
  readonly dueMs: number;
  readonly deliver: () => void;
  readonly lose: () => void;
}

interface Written {
  readonly offset: number;
  readonly epoch: number;
  readonly value: string;
  readonly broker: number;
  readonly life: number;
}

const TOPIC = "model";
const TOPIC_ID = "AAAAAAAAAAAAAAAAAAAABQ";
const PARTITION = 0;
const KEY = replicaKey(TOPIC_ID, PARTITION);
const IDS = [0, 1, 2] as const;
const MIN_ISR = 2;
const LAG_TIME_MAX_MS = 60;
const BACKOFF_MS = 20;
const QUIET: FollowerEvents = {
  onTruncated() {},
  onRestarted() {},
  onFailed() {},
  onRefused() {},
};

/** A small generator (mulberry32): the same numbers from the same seed. */
function makeRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** See the head of the file. */
export class ModelCluster {
  readonly #options: ModelClusterOptions;
  readonly #random: () => number;
  readonly #history: CommittedState[] = [];
  readonly #brokers: ModelBroker[];
  readonly #messages: Message[] = [];
  readonly #written: Written[] = [];
  readonly #acknowledged: { readonly offset: number; readonly value: string }[] = [];
  /** What was ever below a leader's high watermark. */
  readonly #committed: Map<number, string> = new Map();
  readonly #leaderByEpoch: Map<number, number> = new Map();
  readonly #lastHighWatermark: Map<string, number> = new Map();
  readonly #weights: readonly Weight[];
  readonly #weightSum: number;
  /** How long messages of a kind may be on their way, ms. */
  readonly #delaysMs: Readonly<Record<"fetch" | "answer" | "isr", number>>;
  /** How often each broker does not get to hear of metadata, or to fetch, when it could. */
  readonly #deafness: readonly number[];
  readonly #sloth: readonly number[];
  #nowMs = 1_000;
  #values = 0;
  #nextBrokerEpoch = 10;
  #stepCount = 0;
  readonly trace: string[] = [];
  violation: string | null = null;

  constructor(options: ModelClusterOptions) {
    this.#options = options;
    this.#random = makeRandom(options.seed);
    this.#weights = this.#makeWeights();
    const delayMs = (): number => this.#pick([0, 0, 0, 30, 150]);
    this.#delaysMs = { fetch: delayMs(), answer: delayMs(), isr: delayMs() };
    const share = (): number => this.#pick([0, 0, 0, 0.5, 0.9]);
    this.#deafness = IDS.map(share);
    this.#sloth = IDS.map(share);
    this.#weightSum = this.#weights.reduce((sum, { weight }) => sum + weight, 0);
    const brokers = new Map(IDS.map((id) => [id, { epoch: id + 1, isFenced: false }]));
    this.#history.push({ leader: 0, leaderEpoch: 0, partitionEpoch: 0, isr: [...IDS], brokers });
    this.#brokers = IDS.map((id) => this.#makeBroker(id));
    for (const broker of this.#brokers) this.#learn(broker, 0);
  }

  /** Acknowledged writes so far: a run in which nothing happens shows nothing. */
  get acknowledgedCount(): number {
    return this.#acknowledged.length;
  }

  /** ISR and logs in words, for whoever looks at a failure. */
  describe(): string {
    const { leader, leaderEpoch, partitionEpoch, isr } = this.#now;
    const logs = this.#brokers.map(
      ({ id, isUp, log, version }) =>
        `${id}${isUp ? "" : " (down)"} v${version} ${log.role}@${log.leaderEpoch} hw ${log.highWatermark} isr ${log.isr.join(",")}+${log.pending.join(",")} ` +
        `[${log.logStartOffset}: ${log.records.map(({ epoch, value }) => `${epoch}${value}`).join(" ")}]`,
    );
    return `leader ${leader} epoch ${leaderEpoch}/${partitionEpoch} isr ${isr.join(",")}\n${logs.join("\n")}`;
  }

  /** Does so many steps, or as many as it takes to a violation, which it gives. */
  run(steps: number): string | null {
    for (let step = 0; step < steps && this.violation === null; step += 1) this.step();
    return this.violation;
  }

  /**
   * Ends all faults and lets things run until nothing changes any more.
   *
   * @returns true when every replica is up, in sync and has the same log.
   */
  heal(): boolean {
    for (const broker of this.#brokers) if (!broker.isUp) this.#restart(broker);
    for (let round = 0; round < 400 && this.violation === null; round += 1) {
      this.#nowMs += 20;
      this.#unfenceAll();
      if (this.#now.leader < 0) this.#elect();
      for (const broker of this.#brokers) {
        while (broker.version < this.#history.length - 1) {
          this.#learn(broker, broker.version + 1);
          this.#check();
        }
        broker.isr.checkExpand(this.#nowMs);
        this.#turnFetcher(broker);
        this.#turnIsr(broker);
        this.#check();
      }
      while (this.#messages.length > 0) {
        this.#messages.shift()?.deliver();
        this.#check();
      }
      const start = Math.max(...this.#brokers.map(({ log }) => log.logStartOffset));
      const [first, ...others] = this.#brokers.map(({ log }) => describeFrom(log, start));
      const isEqual = others.every((other) => other === first);
      if (this.#now.isr.length === IDS.length && isEqual) return true;
    }
    return false;
  }

  /** One thing that could happen next. */
  step(): void {
    this.#stepCount += 1;
    this.#nowMs += this.#random() * 4;
    const broker = this.#pick(this.#brokers);
    let dice = this.#random() * this.#weightSum;
    const chosen = this.#weights.find(({ weight }) => (dice -= weight) < 0);
    chosen?.happens(broker);
    this.#acknowledge();
    this.#check();
  }

  get #now(): CommittedState {
    return this.#history[this.#history.length - 1] as CommittedState;
  }

  /** What is usual has its weight; each kind of fault has one of the seed's own, often none, so that seeds differ in kind. */
  #makeWeights(): Weight[] {
    const fault = (weight: number): number =>
      this.#random() < 0.4 ? 0 : weight * 2 * this.#random();
    return [
      { weight: 90, happens: () => this.#deliverSome() },
      {
        weight: 80,
        happens: (broker) => {
          if (this.#random() >= (this.#sloth[broker.id] ?? 0)) this.#turnFetcher(broker);
        },
      },
      { weight: 15, happens: (broker) => this.#write(broker) },
      {
        weight: 20,
        happens: (broker) => {
          if (this.#random() >= (this.#deafness[broker.id] ?? 0)) this.#learnNext(broker);
        },
      },
      { weight: 12, happens: (broker) => this.#turnIsr(broker) },
      { weight: 6, happens: () => this.#unfenceAll() },
      { weight: 1, happens: ({ log }) => (log.durableOffset = log.logEndOffset) },
      { weight: fault(3), happens: (broker) => this.#checkIsr(broker) },
      { weight: fault(2), happens: () => this.#loseOne() },
      { weight: fault(2), happens: (broker) => this.#giveUpFetch(broker) },
      { weight: fault(2), happens: () => this.#moveLeader() },
      { weight: fault(1), happens: () => this.#fence(this.#pick(IDS)) },
      { weight: fault(1), happens: (broker) => this.#dieOrRestart(broker) },
      { weight: fault(0.3), happens: ({ log }) => log.trim(log.highWatermark - 2) },
    ];
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)] as T;
  }

  #note(what: string): void {
    this.trace.push(`${this.#stepCount} @${this.#nowMs}: ${what}`);
  }

  // Brokers.

  #makeBroker(id: number): ModelBroker {
    const log = new ModelLog({
      nodeId: id,
      minIsr: MIN_ISR,
      lagTimeMaxMs: LAG_TIME_MAX_MS,
      nowMs: () => this.#nowMs,
      standing: (brokerId) => this.#standing(id, brokerId),
      rules: { ...ALL_LEADER_RULES, ...this.#options.leaderRules },
    });
    const broker: ModelBroker = {
      id,
      log,
      isUp: true,
      hasLost: false,
      version: -1,
      brokerEpoch: id + 1,
      isr: this.#makeIsr(id),
      fetcher: this.#makeFetcher(id),
      leaderId: -1,
      exchange: null,
      life: 0,
      sessions: this.#makeSessions(),
    };
    return broker;
  }

  #makeIsr(id: number): IsrManager {
    const { isrRules } = this.#options;
    return new IsrManager({
      nodeId: id,
      brokerEpoch: () => this.#brokers[id]?.brokerEpoch ?? -1,
      events: { onChanged() {}, onRefused() {} },
      ...(isrRules === undefined ? {} : { rules: isrRules }),
    });
  }

  #makeFetcher(id: number): ReplicaFetcher {
    return new ReplicaFetcher({
      nodeId: id,
      brokerEpoch: () => this.#brokers[id]?.brokerEpoch ?? -1,
      config: { ...DEFAULT_FOLLOWING_CONFIG, fetchBackoffMs: BACKOFF_MS },
    });
  }

  #makeSessions(): FetchSessionCache {
    return new FetchSessionCache(10, 1_000, { next: this.#random, uuid: () => "" });
  }

  /** A broker as another one's image has it. */
  #standing(
    id: number,
    brokerId: number,
  ): { id: number; epoch: number; isEligible: boolean } | undefined {
    const known = this.#history[this.#brokers[id]?.version ?? 0]?.brokers.get(brokerId);
    return known === undefined
      ? undefined
      : { id: brokerId, epoch: known.epoch, isEligible: !known.isFenced };
  }

  #learnNext(broker: ModelBroker): void {
    if (broker.isUp && broker.version < this.#history.length - 1)
      this.#learn(broker, broker.version + 1);
  }

  /** What `ReplicaPublisher` does, for one partition. */
  #learn(broker: ModelBroker, version: number): void {
    const state = this.#history[version];
    if (state === undefined) return;
    broker.version = version;
    const { leader: leaderId, leaderEpoch } = state;
    const isNewRole = leaderEpoch > broker.log.leaderEpoch || broker.log.role === "none";
    if (isNewRole) broker.fetcher.remove(KEY);
    if (leaderId === broker.id) {
      const led = {
        topic: TOPIC,
        topicId: TOPIC_ID,
        partition: PARTITION,
        leaderEpoch,
        partitionEpoch: state.partitionEpoch,
        replicas: IDS,
        isr: state.isr,
        addingReplicas: [],
        leaderRecoveryState: 0,
      };
      if (broker.isr.lead(led, broker.log)) broker.log.lead(led);
      return;
    }
    broker.isr.resign(KEY);
    if (!isNewRole) return;
    broker.log.follow(leaderEpoch, leaderId);
    if (leaderId < 0) return;
    if (leaderId !== broker.leaderId) {
      broker.fetcher = this.#makeFetcher(broker.id);
      broker.exchange = null;
    }
    broker.leaderId = leaderId;
    const partition = new FollowerPartition(
      { topic: TOPIC, topicId: TOPIC_ID, partition: PARTITION, leaderId, leaderEpoch },
      broker.log,
      QUIET,
      BACKOFF_MS,
      this.#options.followerRules,
    );
    partition.start();
    broker.fetcher.add(partition, this.#nowMs);
  }

  #write(broker: ModelBroker): void {
    if (!broker.isUp) return;
    const value = `v${this.#values}`;
    const offset = broker.log.write(value);
    if (offset === null) return;
    this.#values += 1;
    const epoch = broker.log.leaderEpoch;
    this.#written.push({ offset, epoch, value, broker: broker.id, life: broker.life });
    this.#note(`${broker.id} takes ${value} at ${offset} in epoch ${epoch}`);
  }

  #acknowledge(): void {
    for (let at = this.#written.length - 1; at >= 0; at -= 1) {
      const written = this.#written[at] as Written;
      const { log, life, isUp } = this.#brokers[written.broker] as ModelBroker;
      const isOver =
        !isUp ||
        life !== written.life ||
        log.role !== "leader" ||
        log.leaderEpoch !== written.epoch;
      if (!isOver && log.highWatermark <= written.offset) continue;
      this.#written.splice(at, 1);
      if (isOver) continue;
      this.#acknowledged.push(written);
      this.#note(`${written.value} is acknowledged`);
    }
  }

  // Fetching.

  #turnFetcher(broker: ModelBroker): void {
    if (!broker.isUp) return;
    const { fetcher, life, leaderId } = broker;
    const step = fetcher.next(this.#nowMs);
    if (step.kind === "wait") return;
    const exchange = {};
    broker.exchange = exchange;
    const isCurrent = (): boolean =>
      broker.isUp && broker.life === life && broker.exchange === exchange;
    const leader = this.#brokers[leaderId] as ModelBroker;
    const lose = (): void => {
      if (isCurrent()) fetcher.onFailure(this.#nowMs);
    };
    const answer = (take: () => void): void => {
      const deliver = (): void => {
        if (isCurrent()) take();
      };
      this.#post("answer", deliver, lose);
    };
    this.#post(
      "fetch",
      () => {
        if (!leader.isUp) return lose();
        if (step.kind === "fetch") {
          const response = this.#serveFetch(leader, step.request);
          answer(() => {
            fetcher.onFetched(response, this.#nowMs);
            this.#note(
              `${broker.id} has an answer of ${leader.id}, log end ${broker.log.logEndOffset}, hw ${broker.log.highWatermark}`,
            );
          });
        } else {
          const ends = this.#serveOffsets(leader, step.ends);
          const starts = this.#serveOffsets(leader, step.starts);
          answer(() => fetcher.onOffsets(ends, starts, this.#nowMs));
        }
      },
      lose,
    );
  }

  #giveUpFetch(broker: ModelBroker): void {
    if (!broker.isUp) return;
    broker.exchange = null;
    broker.fetcher.onAbandoned(this.#nowMs);
  }

  #serveFetch(leader: ModelBroker, request: FetchRequest): FetchResponse {
    const context = openFetchContext(leader.sessions, request, 18, this.#nowMs);
    if (typeof context === "number") return makeFetchResponse({ errorCode: context });
    const { replicaId, replicaEpoch } = request.replicaState;
    const rows = [...context.partitions.values()].map((wanted: SessionPartition) => {
      const row = leader.log.serve(
        {
          partition: wanted.index,
          currentLeaderEpoch: wanted.currentLeaderEpoch,
          fetchOffset: wanted.fetchOffset,
          lastFetchedEpoch: wanted.lastFetchedEpoch,
          logStartOffset: wanted.followerLogStartOffset,
          partitionMaxBytes: wanted.maxBytes,
          replicaDirectoryId: "",
          highWatermark: 0,
        },
        replicaId,
        replicaEpoch,
      );
      this.#note(
        `${leader.id} answers ${replicaId} from ${wanted.fetchOffset} in epoch ${wanted.currentLeaderEpoch}: error ${row.errorCode}, hw ${row.highWatermark}, diverging ${row.divergingEpoch.epoch} at ${row.divergingEpoch.endOffset}`,
      );
      return row;
    });
    let sessionId = context.session?.id ?? 0;
    if (context.kind === "full")
      sessionId = leader.sessions.create(context.partitions, true, this.#nowMs)?.id ?? 0;
    return makeFetchResponse({
      sessionId,
      responses: [makeFetchableTopicResponse({ topicId: TOPIC_ID, partitions: rows })],
    });
  }

  #serveOffsets({ log }: ModelBroker, request: ListOffsetsRequest): ListOffsetsResponse {
    const wanted = request.topics[0]?.partitions[0];
    const isLeader = log.role === "leader" && wanted?.currentLeaderEpoch === log.leaderEpoch;
    return makeListOffsetsResponse({
      topics: [
        makeListOffsetsTopicResponse({
          name: TOPIC,
          partitions: [
            makeListOffsetsPartitionResponse({
              partitionIndex: PARTITION,
              errorCode: isLeader ? ErrorCode.NONE : ErrorCode.NOT_LEADER_OR_FOLLOWER,
              offset: wanted?.timestamp === -1 ? log.logEndOffset : log.logStartOffset,
            }),
          ],
        }),
      ],
    });
  }

  // The in-sync replicas.

  #checkIsr(broker: ModelBroker): void {
    if (!broker.isUp) return;
    broker.isr.checkExpand(this.#nowMs);
    if (this.#random() < 0.3) broker.isr.checkShrink();
  }

  #turnIsr(broker: ModelBroker): void {
    if (!broker.isUp) return;
    if (this.#random() < 0.7) broker.isr.checkExpand(this.#nowMs);
    const step = broker.isr.next(this.#nowMs);
    if (step.kind === "wait") return;
    const { isr, life } = broker;
    const isCurrent = (): boolean => broker.isUp && broker.life === life;
    const lose = (): void => {
      if (isCurrent()) isr.onFailure(this.#nowMs);
    };
    const request = (): void => {
      const response = this.#alterPartition(step.request);
      const answer = (): void => {
        if (isCurrent()) isr.onAnswer(response, this.#nowMs);
      };
      this.#post("isr", answer, lose);
    };
    this.#post("isr", request, lose);
  }

  /** The controller's side, as Kafka's: compare and swap. */
  #alterPartition(request: AlterPartitionRequest): AlterPartitionResponse {
    const state = this.#now;
    const sender = state.brokers.get(request.brokerId);
    if (sender?.epoch !== request.brokerEpoch || sender.isFenced)
      return makeAlterPartitionResponse({ errorCode: ErrorCode.STALE_BROKER_EPOCH });
    const wanted = request.topics[0]?.partitions[0];
    if (wanted === undefined) return makeAlterPartitionResponse();
    let errorCode: number = ErrorCode.NONE;
    if (wanted.leaderEpoch !== state.leaderEpoch) errorCode = ErrorCode.FENCED_LEADER_EPOCH;
    else if (wanted.partitionEpoch !== state.partitionEpoch)
      errorCode = ErrorCode.INVALID_UPDATE_VERSION;
    else if (state.leader !== request.brokerId) errorCode = ErrorCode.INVALID_REQUEST;
    for (const { brokerId, brokerEpoch } of wanted.newIsrWithEpochs) {
      const broker = state.brokers.get(brokerId);
      if (broker?.isFenced === true || (brokerEpoch !== -1 && broker?.epoch !== brokerEpoch))
        if (errorCode === ErrorCode.NONE) errorCode = ErrorCode.INELIGIBLE_REPLICA;
    }
    if (errorCode === ErrorCode.NONE) {
      this.#commit({ isr: wanted.newIsrWithEpochs.map(({ brokerId }) => brokerId) });
      this.#note(`the ISR is ${this.#now.isr.join(",")}`);
    }
    const { leader, leaderEpoch, isr, partitionEpoch } = this.#now;
    return makeAlterPartitionResponse({
      topics: [
        makeAlterPartitionResponseTopicData({
          topicId: TOPIC_ID,
          partitions: [
            makeAlterPartitionResponsePartitionData({
              partitionIndex: PARTITION,
              errorCode,
              leaderId: leader,
              leaderEpoch,
              isr: [...isr],
              partitionEpoch,
            }),
          ],
        }),
      ],
    });
  }

  #commit(change: Partial<CommittedState>): void {
    const state = this.#now;
    this.#history.push({ ...state, ...change, partitionEpoch: state.partitionEpoch + 1 });
  }

  /** A clean election: somebody else of the ISR who is not fenced. */
  #elect(notLed: number = -1): void {
    const { isr, brokers, leaderEpoch } = this.#now;
    const candidates = isr.filter((id) => id !== notLed && brokers.get(id)?.isFenced === false);
    const leader = candidates.length === 0 ? -1 : this.#pick(candidates);
    this.#commit({ leader, leaderEpoch: leaderEpoch + 1 });
    this.#note(`${leader} leads in epoch ${leaderEpoch + 1}`);
  }

  #moveLeader(): void {
    if (this.#now.isr.length > 1) this.#elect(this.#now.leader);
  }

  /** The controller takes a broker for dead, whether it is or not. */
  #fence(id: number): void {
    const state = this.#now;
    const broker = state.brokers.get(id);
    if (broker === undefined || broker.isFenced) return;
    const brokers = new Map(state.brokers).set(id, { ...broker, isFenced: true });
    const isr = state.isr.length > 1 ? state.isr.filter((other) => other !== id) : state.isr;
    this.#note(`${id} is fenced`);
    this.#commit({ brokers, isr });
    if (state.leader === id) this.#elect();
  }

  #unfenceAll(): void {
    for (const { id, isUp, version, hasLost } of this.#brokers) {
      const state = this.#now;
      const broker = state.brokers.get(id);
      const isCurrent = isUp && !hasLost && version >= this.#history.length - 4;
      if (broker?.isFenced !== true || !isCurrent) continue;
      this.#note(`${id} is unfenced`);
      this.#commit({ brokers: new Map(state.brokers).set(id, { ...broker, isFenced: false }) });
      if (this.#now.leader < 0) this.#elect();
    }
  }

  // Processes and the network.

  #dieOrRestart(broker: ModelBroker): void {
    if (!broker.isUp) return this.#restart(broker);
    if (this.#brokers.some(({ isUp, hasLost }) => !isUp || hasLost)) return;
    broker.isUp = false;
    broker.life += 1;
    const { log } = broker;
    const isrOthers = this.#now.isr.filter((id) => id !== broker.id);
    // As many may lose what is not on disk as min.insync.replicas allows: one, and not the last that has it.
    broker.hasLost = isrOthers.length > 0 && this.#random() < 0.5;
    const { durableOffset, logEndOffset } = log;
    const end = broker.hasLost
      ? durableOffset + Math.floor(this.#random() * (logEndOffset - durableOffset + 1))
      : logEndOffset;
    if (broker.hasLost) this.#fence(broker.id);
    log.crash(end, Math.floor(this.#random() * (log.highWatermark + 1)));
    this.#note(`${broker.id} dies, its log ends at ${log.logEndOffset}, hw ${log.highWatermark}`);
  }

  /** Registers: fenced, and out of the ISR unless it is the last. */
  #restart(broker: ModelBroker): void {
    this.#fence(broker.id);
    broker.isUp = true;
    broker.hasLost = false;
    broker.brokerEpoch = this.#nextBrokerEpoch;
    this.#nextBrokerEpoch += 1;
    broker.isr = this.#makeIsr(broker.id);
    broker.fetcher = this.#makeFetcher(broker.id);
    broker.leaderId = -1;
    broker.sessions = this.#makeSessions();
    const brokers = new Map(this.#now.brokers);
    brokers.set(broker.id, { epoch: broker.brokerEpoch, isFenced: true });
    this.#commit({ brokers });
    this.#note(`${broker.id} is back as ${broker.brokerEpoch}`);
    this.#learn(broker, this.#history.length - 1);
  }

  #post(kind: "fetch" | "answer" | "isr", deliver: () => void, lose: () => void): void {
    const dueMs = this.#nowMs + this.#random() * this.#delaysMs[kind];
    this.#messages.push({ dueMs, deliver, lose });
  }

  #deliverSome(): void {
    const due = this.#messages.filter(({ dueMs }) => dueMs <= this.#nowMs);
    if (due.length === 0) return;
    const message = this.#pick(due);
    this.#messages.splice(this.#messages.indexOf(message), 1);
    message.deliver();
  }

  #loseOne(): void {
    if (this.#messages.length === 0) return;
    const at = Math.floor(this.#random() * this.#messages.length);
    this.#messages.splice(at, 1)[0]?.lose();
  }

  // What must always hold.

  #check(): void {
    this.violation ??=
      this.#checkLeaders() ??
      this.#checkLogs() ??
      this.#checkCommitted() ??
      this.#checkAcknowledged();
  }

  #checkLeaders(): string | null {
    const { isr, leaderEpoch } = this.#now;
    for (const { id, log, isUp, life } of this.#brokers) {
      if (!isUp || log.role !== "leader") continue;
      const known = this.#leaderByEpoch.get(log.leaderEpoch);
      if (known !== undefined && known !== id)
        return `I1: ${known} and ${id} lead in epoch ${log.leaderEpoch}`;
      this.#leaderByEpoch.set(log.leaderEpoch, id);
      if (log.leaderEpoch > leaderEpoch) return `I7: ${id} is in epoch ${log.leaderEpoch}`;
      const name = `${id}/${life}/${log.leaderEpoch}`;
      const before = this.#lastHighWatermark.get(name) ?? 0;
      if (log.highWatermark < before)
        return `I5: the high watermark of ${id} fell from ${before} to ${log.highWatermark}`;
      if (log.highWatermark > before && before > 0 && log.isr.length < MIN_ISR)
        return `I8: the high watermark of ${id} moved with ISR ${log.isr.join(",")}`;
      this.#lastHighWatermark.set(name, log.highWatermark);
      for (const member of isr) {
        const other = this.#brokers[member] as ModelBroker;
        if (other.hasLost) continue;
        for (
          let offset = Math.max(log.logStartOffset, other.log.logStartOffset);
          offset < log.highWatermark;
          offset += 1
        ) {
          if (!isSame(log.at(offset), other.log.at(offset)))
            return `I2: ${id} takes ${offset} for committed, ${member} of the ISR does not have it`;
        }
      }
    }
    return null;
  }

  #checkLogs(): string | null {
    for (const one of this.#brokers) {
      for (const other of this.#brokers) {
        if (one.id >= other.id) continue;
        const start = Math.max(one.log.logStartOffset, other.log.logStartOffset);
        let differsAt = -1;
        const end = Math.min(one.log.logEndOffset, other.log.logEndOffset);
        for (let offset = start; offset < end; offset += 1) {
          const left = one.log.at(offset);
          const right = other.log.at(offset);
          if (!isSame(left, right)) {
            if (left?.epoch === right?.epoch)
              return `I3: ${one.id} and ${other.id} differ at ${offset} in epoch ${left?.epoch}`;
            differsAt = offset;
          } else if (differsAt >= 0)
            return `I3: ${one.id} and ${other.id} agree on ${offset} and not on ${differsAt}`;
        }
      }
    }
    return null;
  }

  #checkCommitted(): string | null {
    for (const { id, log, isUp } of this.#brokers) {
      if (!isUp || log.role !== "leader") continue;
      for (let offset = log.logStartOffset; offset < log.highWatermark; offset += 1) {
        const value = log.at(offset)?.value ?? "";
        const known = this.#committed.get(offset);
        if (known !== undefined && known !== value)
          return `I5: offset ${offset} was ${known} and is ${value} on ${id}`;
        this.#committed.set(offset, value);
      }
    }
    for (const member of this.#now.isr) {
      const { log, hasLost } = this.#brokers[member] as ModelBroker;
      if (hasLost) continue;
      for (const [offset, value] of this.#committed) {
        if (offset >= log.logStartOffset && log.at(offset)?.value !== value)
          return `I2: ${value} was committed at ${offset}, ${member} of the ISR does not have it`;
      }
    }
    return null;
  }

  #checkAcknowledged(): string | null {
    const { leader, leaderEpoch } = this.#now;
    const broker = this.#brokers[leader];
    if (broker === undefined || broker.log.leaderEpoch !== leaderEpoch || !broker.isUp) return null;
    for (const { offset, value } of this.#acknowledged) {
      if (offset < broker.log.logStartOffset) continue;
      if (broker.log.at(offset)?.value !== value)
        return `I4: ${value} was acknowledged at ${offset}, and ${leader} leads without it`;
    }
    return null;
  }
}

function isSame(one: ModelRecord | undefined, other: ModelRecord | undefined): boolean {
  return one !== undefined && one.epoch === other?.epoch && one.value === other.value;
}

function describeFrom(log: ModelLog, offset: number): string {
  return JSON.stringify(log.records.slice(offset - log.logStartOffset));
}
