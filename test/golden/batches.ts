/**
 * Golden record batches, written by Kafka's own classes, and what Kafka reads in them.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Decompressor, RecordBatch } from "#protocol/records/record-batch.ts";

/** A batch as the referee prints it: int64 as text, bytes as hex. */
export interface BatchSample {
  readonly hex: string;
  readonly batches: readonly unknown[];
  readonly failure?: string;
}

export const BATCHES_FILE: string = join(import.meta.dirname, "batches.ndjson.zst");

/** Reads the committed batches. */
export function readBatches(): BatchSample[] {
  const text = Bun.zstdDecompressSync(readFileSync(BATCHES_FILE)).toString();
  return text.trimEnd().split("\n").map(parseBatch);
}

export function parseBatch(line: string): BatchSample {
  return JSON.parse(line) as BatchSample;
}

/** Our batch in the referee's words. */
export function describeBatch(batch: RecordBatch): unknown {
  const hex = (bytes: Uint8Array | null): string | null => (bytes === null ? null : bytes.toHex());
  return {
    baseOffset: `${batch.baseOffset}`,
    sizeBytes: batch.sizeBytes,
    partitionLeaderEpoch: batch.partitionLeaderEpoch,
    compression: batch.compression,
    isLogAppendTime: batch.isLogAppendTime,
    isTransactional: batch.isTransactional,
    isControl: batch.isControl,
    lastOffset: `${batch.baseOffset + batch.lastOffsetDelta}`,
    maxTimestamp: `${batch.maxTimestamp}`,
    producerId: `${batch.producerId}`,
    producerEpoch: batch.producerEpoch,
    baseSequence: batch.baseSequence,
    records: batch.records.map((record) => ({
      offset: `${record.offset}`,
      timestamp: `${record.timestamp}`,
      key: hex(record.key),
      value: hex(record.value),
      headers: record.headers.map((header) => ({ key: header.key, value: hex(header.value) })),
    })),
  };
}

/** The two codecs Bun has built in. */
export const BUN_DECOMPRESSOR: Decompressor = {
  decompress(codec, block, maxBytes) {
    try {
      const bytes = codec === 1 ? Bun.gunzipSync(block.slice()) : codec === 4 ? Bun.zstdDecompressSync(block) : null;
      return bytes === null || bytes.length > maxBytes ? null : new Uint8Array(bytes);
    } catch {
      return null;
    }
  },
};
