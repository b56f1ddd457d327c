/** Batches of the simulated clients: one record each, whose value is unique in the run and says who wrote it. */
import { decodeRecordBatches, encodeRecordBatch } from "#protocol/records/record-batch.ts";

/** A record of a simulated producer; -1 three times for one that is not idempotent. */
export interface OneRecord {
  readonly value: string;
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly sequence: number;
  readonly nowMs: number;
}

/** One batch with one record. */
export function oneRecordBatch(record: OneRecord): Uint8Array {
  return encodeRecordBatch({
    records: [{ key: null, value: Buffer.from(record.value) }],
    timestamp: record.nowMs,
    producerId: BigInt(record.producerId),
    producerEpoch: record.producerEpoch,
    baseSequence: record.sequence,
  });
}

/** A record as it lies in a log. */
export interface LoggedRecord {
  readonly offset: number;
  /** Of the leader that appended it. */
  readonly epoch: number;
  readonly value: string;
}

function textOf(value: Uint8Array | null): string {
  if (value === null) return "";
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("latin1");
}

/** The records of whole batches. Those with keys, which are not of simulated producers, have both for their value. */
export function recordsOf(bytes: Uint8Array): LoggedRecord[] {
  const records: LoggedRecord[] = [];
  for (const batch of decodeRecordBatches(bytes).batches) {
    for (const { offset, key, value } of batch.records) {
      const text = key === null ? textOf(value) : `${textOf(key)}=${textOf(value)}`;
      records.push({ offset, epoch: batch.partitionLeaderEpoch, value: text });
    }
  }
  return records;
}
