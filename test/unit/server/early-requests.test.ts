import { expect, test } from "bun:test";
import type { FrameConnection, FrameHandler, ReplyTarget } from "#transport/ports.ts";
import { EarlyRequests } from "#server/early-requests.ts";
import { FakeConnection } from "../../support/fake-connection.ts";

/** Tells what was answered at once and what in its place. */
class Recorded extends FakeConnection {
  override reply(bytes: Uint8Array): void {
    this.events.push(`reply ${bytes.join()}`);
  }
  override defer(isPipelined: boolean): ReplyTarget {
    super.defer(isPipelined);
    return {
      reply: (bytes) => void this.events.push(`slot ${bytes.join()}`),
      replySliced: () => void this.events.push("slot sliced"),
      replyNothing: () => void this.events.push("slot nothing"),
      close: () => this.close(),
    };
  }
}

/** Answers each frame with its own last byte. */
class LastByte implements FrameHandler {
  readonly opened: FrameConnection[] = [];
  readonly closed: FrameConnection[] = [];
  onOpen(connection: FrameConnection): void {
    this.opened.push(connection);
    connection.attachment = "known";
  }
  onClose(connection: FrameConnection): void {
    this.closed.push(connection);
  }
  onFrame(connection: FrameConnection, bytes: Uint8Array, start: number, end: number): boolean {
    expect(connection.attachment).toBe("known");
    connection.reply(bytes.subarray(end - 1, end));
    return start < end;
  }
}

const SERVED = 7;

function open(): { early: EarlyRequests; frames: LastByte; connect(): Recorded } {
  const frames = new LastByte();
  const early = new EarlyRequests(frames, (apiKey) => apiKey === SERVED);
  const connect = (): Recorded => {
    const connection = new Recorded();
    early.onOpen(connection);
    return connection;
  };
  return { early, frames, connect };
}

/** A frame with one byte before and after it, as in a shared buffer. */
function send(
  early: EarlyRequests,
  connection: FakeConnection,
  apiKey: number,
  last: number,
  length = 9,
): Uint8Array {
  const bytes = new Uint8Array(length + 2);
  bytes[2] = apiKey;
  bytes[length] = last;
  expect(early.onFrame(connection, bytes, 1, length + 1)).toBe(true);
  return bytes;
}

test("what is served already is answered, the rest waits and is answered in its place", () => {
  const { early, connect } = open();
  const [peer, client] = [connect(), connect()];
  send(early, peer, SERVED, 11);
  const bytes = send(early, client, 3, 22);
  // The buffer is used again for something else.
  bytes.fill(99);
  expect([peer.events, client.events]).toEqual([["reply 11"], ["defer"]]);
  expect(early.heldCount).toBe(1);
  early.serve();
  expect(client.events).toEqual(["defer", "slot 22"]);
  send(early, client, 3, 33);
  expect(client.events).toEqual(["defer", "slot 22", "reply 33"]);
  expect(early.heldCount).toBe(0);
});

test("a client that goes is forgotten", () => {
  const { early, frames, connect } = open();
  const client = connect();
  send(early, client, 3, 22);
  client.isClosed = true;
  early.onClose(client);
  expect([early.heldCount, frames.closed]).toEqual([0, [client]]);
  early.serve();
  expect(client.events).toEqual(["defer"]);
});

test("memory is bounded: long requests do not wait, nor more than 16 MiB of them, and who goes makes room", () => {
  const { early, connect } = open();
  const long = connect();
  send(early, long, 3, 1, 65_537);
  expect(long.events).toEqual(["reset"]);
  const clients = Array.from({ length: 256 }, () => connect());
  for (const client of clients) send(early, client, 3, 1, 65_536);
  expect(early.heldCount).toBe(256);
  const late = connect();
  send(early, late, 3, 1);
  expect(late.events).toEqual(["reset"]);
  early.onClose(clients[0] as Recorded);
  const next = connect();
  send(early, next, 3, 1);
  expect(next.events).toEqual(["defer"]);
});

test("a frame without a header is not kept", () => {
  const { early, connect } = open();
  const client = connect();
  expect(early.onFrame(client, new Uint8Array([0, 3, 5]), 0, 3)).toBe(true);
  expect([client.events, early.heldCount]).toEqual([["reply 5"], 0]);
});
