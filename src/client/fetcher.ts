/**
 * Reads one topic from given offsets on: one Fetch to each leader at a time, without a session, and what comes back as records a reader
 * at the isolation level may see. The positions are the caller's to keep; a fetcher remembers only where to read next.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  FetchApi,
  type FetchResponse,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
} from "#protocol/generated/fetch.ts";
import { ControlRecordType, controlRecordType } from "#protocol/records/control-records.ts";
import {
  type Decompressor,
  decodeRecordBatches,
  type LogRecord,
  type RecordBatch,
} from "#protocol/records/record-batch.ts";
import { ClientError, refused } from "./client-error.ts";
import type { Cluster, TopicMetadata } from "./cluster.ts";
import { byLeader, Isolation, type IsolationLevel } from "./offsets.ts";
import { retrying } from "./retry.ts";

/** How a fetcher reads. */
export interface FetcherOptions {
  readonly decompressor: Decompressor;
  readonly isolation?: IsolationLevel;
  /** How long a broker may wait for records. */
  readonly maxWaitMs?: number;
  /** Bytes of one answer; a larger batch comes all the same. */
  readonly maxBytes?: number;
}

/** What one fetch brought for one partition. */
export interface FetchedRecords {
  readonly partition: number;
  readonly records: readonly LogRecord[];
  /** Where to read on: also past records that a reader may not see. */
  readonly nextOffset: number;
}

/** A partition whose position does not exist any more, or not yet. */
export interface OutOfRange {
  readonly partition: number;
  readonly offset: number;
}

/** What one poll brought. */
export interface Polled {
  readonly fetched: readonly FetchedRecords[];
  readonly outOfRange: readonly OutOfRange[];
}

const DEFAULT_MAX_WAIT_MS = 500;
const DEFAULT_MAX_BYTES = 16_777_216;
const PARTITION_MAX_BYTES = 4_194_304;
const CONSUMER_REPLICA_ID = -1;
const FULL_FETCH_EPOCH = -1;
/** Version 13 names topics by id. */
const FETCH_BY_NAME_VERSION = 12;

/** See the head of the file. */
export class Fetcher {
  readonly #cluster: Cluster;
  readonly #topicName: string;
  readonly #options: FetcherOptions;
  readonly #positions: Map<number, number>;
  /** Null when it has to be asked for again. */
  #topic: TopicMetadata | null = null;

  constructor(
    cluster: Cluster,
    topicName: string,
    positions: ReadonlyMap<number, number>,
    options: FetcherOptions,
  ) {
    this.#cluster = cluster;
    this.#topicName = topicName;
    this.#options = options;
    this.#positions = new Map(positions);
  }

  /** Next offset to read by partition. */
  get positions(): ReadonlyMap<number, number> {
    return this.#positions;
  }

  /** Reads a partition from another offset on. */
  seek(partition: number, offset: number): void {
    this.#positions.set(partition, offset);
  }

  /** Reads a partition no more. */
  drop(partition: number): void {
    this.#positions.delete(partition);
  }

  /**
   * Asks every leader once; what is retriable is retried with fresh metadata.
   *
   * @throws ClientError after the cluster's retry time, or at a batch that cannot be read.
   */
  poll(): Promise<Polled> {
    return retrying(async () => {
      const topic = this.#topic ?? (await this.#cluster.topic(this.#topicName));
      // Until this attempt has succeeded: a failure may mean that a leader has moved.
      this.#topic = null;
      const fetched: FetchedRecords[] = [];
      const outOfRange: OutOfRange[] = [];
      const leaders = [...byLeader(topic, [...this.#positions.keys()])];
      const answers = await Promise.all(
        leaders.map(async ([leader, partitions]) => {
          const connection = await this.#cluster.node(leader);
          return connection.send(FetchApi, this.#requestFor(partitions), {
            maxVersion: FETCH_BY_NAME_VERSION,
          });
        }),
      );
      for (const answer of answers) {
        if (answer.errorCode !== 0) throw refused("fetch", answer.errorCode);
        for (const row of answer.responses[0]?.partitions ?? []) {
          const offset = this.#positions.get(row.partitionIndex);
          if (offset === undefined) continue;
          if (row.errorCode === ErrorCode.OFFSET_OUT_OF_RANGE)
            outOfRange.push({ partition: row.partitionIndex, offset });
          else fetched.push(this.#recordsOf(row, offset));
        }
      }
      // Only now: a failure above must leave every position where it was.
      for (const { partition, nextOffset } of fetched) this.#positions.set(partition, nextOffset);
      this.#topic = topic;
      return { fetched, outOfRange };
    }, this.#cluster.retryTimeoutMs);
  }

  #requestFor(
    partitions: readonly { readonly partition: number; readonly leaderEpoch: number }[],
  ): ReturnType<typeof makeFetchRequest> {
    return makeFetchRequest({
      replicaId: CONSUMER_REPLICA_ID,
      maxWaitMs: this.#options.maxWaitMs ?? DEFAULT_MAX_WAIT_MS,
      minBytes: 1,
      maxBytes: this.#options.maxBytes ?? DEFAULT_MAX_BYTES,
      isolationLevel: this.#options.isolation ?? Isolation.READ_UNCOMMITTED,
      sessionEpoch: FULL_FETCH_EPOCH,
      topics: [
        makeFetchTopic({
          topic: this.#topicName,
          partitions: partitions.map(({ partition, leaderEpoch }) =>
            makeFetchPartition({
              partition,
              currentLeaderEpoch: leaderEpoch,
              fetchOffset: this.#positions.get(partition) ?? 0,
              partitionMaxBytes: PARTITION_MAX_BYTES,
            }),
          ),
        }),
      ],
    });
  }

  #recordsOf(
    row: FetchResponse["responses"][number]["partitions"][number],
    offset: number,
  ): FetchedRecords {
    const where = `topic '${this.#topicName}', partition ${row.partitionIndex}`;
    if (row.errorCode !== 0) throw refused(where, row.errorCode);
    if (!(row.records instanceof Uint8Array) || row.records.length === 0)
      return { partition: row.partitionIndex, records: [], nextOffset: offset };
    const { batches, failure } = decodeRecordBatches(row.records, {
      decompressor: this.#options.decompressor,
    });
    // What came before the damage is still worth having; the next poll meets it again, first.
    if (batches.length === 0) {
      throw new ClientError(
        "BAD_ANSWER",
        `${where}: what is stored from offset ${offset} on cannot be read: ${failure ?? "a batch is cut off"}`,
      );
    }
    const isolation = this.#options.isolation ?? Isolation.READ_UNCOMMITTED;
    const aborted = isolation === Isolation.READ_COMMITTED ? (row.abortedTransactions ?? []) : [];
    const last = batches.at(-1);
    return {
      partition: row.partitionIndex,
      records: visibleRecords(batches, aborted).filter((record) => record.offset >= offset),
      nextOffset: last === undefined ? offset : last.baseOffset + last.lastOffsetDelta + 1,
    };
  }
}

/** A transaction that was aborted: from `firstOffset` to its marker. */
export interface AbortedTransaction {
  readonly producerId: number | bigint;
  readonly firstOffset: number;
}

/**
 * The records of batches without control records and without those of the aborted transactions given. @see KIP-98
 */
export function visibleRecords(
  batches: readonly RecordBatch[],
  aborted: readonly AbortedTransaction[],
): LogRecord[] {
  const upcoming = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset);
  const open = new Set<bigint>();
  const visible: LogRecord[] = [];
  let next = 0;
  for (const batch of batches) {
    const lastOffset = batch.baseOffset + batch.lastOffsetDelta;
    for (; next < upcoming.length; next += 1) {
      const transaction = upcoming[next];
      if (transaction === undefined || transaction.firstOffset > lastOffset) break;
      open.add(BigInt(transaction.producerId));
    }
    if (batch.isControl) {
      const isAbort = controlRecordType(batch.records[0]?.key ?? null) === ControlRecordType.ABORT;
      if (isAbort) open.delete(batch.producerId);
    } else if (!batch.isTransactional || !open.has(batch.producerId)) {
      for (const record of batch.records) visible.push(record);
    }
  }
  return visible;
}
