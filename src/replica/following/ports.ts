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
  /** Newest epoch of the log's leader epoch cache, -1 when it knows none. */
  readonly latestEpoch: number;
  /** Code with which writes are refused for good (the disk failed), 0: they are not. */
  readonly writeRefusal: number;
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
  /** Offsets now; null for a log that is gone or whose disk is. */
  offsets(): FollowerOffsets | null;
  /** Largest epoch at or below `epoch`, and the first offset after it; null when the log knows none as old. */
  endOffsetForEpoch(epoch: number): EpochEnd | null;
  /** Appends whole batches as they are; they must begin at the log end. The records are not kept. */
  append(leaderEpoch: number, records: Uint8Array): number;
  /** Takes over the leader's high watermark, as far as the log reaches, and its log start offset. */
  follow(leaderEpoch: number, highWatermark: number, logStartOffset: number): number;
  /** Cuts the log so that it ends at `offset`; epochs that begin there or later are forgotten also when no record is. */
  truncateTo(leaderEpoch: number, offset: number): number;
  /** Drops everything; the log is empty and starts at `offset`. */
  restartAt(leaderEpoch: number, offset: number): number;
}

/** How far a follower of a partition that this broker leads is. */
export interface FollowerProgress {
  readonly replicaId: number;
  /** Next offset it asked for; -1 before its first fetch of this leader epoch. */
  readonly logEndOffset: number;
  /** When it last had everything (monotonic ms); as Kafka counts it, the epoch's start for members of the ISR. */
  readonly lastCaughtUpMs: number;
  /** Broker epoch of its last fetch, -1 before. */
  readonly brokerEpoch: number;
  /** It has fetched up to the high watermark and to where this leader's epoch starts: it may join the ISR. */
  readonly isCaughtUp: boolean;
}

/** What a leader is told of its role. */
export interface LeaderRole {
  readonly leaderEpoch: number;
  readonly partitionEpoch: number;
  readonly replicas: readonly number[];
  /** The committed one. */
  readonly isr: readonly number[];
  /** Broker epochs of the replicas' registrations, in the order of `replicas`; -1 where one is not registered. */
  readonly brokerEpochs: readonly number[];
}

/** The log of one partition while this broker leads. Calls under a leader epoch that is not the log's do nothing. */
export interface LeaderLog {
  readonly logEndOffset: number;
  /** Progress of all replicas but this one. */
  followers(): readonly FollowerProgress[];
  /** From now on the high watermark needs the additions too: the maximal ISR is the committed one and these. */
  setPendingIsr(leaderEpoch: number, additions: readonly number[]): void;
  /** The controller has committed this ISR; nothing is pending any more. */
  commitIsr(leaderEpoch: number, partitionEpoch: number, isr: readonly number[]): void;
}

/** One replica on this broker. */
export interface LocalReplica {
  /**
   * Leads from here on, or goes on leading with another ISR. A newer partition epoch of the same leader epoch ends what is pending; with
   * the same one only the broker epochs are taken over; an older one is ignored.
   */
  lead(role: LeaderRole): void;
  /** Follows from here on: client appends are refused, and follower appends of other epochs. `leaderId` is -1 without a leader. */
  follow(leaderEpoch: number, leaderId: number): void;
  readonly followerLog: FollowerLog;
  readonly leaderLog: LeaderLog;
}

/** Replicas on this broker. */
export interface LocalReplicas {
  /** The replica, or null when it could not be made. A recreated topic is another one. */
  find(topic: string, topicId: string, partition: number): LocalReplica | null;
}

/** A connection to another broker that has said PeerHello: the part of `client/connection.ts` that is used here. */
export interface PeerConnection {
  readonly isOpen: boolean;
  send<Req, Res>(
    api: ApiMessages<Req, Res>,
    request: Req,
    options?: { readonly timeoutMs?: number; readonly maxVersion?: number },
  ): Promise<Res>;
  close(): void;
}

/** Opens connections to other brokers. Rejects when it cannot; must bound answers to what {@link maxAnswerBytes} allows. */
export type ConnectToBroker = (nodeId: number) => Promise<PeerConnection>;

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
