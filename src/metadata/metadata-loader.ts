/**
 * Owns the current image: builds it from the log at start and moves it forward with every commit, telling publishers each
 * step. A commit is over when its records are on disk and every publisher has acted on them, so that what a client is told
 * to exist can be used.
 */
import { assert } from "#common/assert.ts";
import { makeAbortTransactionRecord } from "#protocol/generated/records/abort-transaction-record.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { ClusterDelta } from "./cluster-delta.ts";
import { EMPTY_IMAGE } from "./cluster-image.ts";
import type { ClusterImage } from "./cluster-image.ts";
import { imageRecords } from "./image-records.ts";
import type { LogPosition, MetadataLog } from "./metadata-log.ts";

/** Acts on changes of the cluster. */
export interface MetadataPublisher {
  /**
   * Called after every commit, and once after loading with a delta on the empty image.
   *
   * A failure of a publisher is its own to report: it must not reject for what concerns single partitions.
   */
  onMetadataUpdate(delta: ClusterDelta, image: ClusterImage): void | Promise<void>;
}

/** The metadata as the controller uses it: {@link MetadataLoader} of a node by itself, `QuorumMetadata` of one in a quorum. */
export interface MetadataState {
  /** The newest published image. */
  readonly image: ClusterImage;
  /** The newest committed image, on which to decide; `image` unless publishers are behind. */
  readonly committed: ClusterImage;
  /** Writes records and makes them true; settles when publishers have acted on them. */
  commit(records: readonly MetadataRecord[]): Promise<void>;
  snapshotIfGrown(): Promise<void>;
}

/** What the loader needs. */
export interface MetadataLoaderOptions {
  readonly log: MetadataLog;
  /** Bytes of log after which a snapshot is written: `metadata.log.max.record.bytes.between.snapshots`. */
  readonly maxBytesBetweenSnapshots: number;
  /** Told when a snapshot could not be written; the next commit tries again. */
  readonly onSnapshotFailure: (error: unknown) => void;
}

/** See the head of the file. `commit` calls must not overlap: the controller's queue sees to that. */
export class MetadataLoader implements MetadataState {
  readonly #options: MetadataLoaderOptions;
  readonly #publishers: MetadataPublisher[] = [];
  #image: ClusterImage = EMPTY_IMAGE;

  constructor(options: MetadataLoaderOptions) {
    this.#options = options;
  }

  /** The newest committed image. */
  get image(): ClusterImage {
    return this.#image;
  }

  get committed(): ClusterImage {
    return this.#image;
  }

  /** Adds a publisher; publishers are called one after another in the order added. */
  addPublisher(publisher: MetadataPublisher): void {
    this.#publishers.push(publisher);
  }

  /**
   * Reads the log and publishes the image it gives.
   *
   * @throws MetadataLogError when the log cannot be trusted.
   */
  async load(): Promise<void> {
    const delta = new ClusterDelta(EMPTY_IMAGE);
    let last: LogPosition = { offset: -1, epoch: 0 };
    // Records between BeginTransaction and EndTransaction count only together; an unfinished rest never happened.
    let transaction: MetadataRecord[] | null = null;
    await this.#options.log.load((records, position) => {
      last = position;
      for (const record of records) {
        if (record.kind === "BeginTransactionRecord") transaction = [];
        else if (record.kind === "AbortTransactionRecord") transaction = null;
        else if (record.kind === "EndTransactionRecord") {
          for (const held of transaction ?? []) delta.replay(held);
          transaction = null;
        } else if (transaction === null) delta.replay(record);
        else transaction.push(record);
      }
    });
    if (transaction !== null) {
      // What is written from now on must not fall into it at the next start.
      const abort = makeAbortTransactionRecord({ reason: "left open when the controller stopped" });
      last = await this.#options.log.append([{ kind: "AbortTransactionRecord", record: abort }]);
    }
    this.#image = delta.apply(last.offset, last.epoch);
    await this.#publish(delta);
  }

  /**
   * Writes records and makes them true.
   *
   * @param records - at least one.
   * @throws MetadataLogError when they could not be written: the image is as it was. Unless its code is DISK_FULL the log takes nothing more.
   */
  async commit(records: readonly MetadataRecord[]): Promise<void> {
    assert(records.length > 0, "a commit holds at least one record");
    // Replaying first finds a record that contradicts the image before it is on disk.
    const delta = new ClusterDelta(this.#image);
    for (const record of records) delta.replay(record);
    const last = await this.#options.log.append(records);
    this.#image = delta.apply(last.offset, last.epoch);
    await this.#publish(delta);
    await this.#maybeSnapshot();
  }

  async #publish(delta: ClusterDelta): Promise<void> {
    for (const publisher of this.#publishers) await publisher.onMetadataUpdate(delta, this.#image);
  }

  /**
   * Writes a snapshot if the log has grown since the last one (`metadata.log.max.snapshot.interval.ms`). Like `commit`, never at
   * the same time as another change; a failure is told and the next call tries again.
   */
  async snapshotIfGrown(): Promise<void> {
    if (this.#options.log.bytesSinceSnapshot > 0) await this.#snapshot();
  }

  async #maybeSnapshot(): Promise<void> {
    const { log, maxBytesBetweenSnapshots } = this.#options;
    if (log.bytesSinceSnapshot >= maxBytesBetweenSnapshots) await this.#snapshot();
  }

  async #snapshot(): Promise<void> {
    const { log, onSnapshotFailure } = this.#options;
    try {
      await log.writeSnapshot(imageRecords(this.#image), this.#image);
    } catch (error) {
      onSnapshotFailure(error);
    }
  }
}
