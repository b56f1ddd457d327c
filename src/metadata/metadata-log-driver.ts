/**
 * The metadata log in files: `__cluster_metadata-0` of the metadata directory, in Kafka's own layout. Appends are written
 * and synced one at a time; a snapshot begins a new segment and removes what it makes superfluous.
 *
 * After a crash the last batch may be incomplete: it was never acknowledged and is cut off. Everything else that is wrong stops the
 * start, the last batch included when all of it is there, because cutting would silently undo what clients were told.
 */
import { writeFileSync } from "node:fs";
import { mkdir, open, readdir, readFile, rename, unlink, writeFile } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import type { Clock } from "#common/time.ts";
import { METADATA_TOPIC_UUID } from "#common/uuid.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { crc32c } from "#protocol/records/crc32c.ts";
import { decodeBatchHeader, decodeRecordBatches } from "#protocol/records/record-batch.ts";
import {
  decodeMetadataBatch,
  encodeLeaderChange,
  encodeMetadataBatch,
  encodeSnapshot,
  parseSegmentName,
  parseSnapshotName,
  segmentName,
  snapshotName,
} from "./metadata-format.ts";
import { MetadataLogError } from "./metadata-log.ts";
import type { LogPosition, MetadataLog } from "./metadata-log.ts";

/** Name of the directory inside the metadata directory. */
export const METADATA_LOG_DIRECTORY = "__cluster_metadata-0";

/** The mark of a failed sync; `distrust.rs` of the log store acts on it. */
const SYNC_FAILED_FILE = ".sluice-sync-failed";

/** What a file-backed metadata log needs. */
export interface FileMetadataLogOptions {
  /** The directory that holds (or will hold) `__cluster_metadata-0`. */
  readonly directory: string;
  readonly nodeId: number;
  readonly clock: Clock;
  /** The log failed and takes nothing more until the broker is started again. */
  readonly onPoisoned?: (error: Error) => void;
}

/** Failures that leave the files as they were, and pass: no room, a limit, a read-only file system, no descriptor. */
const PASSING = new Set(["ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EMFILE", "ENFILE"]);

/** A sync that failed: whatever its reason, nobody knows what is on disk. */
class SyncFailure extends Error {
  override readonly name = "SyncFailure";
}

const SECTOR_BYTES = 512;
const BATCH_HEADER_BYTES = 61;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;

type OnBatch = (records: readonly MetadataRecord[], last: LogPosition) => void;

/** See the head of the file. */
export class FileMetadataLog implements MetadataLog {
  readonly #options: FileMetadataLogOptions;
  readonly #path: string;
  #file: FileHandle | null = null;
  #fileBytes = 0;
  /** A write that failed left bytes behind the end. */
  #needsCut = false;
  #segmentBase = 0;
  #nextOffset = 0;
  #epoch = 0;
  #hasEpochBegun = false;
  #bytesSinceSnapshot = 0;
  #poison: MetadataLogError | null = null;
  readonly #epochStarts: { epoch: number; startOffset: number }[] = [];

  constructor(options: FileMetadataLogOptions) {
    this.#options = options;
    this.#path = `${options.directory}/${METADATA_LOG_DIRECTORY}`;
  }

  get bytesSinceSnapshot(): number {
    return this.#bytesSinceSnapshot;
  }

  async load(onBatch: OnBatch): Promise<void> {
    try {
      await this.#load(onBatch);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async #load(onBatch: OnBatch): Promise<void> {
    await mkdir(this.#path, { recursive: true });
    const names = await readdir(this.#path);
    for (const name of names) if (name.endsWith(".part")) await unlink(`${this.#path}/${name}`);
    const snapshotEnd = await this.#loadSnapshot(names, onBatch);
    const segments = names
      .map(parseSegmentName)
      .filter((base) => base !== null)
      .sort((left, right) => left - right);
    this.#nextOffset = snapshotEnd;
    for (const [index, base] of segments.entries()) {
      await this.#loadSegment(base, index === segments.length - 1, snapshotEnd, onBatch);
    }
    if (this.#file === null) await this.#beginSegment(this.#nextOffset);
    await this.#writeOnce(
      "partition.metadata",
      `version: 0\ntopic_id: ${METADATA_TOPIC_UUID}`,
      names,
    );
  }

  async append(records: readonly MetadataRecord[]): Promise<LogPosition> {
    return this.#guard(async () => {
      if (!this.#hasEpochBegun) await this.#beginEpochOrNone();
      await this.#write(encodeMetadataBatch(records, this.#place()), records.length);
      return { offset: this.#nextOffset - 1, epoch: this.#epoch };
    });
  }

  async writeSnapshot(records: Iterable<MetadataRecord>, last: LogPosition): Promise<void> {
    const endOffset = last.offset + 1;
    const name = snapshotName(endOffset, last.epoch);
    const part = `${this.#path}/${name}.part`;
    try {
      const file = await open(part, "w", 0o600);
      try {
        for (const batch of encodeSnapshot(records, last.epoch, this.#options.clock.nowMs())) {
          await writeFully(file, batch, null);
        }
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(part, `${this.#path}/${name}`);
      await this.#syncDirectory();
    } catch (error) {
      throw new MetadataLogError(
        "IO_ERROR",
        `cannot write snapshot ${name}: ${String(error)}`,
        error,
      );
    }
    await this.#guard(async () => {
      if (this.#nextOffset !== endOffset) return;
      await this.#beginSegment(endOffset);
      await this.#dropBefore(endOffset, name);
      this.#bytesSinceSnapshot = 0;
    });
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
  }

  // ---- loading

  /** Replays the newest snapshot and returns its end offset. */
  async #loadSnapshot(names: readonly string[], onBatch: OnBatch): Promise<number> {
    const [newest] = names
      .map(parseSnapshotName)
      .filter((id) => id !== null)
      .sort((left, right) => right.endOffset - left.endOffset || right.epoch - left.epoch);
    if (newest === undefined) return 0;
    const name = snapshotName(newest.endOffset, newest.epoch);
    const bytes = await readFile(`${this.#path}/${name}`);
    const { batches, validBytes, failure } = decodeRecordBatches(bytes);
    const lastBatch = batches.at(-1);
    if (failure !== null || validBytes !== bytes.length || lastBatch?.isControl !== true) {
      throw new MetadataLogError(
        "SNAPSHOT_CORRUPT",
        `snapshot ${name}: ${failure ?? "incomplete"}`,
      );
    }
    const all: MetadataRecord[] = [];
    for (const batch of batches) {
      const { records, error } = decodeMetadataBatch(batch);
      if (error !== null)
        throw new MetadataLogError("SNAPSHOT_CORRUPT", `snapshot ${name}: ${error}`);
      for (const record of records) all.push(record);
    }
    this.#epoch = newest.epoch;
    onBatch(all, { offset: newest.endOffset - 1, epoch: newest.epoch });
    return newest.endOffset;
  }

  async #loadSegment(
    base: number,
    isLast: boolean,
    snapshotEnd: number,
    onBatch: OnBatch,
  ): Promise<void> {
    const name = segmentName(base);
    const path = `${this.#path}/${name}`;
    const bytes = await readFile(path);
    const { batches, validBytes, failure } = decodeRecordBatches(bytes);
    const corrupt = (why: string, position: number): MetadataLogError =>
      new MetadataLogError(
        "LOG_CORRUPT",
        `${path} at byte ${position}: ${why}. "sluice log repair ${this.#options.directory}" restores a flipped bit; anything worse has to come from a copy`,
      );
    if (validBytes < bytes.length && (!isLast || !isTorn(bytes, validBytes))) {
      throw corrupt(failure ?? "a batch is cut off, and was whole once", validBytes);
    }
    if (base > this.#nextOffset) {
      throw new MetadataLogError(
        "LOG_CORRUPT",
        `offsets ${this.#nextOffset} to ${base - 1} are missing before ${name}`,
      );
    }
    let position = 0;
    let expected = base;
    for (const batch of batches) {
      // No checksum covers these two, but there are no gaps here, and epochs only grow.
      if (batch.baseOffset !== expected) {
        throw corrupt(`offset ${batch.baseOffset} where ${expected} belongs`, position);
      }
      if (batch.partitionLeaderEpoch < (this.#epochStarts.at(-1)?.epoch ?? 0)) {
        throw corrupt(`epoch ${batch.partitionLeaderEpoch} after a later one`, position);
      }
      this.#noteEpoch(batch.partitionLeaderEpoch, batch.baseOffset);
      const lastOffset = batch.baseOffset + batch.lastOffsetDelta;
      expected = lastOffset + 1;
      const from = position;
      position += batch.sizeBytes;
      if (lastOffset < snapshotEnd) continue;
      const { records, error } = decodeMetadataBatch(batch);
      if (error !== null) throw corrupt(error, from);
      this.#nextOffset = lastOffset + 1;
      this.#bytesSinceSnapshot += batch.sizeBytes;
      onBatch(records, { offset: lastOffset, epoch: batch.partitionLeaderEpoch });
    }
    if (!isLast) return;
    const file = await open(path, "r+");
    this.#file = file;
    if (validBytes < bytes.length) {
      await file.truncate(validBytes);
      await file.sync();
    }
    this.#fileBytes = validBytes;
    this.#segmentBase = base;
  }

  #noteEpoch(epoch: number, startOffset: number): void {
    if ((this.#epochStarts.at(-1)?.epoch ?? -1) < epoch)
      this.#epochStarts.push({ epoch, startOffset });
    this.#epoch = Math.max(this.#epoch, epoch);
  }

  // ---- writing

  #place(): { baseOffset: number; epoch: number; timestampMs: number } {
    return {
      baseOffset: this.#nextOffset,
      epoch: this.#epoch,
      timestampMs: this.#options.clock.nowMs(),
    };
  }

  /** Begins a new epoch at the first append of a process; a start without changes leaves the log alone. */
  async #beginEpoch(): Promise<void> {
    this.#noteEpoch(this.#epoch + 1, this.#nextOffset);
    const { nodeId } = this.#options;
    await this.#replaceFile(
      "quorum-state",
      `{"clusterId":"","leaderId":${nodeId},"leaderEpoch":${this.#epoch},"votedId":-1,"appliedOffset":0,` +
        `"currentVoters":[{"voterId":${nodeId}}],"data_version":0}`,
    );
    await this.#writeEpochs();
    await this.#write(encodeLeaderChange(nodeId, this.#place()), 1);
    this.#hasEpochBegun = true;
  }

  /** As `#beginEpoch`; when it fails, the epoch has not begun. */
  async #beginEpochOrNone(): Promise<void> {
    const epoch = this.#epoch;
    const starts = [...this.#epochStarts];
    try {
      await this.#beginEpoch();
    } catch (error) {
      this.#epoch = epoch;
      this.#epochStarts.splice(0, this.#epochStarts.length, ...starts);
      throw error;
    }
  }

  async #writeEpochs(): Promise<void> {
    const lines = this.#epochStarts.map(({ epoch, startOffset }) => `${epoch} ${startOffset}\n`);
    await this.#replaceFile("leader-epoch-checkpoint", `0\n${lines.length}\n${lines.join("")}`);
  }

  async #write(bytes: Uint8Array, recordCount: number): Promise<void> {
    const file = this.#file;
    if (file === null) throw new MetadataLogError("IO_ERROR", "the metadata log is closed");
    await this.#cutRest(file);
    try {
      await writeFully(file, bytes, this.#fileBytes);
    } catch (error) {
      this.#needsCut = true;
      // Tried again before the next write.
      await this.#cutRest(file).catch(() => {});
      throw error;
    }
    try {
      await file.datasync();
    } catch (error) {
      throw new SyncFailure(String(error), { cause: error });
    }
    this.#fileBytes += bytes.length;
    this.#bytesSinceSnapshot += bytes.length;
    this.#nextOffset += recordCount;
  }

  async #cutRest(file: FileHandle): Promise<void> {
    if (!this.#needsCut) return;
    await file.truncate(this.#fileBytes);
    this.#needsCut = false;
  }

  async #beginSegment(base: number): Promise<void> {
    if (this.#file !== null && this.#segmentBase === base) return;
    const file = await open(`${this.#path}/${segmentName(base)}`, "w+");
    try {
      await this.#syncDirectory();
    } catch (error) {
      await file.close();
      throw error;
    }
    await this.#file?.close();
    this.#file = file;
    this.#fileBytes = 0;
    this.#needsCut = false;
    this.#segmentBase = base;
  }

  /** Removes segments, their indexes and snapshots that the snapshot `kept` replaces. */
  async #dropBefore(offset: number, kept: string): Promise<void> {
    for (const name of await readdir(this.#path)) {
      const base = /^(\d{20})\.(?:log|index|timeindex|txnindex|snapshot)$/.exec(name)?.[1];
      const isOldSegment = base !== undefined && Number(base) < offset;
      const isOldSnapshot = parseSnapshotName(name) !== null && name !== kept;
      if (isOldSegment || isOldSnapshot) await unlink(`${this.#path}/${name}`);
    }
    const current = this.#epochStarts.at(-1);
    if (current !== undefined) {
      this.#epochStarts.splice(0, this.#epochStarts.length, {
        epoch: current.epoch,
        startOffset: Math.max(current.startOffset, offset),
      });
      await this.#writeEpochs();
    }
  }

  async #writeOnce(name: string, text: string, existing: readonly string[]): Promise<void> {
    if (!existing.includes(name)) await this.#replaceFile(name, text);
  }

  async #replaceFile(name: string, text: string): Promise<void> {
    const part = `${this.#path}/${name}.tmp`;
    await writeFile(part, text, { flush: true });
    await rename(part, `${this.#path}/${name}`);
    await this.#syncDirectory();
  }

  async #syncDirectory(): Promise<void> {
    const directory = await open(this.#path, "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }

  /** The next start of the log store in this directory drops what the page cache holds of it, this log included, and reads the disk. */
  #markDirectory(): void {
    try {
      writeFileSync(`${this.#options.directory}/${SYNC_FAILED_FILE}`, "");
    } catch {
      // A disk that takes no file is refused by the next start.
    }
  }

  /** Runs a write. Once one has failed other than for want of room, what is on disk is unknown and nothing more is written. */
  async #guard<T>(write: () => Promise<T>): Promise<T> {
    if (this.#poison !== null) throw this.#poison;
    try {
      return await write();
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "";
      if (!(error instanceof SyncFailure) && PASSING.has(code)) {
        throw new MetadataLogError(
          "DISK_FULL",
          `the metadata log cannot be written now: ${String(error)}`,
          error,
        );
      }
      this.#poison = new MetadataLogError(
        "LOG_POISONED",
        `the metadata log failed: ${String(error)}`,
        error,
      );
      this.#markDirectory();
      this.#options.onPoisoned?.(this.#poison);
      throw this.#poison;
    }
  }
}

async function writeFully(
  file: FileHandle,
  bytes: Uint8Array,
  position: number | null,
): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const at = position === null ? null : position + written;
    const result = await file.write(bytes, written, bytes.length - written, at);
    written += result.bytesWritten;
  }
}

/**
 * Whether the bytes from `from` on are what a crash leaves of a batch that was being written: too few, or with a sector that never reached the
 * disk and reads as zeros. A batch that is all there and wrong was right once, and one that good batches follow as well.
 */
function isTorn(bytes: Uint8Array, from: number): boolean {
  if (hasZeroSector(bytes, from)) return true;
  if (bytes.length - from < BATCH_HEADER_BYTES) return true;
  // Only its length is wrong.
  if (isChecksumGood(bytes, from, bytes.length)) return false;
  if (decodeBatchHeader(bytes, from) !== null) return false;
  for (let at = from + 1; at + BATCH_HEADER_BYTES <= bytes.length; at += 1) {
    const header = decodeBatchHeader(bytes, at);
    if (header === null || typeof header === "string") continue;
    if (isChecksumGood(bytes, at, at + header.sizeBytes)) return false;
  }
  return true;
}

function isChecksumGood(bytes: Uint8Array, from: number, end: number): boolean {
  const stored = new DataView(bytes.buffer, bytes.byteOffset).getUint32(from + CRC_AT);
  return crc32c(bytes, from + ATTRIBUTES_AT, end) === stored;
}

function hasZeroSector(bytes: Uint8Array, from: number): boolean {
  for (let at = from; at < bytes.length;) {
    const end = Math.min(bytes.length, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES);
    // The first bytes of a batch are zeros often enough; its length, at 8, never is.
    const isLongEnough = end - at >= 12 || (at === from && end === bytes.length);
    if (isLongEnough && bytes.subarray(at, end).every((byte) => byte === 0)) return true;
    at = end;
  }
  return false;
}
