/**
 * One partition that this broker follows in one leader epoch: what to ask the leader for next, and what to do with each answer.
 *
 * Logs of two brokers agree up to the first offset whose epochs differ. So a follower sends the epoch of its last record with every
 * fetch; the leader answers with records if its log has that epoch ending no earlier, and otherwise with the largest epoch it does
 * have and where it ends. The follower cuts its log back to what both can have of that epoch and asks again, until the leader agrees
 * (KIP-101, KIP-279, KIP-595). Never to its high watermark: that is old news of an old leader, and what lies above it may be committed.
 *
 * ```
 *            start()             OFFSET_OUT_OF_RANGE
 *   (new) ───────────► fetching ────────────────────► resetting ── leader's offsets ──► fetching
 *                        │  ▲ after a pause: the leader is not there yet, or refuses
 *                        ▼  │
 *      FENCED_LEADER_EPOCH: fenced (new metadata must come)      own disk: failed
 * ```
 *
 * A new leader epoch is a new object, so that nothing said in an old epoch can touch the log: whoever holds answers drops those for
 * objects that are no longer his. No clock, no sockets: calls take the time, and change the log through its port.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { PartitionData } from "#protocol/generated/fetch.ts";
import { EMPTY_BYTES } from "#protocol/codec/reader.ts";
import { type FollowerLog, type FollowerOffsets, replicaKey, retryDelayMs } from "./ports.ts";

/** Whom and what to follow. */
export interface FollowerAssignment {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly leaderId: number;
  readonly leaderEpoch: number;
}

/** See the head of the file. */
export type FollowerPhase = "fetching" | "resetting" | "fenced" | "failed";

/** Told of what an operator may want to know. */
export interface FollowerEvents {
  /** The log was cut from one end offset to another; `highWatermark` is that from before. */
  onTruncated(
    partition: FollowerPartition,
    fromOffset: number,
    toOffset: number,
    highWatermark: number,
  ): void;
  /** The log was emptied, to start again at the leader's log start. */
  onRestarted(partition: FollowerPartition, fromOffset: number, toOffset: number): void;
  /** Nothing more is fetched: the own log refuses, with this code. */
  onFailed(partition: FollowerPartition, errorCode: number): void;
  /** The leader, or the own log, refused with this code; it is tried again. */
  onRefused(partition: FollowerPartition, errorCode: number): void;
}

/** What a model or the simulator may switch off, to see that it is missed. */
export interface FollowerRules {
  /** Wrong on purpose: on becoming a follower the log is cut to the high watermark, whatever the epochs say. */
  readonly truncatesToHighWatermark: boolean;
}

const RIGHT_RULES: FollowerRules = { truncatesToHighWatermark: false };

/** What became of an answer. */
export interface AnswerOutcome {
  /** Bytes of records appended. */
  readonly bytes: number;
}

const NOTHING: AnswerOutcome = { bytes: 0 };

/** See the head of the file. */
export class FollowerPartition {
  readonly assignment: FollowerAssignment;
  readonly key: string;
  readonly #log: FollowerLog;
  readonly #events: FollowerEvents;
  readonly #backoffMs: number;
  readonly #rules: FollowerRules;
  #phase: FollowerPhase = "fetching";
  #fetchOffset = 0;
  #lastFetchedEpoch = -1;
  #logStartOffset = 0;
  #lag: number | null = null;
  #readyAtMs = 0;
  #failures = 0;

  /** @param backoffMs - longest pause after a refusal: `replica.fetch.backoff.ms`. */
  constructor(
    assignment: FollowerAssignment,
    log: FollowerLog,
    events: FollowerEvents,
    backoffMs: number,
    rules: FollowerRules = RIGHT_RULES,
  ) {
    this.assignment = assignment;
    this.key = replicaKey(assignment.topicId, assignment.partition);
    this.#log = log;
    this.#events = events;
    this.#backoffMs = backoffMs;
    this.#rules = rules;
  }

  get phase(): FollowerPhase {
    return this.#phase;
  }

  /** Next offset to fetch: the log end. */
  get fetchOffset(): number {
    return this.#fetchOffset;
  }

  /** Epoch of the last record below {@link fetchOffset}, -1 for none. */
  get lastFetchedEpoch(): number {
    return this.#lastFetchedEpoch;
  }

  /** Of the own log. */
  get logStartOffset(): number {
    return this.#logStartOffset;
  }

  /** Offsets missing up to the leader's high watermark as last told; null before the first answer. */
  get lag(): number | null {
    return this.#lag;
  }

  /** Not fetched before this time. */
  get readyAtMs(): number {
    return this.#readyAtMs;
  }

  /** Looks at the log. To be called once, after the log knows that it follows in this epoch. */
  start(): void {
    const offsets = this.#log.offsets();
    // Its one fetch would make the leader wait for it, as for one that is about to join.
    if (offsets === null || !this.#log.isWritable())
      return this.#fail(ErrorCode.KAFKA_STORAGE_ERROR);
    const hasNoEpochs = offsets.lastEpoch < 0 && offsets.logEndOffset > offsets.logStartOffset;
    // Records from before there were epochs cannot be compared: as in Kafka the high watermark is all there is to go by.
    if (hasNoEpochs || this.#rules.truncatesToHighWatermark) {
      this.#truncateTo(offsets.highWatermark, offsets.logEndOffset, offsets.highWatermark, null);
      return;
    }
    this.#readLog();
  }

  /** True when it belongs into a fetch request sent at `nowMs`. */
  isReady(nowMs: number): boolean {
    return this.#phase === "fetching" && nowMs >= this.#readyAtMs;
  }

  /** True when the leader's offsets must be asked for at `nowMs`. */
  wantsOffsets(nowMs: number): boolean {
    return this.#phase === "resetting" && nowMs >= this.#readyAtMs;
  }

  /** Takes the leader's answer to a fetch from {@link fetchOffset} in this epoch. */
  onAnswer(row: PartitionData, nowMs: number): AnswerOutcome {
    switch (row.errorCode) {
      case ErrorCode.NONE:
        break;
      case ErrorCode.OFFSET_OUT_OF_RANGE:
        this.#phase = "resetting";
        return NOTHING;
      case ErrorCode.FENCED_LEADER_EPOCH:
        // The leader is ahead: the metadata with its epoch is on its way here.
        this.#phase = "fenced";
        return NOTHING;
      default:
        this.#pause(row.errorCode, nowMs);
        return NOTHING;
    }
    if (row.divergingEpoch.epoch >= 0) {
      this.#diverge(row.divergingEpoch.epoch, row.divergingEpoch.endOffset, nowMs);
      return NOTHING;
    }
    const records = row.records instanceof Uint8Array ? row.records : EMPTY_BYTES;
    const { leaderEpoch } = this.assignment;
    const endBefore = this.#fetchOffset;
    const errorCode = this.#log.append(leaderEpoch, records, row.highWatermark, row.logStartOffset);
    if (errorCode !== ErrorCode.NONE) {
      this.#refuseOwn(errorCode, nowMs);
      return NOTHING;
    }
    this.#failures = 0;
    this.#takeOffsets(this.#log.appendedOffsets());
    this.#lag = Math.max(0, row.highWatermark - this.#fetchOffset);
    if (records.length > 0 && this.#fetchOffset === endBefore) {
      // Bytes that hold no whole batch for this epoch must not be asked for again and again.
      this.#pause(ErrorCode.CORRUPT_MESSAGE, nowMs);
      return NOTHING;
    }
    return { bytes: records.length };
  }

  /**
   * Takes where the leader's log starts and ends, asked for after OFFSET_OUT_OF_RANGE. A log that reaches beyond the leader's (an unclean
   * election) is cut to its end; one that ends before the leader's start has nothing that the leader still has, and starts over there.
   */
  onLeaderOffsets(startOffset: number, endOffset: number, nowMs: number): void {
    if (this.#phase !== "resetting") return;
    const offsets = this.#log.offsets();
    if (offsets === null) return this.#fail(ErrorCode.KAFKA_STORAGE_ERROR);
    this.#phase = "fetching";
    const { logEndOffset, highWatermark } = offsets;
    if (endOffset < logEndOffset) {
      this.#truncateTo(endOffset, logEndOffset, highWatermark, nowMs);
    } else if (startOffset > logEndOffset) {
      const errorCode = this.#log.restartAt(this.assignment.leaderEpoch, startOffset);
      if (errorCode !== ErrorCode.NONE) return this.#refuseOwn(errorCode, nowMs);
      this.#events.onRestarted(this, logEndOffset, startOffset);
      this.#readLog();
    } else {
      // The leader has grown past it meanwhile, or its epochs are gone: asking again may do, but not at once for ever.
      this.#pause(ErrorCode.OFFSET_OUT_OF_RANGE, nowMs);
    }
    if (this.#phase === "fetching") this.#lag = Math.max(0, endOffset - this.#fetchOffset);
  }

  /** The leader did not tell its offsets, for this reason. */
  onLeaderOffsetsRefused(errorCode: number, nowMs: number): void {
    if (this.#phase !== "resetting") return;
    if (errorCode === ErrorCode.FENCED_LEADER_EPOCH) this.#phase = "fenced";
    else this.#pause(errorCode, nowMs);
  }

  #diverge(epoch: number, leaderEndOffset: number, nowMs: number): void {
    const offsets = this.#log.offsets();
    if (offsets === null) return this.#fail(ErrorCode.KAFKA_STORAGE_ERROR);
    const { logEndOffset, highWatermark } = offsets;
    const own = this.#log.endOffsetForEpoch(epoch);
    let target = logEndOffset;
    // Without that epoch of its own, the follower goes back to where its next older one ends, and the leader is asked about that.
    if (own === null || own.epoch === epoch) target = Math.min(target, leaderEndOffset);
    if (own !== null) target = Math.min(target, own.endOffset);
    const epochBefore = this.#lastFetchedEpoch;
    if (target < 0) return this.#pause(ErrorCode.UNKNOWN_SERVER_ERROR, nowMs);
    this.#truncateTo(target, logEndOffset, highWatermark, nowMs);
    // A leader that is never content must not be asked without end.
    if (target === logEndOffset && this.#lastFetchedEpoch === epochBefore)
      this.#pause(ErrorCode.UNKNOWN_SERVER_ERROR, nowMs);
  }

  /** @param nowMs - when; null where nothing would ask for the cut again, so that it must not be passed over. */
  #truncateTo(
    offset: number,
    fromOffset: number,
    highWatermark: number,
    nowMs: number | null,
  ): void {
    const errorCode = this.#log.truncateTo(this.assignment.leaderEpoch, offset);
    if (errorCode !== ErrorCode.NONE) {
      // A disk without room may refuse even that. The leader finds the logs diverge again when it is asked again.
      return nowMs === null ? this.#fail(errorCode) : this.#refuseOwn(errorCode, nowMs);
    }
    if (offset < fromOffset) this.#events.onTruncated(this, fromOffset, offset, highWatermark);
    this.#readLog();
  }

  #readLog(): void {
    const offsets = this.#log.offsets();
    if (offsets === null) return this.#fail(ErrorCode.KAFKA_STORAGE_ERROR);
    this.#takeOffsets(offsets);
  }

  #takeOffsets({ logEndOffset, lastEpoch, logStartOffset }: FollowerOffsets): void {
    this.#fetchOffset = logEndOffset;
    this.#lastFetchedEpoch = lastEpoch;
    this.#logStartOffset = logStartOffset;
  }

  /** The own log did not take something: its disk is gone, or there is no room, or the bytes were not good. */
  #refuseOwn(errorCode: number, nowMs: number): void {
    if (!this.#log.isWritable()) return this.#fail(errorCode);
    // What was appended before the refusal stays; the next fetch goes on from there.
    this.#readLog();
    if (this.#phase !== "failed") this.#pause(errorCode, nowMs);
  }

  #pause(errorCode: number, nowMs: number): void {
    this.#failures += 1;
    this.#readyAtMs = nowMs + retryDelayMs(this.#failures, this.#backoffMs);
    this.#events.onRefused(this, errorCode);
  }

  #fail(errorCode: number): void {
    this.#phase = "failed";
    this.#events.onFailed(this, errorCode);
  }
}
