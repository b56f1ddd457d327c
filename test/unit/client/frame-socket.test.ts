/** A client's socket over real ones: large answers pulled, small ones handed over, and nothing left open whatever happens. */
import { afterEach, describe, expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { watchedSocketCount } from "#native";
import { FrameSocket, type FrameSocketOwner } from "#client/frame-socket.ts";
import type { DirectReceiver, Readiness } from "#transport/ports.ts";
import { createNativeAssist, createReadiness } from "#transport/sendfile.ts";

const LARGE_BYTES = 300_000;
const servers: Server[] = [];
const sockets: FrameSocket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(
    servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))),
  );
  expect(watchedSocketCount()).toBe(0);
});

function framed(bytes: number, fill: number): Buffer {
  const frame = Buffer.alloc(4 + bytes, fill);
  frame.writeInt32BE(bytes);
  return frame;
}

/** Frames and ends, in the order they came. */
class Owner implements FrameSocketOwner {
  readonly events: string[] = [];
  readonly #waiting: (() => void)[] = [];

  onFrame(frame: Uint8Array): void {
    const isEven = frame.every((byte) => byte === frame[0]);
    this.#add(isEven ? `${frame.length} of ${frame[0]}` : "torn");
  }
  onBadSize(bytes: number): void {
    this.#add(`bad ${bytes}`);
  }
  onClosed(): void {
    this.#add("closed");
  }
  async until(count: number): Promise<readonly string[]> {
    while (this.events.length < count)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.events;
  }
  #add(event: string): void {
    this.events.push(event);
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

interface Pair {
  readonly owner: Owner;
  readonly socket: FrameSocket;
  readonly peer: Socket;
  /** Reads past the event loop. */
  readonly pulledCount: () => number;
  /** What the peer received. */
  readonly received: () => number;
}

async function connected(readiness: Readiness | null = createReadiness()): Promise<Pair> {
  const accepted = Promise.withResolvers<Socket>();
  const server = createServer((peer) => {
    peer.on("error", () => {});
    accepted.resolve(peer);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const { receiver } = createNativeAssist();
  let pulledCount = 0;
  const counting: DirectReceiver = {
    receive(fd, into, at, length) {
      pulledCount += 1;
      return receiver.receive(fd, into, at, length);
    },
  };
  const socket = await FrameSocket.open({ host: "127.0.0.1", port }, 10_000, {
    maxFrameBytes: 1 << 24,
    receiver: counting,
    readiness,
  });
  if (socket === null) throw new Error("no connection");
  sockets.push(socket);
  const owner = new Owner();
  socket.start(owner);
  const peer = await accepted.promise;
  let received = 0;
  peer.on("data", (data) => {
    received += data.length;
  });
  return { owner, socket, peer, pulledCount: () => pulledCount, received: () => received };
}

/** A pair whose next answer will be pulled. */
async function pulling(): Promise<Pair> {
  const pair = await connected();
  pair.peer.write(framed(LARGE_BYTES, 1));
  await pair.owner.until(1);
  pair.socket.recycle();
  expect(watchedSocketCount()).toBe(1);
  return pair;
}

describe("a socket that pulls", () => {
  test("takes answers of all sizes in order, and sends meanwhile", async () => {
    const { owner, socket, peer, received } = await pulling();
    for (let round = 2; round < 30; round++) {
      const bytes = round % 3 === 0 ? 2_000_000 : round % 3 === 1 ? 70_000 : 10;
      const frame = framed(bytes, round);
      socket.write(new Uint8Array(50));
      peer.write(frame.subarray(0, bytes >> 1));
      if (round % 2 === 0) await Bun.sleep(1);
      peer.write(frame.subarray(bytes >> 1));
      const events = await owner.until(round);
      expect(events.at(-1)).toBe(`${bytes} of ${round}`);
      socket.recycle();
    }
    expect(watchedSocketCount()).toBe(1);
    while (received() < 28 * 50) await Bun.sleep(1);
  });

  test("takes answers that come together", async () => {
    const { owner, peer } = await pulling();
    peer.write(Buffer.concat([framed(10, 2), framed(LARGE_BYTES, 3), framed(20, 4)]));
    expect((await owner.until(4)).slice(1)).toEqual(["10 of 2", `${LARGE_BYTES} of 3`, "20 of 4"]);
  });

  test("has the loop read again after small answers, and pulls again after a large one", async () => {
    const { owner, peer, pulledCount } = await pulling();
    for (let count = 2; count <= 9; count++) {
      peer.write(framed(100, count));
      await owner.until(count);
    }
    expect(watchedSocketCount()).toBe(0);
    const before = pulledCount();
    for (let count = 10; count <= 12; count++) {
      peer.write(framed(100, count));
      await owner.until(count);
    }
    expect(pulledCount()).toBe(before);
    peer.write(framed(LARGE_BYTES, 13));
    await owner.until(13);
    expect(watchedSocketCount()).toBe(1);
    peer.write(framed(LARGE_BYTES, 14));
    expect((await owner.until(14)).slice(-2)).toEqual([
      `${LARGE_BYTES} of 13`,
      `${LARGE_BYTES} of 14`,
    ]);
  });

  test.each(["end", "reset"])("tells of an %s in the middle of an answer", async (how) => {
    const { owner, peer } = await pulling();
    peer.write(framed(LARGE_BYTES, 2).subarray(0, 1_000), () =>
      how === "end" ? peer.end() : peer.resetAndDestroy(),
    );
    expect((await owner.until(2)).slice(1)).toEqual(["closed"]);
    expect(watchedSocketCount()).toBe(0);
  });

  test("tells of an end between answers", async () => {
    const { owner, peer } = await pulling();
    peer.end();
    expect((await owner.until(2)).slice(1)).toEqual(["closed"]);
  });

  test("tells of a size that is not allowed, and of nothing after", async () => {
    const { owner, peer } = await pulling();
    const head = Buffer.alloc(100);
    head.writeInt32BE((1 << 24) + 1);
    peer.write(head);
    expect((await owner.until(2)).slice(1)).toEqual([`bad ${(1 << 24) + 1}`]);
  });

  test("lets go of everything when it is destroyed in the middle", async () => {
    const { owner, socket, peer } = await pulling();
    const gone = new Promise<void>((resolve) => peer.on("close", () => resolve()));
    peer.write(framed(LARGE_BYTES, 2).subarray(0, 100_000));
    await Bun.sleep(5);
    socket.destroy();
    expect(watchedSocketCount()).toBe(0);
    await gone;
    expect(owner.events.length).toBe(1);
  });
});

test("where nothing can wait, the loop hands over as ever", async () => {
  const { owner, peer } = await connected({ watch: () => null });
  for (let count = 1; count <= 3; count++) {
    peer.write(framed(LARGE_BYTES, count));
    expect((await owner.until(count)).at(-1)).toBe(`${LARGE_BYTES} of ${count}`);
  }
  const plain = await connected(null);
  plain.peer.write(framed(LARGE_BYTES, 9));
  expect(await plain.owner.until(1)).toEqual([`${LARGE_BYTES} of 9`]);
});
