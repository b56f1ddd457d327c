/** Fetch answers leave through the sending thread over a real socket of Bun's, whole and in order, whatever the peer does. */
import { describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import * as native from "../../../native/binding.js";
import { until } from "../../support/process.ts";
import { append, batchOf, openStore, plan, readBytes, type TestStore } from "./store.ts";

/** A server socket of Bun's whose peer the test holds, and the sender's completions. */
interface Bench extends AsyncDisposable {
  readonly fd: number;
  readonly peer: Socket;
  readonly senderId: number;
  readonly done: [token: number, status: number][];
  readonly calls: () => number;
  closeServerSide(): void;
}

const ECONNRESET = 104;
const EPIPE = 32;
const ECANCELED = 125;
const EBADF = 9;

async function openBench(): Promise<Bench> {
  let accepted: Bun.Socket | null = null;
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        accepted = socket;
      },
      data() {},
      error() {},
    },
  });
  const peer = connect({ host: "127.0.0.1", port: listener.port });
  peer.on("error", () => {});
  await until(
    () => accepted !== null,
    10_000,
    () => "not accepted",
  );
  const socket = accepted as unknown as Bun.Socket & { readonly fd: number };
  const done: [number, number][] = [];
  let calls = 0;
  const out = new Float64Array(8);
  const senderId = native.openSender(() => {
    calls++;
    for (;;) {
      const count = native.drainSent(senderId, out);
      for (let at = 0; at < count; at++)
        done.push([out[at * 2] as number, out[at * 2 + 1] as number]);
      if (count < 4) return;
    }
  });
  return {
    fd: socket.fd,
    peer,
    senderId,
    done,
    calls: () => calls,
    closeServerSide: () => socket.terminate(),
    async [Symbol.asyncDispose]() {
      native.closeSender(senderId);
      peer.destroy();
      listener.stop(true);
    },
  };
}

/** A partition with about `mib` MiB in it. */
function fill(
  opened: TestStore,
  topic: string,
  mib: number,
): { handle: number; bytes: Uint8Array } {
  const handle = opened.lead(topic, { segmentBytes: 1 << 30, maxMessageBytes: 1 << 22 });
  for (let at = 0; at < mib; at++)
    append(opened.store, handle, batchOf(`${at}-${"x".repeat(1 << 20)}`));
  return { handle, bytes: readBytes(opened.store, handle, 0) };
}

async function receive(peer: Socket, length: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let received = 0;
  const onData = (chunk: Buffer): void => {
    chunks.push(chunk);
    received += chunk.length;
  };
  peer.on("data", onData);
  await until(
    () => received >= length || peer.destroyed,
    30_000,
    () => `${received} of ${length} bytes`,
  );
  peer.off("data", onData);
  return new Uint8Array(Buffer.concat(chunks));
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

describe.each([
  ["on disk", false],
  ["in memory", true],
] as const)("sending %s", (_name, inMemory) => {
  test("puts the slices where the cuts are", async () => {
    await using opened = await openStore({ inMemory });
    await using bench = await openBench();
    const one = fill(opened, "one", 1);
    const two = fill(opened, "two", 2);
    const empty = opened.lead("empty");
    for (let token = 1; token <= 3; token++) {
      const planned = plan(opened.store, [
        [one.handle, 0, 1e9],
        [empty, 0, 1e9],
        [two.handle, 0, 1e9],
      ]);
      expect(planned.rows.map(({ bytes }) => bytes)).toEqual([
        one.bytes.length,
        0,
        two.bytes.length,
      ]);
      native.planSend(
        planned.plan,
        bench.senderId,
        bench.fd,
        text("firstsecondlast"),
        new Float64Array([5, 0, 11, 1, 11, 2]),
        token,
      );
      const expected = Buffer.concat([
        text("first"),
        one.bytes,
        text("second"),
        two.bytes,
        text("last"),
      ]);
      const seen = await receive(bench.peer, expected.length);
      expect(seen.length).toBe(expected.length);
      expect(Buffer.compare(seen, expected)).toBe(0);
      await until(
        () => bench.done.length === token,
        10_000,
        () => "no completion",
      );
      expect(bench.done.at(-1)).toEqual([token, 0]);
      expect(() =>
        native.planSend(planned.plan, bench.senderId, bench.fd, text(""), new Float64Array(0), 1),
      ).toThrow();
    }
  });
});

test("a peer that reads slowly gets everything, and the loop goes on meanwhile", async () => {
  await using opened = await openStore();
  await using bench = await openBench();
  const { handle, bytes } = fill(opened, "t", 16);
  bench.peer.pause();
  const { plan: id } = plan(opened.store, [[handle, 0, 1e9]]);
  native.planSend(id, bench.senderId, bench.fd, text("head"), new Float64Array([4, 0]), 1);
  let ticks = 0;
  await until(
    () => ++ticks > 5,
    10_000,
    () => "the loop stands still",
  );
  expect(bench.done).toEqual([]);
  bench.peer.resume();
  const seen = await receive(bench.peer, bytes.length + 4);
  expect(Buffer.compare(seen.subarray(4), bytes)).toBe(0);
  await until(
    () => bench.done.length === 1,
    10_000,
    () => "no completion",
  );
  expect(bench.done).toEqual([[1, 0]]);
});

test("a peer that resets ends its send with an errno", async () => {
  await using opened = await openStore();
  await using bench = await openBench();
  const { handle } = fill(opened, "t", 16);
  bench.peer.pause();
  const { plan: id } = plan(opened.store, [[handle, 0, 1e9]]);
  native.planSend(id, bench.senderId, bench.fd, text("head"), new Float64Array([4, 0]), 9);
  await Bun.sleep(5);
  bench.peer.resetAndDestroy();
  await until(
    () => bench.done.length === 1,
    10_000,
    () => "no completion",
  );
  expect(bench.done[0]?.[0]).toBe(9);
  expect([ECONNRESET, EPIPE]).toContain(bench.done[0]?.[1] ?? 0);
});

test("a cancelled send lets go of its socket", async () => {
  await using opened = await openStore();
  await using bench = await openBench();
  const { handle } = fill(opened, "t", 16);
  bench.peer.pause();
  const { plan: id } = plan(opened.store, [[handle, 0, 1e9]]);
  native.planSend(id, bench.senderId, bench.fd, text("head"), new Float64Array([4, 0]), 7);
  await Bun.sleep(5);
  bench.closeServerSide();
  native.cancelSend(bench.senderId, 7);
  await until(
    () => bench.done.length === 1,
    10_000,
    () => "no completion",
  );
  expect(bench.done).toEqual([[7, ECANCELED]]);
  bench.peer.resume();
  await until(
    () => bench.peer.destroyed,
    4000,
    () => "the connection lives on",
  );
});

test("many small sends cost their two calls each, and each is reported once", async () => {
  await using opened = await openStore();
  await using bench = await openBench();
  const handle = opened.lead("t");
  append(opened.store, handle, batchOf("a"));
  const bytes = readBytes(opened.store, handle, 0);
  const counters = new Float64Array(5);
  native.senderCounters(counters);
  const before = counters.slice();
  for (let token = 0; token < 50; token++) {
    const { plan: id } = plan(opened.store, [[handle, 0, 1e9]]);
    const head = text("h");
    const status = native.planSend(
      id,
      bench.senderId,
      bench.fd,
      head,
      new Float64Array([1, 0]),
      token,
    );
    // What is in memory goes out at once, where the kernel can tell (cachestat); else the thread reports it.
    if (status >= 0) bench.done.push([token, status]);
    await receive(bench.peer, bytes.length + 1);
  }
  await until(
    () => bench.done.length === 50,
    10_000,
    () => "no completion",
  );
  expect(bench.done).toEqual(
    Array.from({ length: 50 }, (_, token): [number, number] => [token, 0]),
  );
  native.senderCounters(counters);
  const [sent, sends, sendFiles, , jobs] = Array.from(
    counters,
    (count, at) => count - (before[at] ?? 0),
  );
  expect({ sent, sends, sendFiles, jobs }).toEqual({
    sent: 50 * (bytes.length + 1),
    sends: 50,
    sendFiles: 50,
    jobs: 50,
  });
});

test("descriptors and cuts that make no sense are refused", async () => {
  await using opened = await openStore({ inMemory: true });
  await using bench = await openBench();
  const handle = opened.lead("t");
  append(opened.store, handle, batchOf("a"));
  const planned = (): number => plan(opened.store, [[handle, 0, 1e9]]).plan;
  native.planSend(planned(), bench.senderId, -1, text("h"), new Float64Array([1, 0]), 3);
  await until(
    () => bench.done.length === 1,
    10_000,
    () => "no completion",
  );
  expect(bench.done).toEqual([[3, EBADF]]);
  for (const cuts of [
    [2, 0],
    [1, 0, 0, 0],
  ]) {
    expect(() =>
      native.planSend(planned(), bench.senderId, bench.fd, text("h"), new Float64Array(cuts), 1),
    ).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  }
  expect(() =>
    native.planSend(planned(), 12_345, bench.fd, text("h"), new Float64Array([1, 0]), 1),
  ).toThrow();
});

test("recvInto takes what is there, and tells nothing, end and failure apart", async () => {
  let fd = -1;
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        fd = (socket as unknown as { readonly fd: number }).fd;
        socket.pause();
      },
      data() {},
    },
  });
  const peer = connect({ host: "127.0.0.1", port: listener.port });
  await until(
    () => fd >= 0,
    10_000,
    () => "not accepted",
  );
  const into = new Uint8Array(16).fill(1);
  expect(native.recvInto(fd, into, 0, 16)).toBe(0);
  peer.write("hello");
  let count = 0;
  await until(
    () => (count = native.recvInto(fd, into, 4, 12)) !== 0,
    10_000,
    () => "nothing came",
  );
  expect([count, Buffer.from(into.subarray(0, 9)).toString()]).toEqual([
    5,
    "\u0001\u0001\u0001\u0001hello",
  ]);
  expect(() => native.recvInto(fd, into, 10, 7)).toThrow(
    expect.objectContaining({ code: "INVALID_ARGUMENT" }),
  );
  expect(native.recvInto(-1, into, 0, 16)).toBe(-EBADF);
  peer.end();
  await until(
    () => native.recvInto(fd, into, 0, 16) === -1,
    10_000,
    () => "no end",
  );
  listener.stop(true);
});
