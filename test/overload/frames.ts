/**
 * Requests as bytes, for clients that send them without waiting, without reading, or never whole.
 */
import { crc32c, nativeCodecs } from "#log/native-log.ts";
import type { ApiMessages } from "#protocol/api.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { ApiVersionsApi, makeApiVersionsRequest } from "#protocol/generated/api-versions.ts";
import {
  FetchApi,
  type FetchRequest,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
} from "#protocol/generated/fetch.ts";
import { makeMetadataRequest, MetadataApi } from "#protocol/generated/metadata.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  type ProduceRequest,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { encodeRequestHeader } from "#protocol/headers.ts";

const HEADER_BYTES = 61;
const CRC_AT = 17;
const CRC_FROM = 21;
/** Versions before topic ids, so that a name is enough. */
const PRODUCE_VERSION = 9;
const FETCH_VERSION = 12;

/** A whole frame, size prefix included. */
export function frameOf<Req>(
  api: ApiMessages<Req, unknown>,
  version: number,
  request: Req,
  correlationId = 1,
): Uint8Array {
  const writer = new Writer();
  writer.int32(0);
  encodeRequestHeader(writer, {
    apiKey: api.key,
    apiVersion: version,
    correlationId,
    clientId: "overload",
  });
  api.request.encode(writer, request, version);
  const frame = writer.toBytes().slice();
  new DataView(frame.buffer).setInt32(0, frame.length - 4);
  return frame;
}

export function apiVersionsFrame(correlationId = 1): Uint8Array {
  return frameOf(ApiVersionsApi, 0, makeApiVersionsRequest({}), correlationId);
}

/** Metadata of all topics. */
export function metadataFrame(correlationId = 1): Uint8Array {
  return frameOf(MetadataApi, 9, makeMetadataRequest({ topics: null }), correlationId);
}

export function produceRequest(topic: string, batch: Uint8Array): ProduceRequest {
  return makeProduceRequest({
    acks: 1,
    timeoutMs: 30_000,
    topicData: [
      makeTopicProduceData({
        name: topic,
        partitionData: [makePartitionProduceData({ index: 0, records: batch })],
      }),
    ],
  });
}

export function produceFrame(topic: string, batch: Uint8Array, correlationId = 1): Uint8Array {
  return frameOf(ProduceApi, PRODUCE_VERSION, produceRequest(topic, batch), correlationId);
}

export function fetchRequest(topic: string, offset: number, maxBytes: number): FetchRequest {
  return makeFetchRequest({
    replicaId: -1,
    maxWaitMs: 500,
    minBytes: 1,
    maxBytes,
    sessionEpoch: -1,
    topics: [
      makeFetchTopic({
        topic,
        partitions: [
          makeFetchPartition({ partition: 0, fetchOffset: offset, partitionMaxBytes: maxBytes }),
        ],
      }),
    ],
  });
}

export function fetchFrame(topic: string, offset: number, maxBytes: number): Uint8Array {
  return frameOf(FetchApi, FETCH_VERSION, fetchRequest(topic, offset, maxBytes));
}

/** The first bytes of a frame of `announcedBytes`, of which `sentBytes` come with them. */
export function announcedFrame(announcedBytes: number, sentBytes: number): Uint8Array {
  const bytes = new Uint8Array(4 + sentBytes);
  new DataView(bytes.buffer).setInt32(0, announcedBytes);
  return bytes;
}

/** Records of zeros as they are inside of a batch. */
function records(count: number, valueBytes: number): Uint8Array {
  const out = new Uint8Array(count * (valueBytes + 24));
  let at = 0;
  const varint = (value: number): void => {
    let rest = value * 2;
    while (rest >= 0x80) {
      out[at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    out[at++] = rest;
  };
  const size = (value: number): number =>
    value < 64 ? 1 : value < 8192 ? 2 : value < 1 << 20 ? 3 : value < 1 << 27 ? 4 : 5;
  for (let index = 0; index < count; index++) {
    varint(1 + 1 + size(index) + 1 + size(valueBytes) + valueBytes + 1);
    out[at++] = 0;
    out[at++] = 0;
    varint(index);
    out[at++] = 1;
    varint(valueBytes);
    at += valueBytes;
    out[at++] = 0;
  }
  return out.subarray(0, at);
}

/** A batch of `count` records of zeros. `codec` 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. */
export function batchOf(codec: number, count: number, valueBytes: number): Uint8Array {
  const plain = records(count, valueBytes);
  const payload = codec === 0 ? plain : nativeCodecs.compress(codec, plain);
  const batch = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(batch.buffer);
  const now = BigInt(Date.now());
  view.setInt32(8, batch.length - 12);
  view.setInt32(12, -1);
  view.setInt8(16, 2);
  view.setInt16(21, codec);
  view.setInt32(23, count - 1);
  view.setBigInt64(27, now);
  view.setBigInt64(35, now);
  view.setBigInt64(43, -1n);
  view.setInt16(51, -1);
  view.setInt32(53, -1);
  view.setInt32(57, count);
  batch.set(payload, HEADER_BYTES);
  view.setUint32(CRC_AT, crc32c(batch.subarray(CRC_FROM)));
  return batch;
}
