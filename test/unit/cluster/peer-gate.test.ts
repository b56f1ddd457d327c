/** Hellos of nodes: who is let in, who is refused and with which code, and what only nodes may send. */
import { beforeEach, describe, expect, test } from "bun:test";
import {
  HelloVerifier,
  isGenuineAnswer,
  makeHello,
  PeerHelloApi,
  type PeerHello,
  type PeerHelloAnswer,
  type PeerIdentity,
} from "#cluster/peer-hello.ts";
import { encodeRaftMessages, PeerGate } from "#cluster/peer-gate.ts";
import { LogLimiter } from "#common/log-limiter.ts";
import { SILENT_LOGGER } from "#common/logger.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { DescribeMembersApi } from "#protocol/describe-members.ts";
import { encodeRequestHeader } from "#protocol/headers.ts";
import { memberKey } from "#quorum/member-key.ts";
import type { ConnectionInfo } from "#server/handler.ts";
import type { FrameConnection, FrameHandler } from "#transport/ports.ts";

const CLUSTER = "bGcQATMfTRaaqReSc_e5Kw";
const DIRECTORY = "dirdirdirdirdirdirdirA";
const NONCE = "aaaaaaaaaaaaaaaaaaaaaA";

function identity(nodeId: number, changes: Partial<PeerIdentity> = {}): PeerIdentity {
  const incarnationId = `${nodeId}bcdefghijklmnopqrstuA`.slice(0, 22);
  const place = { host: "127.0.0.1", port: 9093, directoryId: DIRECTORY };
  return { clusterId: CLUSTER, nodeId, incarnationId, ...place, secret: "s", ...changes };
}

class FakeConnection implements FrameConnection {
  readonly id = 1;
  readonly address = {
    listenerName: "CONTROLLER",
    localHost: "h",
    localPort: 1,
    clientHost: "127.0.0.1",
    clientPort: 2,
  };
  attachment: unknown = { peerNodeId: -1 };
  isClosed = false;
  readonly canSendSlices = false;
  readonly replies: Uint8Array[] = [];
  isAnsweredWithNothing = false;
  defer(): never {
    throw new Error("nothing is deferred here");
  }
  reply(bytes: Uint8Array): void {
    this.replies.push(bytes.slice());
  }
  replySliced(): void {}
  replyNothing(): void {
    this.isAnsweredWithNothing = true;
  }
  close(): void {
    this.isClosed = true;
  }
  reset(): void {
    this.isClosed = true;
  }
  get peerNodeId(): number {
    return (this.attachment as ConnectionInfo).peerNodeId;
  }
}

const time = { ms: 1_000_000 };
const clock = { nowMs: () => time.ms, monotonicMs: () => time.ms };
let passedOn: number[] = [];
let raft: [number, number[][]][] = [];
let gate: PeerGate;

beforeEach(() => {
  time.ms = 1_000_000;
  passedOn = [];
  raft = [];
  const inner: FrameHandler = {
    onOpen() {},
    onClose() {},
    onFrame(_connection, bytes, start) {
      passedOn.push(((bytes[start] ?? 0) << 8) | (bytes[start + 1] ?? 0));
      return true;
    },
  };
  gate = new PeerGate(inner, new HelloVerifier(identity(1)), {
    members: () => [{ nodeId: 2, state: "suspect", host: "127.0.0.1", port: 9093 }],
    identity: identity(1),
    clock,
    limiter: new LogLimiter(SILENT_LOGGER, clock),
    report: () => null,
    onRaftMessages: (from, messages) => raft.push([from, messages.map((each) => [...each])]),
  });
});

function frameOf(hello: PeerHello): Uint8Array {
  const writer = new Writer(256);
  encodeRequestHeader(writer, { apiKey: 32_001, apiVersion: 0, correlationId: 7, clientId: "n" });
  PeerHelloApi.request.encode(writer, hello, 0);
  return writer.toBytes();
}

function say(connection: FakeConnection, hello: PeerHello): PeerHelloAnswer {
  const frame = frameOf(hello);
  gate.onFrame(connection, frame, 0, frame.length);
  const reader = new Reader(connection.replies.at(-1) ?? new Uint8Array(0), 4);
  expect(reader.int32()).toBe(7);
  return PeerHelloApi.response.decode(reader, 0);
}

describe("PeerGate", () => {
  test("a node of the cluster is let in, and its raft messages are taken", () => {
    const connection = new FakeConnection();
    const hello = makeHello(identity(2), 1, time.ms, NONCE);
    const answer = say(connection, hello);
    expect([answer.errorCode, answer.nodeId, connection.peerNodeId]).toEqual([0, 1, 2]);
    expect(isGenuineAnswer(identity(2), hello, answer)).toBe(true);
    expect(isGenuineAnswer(identity(2, { secret: "other" }), hello, answer)).toBe(false);
    const other = makeHello(identity(2), 3, time.ms, NONCE);
    expect(isGenuineAnswer(identity(2), other, answer)).toBe(false);
    const frame = encodeRaftMessages([new Uint8Array([1, 2]), new Uint8Array([])]);
    gate.onFrame(connection, frame, 4, frame.length);
    expect([raft, connection.isAnsweredWithNothing]).toEqual([
      [[memberKey(2, DIRECTORY), [[1, 2], []]]],
      true,
    ]);
  });

  test.each([
    ["other-cluster", 104, identity(2, { clusterId: "aaaaaaaaaaaaaaaaaaaaaA" }), 1, 0],
    ["wrong-secret", 31, identity(2, { secret: "t" }), 1, 0],
    ["wrong-secret", 31, identity(2, { secret: null }), 1, 0],
    ["other-node", 31, identity(2), 3, 0],
    ["stale", 31, identity(2), 1, -200_000],
    ["stale", 31, identity(2), 1, 200_000],
    ["duplicate-node", 101, identity(1, { incarnationId: NONCE }), 1, 0],
  ] as const)("%s is refused with %i", (reason, errorCode, who, toNodeId, skewMs) => {
    const connection = new FakeConnection();
    const answer = say(connection, makeHello(who, toNodeId, time.ms + skewMs, NONCE));
    expect([answer.errorCode, answer.nodeId, answer.clusterId]).toEqual([errorCode, -1, ""]);
    expect([connection.peerNodeId, gate.refused[reason]]).toEqual([-1, 1]);
  });

  test("anybody may ask whom this node hears", () => {
    const connection = new FakeConnection();
    const ask = (apiVersion: number): void => {
      const writer = new Writer(64);
      const header = { apiKey: 32_003, apiVersion, correlationId: 9, clientId: null };
      encodeRequestHeader(writer, header);
      const frame = writer.toBytes();
      gate.onFrame(connection, frame, 0, frame.length);
    };
    ask(0);
    const reader = new Reader(connection.replies.at(-1) ?? new Uint8Array(0), 4);
    expect(reader.int32()).toBe(9);
    expect(DescribeMembersApi.response.decode(reader, 0)).toEqual({
      nodeId: 1,
      isWatching: true,
      members: [{ nodeId: 2, state: "suspect", host: "127.0.0.1", port: 9093 }],
    });
    expect([reader.failure, passedOn, connection.isClosed]).toEqual([null, [], false]);
    ask(1);
    expect(connection.isClosed).toBe(true);
  });

  test("a recorded hello is of no use", () => {
    const hello = makeHello(identity(2), 1, time.ms, NONCE);
    say(new FakeConnection(), hello);
    const thief = new FakeConnection();
    expect([say(thief, hello).errorCode, thief.peerNodeId, gate.refused.replayed]).toEqual([
      31, -1, 1,
    ]);
    // Long after, its nonce is forgotten, and its time is over.
    time.ms += 300_000;
    expect(say(new FakeConnection(), hello).errorCode).toBe(31);
    expect(gate.refused.stale).toBe(1);
  });

  test("a changed field spoils it", () => {
    const hello = makeHello(identity(2), 1, time.ms, NONCE);
    for (const change of [
      { nodeId: 3 },
      { host: "10.0.0.1" },
      { port: 1 },
      { timeMs: time.ms + 1 },
      { nonce: CLUSTER },
    ])
      expect(say(new FakeConnection(), { ...hello, ...change }).errorCode).toBe(31);
  });

  test("another process with the same node id waits until the first is silent", () => {
    const first = new FakeConnection();
    say(first, makeHello(identity(2), 1, time.ms, NONCE));
    const second = identity(2, { incarnationId: CLUSTER });
    const helloAt = (nonce: string): PeerHello => makeHello(second, 1, time.ms, nonce);
    expect(say(new FakeConnection(), helloAt("baaaaaaaaaaaaaaaaaaaaA")).errorCode).toBe(101);
    time.ms += 2_500;
    expect(say(new FakeConnection(), helloAt("caaaaaaaaaaaaaaaaaaaaA")).errorCode).toBe(0);
    expect(first.isClosed).toBe(true);
  });

  test("who has not said a hello may not send raft messages; everything else is not the gate's", () => {
    const client = new FakeConnection();
    const frame = encodeRaftMessages([new Uint8Array([1])]);
    gate.onFrame(client, frame, 4, frame.length);
    expect([client.isClosed, raft, gate.refused["no-hello"]]).toEqual([true, [], 1]);
    const other = new FakeConnection();
    gate.onFrame(other, new Uint8Array([0, 18, 0, 3, 0, 0, 0, 1]), 0, 8);
    expect([passedOn, other.isClosed]).toEqual([[18], false]);
  });

  test("frames that lie about their sizes close the connection, whatever they hold", () => {
    const hello = frameOf(makeHello(identity(2), 1, time.ms, NONCE));
    for (let length = 8; length < hello.length; length += 1) {
      const connection = new FakeConnection();
      gate.onFrame(connection, hello, 0, length);
      expect([connection.isClosed, connection.peerNodeId]).toEqual([true, -1]);
    }
    const node = new FakeConnection();
    say(node, makeHello(identity(2), 1, time.ms, NONCE));
    const raftFrame = encodeRaftMessages([new Uint8Array(10)]).slice();
    new DataView(raftFrame.buffer).setInt32(4 + 10, 0x7fffffff);
    gate.onFrame(node, raftFrame, 4, raftFrame.length);
    expect([node.isClosed, raft]).toEqual([true, []]);
  });
});
