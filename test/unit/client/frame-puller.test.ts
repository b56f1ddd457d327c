/** Frames cut from reads of any length: in order, whole, and never in memory that somebody still looks at. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { AnswerMemory } from "#client/answer-memory.ts";
import { FramePuller } from "#client/frame-puller.ts";

const MAX_FRAME_BYTES = 1 << 20;

/** A frame with its size; the bytes tell which it is. */
function framed(bytes: number, seed: number): Uint8Array {
  const frame = new Uint8Array(4 + bytes);
  new DataView(frame.buffer).setInt32(0, bytes);
  for (let at = 0; at < bytes; at++) frame[4 + at] = (seed * 31 + at * 7 + (at >> 8)) & 0xff;
  return frame;
}

function isSame(left: Uint8Array | null | undefined, right: Uint8Array | undefined): boolean {
  return left instanceof Uint8Array && right !== undefined && Buffer.compare(left, right) === 0;
}

interface Rig {
  readonly puller: FramePuller;
  readonly memory: AnswerMemory;
  readonly frames: Uint8Array[];
  readonly told: string[];
  /** What the socket has; a read takes no more. */
  pending: Uint8Array;
  armedBytes: number;
}

function rig(isEnded: () => boolean = () => false): Rig {
  const memory = new AnswerMemory();
  const made: Rig = {
    memory,
    frames: [],
    told: [],
    pending: new Uint8Array(0),
    armedBytes: 0,
    puller: new FramePuller({
      memory,
      maxFrameBytes: MAX_FRAME_BYTES,
      receive(into, at, length) {
        if (made.pending.length === 0) return isEnded() ? -1 : 0;
        const count = Math.min(length, made.pending.length);
        into.set(made.pending.subarray(0, count), at);
        made.pending = made.pending.subarray(count);
        return count;
      },
      arm: (bytes) => {
        made.armedBytes = bytes;
      },
      onFrame: (frame) => made.frames.push(frame),
      onIdle: () => {},
      onBadSize: (bytes) => made.told.push(`bad ${bytes}`),
      onEnd: () => made.told.push("end"),
    }),
  };
  return made;
}

test("frames come out as they went in, however they are cut and whoever reads", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 600_000 })), {
        minLength: 1,
        maxLength: 8,
      }),
      fc.infiniteStream(
        fc.tuple(
          fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 400_000 })),
          fc.integer({ min: 0, max: 3 }),
        ),
      ),
      fc.boolean(),
      (sizes, cuts, recycles) => {
        const it = rig();
        it.puller.begin();
        expect(it.armedBytes).toBe(0);
        const sent = sizes.map((bytes, seed) => framed(bytes, seed));
        const stream = Buffer.concat(sent);
        let seen = 0;
        for (let at = 0; at < stream.length;) {
          const [bytes, reader] = cuts.next().value as [number, number];
          const piece = stream.subarray(at, at + bytes);
          at += piece.length;
          if (reader === 0) it.puller.take(piece);
          else {
            it.pending = piece;
            while (it.pending.length > 0) it.puller.onReadable();
            // It never waits for more than will come.
            expect(it.armedBytes).toBeLessThanOrEqual(stream.length - at);
          }
          // All that nobody has given back is as it was.
          for (; seen < it.frames.length && recycles; seen++) {
            expect(isSame(it.frames[seen], sent[seen]?.subarray(4))).toBe(true);
            if (seen === it.frames.length - 1) it.memory.recycle();
          }
        }
        expect(it.frames.length).toBe(sent.length);
        if (recycles) return;
        for (const [index, frame] of it.frames.entries()) {
          expect(isSame(frame, sent[index]?.subarray(4))).toBe(true);
        }
      },
    ),
    { numRuns: 60 },
  );
});

test("one buffer serves one answer after another", () => {
  const it = rig();
  const buffers = new Set<ArrayBufferLike>();
  for (let round = 0; round < 5; round++) {
    it.pending = framed(700_000, round);
    it.puller.onReadable();
    buffers.add((it.frames.at(-1) as Uint8Array).buffer);
    it.memory.recycle();
  }
  expect([it.frames.length, buffers.size]).toEqual([5, 1]);
});

test("what is missing is waited for in one piece, once the size is known", () => {
  const it = rig();
  const frame = framed(900_000, 1);
  it.pending = frame.subarray(0, 2);
  it.puller.onReadable();
  expect(it.armedBytes).toBe(2);
  it.pending = frame.subarray(2, 100_004);
  it.puller.onReadable();
  expect(it.armedBytes).toBe(800_000);
  it.pending = frame.subarray(100_004, 899_004);
  it.puller.onReadable();
  expect(it.armedBytes).toBe(1_000);
  it.pending = frame.subarray(899_004);
  it.puller.onReadable();
  expect([it.armedBytes, it.frames.length]).toEqual([0, 1]);
});

test.each([0, -1, MAX_FRAME_BYTES + 1])("an announced size of %d ends it", (bytes) => {
  const it = rig();
  const head = new Uint8Array(8);
  new DataView(head.buffer).setInt32(0, bytes);
  it.pending = Buffer.concat([framed(10, 0), head]);
  it.puller.onReadable();
  it.pending = framed(10, 1);
  it.puller.onReadable();
  it.puller.take(framed(10, 2));
  expect([it.told, it.frames.length]).toEqual([[`bad ${bytes}`], 1]);
});

test("an end in the middle is told, and closing gives what there was", () => {
  const it = rig(() => true);
  const frame = framed(1_000, 3);
  it.pending = frame.subarray(0, 300);
  it.puller.onReadable();
  it.puller.onReadable();
  expect(it.told).toEqual(["end"]);
  expect(isSame(it.puller.close(), frame.subarray(0, 300))).toBe(true);
  expect(it.puller.close()).toBeNull();
  it.pending = frame;
  it.puller.onReadable();
  expect([it.pending.length, it.frames.length]).toEqual([frame.length, 0]);
});
