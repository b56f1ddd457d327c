import { afterEach, describe, expect, test } from "bun:test";
import { createConnection } from "node:net";
import type { FrameConnection, FrameHandler } from "#transport/ports.ts";
import { plainAddress, Transport, type TransportOptions } from "#transport/transport.ts";
import { TRANSPORT_OPTIONS } from "../../support/transport-options.ts";

/** Answers each frame with itself; a frame that begins with 0 closes, with 254 resets, one with 255 is answered by `release`. */
class Echo implements FrameHandler {
  readonly held: (() => void)[] = [];
  openCount = 0;

  onOpen(): void {
    this.openCount++;
  }

  onClose(): void {
    this.openCount--;
  }

  onFrame(connection: FrameConnection, bytes: Uint8Array, start: number, end: number): boolean {
    const reply = new Uint8Array(4 + end - start);
    new DataView(reply.buffer).setInt32(0, end - start);
    reply.set(bytes.subarray(start, end), 4);
    if (bytes[start] === 0) connection.close();
    else if (bytes[start] === 254) connection.reset();
    else if (bytes[start] === 255) {
      const slot = connection.defer(true);
      this.held.push(() => slot.reply(reply));
    } else connection.reply(reply);
    return true;
  }
}

interface Client {
  readonly socket: Bun.Socket;
  readonly received: () => Buffer;
  readonly isClosed: () => boolean;
  send(bytes: Uint8Array): Promise<void>;
}

const transports: Transport[] = [];
afterEach(async () => {
  for (const transport of transports.splice(0)) await transport.stop(0);
});

function start(
  handler: FrameHandler,
  overrides: Partial<TransportOptions> = {},
): [Transport, number] {
  const transport = new Transport({ ...TRANSPORT_OPTIONS, ...overrides }, handler, null);
  transports.push(transport);
  const bound = transport.listen({ listenerName: "PLAINTEXT", hostname: "127.0.0.1", port: 0 });
  return [transport, bound.port];
}

async function connect(port: number): Promise<Client> {
  const parts: Uint8Array[] = [];
  let isClosed = false as boolean;
  let onDrain = (): void => {};
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data: (_socket, chunk) => void parts.push(new Uint8Array(chunk)),
      drain: () => onDrain(),
      close: () => {
        isClosed = true;
      },
      error: () => {},
    },
  });
  return {
    socket,
    received: () => Buffer.concat(parts),
    isClosed: () => isClosed,
    async send(bytes): Promise<void> {
      let at = 0;
      while (at < bytes.length && !isClosed) {
        const count = socket.write(bytes, at, bytes.length - at);
        if (count < 0) return;
        at += count;
        if (at < bytes.length) {
          await new Promise<void>((resolve) => {
            onDrain = resolve;
          });
        }
      }
    },
  };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not so within 5 s: ${condition.toString()}`);
    await Bun.sleep(2);
  }
}

function framed(content: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + content.length);
  new DataView(bytes.buffer).setInt32(0, content.length);
  bytes.set(content, 4);
  return bytes;
}

describe("Transport", () => {
  test("echoes frames of all sizes over a real socket", async () => {
    const [transport, port] = start(new Echo());
    const client = await connect(port);
    const frames = [1, 2, 100, 70_000, 3, 1_000_000, 17].map((size) =>
      framed(new Uint8Array(size).fill(1 + (size % 200))),
    );
    const all = new Uint8Array(Buffer.concat(frames));
    await client.send(all);
    await until(() => client.received().length >= all.length);
    expect(client.received().equals(Buffer.from(all))).toBe(true);
    expect(transport.statistics.framesCount).toBe(frames.length);
  });

  test("many connections at once are answered, each in its order", async () => {
    const [transport, port] = start(new Echo());
    const clients = await Promise.all(Array.from({ length: 24 }, () => connect(port)));
    const content = Array.from({ length: 40 }, (_, round) => [1 + round, 1, 2, 3]);
    for (const part of content) {
      for (const client of clients) await client.send(framed(new Uint8Array(part)));
    }
    const expected = Buffer.concat(content.map((part) => framed(new Uint8Array(part))));
    await until(() => clients.every((client) => client.received().length >= expected.length));
    for (const client of clients) expect(client.received().equals(expected)).toBe(true);
    expect(transport.statistics.framesCount).toBe(24 * 40);
  });

  test("a bad frame closes its connection and no other", async () => {
    const handler = new Echo();
    const [transport, port] = start(handler);
    const [bad, alsoBad, good] = [await connect(port), await connect(port), await connect(port)];
    await bad.send(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
    await alsoBad.send(framed(new Uint8Array([0])));
    await until(() => bad.isClosed() && alsoBad.isClosed());
    await good.send(framed(new Uint8Array([7])));
    await until(() => good.received().length === 5);
    expect([handler.openCount, transport.connectionCount]).toEqual([1, 1]);
  });

  test("a reset is one for the client too, and an end in order is not", async () => {
    const [, port] = start(new Echo());
    const endOf = (first: number): Promise<string> =>
      new Promise((resolve) => {
        const socket = createConnection(port, "127.0.0.1", () =>
          socket.write(framed(new Uint8Array([first]))),
        );
        socket.on("error", ({ message }) => resolve(message));
        socket.on("end", () => resolve("end"));
      });
    expect(await endOf(0)).toBe("end");
    expect(await endOf(254)).toContain("ECONNRESET");
  });

  test("limits of connections hold, all together and by address", async () => {
    const [transport, port] = start(new Echo(), {
      maxConnectionsPerAddress: 1,
      maxConnectionsPerAddressOverrides: new Map([["127.0.0.1", 2]]),
    });
    const clients = [await connect(port), await connect(port), await connect(port)];
    await until(() => clients.filter((client) => client.isClosed()).length === 1);
    expect([transport.connectionCount, transport.statistics.refusedCount]).toEqual([2, 1]);
    clients[0]?.socket.end();
    await until(() => transport.connectionCount === 1);
    const next = await connect(port);
    await next.send(framed(new Uint8Array([5])));
    await until(() => next.received().length === 5);
  });

  test("limits of connections may change; those that are there stay", async () => {
    const [transport, port] = start(new Echo(), { maxConnections: 1 });
    const first = await connect(port);
    await until(() => transport.connectionCount === 1);
    const limits = {
      maxConnectionsPerAddress: 9,
      maxConnectionsPerAddressOverrides: new Map(),
      maxConnectionsPerSecond: 2147483647,
    };
    transport.limitConnections({ maxConnections: 2, ...limits });
    const second = await connect(port);
    await until(() => transport.connectionCount === 2);
    transport.limitConnections({ maxConnections: 0, ...limits });
    const third = await connect(port);
    await until(() => third.isClosed());
    expect([first.isClosed(), second.isClosed(), transport.statistics.refusedCount]).toEqual([
      false,
      false,
      1,
    ]);
  });

  test("silent connections and unfinished frames meet their deadlines", async () => {
    const [idle, idlePort] = start(new Echo(), { idleDeadlineMs: 100 });
    const [slow, slowPort] = start(new Echo(), { frameDeadlineMs: 100 });
    const [idleClient, slowClient, quietClient] = [
      await connect(idlePort),
      await connect(slowPort),
      await connect(slowPort),
    ];
    await slowClient.send(framed(new Uint8Array(100)).slice(0, 50));
    await until(() => idleClient.isClosed() && slowClient.isClosed());
    expect([
      idle.statistics.closedIdleCount,
      slow.statistics.closedFrameDeadlineCount,
      quietClient.isClosed(),
    ]).toEqual([1, 1, false]);
  });

  test("requests that come before the broker is ready wait for it", async () => {
    const handler = new Echo();
    const [transport, port] = start(handler);
    transport.pause();
    const client = await connect(port);
    await client.send(framed(new Uint8Array([9])));
    await until(() => handler.openCount === 1);
    await Bun.sleep(20);
    expect(client.received().length).toBe(0);
    transport.resume();
    await until(() => client.received().length === 5);
  });

  test("stop answers what is in flight and then closes", async () => {
    const handler = new Echo();
    const [transport, port] = start(handler);
    const client = await connect(port);
    await client.send(framed(new Uint8Array([255, 1])));
    await until(() => handler.held.length === 1);
    const stopped = transport.stop(5000);
    handler.held[0]?.();
    await stopped;
    await until(() => client.isClosed());
    expect([...client.received()]).toEqual([0, 0, 0, 2, 255, 1]);
  });

  test("stop cuts off what does not end in time", async () => {
    const handler = new Echo();
    const [transport, port] = start(handler);
    const client = await connect(port);
    await client.send(framed(new Uint8Array([255])));
    await until(() => handler.held.length === 1);
    await transport.stop(20);
    await until(() => client.isClosed());
    expect(transport.connectionCount).toBe(0);
  });
});

describe("plainAddress", () => {
  test("unwraps only what is wrapped", () => {
    expect(["::ffff:10.0.0.1", "10.0.0.1", "::1", "::ffff:0:1"].map(plainAddress)).toEqual([
      "10.0.0.1",
      "10.0.0.1",
      "::1",
      "::ffff:0:1",
    ]);
  });
});
