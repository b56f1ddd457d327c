import { describe, expect, test } from "bun:test";
import { BytePool } from "#transport/byte-pool.ts";
import {
  Connection,
  type ConnectionEnvironment,
  type ConnectionLimits,
  type ReplySlot,
} from "#transport/connection.ts";
import type { FrameHandler, SlicedReply } from "#transport/ports.ts";
import { GatherBuffer, UnsentBytes } from "#transport/send-queue.ts";
import { FakeSender, FakeSocket } from "./fake-socket.ts";

/** What the harness does with a frame: its first byte decides. */
const ECHO = 1;
const DEFER = 2;
const DEFER_PIPELINED = 3;
const CLOSE = 4;
const NOTHING = 5;
const SLICED = 6;

function frame(kind: number, ...content: number[]): Uint8Array {
  const bytes = new Uint8Array(4 + 1 + content.length);
  new DataView(bytes.buffer).setInt32(0, 1 + content.length);
  bytes[4] = kind;
  bytes.set(content, 5);
  return bytes;
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

function sliced(plan: number): SlicedReply {
  return { head: new Uint8Array([plan]), cuts: new Float64Array([1, 0]), plan, slicesBytes: 10 };
}

interface Harness {
  readonly connection: Connection;
  readonly socket: FakeSocket;
  readonly sender: FakeSender;
  readonly pool: BytePool;
  readonly slots: ReplySlot[];
  readonly frames: number[][];
  readonly state: { closedCount: number };
  readonly flush: () => void;
  readonly nextTurn: () => void;
}

function harness(
  overrides: Partial<ConnectionLimits> = {},
  poolBytes = 1 << 20,
  isBurst = false,
  unsentBytes = 1 << 20,
): Harness {
  const nextTurn: Connection[] = [];
  const socket = new FakeSocket();
  const sender = new FakeSender();
  const slots: ReplySlot[] = [];
  const frames: number[][] = [];
  const state = { closedCount: 0 };
  const handler: FrameHandler = {
    onOpen(): void {},
    onClose(): void {
      state.closedCount++;
    },
    onFrame(connection, bytes, start, end): boolean {
      frames.push([...bytes.subarray(start, Math.min(end, start + 8))]);
      switch (bytes[start]) {
        case ECHO:
          connection.reply(bytes.slice(start + 1, end));
          break;
        case DEFER:
          slots.push(connection.defer(false) as ReplySlot);
          break;
        case DEFER_PIPELINED:
          slots.push(connection.defer(true) as ReplySlot);
          break;
        case SLICED:
          connection.replySliced(sliced(bytes[start + 1] as number));
          break;
        case NOTHING:
          connection.replyNothing();
          break;
        default:
          connection.close();
      }
      return true;
    },
  };
  const dirty: Connection[] = [];
  const pool = new BytePool({ maxBytes: poolBytes, keepBytes: 1 << 16 });
  const environment: ConnectionEnvironment = {
    limits: {
      maxFrameBytes: 1 << 20,
      maxInFlight: 8,
      maxUnsentBytes: 1000,
      turnMs: 60_000,
      ...overrides,
    },
    pool,
    handler,
    sender,
    receiver: null,
    lane: null,
    gather: new GatherBuffer(),
    statistics: {
      acceptedCount: 0,
      refusedCount: 0,
      refusedAddressCount: 0,
      refusedDescriptorsCount: 0,
      refusedRateCount: 0,
      openCount: 0,
      framesCount: 0,
      receivedBytes: 0,
      writesCount: 0,
      laneFramesCount: 0,
      slicedSendsCount: 0,
      laneWaitingCount: 0,
      closedIdleCount: 0,
      closedFrameDeadlineCount: 0,
      closedBadFrameCount: 0,
      closedSendDeadlineCount: 0,
      closedMemoryCount: 0,
    },
    unsent: new UnsentBytes(unsentBytes),
    scheduleNextTurn: (waiting) => nextTurn.push(waiting),
    isServing: true,
    hasBacklog: false,
    makeRoom: () => false,
    noteHolder: () => {},
    scheduleFlush: (connection) => dirty.push(connection),
    scheduleFlushAfterTurn: (connection) => dirty.push(connection),
    isBurst,
    noteSingleReply: () => {},
  };
  const connection = new Connection(
    1,
    {
      listenerName: "PLAINTEXT",
      localHost: "127.0.0.1",
      localPort: 9092,
      clientHost: "127.0.0.1",
      clientPort: 50000,
    },
    socket,
    environment,
  );
  return {
    connection,
    socket,
    sender,
    pool,
    slots,
    frames,
    state,
    flush(): void {
      for (const one of dirty.splice(0)) one.flush();
    },
    nextTurn(): void {
      for (const one of nextTurn.splice(0)) one.continueTurn();
    },
  };
}

describe("framing", () => {
  test("500 pipelined frames of one chunk are answered in order with one write", () => {
    const { connection, socket } = harness();
    const frames = Array.from({ length: 500 }, (_, index) => frame(ECHO, index & 0xff, index >> 8));
    connection.onData(concat(...frames), 0);
    expect(socket.writes.length).toBe(1);
    const expected = Array.from({ length: 500 }, (_, index) => [index & 0xff, index >> 8]).flat();
    expect([...socket.sent]).toEqual(expected);
  });

  test("every split of two frames gives the same frames", () => {
    const bytes = concat(frame(ECHO, 1, 2, 3), frame(ECHO, 4, 5, 6, 7));
    for (let first = 0; first <= bytes.length; first++) {
      for (let second = first; second <= bytes.length; second++) {
        const { connection, socket, pool } = harness();
        for (const part of [
          bytes.slice(0, first),
          bytes.slice(first, second),
          bytes.slice(second),
        ]) {
          if (part.length > 0) connection.onData(part, 0);
        }
        expect([...socket.sent]).toEqual([1, 2, 3, 4, 5, 6, 7]);
        expect(pool.usedBytes).toBe(0);
      }
    }
  });

  test("a large frame a byte or a chunk at a time grows its buffer with what arrived", () => {
    const { connection, frames, pool } = harness();
    const size = 300_000;
    const bytes = concat(
      frame(NOTHING, ...new Array<number>(10).fill(9)),
      new Uint8Array(size - 11),
    );
    new DataView(bytes.buffer).setInt32(0, size);
    connection.onData(bytes.slice(0, 20), 0);
    expect(pool.usedBytes).toBe(1024);
    for (let at = 20; at < 3000; at++) connection.onData(bytes.slice(at, at + 1), 0);
    expect(pool.usedBytes).toBeLessThanOrEqual(4096);
    for (let at = 3000; at < bytes.length; at += 10_000) {
      connection.onData(bytes.slice(at, at + 10_000), 0);
      expect(pool.usedBytes).toBeLessThanOrEqual(Math.max(65536, 8 * at));
    }
    expect(frames).toEqual([[NOTHING, 9, 9, 9, 9, 9, 9, 9]]);
    expect(pool.usedBytes).toBe(0);
  });

  test.each([
    ["-1", -1],
    ["0", 0],
    ["2^31-1", 0x7fffffff],
    ["-2^31", -0x80000000],
    ["the limit and one", (1 << 20) + 1],
  ])("a size of %s closes the connection", (_name, size) => {
    const { connection, socket, state } = harness();
    const bytes = new Uint8Array(10);
    new DataView(bytes.buffer).setInt32(0, size);
    connection.onData(bytes, 0);
    expect([connection.isClosed, socket.isEnded, state.closedCount]).toEqual([true, true, 1]);
  });

  test("what was answered before a bad size still leaves", () => {
    const { connection, socket } = harness();
    connection.onData(concat(frame(ECHO, 1), new Uint8Array([255, 255, 255, 255])), 0);
    expect([[...socket.sent], connection.isClosed]).toEqual([[1], true]);
  });

  test("no frame is taken after a close", () => {
    const { connection, frames } = harness();
    connection.onData(concat(frame(CLOSE), frame(ECHO, 1)), 0);
    connection.onData(frame(ECHO, 2), 0);
    expect(frames.length).toBe(1);
  });

  test("closing in the middle of a frame gives its buffer back", () => {
    const { connection, pool } = harness();
    connection.onData(frame(ECHO, 1, 2, 3).slice(0, 6), 0);
    expect(pool.usedBytes).toBe(1024);
    connection.onSocketClosed();
    expect(pool.usedBytes).toBe(0);
  });

  test("a frame without room waits, unread, and goes on when there is room", () => {
    const { connection, socket, pool, flush } = harness({}, 1024);
    const other = { onBytesAvailable(): void {} };
    const taken = [pool.take(1024, other), pool.take(1024, other)] as Uint8Array[];
    const bytes = frame(ECHO, 1, 2, 3);
    connection.onData(bytes.slice(0, 6), 0);
    expect([socket.isPaused, connection.isMidFrame]).toEqual([true, true]);
    connection.onData(bytes.slice(6), 0);
    for (const buffer of taken) pool.release(buffer);
    pool.leave(other);
    flush();
    expect([[...socket.sent], socket.isPaused]).toEqual([[1, 2, 3], false]);
  });
});

describe("order of replies", () => {
  test("a deferred reply holds back the later ones, also when it is pipelined", () => {
    const { connection, socket, slots, flush } = harness();
    connection.onData(concat(frame(DEFER_PIPELINED), frame(ECHO, 2), frame(DEFER_PIPELINED)), 0);
    slots[1]?.reply(new Uint8Array([3]));
    flush();
    expect([...socket.sent]).toEqual([]);
    slots[0]?.reply(new Uint8Array([1]));
    flush();
    expect([...socket.sent]).toEqual([1, 2, 3]);
    expect([socket.writes.length, connection.isQuiet]).toEqual([1, true]);
  });

  test("a request that is not pipelined keeps the next from starting", () => {
    const { connection, socket, slots, frames, flush } = harness();
    connection.onData(concat(frame(DEFER), frame(ECHO, 2)), 0);
    connection.onData(frame(ECHO, 3), 0);
    expect([frames.length, socket.isPaused]).toEqual([1, true]);
    slots[0]?.reply(new Uint8Array([1]));
    flush();
    expect([[...socket.sent], frames.length, socket.isPaused]).toEqual([[1, 2, 3], 3, false]);
  });

  test("a lone deferred request does not stop the reading", () => {
    const { connection, socket } = harness();
    connection.onData(frame(DEFER), 0);
    expect(socket.isPaused).toBe(false);
  });

  test("requests in flight are bounded", () => {
    const { connection, socket, slots, frames, flush } = harness({ maxInFlight: 2 });
    connection.onData(concat(...[1, 2, 3].map(() => frame(DEFER_PIPELINED))), 0);
    expect([frames.length, socket.isPaused]).toEqual([2, true]);
    slots[0]?.replyNothing();
    flush();
    expect([frames.length, socket.isPaused]).toEqual([3, true]);
    slots[1]?.replyNothing();
    slots[2]?.replyNothing();
    flush();
    expect([connection.isQuiet, socket.isPaused]).toEqual([true, false]);
  });

  test("answering twice, or after the end, changes nothing", () => {
    const { connection, socket, sender, slots, flush } = harness();
    connection.onData(concat(frame(DEFER_PIPELINED), frame(DEFER_PIPELINED)), 0);
    slots[0]?.reply(new Uint8Array([1]));
    slots[0]?.reply(new Uint8Array([2]));
    flush();
    connection.onSocketClosed();
    slots[1]?.replySliced(sliced(9));
    flush();
    expect([[...socket.sent], sender.dropped, slots[1]?.isWanted]).toEqual([[1], [9], false]);
  });
});

describe("in a burst", () => {
  test("small replies leave in order at the end of the turn, in one write", () => {
    const { connection, socket, flush } = harness({}, 1 << 20, true);
    connection.onData(frame(ECHO, 1), 0);
    connection.onData(concat(frame(ECHO, 2), frame(ECHO, 3)), 0);
    expect([...socket.sent]).toEqual([]);
    flush();
    expect([...socket.sent]).toEqual([1, 2, 3]);
    expect(socket.writes.length).toBe(1);
  });

  test("a large reply among them keeps its place", () => {
    const { connection, socket, flush } = harness({ maxUnsentBytes: 1 << 20 }, 1 << 20, true);
    const large = new Array<number>(5000).fill(9);
    connection.onData(concat(frame(ECHO, 1), frame(ECHO, ...large), frame(ECHO, 2)), 0);
    flush();
    expect([...socket.sent]).toEqual([1, ...large, 2]);
  });

  test("what was answered before a close still leaves", () => {
    const { connection, socket } = harness({}, 1 << 20, true);
    connection.onData(concat(frame(ECHO, 7), frame(99)), 0);
    expect([...socket.sent]).toEqual([7]);
    expect(connection.isClosed).toBe(true);
  });
});

describe("back-pressure", () => {
  test("what the kernel does not take leaves on drain, in order", () => {
    const { connection, socket, flush } = harness();
    socket.roomBytes = 2;
    connection.onData(frame(ECHO, 1, 2, 3), 0);
    connection.onData(frame(ECHO, 4), 0);
    flush();
    expect([[...socket.sent], connection.unsentBytes]).toEqual([[1, 2], 2]);
    socket.roomBytes = 1;
    connection.onDrain(0);
    socket.roomBytes = 100;
    connection.onDrain(0);
    expect([[...socket.sent], connection.unsentBytes]).toEqual([[1, 2, 3, 4], 0]);
  });

  test("a client that does not read is not read either", () => {
    const { connection, socket, frames } = harness({ maxUnsentBytes: 3 });
    socket.roomBytes = 0;
    connection.onData(concat(frame(ECHO, 1, 2), frame(ECHO, 3, 4), frame(ECHO, 5, 6)), 0);
    expect(frames.length).toBe(2);
    expect(socket.isPaused).toBe(true);
    socket.roomBytes = 100;
    connection.onDrain(0);
    expect([[...socket.sent], socket.isPaused]).toEqual([[1, 2, 3, 4, 5, 6], false]);
  });

  test("nothing is written while the sender thread owns the socket", () => {
    const { connection, socket, sender, flush } = harness();
    connection.onData(concat(frame(ECHO, 1), frame(SLICED, 42), frame(ECHO, 2)), 0);
    flush();
    expect([[...socket.sent], sender.sent]).toEqual([[1], [{ plan: 42, token: 1 }]]);
    connection.onSent(0, 0);
    expect([...socket.sent]).toEqual([1, 2]);
  });

  test("slices sent at once leave the socket free for what follows", () => {
    const { connection, socket, sender, flush } = harness();
    sender.status = 0;
    connection.onData(concat(frame(SLICED, 1), frame(ECHO, 5), frame(SLICED, 2)), 0);
    flush();
    expect(sender.sent.map(({ plan }) => plan)).toEqual([1, 2]);
    expect([...socket.sent]).toEqual([5]);
    expect(connection.isQuiet).toBe(true);
  });

  test("slices that fail at once close the connection", () => {
    const { connection, sender, flush } = harness();
    sender.status = 32;
    connection.onData(frame(SLICED, 1), 0);
    flush();
    expect(connection.isClosed).toBe(true);
    expect(sender.cancelled).toEqual([]);
  });

  test("a sliced reply waits until queued bytes have left", () => {
    const { connection, socket, sender, flush } = harness();
    socket.roomBytes = 1;
    connection.onData(concat(frame(ECHO, 1, 2), frame(SLICED, 42)), 0);
    flush();
    expect(sender.sent).toEqual([]);
    socket.roomBytes = 10;
    connection.onDrain(0);
    expect([[...socket.sent], sender.sent.length]).toEqual([[1, 2], 1]);
  });

  test("a failed send closes, and plans that never left are dropped", () => {
    const { connection, sender, state, flush } = harness();
    connection.onData(concat(frame(SLICED, 1), frame(SLICED, 2)), 0);
    flush();
    connection.onSent(32, 0);
    expect([sender.dropped, connection.isClosed, state.closedCount]).toEqual([[2], true, 1]);
  });
});

describe("closing", () => {
  test("a send in progress is cancelled when its connection goes", () => {
    const { connection, sender, flush } = harness();
    connection.onData(frame(SLICED, 1), 0);
    flush();
    connection.onSocketClosed();
    expect([sender.cancelled, sender.dropped]).toEqual([[1], []]);
  });

  test("closeAfterReplies takes no further request and ends with the last reply", () => {
    const { connection, socket, slots, frames, flush } = harness();
    connection.onData(frame(DEFER), 0);
    connection.closeAfterReplies();
    connection.onData(frame(ECHO, 2), 0);
    flush();
    expect(connection.isClosed).toBe(false);
    slots[0]?.reply(new Uint8Array([1]));
    flush();
    expect([[...socket.sent], frames.length, connection.isClosed]).toEqual([[1], 1, true]);
  });
});

describe("limits shared with others", () => {
  test("requests sent together go on in the next turn when theirs is over", () => {
    const { connection, socket, frames, nextTurn } = harness({ turnMs: -1 });
    connection.onData(concat(...[1, 2, 3, 4, 5].map((value) => frame(ECHO, value))), 0);
    // The first look starts the clock, the second finds the time over.
    expect([frames.length, socket.isPaused]).toEqual([2, true]);
    nextTurn();
    expect(frames.length).toBe(3);
    nextTurn();
    nextTurn();
    expect([[...socket.sent], socket.isPaused]).toEqual([[1, 2, 3, 4, 5], false]);
  });

  test("input that cannot be taken yet is charged, and given back when it is taken", () => {
    const { connection, slots, pool, flush } = harness();
    connection.onData(concat(frame(DEFER), frame(ECHO, 1)), 0);
    expect(pool.usedBytes).toBe(1024);
    slots[0]?.reply(new Uint8Array([9]));
    flush();
    expect(pool.usedBytes).toBe(0);
    connection.onData(concat(frame(DEFER), frame(ECHO, 1)), 0);
    connection.close();
    expect(pool.usedBytes).toBe(0);
  });

  test("who brings input when there is too much of it has to go; a little is always held", () => {
    const { connection, pool, state } = harness({}, 64 << 10);
    pool.charge(64 << 10);
    connection.onData(concat(frame(DEFER), new Uint8Array(1000)), 0);
    expect(state.closedCount).toBe(0);
    connection.onData(new Uint8Array(10_000), 0);
    expect([state.closedCount, pool.usedBytes]).toEqual([1, 64 << 10]);
  });

  test("with too many unsent bytes in all, who adds to them has to go", () => {
    const { connection, socket, state, flush } = harness(
      { maxUnsentBytes: 1 << 20 },
      1 << 20,
      false,
      100_000,
    );
    socket.roomBytes = 0;
    connection.onData(frame(ECHO, ...new Array<number>(70_000).fill(1)), 0);
    flush();
    expect(state.closedCount).toBe(0);
    // Half of what all may have is used: this connection, which has more than a little, is not read.
    connection.onData(frame(ECHO, ...new Array<number>(70_000).fill(1)), 0);
    expect(connection.unsentBytes).toBe(70_000);
  });
});
