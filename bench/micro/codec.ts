/** Decoding what clients send and encoding what they get, for the requests of the hot path and for Metadata. */
import { decodeRequestHeader } from "#protocol/headers.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import {
  FetchApi,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchResponse,
  makeFetchTopic,
  makeFetchableTopicResponse,
  makePartitionData,
} from "#protocol/generated/fetch.ts";
import {
  MetadataApi,
  makeMetadataResponse,
  makeMetadataResponseBroker,
  makeMetadataResponsePartition,
  makeMetadataResponseTopic,
} from "#protocol/generated/metadata.ts";
import {
  makePartitionProduceData,
  makePartitionProduceResponse,
  makeProduceRequest,
  makeProduceResponse,
  makeTopicProduceData,
  makeTopicProduceResponse,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import type { ApiMessages } from "#protocol/api.ts";
import type { MicroSuite, MicroTask } from "./harness.ts";

const topicId = "AAAAAAAAQACAAAAAAAAAAA";
const topic = "orders";

function decodeTask<Req, Res>(
  name: string,
  api: ApiMessages<Req, Res>,
  version: number,
  message: Req,
): MicroTask {
  const writer = new Writer();
  api.request.encode(writer, message, version);
  const bytes = writer.toBytes();
  const reader = new Reader(bytes);
  return {
    name: `decode ${api.name} v${version}, ${name}`,
    repeats: 20,
    run: () => {
      reader.reset(bytes);
      api.request.decode(reader, version);
      return reader.position;
    },
  };
}

function encodeTask<Req, Res>(
  name: string,
  api: ApiMessages<Req, Res>,
  version: number,
  message: Res,
): MicroTask {
  const writer = new Writer(64 << 10);
  return {
    name: `encode ${api.name} v${version} response, ${name}`,
    repeats: 20,
    run: () => {
      writer.reset();
      api.response.encode(writer, message, version);
      return writer.length;
    },
  };
}

const indexes = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

const produceOf = (partitions: number, recordBytes: number) =>
  makeProduceRequest({
    acks: -1,
    timeoutMs: 30_000,
    topicData: [
      makeTopicProduceData({
        topicId,
        partitionData: indexes(partitions).map((index) =>
          makePartitionProduceData({ index, records: new Uint8Array(recordBytes) }),
        ),
      }),
    ],
  });

const produceResponseOf = (partitions: number) =>
  makeProduceResponse({
    responses: [
      makeTopicProduceResponse({
        topicId,
        partitionResponses: indexes(partitions).map((index) =>
          makePartitionProduceResponse({ index, baseOffset: 123_456_789, logStartOffset: 0 }),
        ),
      }),
    ],
  });

const fetchOf = (partitions: number) =>
  makeFetchRequest({
    maxWaitMs: 500,
    minBytes: 1,
    maxBytes: 52_428_800,
    topics: [
      makeFetchTopic({
        topicId,
        partitions: indexes(partitions).map((partition) =>
          makeFetchPartition({ partition, fetchOffset: 1_000_000, partitionMaxBytes: 1_048_576 }),
        ),
      }),
    ],
  });

const fetchResponseOf = (partitions: number) =>
  makeFetchResponse({
    responses: [
      makeFetchableTopicResponse({
        topicId,
        partitions: indexes(partitions).map((partitionIndex) =>
          makePartitionData({
            partitionIndex,
            highWatermark: 1_000_170,
            lastStableOffset: 1_000_170,
            logStartOffset: 0,
            abortedTransactions: null,
            records: { row: partitionIndex, lengthBytes: 1_048_576 },
          }),
        ),
      }),
    ],
  });

const metadataResponseOf = (partitions: number) =>
  makeMetadataResponse({
    brokers: [makeMetadataResponseBroker({ nodeId: 1, host: "127.0.0.1", port: 9092 })],
    clusterId: "MkU3OEVBNTcwNTJENDM2Qk",
    controllerId: 1,
    topics: [
      makeMetadataResponseTopic({
        name: topic,
        topicId,
        partitions: indexes(partitions).map((partitionIndex) =>
          makeMetadataResponsePartition({
            partitionIndex,
            leaderId: 1,
            leaderEpoch: 0,
            replicaNodes: [1],
            isrNodes: [1],
          }),
        ),
      }),
    ],
  });

function headerTask(): MicroTask {
  const writer = new Writer();
  writer.int16(0);
  writer.int16(12);
  writer.int32(42);
  writer.nullableString("producer-1");
  writer.int8(0);
  const bytes = writer.toBytes();
  const reader = new Reader(bytes);
  return {
    name: "decode request header v2",
    repeats: 50,
    run: () => {
      reader.reset(bytes);
      return decodeRequestHeader(reader).correlationId;
    },
  };
}

function varintTasks(): MicroTask[] {
  const values = [0, 1, -1, 300, -70_000, 2_000_000_000];
  const writer = new Writer();
  for (const value of values) writer.varint(value);
  const bytes = writer.toBytes();
  const reader = new Reader(bytes);
  return [
    {
      name: "write six varints",
      repeats: 50,
      run: () => {
        writer.reset();
        for (const value of values) writer.varint(value);
        return writer.length;
      },
    },
    {
      name: "read six varints",
      repeats: 50,
      run: () => {
        reader.reset(bytes);
        let sum = 0;
        for (let index = 0; index < values.length; index++) sum += reader.varint();
        return sum;
      },
    },
  ];
}

/** Codecs of the hot path. */
export function codecSuite(): MicroSuite {
  return {
    name: "codec",
    tasks: [
      headerTask(),
      ...varintTasks(),
      decodeTask("1 partition, 170 bytes", ProduceApi, 13, produceOf(1, 170)),
      decodeTask("1 partition, 128 KiB", ProduceApi, 13, produceOf(1, 131_072)),
      decodeTask("50 partitions", ProduceApi, 13, produceOf(50, 170)),
      encodeTask("1 partition", ProduceApi, 13, produceResponseOf(1)),
      encodeTask("50 partitions", ProduceApi, 13, produceResponseOf(50)),
      decodeTask("1 partition", FetchApi, 17, fetchOf(1)),
      decodeTask("50 partitions", FetchApi, 17, fetchOf(50)),
      encodeTask("1 partition", FetchApi, 17, fetchResponseOf(1)),
      encodeTask("50 partitions", FetchApi, 17, fetchResponseOf(50)),
      encodeTask("6 partitions", MetadataApi, 12, metadataResponseOf(6)),
      encodeTask("1,000 partitions", MetadataApi, 12, metadataResponseOf(1000)),
    ],
  };
}
