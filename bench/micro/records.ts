/** CRC-32C and record batches in TypeScript: what internal topics (metadata, offsets) are written and read with. */
import { crc32c } from "#protocol/records/crc32c.ts";
import { decodeRecordBatches, encodeRecordBatch } from "#protocol/records/record-batch.ts";
import type { MicroSuite, MicroTask } from "./harness.ts";

function checksumTask(lengthBytes: number, repeats: number): MicroTask {
  const bytes = new Uint8Array(lengthBytes).map((_, index) => index * 31);
  return { name: `crc32c of ${lengthBytes} bytes`, repeats, run: () => crc32c(bytes) | 0 };
}

/** Checksums, and batches of small records. */
export function recordsSuite(): MicroSuite {
  const records = Array.from({ length: 10 }, (_, index) => ({
    key: new TextEncoder().encode(`key-${index}`),
    value: new Uint8Array(100).fill(index),
  }));
  const batch = encodeRecordBatch({ records, timestamp: 1_700_000_000_000 });
  return {
    name: "records",
    tasks: [
      checksumTask(100, 20),
      checksumTask(16_384, 1),
      {
        name: "encode a batch of 10 records",
        run: () => encodeRecordBatch({ records, timestamp: 1_700_000_000_000 }).length,
      },
      {
        name: "decode a batch of 10 records",
        run: () => decodeRecordBatches(batch).batches.length,
      },
    ],
  };
}
