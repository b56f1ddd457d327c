/** What a reader may see: no control records, and at read_committed no records of aborted transactions. */
import { expect, test } from "bun:test";
import { visibleRecords } from "#client/fetcher.ts";
import { ControlRecordType, encodeControlKey } from "#protocol/records/control-records.ts";
import {
  decodeRecordBatches,
  encodeRecordBatch,
  type NewRecordBatch,
  type RecordBatch,
} from "#protocol/records/record-batch.ts";

function batch(baseOffset: number, init: Partial<NewRecordBatch>): RecordBatch {
  const { batches } = decodeRecordBatches(
    encodeRecordBatch({
      records: [{ key: null, value: new Uint8Array(1) }],
      timestamp: 0,
      baseOffset,
      ...init,
    }),
  );
  const [only] = batches;
  if (only === undefined) throw new Error("a batch");
  return only;
}

const data = (offset: number, producerId: bigint): RecordBatch =>
  batch(offset, { producerId, isTransactional: true });
const marker = (offset: number, producerId: bigint, type: number): RecordBatch =>
  batch(offset, {
    producerId,
    isTransactional: true,
    isControl: true,
    records: [{ key: encodeControlKey(type), value: new Uint8Array(6) }],
  });

test("aborted transactions are left out from their first record to their marker", () => {
  const batches = [
    data(0, 1n),
    data(1, 2n),
    batch(2, {}),
    marker(3, 1n, ControlRecordType.ABORT),
    data(4, 1n),
    marker(5, 2n, ControlRecordType.COMMIT),
    marker(6, 1n, ControlRecordType.COMMIT),
    data(7, 1n),
    marker(8, 1n, ControlRecordType.ABORT),
  ];
  const aborted = [
    { producerId: 1, firstOffset: 7 },
    { producerId: 1n, firstOffset: 0 },
  ];
  expect([
    visibleRecords(batches, aborted).map(({ offset }) => offset),
    visibleRecords(batches, []).map(({ offset }) => offset),
  ]).toEqual([
    [1, 2, 4],
    [0, 1, 2, 4, 7],
  ]);
});
