/**
 * What following asks of the world, as ports: the logs of this broker's replicas, other brokers, and the controller. The native log,
 * connections and the cluster image stand behind them in a broker; models do in tests and in the simulator, which run the same state
 * machines.
 *
 * All calls on logs are synchronous and return Kafka's error codes; none throws for an operating failure.
 */
import type { ApiMessages } from "#protocol/api.ts";

/** Where a follower's log is. */
export interface FollowerOffsets {
  readonly logStartOffset: number;
  readonly logEndOffset: number;
  readonly highWatermark: number;
  /** Leader epoch of the last record, -1 when the log knows none. */
  readonly lastEpoch: number;
}

/** The end of an epoch in a log. */
export interface EpochEnd {
  readonly epoch: number;
  readonly endOffset: number;
}

/**
 * The log of one partition while this broker follows. Calls name the leader epoch they belong to; under another one, or when this
 * broker leads, they are refused with FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH or NOT_LEADER_OR_FOLLOWER, and nothing is changed.
 */
export interface FollowerLog {
  /** Offsets now; null for a log that is gone. */
  offsets(): FollowerOffsets | null;
  /** False when the disk has failed for good. */
  isWritable(): boolean;
  /** Largest epoch at or below `epoch`, and the first offset after it; null when the log knows none as old. */
  endOffsetForEpoch(epoch: number): EpochEnd | null;
  /**
   * Appends batches as they are, which must begin at the log end, and takes over the leader's high watermark and log start offset as far
   * as the log reaches. The records, perhaps none, are not kept.
   */
  append(
    leaderEpoch: number,
    records: Uint8Array,
    highWatermark: number,
    logStartOffset: number,
  ): number;
  /** Offsets after the `append` that just succeeded: without another look at the log. */
  appendedOffsets(): FollowerOffsets;
  /** Cuts the log so that it ends at `offset`; epochs that begin there or later are forgotten. */
  truncateTo(leaderEpoch: number, offset: number): number;
  /** Drops everything; the log is empty and starts at `offset`. */
  restartAt(leaderEpoch: number, offset: number): number;
}

/** How far a follower of a partition that this broker leads is. */
export interface FollowerProgress {
  readonly replicaId: number;
  /** Next offset it asked for; -1 before its first fetch of this leader epoch. */
  readonly logEndOffset: number;
  /** Broker epoch of its last fetch, -1 before. */
  readonly brokerEpoch: number;
  /** At the log end, or was no longer than `replica.lag.time.max.ms` ago. */
  readonly isCaughtUp: boolean;
  /** It has all below the high watermark and the start of this leader's epoch: it may join the ISR. */
  readonly qualifies: boolean;
}

/** What a leader is told of its role. */
export interface LeaderRole {
  readonly leaderEpoch: number;
  readonly partitionEpoch: number;
  readonly replicas: readonly number[];
  /** The committed one. */
  readonly isr: readonly number[];
}

/** The log of one partition while this broker leads. Calls under other epochs than the log's do nothing. */
export interface LeaderLog {
  /** Members that acks=all asks for; never more than there are replicas. */
  readonly minIsr: number;
  /** Progress of all replicas but this one. */
  followers(): readonly FollowerProgress[];
  /**
   * From now on the high watermark needs the additions too: the maximal ISR is the committed one and these. None at all is right only
   * when the controller has refused for certain.
   */
  setPendingIsr(leaderEpoch: number, partitionEpoch: number, additions: readonly number[]): void;
  /** The controller has committed another ISR under a newer partition epoch; nothing is pending any more. */
  commitIsr(role: LeaderRole): void;
}

/** One replica on this broker. */
export interface LocalReplica {
  /**
   * Leads from here on, or goes on leading with another ISR. A newer partition epoch of the same leader epoch ends what is pending;
   * an older one, or the same, is ignored.
   *
   * @throws when the epoch is older than the log's.
   */
  lead(role: LeaderRole): void;
  /**
   * Follows from here on: client appends are refused, and follower appends of other epochs. `leaderId` is -1 without a leader.
   *
   * @throws when the epoch is older than the log's.
   */
  follow(leaderEpoch: number, leaderId: number): void;
  readonly followerLog: FollowerLog;
  readonly leaderLog: LeaderLog;
}

/** A broker as leaders must know it. */
export interface BrokerStanding {
  readonly id: number;
  readonly epoch: number;
  /** Neither fenced nor in controlled shutdown: it may join an ISR (KIP-841). */
  readonly isEligible: boolean;
}

/** Replicas on this broker. */
export interface LocalReplicas {
  /** The replica, or null when it could not be made. A recreated topic's is another one. */
  find(topic: string, topicId: string, partition: number): LocalReplica | null;
  /** Replaces what leaders know of brokers. */
  setBrokers(brokers: readonly BrokerStanding[]): void;
}

/** A connection to another broker that has said PeerHello: the part of `client/connection.ts` that is used here. */
export interface PeerConnection {
  readonly isOpen: boolean;
  /** Sends a request in a version that both speak and gives its answer. A failure closes the connection. */
  sendAt<Req, Res>(
    api: ApiMessages<Req, Res>,
    version: number,
    request: Req,
    timeoutMs: number,
  ): Promise<Res>;
  /** Says that nobody looks at the bytes of the last answer any more: the next one may take their place. */
  recycle(): void;
  close(): void;
}

/** Opens connections to other brokers. Rejects when it cannot; must bound answers to what {@link maxAnswerBytes} allows. */
export type ConnectToBroker = (nodeId: number) => Promise<PeerConnection>;

/** What limits the bytes fetched for replicas that are throttled. Times are the fetcher's. */
export interface FollowerThrottle {
  isThrottled(topic: string, partition: number): boolean;
  /** Whether what is throttled must wait. */
  isExceeded(nowMs: number): boolean;
  /** Counts bytes of a throttled replica. */
  record(bytes: number, nowMs: number): void;
}

/** Settings of following: the broker keys of the same names. */
export interface FollowingConfig {
  /** `replica.fetch.max.bytes` */
  readonly fetchMaxBytes: number;
  /** `replica.fetch.min.bytes` */
  readonly fetchMinBytes: number;
  /** `replica.fetch.wait.max.ms` */
  readonly fetchWaitMaxMs: number;
  /** `replica.fetch.response.max.bytes` */
  readonly fetchResponseMaxBytes: number;
  /** `replica.fetch.backoff.ms` */
  readonly fetchBackoffMs: number;
  /** `replica.socket.timeout.ms` */
  readonly socketTimeoutMs: number;
  /** `num.replica.fetchers` */
  readonly fetcherCount: number;
  /** `replica.lag.time.max.ms` */
  readonly lagTimeMaxMs: number;
}

/** Kafka's defaults. */
export const DEFAULT_FOLLOWING_CONFIG: FollowingConfig = {
  fetchMaxBytes: 1_048_576,
  fetchMinBytes: 1,
  fetchWaitMaxMs: 500,
  fetchResponseMaxBytes: 10_485_760,
  fetchBackoffMs: 1_000,
  socketTimeoutMs: 30_000,
  fetcherCount: 1,
  lagTimeMaxMs: 30_000,
};

/** Room for one batch beyond the limit of an answer (KIP-74) and for everything that is not records. */
const OVERSIZED_BATCH_BYTES = 134_217_728;
const FRAME_BYTES_MAX = 0x7fffffff;

/** Largest answer that a follower takes from a leader. */
export function maxAnswerBytes(
  config: Pick<FollowingConfig, "fetchResponseMaxBytes" | "fetchMaxBytes">,
): number {
  const records = Math.max(config.fetchResponseMaxBytes, config.fetchMaxBytes);
  return Math.min(FRAME_BYTES_MAX, records + OVERSIZED_BATCH_BYTES);
}

/** Names a partition over all following: ids, so that a recreated topic is another one. */
export function replicaKey(topicId: string, partition: number): string {
  return `${topicId}-${partition}`;
}

const FIRST_DELAY_MS = 10;

/** Pause before the next try after `failures` (1 or more) in a row: from 10 ms, doubling up to `maxMs`. */
export function retryDelayMs(failures: number, maxMs: number): number {
  return Math.min(maxMs, FIRST_DELAY_MS * 2 ** Math.min(failures - 1, 20));
}
