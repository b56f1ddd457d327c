/**
 * Small blocks that unpack to much: well formed, so that a broker must either take them or say why not, in one record and in many.
 * The heavy ones reach 600 MiB.
 */
import { memoized } from "../memo.ts";
import { concat } from "../bytes.ts";
import { type Case, type Cost, one } from "../case.ts";
import {
  lz4Zeros,
  manyRecords,
  produce,
  record,
  snappyZeros,
  withBlock,
  zeros,
  zigzag,
} from "./batches.ts";

const MIB = 1 << 20;
const GZIP = 1;
const SNAPPY = 2;
const LZ4 = 3;
const ZSTD = 4;

const gzip = (block: Uint8Array): Uint8Array => Bun.gzipSync(new Uint8Array(block), { level: 9 });
const zstd = (block: Uint8Array): Uint8Array => new Uint8Array(Bun.zstdCompressSync(block));

/** One record whose value is `count` zeros, in two parts around the zeros. */
function around(count: number): { head: Uint8Array; tail: Uint8Array } {
  const valueLength = zigzag(count);
  const empty = record({ value: valueLength, headers: new Uint8Array(0) });
  const body = concat(empty.subarray(1), new Uint8Array(0));
  const tail = zigzag(0);
  return { head: concat(zigzag(body.length + count + tail.length), body), tail };
}

function bomb(
  label: string,
  codec: number,
  block: () => Uint8Array,
  count = 1,
  cost: Cost = "costly",
): Case {
  const made = memoized(() => withBlock(block(), codec, count));
  return one(`bombs/${label}`, (place) => produce(made())(place), {
    own: {},
    cost,
    prepare: () => void made(),
  });
}

/** All of them. */
export const BOMB_CASES: readonly Case[] = [
  ...[16, 64, 100].flatMap((mib) => [
    bomb(`gzip of ${mib} MiB`, GZIP, () => gzip(zeros(mib * MIB))),
    bomb(`zstd of ${mib} MiB`, ZSTD, () => zstd(zeros(mib * MIB))),
    bomb(`lz4 of ${mib} MiB`, LZ4, () => {
      const { head, tail } = around(mib * MIB);
      return lz4Zeros(head, mib * MIB, tail);
    }),
  ]),
  bomb("snappy of 16 MiB", SNAPPY, () => {
    const { head, tail } = around(16 * MIB);
    return snappyZeros(head, 16 * MIB, tail);
  }),
  bomb("gzip of 100,000 records", GZIP, () => gzip(manyRecords(100_000, 100)), 100_000),
  bomb("zstd of 100,000 records", ZSTD, () => zstd(manyRecords(100_000, 100)), 100_000),
  bomb("gzip of 64 MiB, said to be two records", GZIP, () => gzip(zeros(64 * MIB)), 2),
  bomb("gzip in gzip", GZIP, () => gzip(gzip(zeros(16 * MIB)))),
  bomb("gzip of 600 MiB", GZIP, () => gzip(zeros(600 * MIB)), 1, "heavy"),
  bomb("zstd of 600 MiB", ZSTD, () => zstd(zeros(600 * MIB)), 1, "heavy"),
  bomb(
    "zstd of 1,000,000 records",
    ZSTD,
    () => zstd(manyRecords(1_000_000, 100)),
    1_000_000,
    "heavy",
  ),
];
