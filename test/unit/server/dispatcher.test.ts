import { describe, expect, test } from "bun:test";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { ApiVersionsApi } from "#protocol/generated/api-versions.ts";
import { FetchApi, type FetchResponse, makeFetchRequest } from "#protocol/generated/fetch.ts";
import { MetadataApi, makeMetadataRequest } from "#protocol/generated/metadata.ts";
import type { SlicedReply } from "#transport/ports.ts";
import { Dispatcher } from "#server/dispatcher.ts";
import { type AnyApiHandler, CLOSE_CONNECTION, SlicedResponse } from "#server/handler.ts";
import { HandlerTable } from "#server/handler-table.ts";
import { createApiVersionsHandler } from "#server/handlers/api-versions.ts";
import { ReplyEncoder } from "#server/reply-encoder.ts";
import { FakeConnection } from "../../support/fake-connection.ts";

interface Fixture {
  readonly connection: FakeConnection;
  readonly failures: unknown[];
  readonly dropped: number[];
  result: unknown;
  frame(bytes: Uint8Array): FakeConnection;
}

function fixture(): Fixture {
  const dropped: number[] = [];
  const failures: unknown[] = [];
  const table = new HandlerTable();
  const one: Fixture = {
    connection: new FakeConnection(),
    failures,
    dropped,
    result: null,
    frame(bytes): FakeConnection {
      dispatcher.onFrame(this.connection, bytes, 0, bytes.length);
      return this.connection;
    },
  };
  table.add(
    createApiVersionsHandler({
      table,
      clusterId: "c",
      nodeId: 1,
      features: () => ({ features: [], epoch: 0 }),
    }) as AnyApiHandler,
    {
      api: MetadataApi,
      minVersion: 1,
      maxVersion: 12,
      handle: () => {
        if (one.result instanceof Error) throw one.result;
        return one.result;
      },
    } as unknown as AnyApiHandler,
    {
      api: FetchApi,
      minVersion: 4,
      maxVersion: 18,
      handle: () => one.result,
    } as unknown as AnyApiHandler,
  );
  const encoder = new ReplyEncoder({
    planCopy: (plan, row, into, at) => {
      into.fill(plan, at, at + 10 * (row + 1));
      return 10 * (row + 1);
    },
    planDrop: (plan) => void dropped.push(plan),
  });
  const dispatcher = new Dispatcher(
    table,
    encoder,
    { onHandlerFailure: (error) => void failures.push(error) },
    () => 5,
  );
  dispatcher.onOpen(one.connection);
  return one;
}

/** A request header: v2 with `isFlexible`, then the body. */
function frame(apiKey: number, version: number, isFlexible: boolean, body: Uint8Array): Uint8Array {
  const writer = new Writer();
  writer.int16(apiKey);
  writer.int16(version);
  writer.int32(77);
  writer.nullableString("client");
  if (isFlexible) writer.int8(0);
  writer.raw(body);
  return writer.toBytes();
}

function metadataBody(version: number): Uint8Array {
  const writer = new Writer();
  MetadataApi.request.encode(writer, makeMetadataRequest({ topics: [] }), version);
  return writer.toBytes();
}

function metadataFrame(): Uint8Array {
  return frame(3, 9, true, metadataBody(9));
}

const SOFTWARE: Uint8Array = new Uint8Array([2, 97, 2, 49, 0]);

describe("what cannot be served closes the connection", () => {
  test.each([
    ["a frame shorter than a header", new Uint8Array([0, 18, 0, 0, 0, 0, 0])],
    ["an unknown api key", frame(99, 0, false, new Uint8Array(0))],
    ["a negative api key", frame(-1, 0, false, new Uint8Array(0))],
    ["a removed api", frame(7, 0, false, new Uint8Array(0))],
    ["a version below the served ones", frame(3, 0, false, new Uint8Array([0, 0, 0, 0]))],
    ["a version above them", frame(3, 99, true, metadataBody(9))],
    ["version -1", frame(3, -1, false, metadataBody(9))],
    ["a header that ends early", metadataFrame().slice(0, 10)],
    ["a tag count past the end", frame(3, 9, false, new Uint8Array([9]))],
    ["a body that ends early", metadataFrame().slice(0, -1)],
    ["ApiVersions v99 without the tags of its header", frame(18, 99, false, new Uint8Array(0))],
  ])("%s", (_name, bytes) => {
    expect(fixture().frame(bytes).events).toEqual(["close"]);
  });

  test("bytes after the body are ignored", () => {
    const one = fixture();
    one.result = null;
    expect(one.frame(new Uint8Array([...metadataFrame(), 1, 2, 3])).events).toEqual(["nothing"]);
  });
});

describe("ApiVersions", () => {
  function answer(bytes: Uint8Array, version: number): unknown {
    const { replies } = fixture().frame(bytes);
    const reader = new Reader(replies[0] as Uint8Array);
    const size = reader.int32();
    expect([size, reader.int32()]).toEqual([(replies[0] as Uint8Array).length - 4, 77]);
    const { errorCode, apiKeys } = ApiVersionsApi.response.decode(reader, version);
    expect(reader.remaining).toBe(0);
    return { errorCode, apiKeys };
  }

  test("advertises the table", () => {
    for (const [version, body] of [
      [0, new Uint8Array(0)],
      [3, SOFTWARE],
    ] as const) {
      expect(answer(frame(18, version, version >= 3, body), version)).toEqual({
        errorCode: 0,
        apiKeys: [
          { apiKey: 1, minVersion: 4, maxVersion: 18 },
          { apiKey: 3, minVersion: 1, maxVersion: 12 },
          { apiKey: 18, minVersion: 0, maxVersion: 5 },
        ],
      });
    }
  });

  test.each([99, 32767, -1])("version %d is answered in version 0", (version) => {
    expect(answer(frame(18, version, version > 0, new Uint8Array(0)), 0)).toEqual({
      errorCode: 35,
      apiKeys: [{ apiKey: 18, minVersion: 0, maxVersion: 5 }],
    });
  });

  test("a software name with odd characters is refused", () => {
    const body = new Uint8Array([3, 45, 97, 2, 49, 0]);
    expect(answer(frame(18, 3, true, body), 3)).toEqual({ errorCode: 42, apiKeys: [] });
  });
});

describe("what a handler may answer", () => {
  test("nothing, the end, and a promise of it", async () => {
    const one = fixture();
    one.result = Promise.resolve(CLOSE_CONNECTION);
    one.frame(metadataFrame());
    await Bun.sleep(0);
    expect(one.connection.events).toEqual(["defer", "close"]);
  });

  test("a handler that throws costs its own connection only", async () => {
    const [throwing, rejecting] = [fixture(), fixture()];
    const error = new Error("planted");
    throwing.result = error;
    rejecting.result = Promise.reject(error);
    throwing.frame(metadataFrame());
    rejecting.frame(metadataFrame());
    await Bun.sleep(0);
    expect([
      throwing.connection.events,
      rejecting.connection.events,
      throwing.failures,
      rejecting.failures,
    ]).toEqual([["close"], ["defer", "close"], [error], [error]]);
  });

  test("a plan whose connection is gone is dropped", async () => {
    const one = fixture();
    one.result = Promise.resolve(new SlicedResponse({}, 9, 100_000));
    one.frame(metadataFrame());
    one.connection.isClosed = true;
    await Bun.sleep(0);
    expect(one.dropped).toEqual([9]);
  });
});

describe("slices", () => {
  function fetchFrame(): Uint8Array {
    const writer = new Writer();
    FetchApi.request.encode(writer, makeFetchRequest(), 12);
    return frame(1, 12, true, writer.toBytes());
  }

  function response(): FetchResponse {
    const partition = (row: number, lengthBytes: number) => ({
      partitionIndex: row,
      errorCode: 0,
      highWatermark: 5,
      lastStableOffset: 5,
      logStartOffset: 0,
      divergingEpoch: { epoch: -1, endOffset: -1 },
      currentLeader: { leaderId: -1, leaderEpoch: -1 },
      snapshotId: { endOffset: -1, epoch: -1 },
      abortedTransactions: null,
      preferredReadReplica: -1,
      records: { row, lengthBytes },
    });
    return {
      throttleTimeMs: 0,
      errorCode: 0,
      sessionId: 0,
      nodeEndpoints: [],
      responses: [
        {
          topic: "t",
          topicId: "AAAAAAAAAAAAAAAAAAAAAA",
          partitions: [partition(0, 10), partition(1, 20)],
        },
      ],
    };
  }

  test("small ones are copied into the frame", () => {
    const one = fixture();
    one.result = new SlicedResponse(response(), 6, 30);
    const { events, replies } = one.frame(fetchFrame());
    const reader = new Reader(replies[0] as Uint8Array);
    expect([events, reader.int32()]).toEqual([["reply"], (replies[0] as Uint8Array).length - 4]);
    reader.int32();
    reader.skipTags();
    const decoded = FetchApi.response.decode(reader, 12);
    expect([reader.failure, reader.remaining, one.dropped]).toEqual([null, 0, [6]]);
    expect(decoded.responses[0]?.partitions.map(({ records }) => records)).toEqual([
      new Uint8Array(10).fill(6),
      new Uint8Array(20).fill(6),
    ]);
  });

  test("large ones leave from their files, if the connection can", () => {
    const one = fixture();
    const large = response();
    const partitions = large.responses[0]?.partitions ?? [];
    for (const partition of partitions) {
      partition.records = { row: partition.partitionIndex, lengthBytes: 50_000 };
    }
    one.result = new SlicedResponse(large, 6, 100_000);
    const { events, sliced } = one.frame(fetchFrame());
    const { head, cuts, plan, slicesBytes } = sliced[0] as SlicedReply;
    const size = new Reader(head).int32();
    expect([events, plan, slicesBytes, size]).toEqual([
      ["sliced"],
      6,
      100_000,
      head.length - 4 + 100_000,
    ]);
    expect([cuts[1], cuts[3], one.dropped]).toEqual([0, 1, []]);
  });

  test("slices that turn out shorter than planned close the connection", () => {
    const one = fixture();
    one.result = new SlicedResponse(response(), 6, 31);
    expect([one.frame(fetchFrame()).events, one.dropped]).toEqual([["close"], [6]]);
  });
});
