/** A record of `__consumer_offsets` as bytes of its own, for tests that look at one record. */
import { writeGroupRecord } from "#coordinator/group/record-codec.ts";
import type { GroupCoordinatorRecord } from "#coordinator/group/records.ts";
import { RecordBlock } from "#protocol/records/record-block.ts";

/** Key and value of a record. */
export function encodeGroupRecord(record: GroupCoordinatorRecord): {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
} {
  const block = new RecordBlock();
  writeGroupRecord(record, block);
  const bytes = block.writer.toBytes();
  const keyEnd = block.keyEnd(0);
  const value = block.valueEnd(0) < 0 ? null : bytes.slice(keyEnd, block.valueEnd(0));
  return { key: bytes.slice(0, keyEnd), value };
}
