/** Sequences and epochs of idempotent producers: duplicates new and old, gaps, wraps, fencing; and the ids they are given. */
import {
  InitProducerIdApi,
  type InitProducerIdRequest,
  makeInitProducerIdRequest,
} from "#protocol/generated/init-producer-id.ts";
import { ask } from "../bytes.ts";
import { type Case, one, type Place, several } from "../case.ts";
import { altered, batch, BATCH_AT, batchOf, produce } from "./batches.ts";

const PRODUCER_ID = 4711n;
const LAST = 0x7fffffff;

/** A batch of one record, or of `count`. */
const sequence = (producerEpoch: number, baseSequence: number, count = 1): Uint8Array =>
  batchOf(count, { producerId: PRODUCER_ID, producerEpoch, baseSequence });

const story = (label: string, ...batches: readonly Uint8Array[]): Case =>
  several(
    `idempotence/${label}`,
    batches.map((each) => produce(each)),
    { own: {} },
  );

const upTo = (last: number): Uint8Array[] =>
  Array.from({ length: last + 1 }, (_, index) => sequence(0, index));

const init = (label: string, request: Partial<InitProducerIdRequest>, version = 4): Case =>
  one(`idempotence/init ${label}`, (place: Place) =>
    ask(
      InitProducerIdApi,
      version,
      makeInitProducerIdRequest({
        transactionalId: null,
        transactionTimeoutMs: 1000,
        ...request,
        ...(request.transactionalId === "own" && { transactionalId: place.group }),
      }),
    ),
  );

/** All of them. */
export const IDEMPOTENCE_CASES: readonly Case[] = [
  story("0 to 6, then each again", ...upTo(6), ...upTo(6)),
  story("0 to 6, then 6, 2, 1, 0", ...upTo(6), ...[6, 2, 1, 0].map((at) => sequence(0, at))),
  story("gap", sequence(0, 0), sequence(0, 2)),
  story("unknown producer starts at 3", sequence(0, 3), sequence(0, 3), sequence(0, 4)),
  story("old epoch", sequence(1, 0), sequence(0, 1), sequence(0, 0)),
  story("new epoch not at 0", sequence(0, 0), sequence(1, 1)),
  story("new epoch at 0", sequence(0, 0), sequence(1, 0), sequence(1, 1)),
  story("epoch skips", sequence(0, 0), sequence(7, 0), sequence(7, 1)),
  story("epoch 32767, then 0", sequence(32767, 0), sequence(0, 0)),
  story("sequence wraps", sequence(0, LAST), sequence(0, 0), sequence(0, 1)),
  story("sequence wraps inside a batch", sequence(0, LAST - 1, 3), sequence(0, 1)),
  story(
    "sequence wraps, then again",
    sequence(0, LAST),
    sequence(0, 0),
    sequence(0, LAST),
    sequence(0, 0),
  ),
  story("sequence wraps to 1", sequence(0, LAST), sequence(0, 1)),
  story("batch again in two halves", sequence(0, 0, 4), sequence(0, 0, 2), sequence(0, 2, 2)),
  story("batch again but longer", sequence(0, 0, 2), sequence(0, 0, 4)),
  story("overlapping batch", sequence(0, 0, 4), sequence(0, 2, 4)),
  story("same sequence, other epoch", sequence(0, 0), sequence(1, 0), sequence(0, 0)),
  story("duplicate after another producer", sequence(0, 0), batch(), sequence(0, 0)),
  story(
    "duplicate with other content",
    sequence(0, 0),
    batch({
      producerId: PRODUCER_ID,
      producerEpoch: 0,
      baseSequence: 0,
      records: [{ key: null, value: new Uint8Array(99) }],
    }),
  ),
  story("sequence -1", sequence(0, -1)),
  story("sequence -2", sequence(0, -2)),
  story("epoch -1", sequence(-1, 0)),
  story("epoch -2", sequence(-2, 0)),
  story("producer -2", batch({ producerId: -2n, producerEpoch: 0, baseSequence: 0 })),
  story(
    "epoch and sequence without a producer",
    batch({ producerId: -1n, producerEpoch: 3, baseSequence: 9 }),
  ),
  story(
    "the largest producer id",
    batch({ producerId: 0x7fff_ffff_ffff_ffffn, producerEpoch: 0, baseSequence: 0 }),
  ),
  story("producer id 0", batch({ producerId: 0n, producerEpoch: 0, baseSequence: 0 })),
  story(
    "duplicate with a bad checksum",
    sequence(0, 0),
    sequence(0, 0).map((byte, index) => (index === BATCH_AT.CRC ? byte ^ 1 : byte)),
  ),
  story(
    "duplicate with a lying count",
    sequence(0, 0),
    altered((view) => view.setInt32(BATCH_AT.COUNT, 2), {
      producerId: PRODUCER_ID,
      producerEpoch: 0,
      baseSequence: 0,
    }),
  ),
  several(
    "idempotence/duplicate with acks all",
    [0, 0, 1].map((at) => produce(sequence(0, at), { acks: -1 })),
    { own: {} },
  ),
  several(
    "idempotence/gap with acks 0",
    [produce(sequence(0, 0)), produce(sequence(0, 5), { acks: 0 })],
    { own: {} },
  ),
  ...[0, 1, 2, 3, 4, 5].map((version) => init(`v${version}`, {}, version)),
  init("empty transactional id", { transactionalId: "" }),
  init("transactional id", { transactionalId: "own" }),
  init("transaction timeout 0", { transactionalId: "own", transactionTimeoutMs: 0 }),
  init("transaction timeout -1", { transactionalId: "own", transactionTimeoutMs: -1 }),
  init("transaction timeout too long", { transactionalId: "own", transactionTimeoutMs: LAST }),
  init("timeout 0 without an id", { transactionTimeoutMs: 0 }),
  init("timeout -1 without an id", { transactionTimeoutMs: -1 }),
  init("producer id without an epoch", { producerId: 5n }),
  init("epoch without a producer id", { producerEpoch: 5 }),
  init("producer id and epoch", { producerId: 5n, producerEpoch: 5 }),
  init("producer id -2", { producerId: -2n, producerEpoch: -2 }),
  init("epoch 32767", { producerId: 5n, producerEpoch: 32767 }),
];
