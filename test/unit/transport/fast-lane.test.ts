/**
 * Connections that are lent to a real lane and come back: it knows no topic here, so every request it is given is somebody else's,
 * and every byte has to pass through both.
 */
import { afterEach, expect, test } from "bun:test";
import { openFastLane } from "#transport/fast-lane.ts";
import type { FrameConnection, FrameHandler } from "#transport/ports.ts";
import { createNativeAssist } from "#transport/sendfile.ts";
import { Transport, type TransportOptions } from "#transport/transport.ts";
import { TRANSPORT_OPTIONS } from "../../support/transport-options.ts";

const OPTIONS: TransportOptions = {
  ...TRANSPORT_OPTIONS,
  maxFrameBytes: 8 << 20,
  laneBytes: 1 << 20,
};
/** Requests after which a connection is lent for the first time. */
const ROW = 16;

/** Answers each frame with itself. */
class Echo implements FrameHandler {
  openCount = 0;
  readonly connections: FrameConnection[] = [];

  onOpen(connection: FrameConnection): void {
    this.openCount++;
    this.connections.push(connection);
  }

  onClose(): void {
    this.openCount--;
  }

  onFrame(connection: FrameConnection, bytes: Uint8Array, start: number, end: number): boolean {
    connection.reply(framed(bytes.subarray(start, end)));
    return true;
  }
}

/** The same, a moment later, and while others are on their way. */
class LateEcho extends Echo {
  inFlightMax = 0;
  #inFlight = 0;

  override onFrame(
    connection: FrameConnection,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    const frame = framed(bytes.subarray(start, end));
    const slot = connection.defer(true);
    this.inFlightMax = Math.max(this.inFlightMax, ++this.#inFlight);
    setTimeout(() => {
      this.#inFlight--;
      slot.reply(frame);
    }, 2);
    return true;
  }
}

const transports: Transport[] = [];
afterEach(async () => {
  for (const transport of transports.splice(0)) await transport.stop(0);
});

function start(handler: FrameHandler): [Transport, number] {
  const transport = new Transport(OPTIONS, handler, createNativeAssist());
  transports.push(transport);
  const { port } = transport.listen({ listenerName: "PLAINTEXT", hostname: "127.0.0.1", port: 0 });
  return [transport, port];
}

/** A transport that counts how often a connection is lent. */
function startCounting(handler: FrameHandler): [port: number, lentCount: () => number] {
  let lentCount = 0;
  const transport = new Transport(OPTIONS, handler, {
    ...createNativeAssist(),
    openLane(options, host) {
      const lane = openFastLane(options, host);
      return {
        ...lane,
        adopt(token, fd, input) {
          lentCount++;
          return lane.adopt(token, fd, input);
        },
      };
    },
  });
  transports.push(transport);
  const { port } = transport.listen({ listenerName: "PLAINTEXT", hostname: "127.0.0.1", port: 0 });
  return [port, () => lentCount];
}

function framed(body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(4 + body.length);
  new DataView(frame.buffer).setInt32(0, body.length);
  frame.set(body, 4);
  return frame;
}

/** A frame that looks like a Produce, of a size and with a number. */
function produceLike(number: number, bytes: number): Uint8Array {
  const body = new Uint8Array(Math.max(bytes, 12)).fill(number & 0xff);
  body.set([0, 0, 0, 9, 0, 0, 0, number & 0x7f]);
  return framed(body);
}

interface Client {
  readonly socket: Bun.Socket;
  send(bytes: Uint8Array): Promise<void>;
  received(bytes: number): Promise<Buffer>;
  closed(): Promise<void>;
}

async function connect(port: number): Promise<Client> {
  let received = Buffer.alloc(0);
  let isClosed = false;
  let wake = (): void => undefined;
  const changed = (): Promise<void> => new Promise((resolve) => (wake = resolve));
  let onDrain = (): void => undefined;
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: {
      data(_socket, chunk) {
        received = Buffer.concat([received, chunk]);
        wake();
      },
      drain: () => onDrain(),
      end() {
        isClosed = true;
        wake();
      },
      close() {
        isClosed = true;
        wake();
      },
      error() {
        isClosed = true;
        wake();
      },
    },
  });
  return {
    socket,
    async send(bytes): Promise<void> {
      let at = 0;
      while (at < bytes.length) {
        const drained = new Promise<void>((resolve) => (onDrain = resolve));
        const count = socket.write(bytes, at, bytes.length - at);
        if (count < 0) throw new Error("closed");
        at += count;
        if (at < bytes.length) await drained;
      }
    },
    async received(bytes): Promise<Buffer> {
      while (received.length < bytes && !isClosed) await changed();
      return received;
    },
    async closed(): Promise<void> {
      while (!isClosed) await changed();
    },
  };
}

/** Sends a row of requests, so that the connection is lent. */
async function lend(client: Client, transport: Transport): Promise<Uint8Array> {
  const row = Buffer.concat(Array.from({ length: ROW }, (_, index) => produceLike(index, 40)));
  await client.send(row);
  await client.received(row.length);
  expect(transport.lentCount).toBe(1);
  return row;
}

test("what a lane does not serve comes back whole and in order, however it was cut", async () => {
  const [transport, port] = start(new Echo());
  const client = await connect(port);
  let sent = Buffer.from(await lend(client, transport));
  let seed = 7;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return seed % below;
  };
  for (let round = 0; round < 40; round++) {
    const sizes = Array.from({ length: 1 + random(24) }, () =>
      random(6) === 0 ? 1 + random(300_000) : 1 + random(200),
    );
    const bytes = Buffer.concat(sizes.map((size, index) => produceLike(index, size)));
    let at = 0;
    while (at < bytes.length) {
      const count = random(3) === 0 ? 1 + random(9) : 1 + random(100_000);
      await client.send(bytes.subarray(at, at + count));
      at += count;
      if (random(4) === 0) await Bun.sleep(0);
    }
    sent = Buffer.concat([sent, bytes]);
    const received = await client.received(sent.length);
    expect(received.equals(sent)).toBe(true);
  }
  client.socket.end();
});

test("a client that ends or resets while it is lent is forgotten", async () => {
  for (const isReset of [false, true]) {
    const echo = new Echo();
    const [transport, port] = start(echo);
    const client = await connect(port);
    await lend(client, transport);
    if (isReset) client.socket.terminate();
    else client.socket.end();
    while (echo.openCount > 0) await Bun.sleep(1);
    expect(transport.lentCount).toBe(0);
    expect(transport.connectionCount).toBe(0);
  }
});

test("half a request and the end of the client come back together", async () => {
  const echo = new Echo();
  const [transport, port] = start(echo);
  const client = await connect(port);
  const row = await lend(client, transport);
  const whole = produceLike(1, 100);
  await client.send(Buffer.concat([whole, whole.subarray(0, 50)]));
  client.socket.shutdown();
  await client.closed();
  expect((await client.received(row.length + whole.length)).length).toBe(row.length + whole.length);
  while (echo.openCount > 0) await Bun.sleep(1);
});

test("a connection that is lent can be closed from here", async () => {
  const echo = new Echo();
  const [transport, port] = start(echo);
  const client = await connect(port);
  await lend(client, transport);
  echo.connections[0]?.close();
  await client.closed();
  expect(transport.connectionCount).toBe(0);
});

test("stopping takes back what is lent, and ends", async () => {
  const [transport, port] = start(new Echo());
  const client = await connect(port);
  await lend(client, transport);
  await transport.stop(10_000);
  await client.closed();
  expect(transport.connectionCount).toBe(0);
});

test("a lane gives back who is silent", async () => {
  const [transport, port] = start(new Echo());
  const client = await connect(port);
  await lend(client, transport);
  while (transport.lentCount > 0) await Bun.sleep(10);
  const frame = produceLike(3, 30);
  await client.send(frame);
  await client.received(ROW * 44 + frame.length);
});

test("a lane gives back who feeds a frame in drops", async () => {
  const [transport, port] = start(new Echo());
  const client = await connect(port);
  await lend(client, transport);
  const frame = produceLike(3, 300);
  let at = 0;
  while (transport.lentCount > 0) {
    expect(at).toBeLessThan(frame.length - 1);
    await client.send(frame.subarray(at, at + 1));
    at += 1;
    await Bun.sleep(50);
  }
  await client.send(frame.subarray(at));
  await client.received(ROW * 44 + frame.length);
});

test("a size that no frame has closes a lent connection as any other", async () => {
  const [transport, port] = start(new Echo());
  const client = await connect(port);
  await lend(client, transport);
  await client.send(Uint8Array.of(255, 255, 255, 255));
  await client.closed();
  expect(transport.statistics.closedBadFrameCount).toBe(1);
});

test("who sends ahead is lent in the middle of a frame, wherever that is, and loses nothing", async () => {
  for (const cut of [0, 1, 3, 4, 5, 11, 40_000, 150_000]) {
    const [transport, port] = start(new Echo());
    const client = await connect(port);
    const next = produceLike(1, 200_000);
    // The loop reads the beginning of a frame together with the row before it.
    const row = Buffer.concat(Array.from({ length: ROW }, (_, index) => produceLike(index, 40)));
    await client.send(Buffer.concat([row, next.subarray(0, cut)]));
    while (transport.lentCount === 0) await Bun.sleep(1);
    const sent = Buffer.concat([row, next, produceLike(2, 50_000), produceLike(3, 20)]);
    await client.send(sent.subarray(row.length + cut));
    const received = await client.received(sent.length);
    expect(received.equals(sent)).toBe(true);
    client.socket.end();
  }
});

test("who is never without a request under way is lent all the same, with what it has sent meanwhile", async () => {
  const handler = new LateEcho();
  const [port, lentCount] = startCounting(handler);
  const client = await connect(port);
  const frames = Array.from({ length: 40 * ROW }, (_, index) => produceLike(index, 500 + index));
  const sent = Buffer.concat(frames);
  await client.send(sent);
  const received = await client.received(sent.length);
  expect(received.equals(sent)).toBe(true);
  expect(handler.inFlightMax).toBeGreaterThan(1);
  expect(lentCount()).toBeGreaterThan(0);
  client.socket.end();
});

test("who sends large requests ahead is lent", async () => {
  const [port, lentCount] = startCounting(new Echo());
  const client = await connect(port);
  const frames = Array.from({ length: 4 * ROW }, (_, index) => produceLike(index, 131_000));
  const sent = Buffer.concat(frames);
  await client.send(sent);
  const received = await client.received(sent.length);
  expect(received.equals(sent)).toBe(true);
  expect(lentCount()).toBeGreaterThan(0);
  client.socket.end();
});
