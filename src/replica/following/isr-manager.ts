/**
 * Keeps the in-sync replicas of the partitions that this broker leads: who has not been caught up for too long leaves, who has caught
 * up joins, and the controller has the last word by compare-and-swap on the partition epoch.
 *
 * A change is pending from the moment it is decided. An addition counts for the high watermark at once, before the request leaves, for
 * the controller may have granted it before we hear so; a removal counts only when it is committed. While a change of a partition is
 * pending nothing else is decided about it. It ends with the controller's answer, or with metadata, which knows better: then a late
 * answer means nothing any more.
 *
 * ```
 *   committed ── decide ──► pending ── sent ──► answer: granted ─► committed, new partition epoch
 *       ▲                      ▲  │               │ not applied (INELIGIBLE_REPLICA, OPERATION_NOT_ATTEMPTED) ─► committed as before
 *       │                      │  └── again ◄─────┤ unknown (connection lost, NOT_CONTROLLER, …)
 *       └── newer metadata ────┴─── waiting ◄─────┘ refused (FENCED_LEADER_EPOCH, INVALID_UPDATE_VERSION, …): metadata must come
 * ```
 *
 * One request is under way at a time, with all that is pending (as Kafka does). No clock and no sockets: `next` says what to send.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  type AlterPartitionRequest,
  type AlterPartitionResponse,
  type AlterPartitionResponsePartitionData,
  makeAlterPartitionRequest,
  makeAlterPartitionRequestPartitionData,
  makeAlterPartitionRequestTopicData,
  makeBrokerState,
} from "#protocol/generated/alter-partition.ts";
import { type FollowerProgress, type LeaderLog, replicaKey } from "./ports.ts";

/** A partition as the image says that this broker leads it. */
export interface LedPartition {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly partitionEpoch: number;
  readonly replicas: readonly number[];
  readonly isr: readonly number[];
  /** Replicas a reassignment adds: not counted as missing. */
  readonly addingReplicas: readonly number[];
  readonly leaderRecoveryState: number;
}

/** Told of what happens. */
export interface IsrEvents {
  /** The controller committed another ISR that this broker had asked for. */
  onChanged(partition: LedPartition, before: readonly number[], after: readonly number[]): void;
  /** The controller refused a change, or its answer came too late to mean anything. */
  onRefused(partition: LedPartition, errorCode: number): void;
}

/** What a model or the simulator may switch off, to see that it is missed. */
export interface IsrRules {
  /** Wrong on purpose when false: a pending addition does not count for the high watermark. */
  readonly usesMaximalIsr: boolean;
  /** Wrong on purpose when true: who has stopped fetching may join by what it had then. */
  readonly takesStopped?: boolean;
}

const RIGHT_RULES: IsrRules = { usesMaximalIsr: true };

/** What the manager needs. */
export interface IsrManagerOptions {
  readonly nodeId: number;
  /** Epoch of this broker's registration. */
  readonly brokerEpoch: () => number;
  readonly events: IsrEvents;
  readonly rules?: IsrRules;
}

/** What the driver must do next. */
export type IsrStep =
  | { readonly kind: "send"; readonly request: AlterPartitionRequest }
  | { readonly kind: "wait"; readonly untilMs: number | null };

/** Counters since the start, as in `kafka.server:type=ReplicaManager`. */
export interface IsrCounters {
  shrinkCount: number;
  expandCount: number;
  failedUpdateCount: number;
}

/** What an unclean election leaves to be recovered is nothing that a log needs, in Kafka as here: who leads says that it is done (KIP-704). */
const RECOVERED = 0;
/** Pause after an answer that settles nothing, as in Kafka. */
const RETRY_MS = 50;
/** Pause before a replica that the controller called ineligible is proposed again. */
const INELIGIBLE_MS = 100;

interface Change {
  readonly isr: readonly number[];
  readonly brokerEpochs: ReadonlyMap<number, number>;
  readonly isExpansion: boolean;
  /** Refused in a way that only newer metadata can settle. */
  isWaitingForMetadata: boolean;
}

interface Led {
  partition: LedPartition;
  readonly log: LeaderLog;
  pending: Change | null;
  /** Nothing is proposed before this time. */
  quietUntilMs: number;
}

/** See the head of the file. */
export class IsrManager {
  readonly #options: IsrManagerOptions;
  readonly #rules: IsrRules;
  readonly #led: Map<string, Led> = new Map();
  /** With fewer in the ISR than replicas: the only ones anybody could join. */
  readonly #incomplete: Map<string, Led> = new Map();
  /** With a change that is not settled. */
  readonly #pending: Map<string, Led> = new Map();
  /** Changes of the request under way, by partition. */
  #sent: Map<string, Change> | null = null;
  #retryAtMs = 0;
  readonly counters: IsrCounters = { shrinkCount: 0, expandCount: 0, failedUpdateCount: 0 };

  constructor(options: IsrManagerOptions) {
    this.#options = options;
    this.#rules = options.rules ?? RIGHT_RULES;
  }

  /** Partitions led, as they are committed as far as this broker knows. */
  *partitions(): Iterable<LedPartition> {
    for (const { partition } of this.#led.values()) yield partition;
  }

  /** Partitions led, with what acks=all asks of their ISRs. */
  *standings(): Iterable<LedPartition & { readonly minIsr: number }> {
    for (const { partition, log } of this.#led.values()) yield { ...partition, minIsr: log.minIsr };
  }

  /** True while some replica is missing in an ISR: `checkExpand` may find something. */
  get hasIncomplete(): boolean {
    return this.#incomplete.size > 0;
  }

  /** A partition led, as committed; undefined when this broker does not lead it. */
  get(key: string): LedPartition | undefined {
    return this.#led.get(key)?.partition;
  }

  /**
   * The image says that this broker leads the partition. What is pending ends here if the image is newer than what it was decided on.
   *
   * @returns false when this is not newer than what is known: nothing is to be done.
   */
  lead(partition: LedPartition, log: LeaderLog): boolean {
    const key = replicaKey(partition.topicId, partition.partition);
    const known = this.#led.get(key);
    if (known !== undefined) {
      const { leaderEpoch, partitionEpoch } = known.partition;
      if (partition.leaderEpoch < leaderEpoch) return false;
      if (partition.leaderEpoch === leaderEpoch && partition.partitionEpoch <= partitionEpoch)
        return false;
    }
    const led: Led = { partition, log, pending: null, quietUntilMs: 0 };
    this.#led.set(key, led);
    this.#pending.delete(key);
    this.#noteSize(key, led);
    return true;
  }

  /** This broker leads the partition no more. */
  resign(key: string): void {
    this.#led.delete(key);
    this.#pending.delete(key);
    this.#incomplete.delete(key);
  }

  /** Decides who leaves: to be called every half `replica.lag.time.max.ms`. */
  checkShrink(): void {
    for (const [key, led] of this.#led) {
      if (led.pending !== null || led.partition.isr.length < 2) continue;
      const followers = led.log.followers();
      const isr = led.partition.isr.filter(
        (replicaId) =>
          replicaId === this.#options.nodeId ||
          followers.some((follower) => follower.replicaId === replicaId && follower.isCaughtUp),
      );
      if (isr.length === led.partition.isr.length) continue;
      this.#propose(key, led, makeChange(isr, followers, false));
    }
  }

  /** Decides who joins. Cheap when all are in sync: may be called often. */
  checkExpand(nowMs: number): void {
    for (const [key, led] of this.#incomplete) this.#expand(key, led, nowMs);
  }

  /** Decides who joins a partition: a follower that may qualify has just fetched. */
  checkExpandOf(key: string, nowMs: number): void {
    const led = this.#incomplete.get(key);
    if (led !== undefined) this.#expand(key, led, nowMs);
  }

  #expand(key: string, led: Led, nowMs: number): void {
    if (led.pending !== null || nowMs < led.quietUntilMs) return;
    const { leaderEpoch, partitionEpoch, replicas, isr } = led.partition;
    const followers = led.log.followers();
    const additions = followers
      .filter(
        (follower) =>
          // What a follower had when it last fetched says nothing of one that has stopped.
          follower.qualifies &&
          (follower.isCaughtUp || this.#rules.takesStopped === true) &&
          replicas.includes(follower.replicaId) &&
          !isr.includes(follower.replicaId),
      )
      .map(({ replicaId }) => replicaId);
    if (additions.length === 0) return;
    // In the order of the replicas, as the controller would write it.
    const members = new Set([...isr, ...additions]);
    if (this.#rules.usesMaximalIsr) led.log.setPendingIsr(leaderEpoch, partitionEpoch, additions);
    const wanted = replicas.filter((replicaId) => members.has(replicaId));
    this.#propose(key, led, makeChange(wanted, followers, true));
  }

  #propose(key: string, led: Led, change: Change): void {
    led.pending = change;
    this.#pending.set(key, led);
  }

  /** What to do now. After `send` one of `onAnswer` and `onFailure` must follow; until then the answer is to wait. */
  next(nowMs: number): IsrStep {
    if (this.#sent !== null) return { kind: "wait", untilMs: null };
    const unsent = new Map<string, Change>();
    for (const [key, { pending }] of this.#pending) {
      if (pending !== null && !pending.isWaitingForMetadata) unsent.set(key, pending);
    }
    if (unsent.size === 0) return { kind: "wait", untilMs: null };
    if (nowMs < this.#retryAtMs) return { kind: "wait", untilMs: this.#retryAtMs };
    this.#sent = unsent;
    return { kind: "send", request: this.#request(unsent) };
  }

  #request(changes: ReadonlyMap<string, Change>): AlterPartitionRequest {
    const { nodeId } = this.#options;
    const ownEpoch = this.#options.brokerEpoch();
    const topics = new Map<string, ReturnType<typeof makeAlterPartitionRequestTopicData>>();
    for (const [key, { isr, brokerEpochs }] of changes) {
      const led = this.#led.get(key);
      if (led === undefined) continue;
      const { topicId, partition, leaderEpoch, partitionEpoch } = led.partition;
      let topic = topics.get(topicId);
      if (topic === undefined) {
        topic = makeAlterPartitionRequestTopicData({ topicId });
        topics.set(topicId, topic);
      }
      topic.partitions.push(
        makeAlterPartitionRequestPartitionData({
          partitionIndex: partition,
          leaderEpoch,
          newIsrWithEpochs: isr.map((brokerId) =>
            makeBrokerState({
              brokerId,
              brokerEpoch: brokerId === nodeId ? ownEpoch : (brokerEpochs.get(brokerId) ?? -1),
            }),
          ),
          leaderRecoveryState: RECOVERED,
          partitionEpoch,
        }),
      );
    }
    return makeAlterPartitionRequest({
      brokerId: nodeId,
      brokerEpoch: ownEpoch,
      topics: [...topics.values()],
    });
  }

  /** Takes the controller's answer to the request under way. */
  onAnswer(response: AlterPartitionResponse, nowMs: number): void {
    const sent = this.#sent;
    this.#sent = null;
    if (sent === null) return;
    if (response.errorCode !== ErrorCode.NONE) {
      this.#retryAtMs = nowMs + RETRY_MS;
      return;
    }
    for (const { topicId, partitions } of response.topics) {
      for (const row of partitions) {
        const key = replicaKey(topicId, row.partitionIndex);
        const change = sent.get(key);
        const led = this.#led.get(key);
        // Overridden meanwhile: nobody knows what this answer was about.
        if (change === undefined || led?.pending !== change) continue;
        if (row.errorCode === ErrorCode.NONE) this.#onGranted(key, led, change, row);
        else this.#onRefused(key, led, change, row.errorCode, nowMs);
      }
    }
    for (const [key, change] of sent) {
      // Left out of the answer, or to be tried again: not at once.
      if (this.#led.get(key)?.pending === change && !change.isWaitingForMetadata)
        this.#retryAtMs = nowMs + RETRY_MS;
    }
  }

  /** The request under way has no answer: its fate is unknown, so it is sent again as it is. */
  onFailure(nowMs: number): void {
    this.#sent = null;
    this.#retryAtMs = nowMs + RETRY_MS;
  }

  #onGranted(
    key: string,
    led: Led,
    change: Change,
    row: AlterPartitionResponsePartitionData,
  ): void {
    const { partition } = led;
    if (
      row.leaderEpoch !== partition.leaderEpoch ||
      row.partitionEpoch < partition.partitionEpoch
    ) {
      change.isWaitingForMetadata = true;
      return this.#refused(led, row.errorCode);
    }
    const before = partition.isr;
    this.#settle(key, led);
    led.partition = {
      ...partition,
      isr: row.isr,
      partitionEpoch: row.partitionEpoch,
      leaderRecoveryState: row.leaderRecoveryState,
    };
    led.log.commitIsr(led.partition);
    this.#noteSize(key, led);
    if (change.isExpansion) this.counters.expandCount += 1;
    else this.counters.shrinkCount += 1;
    this.#options.events.onChanged(led.partition, before, row.isr);
  }

  #onRefused(key: string, led: Led, change: Change, errorCode: number, nowMs: number): void {
    this.#refused(led, errorCode);
    switch (errorCode) {
      case ErrorCode.OPERATION_NOT_ATTEMPTED:
      case ErrorCode.INELIGIBLE_REPLICA: {
        // The controller vouches that it was not applied and never will be.
        this.#settle(key, led);
        led.quietUntilMs = nowMs + INELIGIBLE_MS;
        led.log.setPendingIsr(led.partition.leaderEpoch, led.partition.partitionEpoch, []);
        return;
      }
      case ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
      case ErrorCode.UNKNOWN_TOPIC_ID:
      case ErrorCode.FENCED_LEADER_EPOCH:
      case ErrorCode.INVALID_UPDATE_VERSION:
      case ErrorCode.INVALID_REQUEST:
      case ErrorCode.NEW_LEADER_ELECTED:
        change.isWaitingForMetadata = true;
        return;
      default:
        // Its fate is unknown: it is sent again.
        return;
    }
  }

  #settle(key: string, led: Led): void {
    led.pending = null;
    this.#pending.delete(key);
  }

  #refused(led: Led, errorCode: number): void {
    this.counters.failedUpdateCount += 1;
    this.#options.events.onRefused(led.partition, errorCode);
  }

  #noteSize(key: string, led: Led): void {
    if (led.partition.isr.length < led.partition.replicas.length) this.#incomplete.set(key, led);
    else this.#incomplete.delete(key);
  }
}

/** Epochs go along (KIP-903): -1 for members that have not fetched in this leader epoch, whom the controller knows by itself. */
function makeChange(
  isr: readonly number[],
  followers: readonly FollowerProgress[],
  isExpansion: boolean,
): Change {
  const brokerEpochs = new Map(
    followers.map(({ replicaId, brokerEpoch }) => [replicaId, brokerEpoch]),
  );
  return { isr, brokerEpochs, isExpansion, isWaitingForMetadata: false };
}
