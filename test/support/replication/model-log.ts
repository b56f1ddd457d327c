/**
 * A replica's log as a model: an array of records with their epochs, and what native code does for leaders and followers, written down
 * once more as plainly as possible. It stands behind the ports of `src/replica/following`, so the state machines there can be run on
 * three of these without files, clocks or sockets. Rules of safety can be switched off one by one.
 *
 * ```ts
 * const log = new ModelLog(1, () => nowMs);
 * log.lead({ leaderEpoch: 0, partitionEpoch: 0, replicas: [1, 2], isr: [1, 2] });
 * log.write("a");
 * ```
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  type FetchPartition,
  makeEpochEndOffset,
  makePartitionData,
  type PartitionData,
} from "#protocol/generated/fetch.ts";
import type {
  BrokerStanding,
  EpochEnd,
  FollowerLog,
  FollowerOffsets,
  FollowerProgress,
  LeaderLog,
  LeaderRole,
  LocalReplica,
} from "#replica/following/ports.ts";

/** One record. */
export interface ModelRecord {
  readonly epoch: number;
  readonly value: string;
}

/** Rules of a leader that a test may switch off. */
export interface LeaderRules {
  /** A fetch, or an append, of another leader epoch is refused. */
  readonly fencesLeaderEpochs: boolean;
  /** A follower joins the ISR only with all up to where the leader's epoch starts. */
  readonly waitsForEpochStart: boolean;
}

export const ALL_LEADER_RULES: LeaderRules = { fencesLeaderEpochs: true, waitsForEpochStart: true };

/** What a model log is made of; what of it survives a crash is up to the model of the crash. */
export interface ModelLogOptions {
  readonly nodeId: number;
  readonly minIsr: number;
  readonly lagTimeMaxMs: number;
  readonly nowMs: () => number;
  readonly standing: (brokerId: number) => BrokerStanding | undefined;
  readonly rules?: LeaderRules;
  /** Records in one answer. */
  readonly answerRecords?: number;
}

interface Follower {
  logEndOffset: number;
  brokerEpoch: number;
  lastCaughtUpMs: number;
  lastFetchMs: number;
  lastFetchLeaderEnd: number;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** See the head of the file. */
export class ModelLog implements LocalReplica, FollowerLog, LeaderLog {
  readonly #options: ModelLogOptions;
  readonly #rules: LeaderRules;
  readonly #answerRecords: number;
  logStartOffset = 0;
  records: ModelRecord[] = [];
  highWatermark = 0;
  /** Records below survive anything. */
  durableOffset = 0;
  role: "none" | "leader" | "follower" = "none";
  leaderEpoch = -1;
  partitionEpoch = -1;
  epochStartOffset = 0;
  isr: readonly number[] = [];
  pending: readonly number[] = [];
  isBroken = false;
  #replicas: readonly number[] = [];
  readonly #followers: Map<number, Follower> = new Map();

  constructor(options: ModelLogOptions) {
    this.#options = options;
    this.#rules = options.rules ?? ALL_LEADER_RULES;
    this.#answerRecords = options.answerRecords ?? 3;
  }

  get followerLog(): FollowerLog {
    return this;
  }

  get leaderLog(): LeaderLog {
    return this;
  }

  get minIsr(): number {
    return Math.max(1, Math.min(this.#options.minIsr, this.#replicas.length));
  }

  get logEndOffset(): number {
    return this.logStartOffset + this.records.length;
  }

  at(offset: number): ModelRecord | undefined {
    return this.records[offset - this.logStartOffset];
  }

  get lastEpoch(): number {
    return this.records.at(-1)?.epoch ?? -1;
  }

  // As a leader.

  lead(role: LeaderRole): void {
    if (role.leaderEpoch < this.leaderEpoch) throw new Error("an older epoch");
    const isNewEpoch = this.role !== "leader" || role.leaderEpoch > this.leaderEpoch;
    if (!isNewEpoch && role.partitionEpoch <= this.partitionEpoch) return;
    const nowMs = this.#options.nowMs();
    if (isNewEpoch) {
      this.#followers.clear();
      this.epochStartOffset = this.logEndOffset;
    }
    this.role = "leader";
    this.leaderEpoch = role.leaderEpoch;
    this.partitionEpoch = role.partitionEpoch;
    this.isr = role.isr;
    this.pending = [];
    this.#replicas = role.replicas;
    for (const replicaId of role.replicas) {
      if (replicaId === this.#options.nodeId || this.#followers.has(replicaId)) continue;
      this.#followers.set(replicaId, {
        logEndOffset: -1,
        brokerEpoch: -1,
        lastCaughtUpMs: role.isr.includes(replicaId) ? nowMs : Number.NEGATIVE_INFINITY,
        lastFetchMs: Number.NEGATIVE_INFINITY,
        lastFetchLeaderEnd: -1,
      });
    }
    this.advance();
  }

  commitIsr(role: LeaderRole): void {
    this.lead(role);
  }

  setPendingIsr(leaderEpoch: number, partitionEpoch: number, additions: readonly number[]): void {
    if (leaderEpoch !== this.leaderEpoch || partitionEpoch !== this.partitionEpoch) return;
    this.pending = additions;
    this.advance();
  }

  followers(): readonly FollowerProgress[] {
    const { nowMs, lagTimeMaxMs, standing } = this.#options;
    return [...this.#followers].map(([replicaId, follower]) => {
      const { logEndOffset, brokerEpoch, lastCaughtUpMs } = follower;
      const broker = standing(replicaId);
      return {
        replicaId,
        logEndOffset,
        brokerEpoch,
        isCaughtUp: logEndOffset === this.logEndOffset || nowMs() - lastCaughtUpMs <= lagTimeMaxMs,
        qualifies:
          logEndOffset >= this.highWatermark &&
          (!this.#rules.waitsForEpochStart || logEndOffset >= this.epochStartOffset) &&
          broker?.isEligible === true &&
          broker.epoch === brokerEpoch,
      };
    });
  }

  /** Appends a client's record; null when it is refused (not the leader, or too few in sync). */
  write(value: string): number | null {
    if (this.role !== "leader" || this.isr.length < this.minIsr) return null;
    this.records.push({ epoch: this.leaderEpoch, value });
    this.advance();
    return this.logEndOffset - 1;
  }

  /** Moves the high watermark as far as the maximal ISR has fetched. */
  advance(): void {
    if (this.role !== "leader" || this.isr.length < this.minIsr) return;
    let least = this.logEndOffset;
    for (const replicaId of new Set([...this.isr, ...this.pending])) {
      if (replicaId === this.#options.nodeId) continue;
      least = Math.min(least, this.#followers.get(replicaId)?.logEndOffset ?? -1);
    }
    this.highWatermark = Math.max(this.highWatermark, least);
  }

  /** Answers a replica's fetch, and notes how far it is. */
  serve(wanted: FetchPartition, replicaId: number, brokerEpoch: number): PartitionData {
    const { fetchOffset, currentLeaderEpoch, lastFetchedEpoch, partition } = wanted;
    const refuse = (errorCode: number): PartitionData =>
      makePartitionData({ partitionIndex: partition, errorCode, highWatermark: -1 });
    if (this.#rules.fencesLeaderEpochs && currentLeaderEpoch < this.leaderEpoch)
      return refuse(ErrorCode.FENCED_LEADER_EPOCH);
    if (this.#rules.fencesLeaderEpochs && currentLeaderEpoch > this.leaderEpoch)
      return refuse(ErrorCode.UNKNOWN_LEADER_EPOCH);
    const follower = this.#followers.get(replicaId);
    if (this.role !== "leader" || follower === undefined || brokerEpoch < follower.brokerEpoch)
      return refuse(ErrorCode.NOT_LEADER_OR_FOLLOWER);
    const answer = makePartitionData({
      partitionIndex: partition,
      highWatermark: this.highWatermark,
      logStartOffset: this.logStartOffset,
      lastStableOffset: this.highWatermark,
    });
    if (lastFetchedEpoch >= 0) {
      const end = this.endOffsetForEpoch(lastFetchedEpoch);
      if (lastFetchedEpoch > this.leaderEpoch) return refuse(ErrorCode.OFFSET_OUT_OF_RANGE);
      if (end.epoch < lastFetchedEpoch || end.endOffset < fetchOffset) {
        answer.divergingEpoch = makeEpochEndOffset(end);
        return answer;
      }
    }
    if (fetchOffset < this.logStartOffset || fetchOffset > this.logEndOffset)
      return refuse(ErrorCode.OFFSET_OUT_OF_RANGE);
    this.#note(follower, fetchOffset, brokerEpoch);
    const from = fetchOffset - this.logStartOffset;
    const records = this.records.slice(from, from + this.#answerRecords);
    answer.highWatermark = this.highWatermark;
    answer.records = records.length === 0 ? null : encodeRecords(fetchOffset, records);
    return answer;
  }

  #note(follower: Follower, fetchOffset: number, brokerEpoch: number): void {
    const nowMs = this.#options.nowMs();
    if (fetchOffset >= this.logEndOffset) follower.lastCaughtUpMs = nowMs;
    else if (fetchOffset >= follower.lastFetchLeaderEnd)
      follower.lastCaughtUpMs = Math.max(follower.lastCaughtUpMs, follower.lastFetchMs);
    follower.logEndOffset = fetchOffset;
    follower.brokerEpoch = brokerEpoch;
    follower.lastFetchMs = nowMs;
    follower.lastFetchLeaderEnd = this.logEndOffset;
    this.advance();
  }

  // As a follower.

  follow(leaderEpoch: number, _leaderId: number): void {
    if (leaderEpoch < this.leaderEpoch) throw new Error("an older epoch");
    this.role = "follower";
    this.leaderEpoch = leaderEpoch;
    this.pending = [];
    this.#followers.clear();
  }

  offsets(): FollowerOffsets | null {
    return this.isBroken ? null : this.appendedOffsets();
  }

  appendedOffsets(): FollowerOffsets {
    const { logStartOffset, logEndOffset, highWatermark, lastEpoch } = this;
    return { logStartOffset, logEndOffset, highWatermark, lastEpoch };
  }

  isWritable(): boolean {
    return !this.isBroken;
  }

  endOffsetForEpoch(epoch: number): EpochEnd {
    const after = this.records.findIndex((record) => record.epoch > epoch);
    const end = after < 0 ? this.records.length : after;
    const last = this.records[end - 1];
    if (last !== undefined) return { epoch: last.epoch, endOffset: this.logStartOffset + end };
    // Older than all that is kept, as Kafka answers it.
    return { epoch, endOffset: this.logStartOffset };
  }

  append(
    leaderEpoch: number,
    bytes: Uint8Array,
    highWatermark: number,
    logStartOffset: number,
  ): number {
    const refusal = this.#refusal(leaderEpoch);
    if (refusal !== ErrorCode.NONE) return refusal;
    for (const { offset, ...record } of decodeRecords(bytes)) {
      if (offset !== this.logEndOffset) return ErrorCode.OFFSET_OUT_OF_RANGE;
      this.records.push(record);
    }
    this.highWatermark = Math.max(this.highWatermark, Math.min(highWatermark, this.logEndOffset));
    this.#dropBefore(Math.min(logStartOffset, this.highWatermark));
    return ErrorCode.NONE;
  }

  truncateTo(leaderEpoch: number, offset: number): number {
    const refusal = this.#refusal(leaderEpoch);
    if (refusal !== ErrorCode.NONE) return refusal;
    this.cut(offset);
    return ErrorCode.NONE;
  }

  restartAt(leaderEpoch: number, offset: number): number {
    const refusal = this.#refusal(leaderEpoch);
    if (refusal !== ErrorCode.NONE) return refusal;
    this.records = [];
    this.logStartOffset = offset;
    this.highWatermark = offset;
    this.durableOffset = offset;
    return ErrorCode.NONE;
  }

  /** Drops records from an offset on. */
  cut(offset: number): void {
    if (offset >= this.logEndOffset) return;
    this.records.length = Math.max(0, offset - this.logStartOffset);
    this.logStartOffset = Math.min(this.logStartOffset, offset);
    this.highWatermark = Math.min(this.highWatermark, offset);
    this.durableOffset = Math.min(this.durableOffset, offset);
  }

  /** Retention, or DeleteRecords: drops records below an offset. */
  #dropBefore(offset: number): void {
    if (offset <= this.logStartOffset) return;
    this.records.splice(0, offset - this.logStartOffset);
    this.logStartOffset = offset;
  }

  /** A leader's retention. */
  trim(offset: number): void {
    if (this.role === "leader") this.#dropBefore(Math.min(offset, this.highWatermark));
  }

  /** What is left after the process died, and was started again by its data. */
  crash(endOffset: number, highWatermark: number): void {
    this.cut(endOffset);
    this.highWatermark = Math.max(this.logStartOffset, Math.min(this.highWatermark, highWatermark));
    this.role = "none";
    this.pending = [];
    this.isr = [];
    this.#followers.clear();
  }

  #refusal(leaderEpoch: number): number {
    if (this.isBroken) return ErrorCode.KAFKA_STORAGE_ERROR;
    if (!this.#rules.fencesLeaderEpochs) return ErrorCode.NONE;
    if (leaderEpoch < this.leaderEpoch) return ErrorCode.FENCED_LEADER_EPOCH;
    if (leaderEpoch > this.leaderEpoch) return ErrorCode.UNKNOWN_LEADER_EPOCH;
    return this.role === "follower" ? ErrorCode.NONE : ErrorCode.NOT_LEADER_OR_FOLLOWER;
  }
}

/** Records as bytes, as they lie in an answer. */
export function encodeRecords(baseOffset: number, records: readonly ModelRecord[]): Uint8Array {
  return encoder.encode(
    JSON.stringify(records.map(({ epoch, value }, index) => [baseOffset + index, epoch, value])),
  );
}

function decodeRecords(bytes: Uint8Array): { offset: number; epoch: number; value: string }[] {
  if (bytes.length === 0) return [];
  const rows = JSON.parse(decoder.decode(bytes)) as [number, number, string][];
  return rows.map(([offset, epoch, value]) => ({ offset, epoch, value }));
}
