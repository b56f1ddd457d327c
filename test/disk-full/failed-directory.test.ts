/**
 * The file system under a log directory is shut down, as when a device goes away: every call on it fails with EIO from then on. Its partitions
 * answer KAFKA_STORAGE_ERROR and lose their leader, the others go on; a broker whose last directory failed ends with a code of its own.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import {
  DescribeLogDirsApi,
  makeDescribeLogDirsRequest,
} from "#protocol/generated/describe-log-dirs.ts";
import {
  makeMetadataRequest,
  makeMetadataRequestTopic,
  MetadataApi,
} from "#protocol/generated/metadata.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { createTopic } from "../crash/load.ts";
import { Wire } from "../differential/wire.ts";
import { sluiceBroker } from "../support/broker-process.ts";
import { temporaryDirectory, until } from "../support/process.ts";
import { mortalDisk, shutDown } from "./small-disk.ts";

const PARTITIONS = 4;

async function writeAll(wire: Wire, topic: string): Promise<number[]> {
  const partitionData = Array.from({ length: PARTITIONS }, (_, index) =>
    makePartitionProduceData({
      index,
      records: encodeRecordBatch({
        timestamp: Date.now(),
        records: [{ key: null, value: Buffer.from("value") }],
      }),
    }),
  );
  const topicData = [makeTopicProduceData({ name: topic, partitionData })];
  const request = makeProduceRequest({ acks: -1, timeoutMs: 20_000, topicData });
  const answer = await wire.send(ProduceApi, 8, request);
  return (answer.responses[0]?.partitionResponses ?? []).map(({ errorCode }) => errorCode);
}

async function leaders(wire: Wire, topic: string): Promise<number[]> {
  const request = makeMetadataRequest({ topics: [makeMetadataRequestTopic({ name: topic })] });
  const answer = await wire.send(MetadataApi, 9, request);
  return (answer.topics[0]?.partitions ?? [])
    .sort((left, right) => left.partitionIndex - right.partitionIndex)
    .map(({ leaderId }) => leaderId);
}

test("a directory that fails takes its partitions and nothing else", async () => {
  const disk = await mortalDisk();
  if (typeof disk === "string") {
    console.log(`skipped: ${disk}`);
    return;
  }
  const directory = temporaryDirectory("failed-directory");
  const good = join(directory.path, "good");
  const broker = await sluiceBroker({
    directory: directory.path,
    overrides: { "log.dirs": `${good},${join(disk.path, "data")}` },
  });
  try {
    await broker.start();
    await createTopic(broker.bootstrap, "t", PARTITIONS);
    using wire = await Wire.connect(broker.bootstrap);
    expect(await writeAll(wire, "t")).toEqual([0, 0, 0, 0]);
    await shutDown(disk);
    const codes = await writeAll(wire, "t");
    expect(codes.toSorted((left, right) => left - right)).toEqual([0, 0, 56, 56]);
    const expected = codes.map((code) => (code === 0 ? 1 : -1));
    await until(
      async () => (await leaders(wire, "t")).join() === expected.join(),
      10_000,
      () => "Metadata goes on naming leaders in the failed directory",
    );
    const described = await wire.send(
      DescribeLogDirsApi,
      1,
      makeDescribeLogDirsRequest({ topics: null }),
    );
    expect(described.results.map(({ logDir, errorCode }) => [logDir === good, errorCode])).toEqual([
      [true, 0],
      [false, 56],
    ]);
    expect(await writeAll(wire, "t")).toEqual(codes);
  } finally {
    await broker.stop("SIGKILL");
    await disk.remove();
    directory.remove();
  }
}, 60_000);

test("a broker whose only directory failed ends loudly", async () => {
  const disk = await mortalDisk();
  if (typeof disk === "string") {
    console.log(`skipped: ${disk}`);
    return;
  }
  const directory = temporaryDirectory("failed-directory");
  const broker = await sluiceBroker({
    directory: directory.path,
    dataDirectory: join(disk.path, "data"),
  });
  try {
    await broker.start();
    await createTopic(broker.bootstrap, "t", PARTITIONS);
    using wire = await Wire.connect(broker.bootstrap);
    expect(await writeAll(wire, "t")).toEqual([0, 0, 0, 0]);
    await shutDown(disk);
    await writeAll(wire, "t").catch(() => {});
    await until(
      () => broker.log().includes("every log directory has failed"),
      20_000,
      () => `the broker goes on\n${broker.log()}`,
    );
    await until(
      async () =>
        await Wire.connect(broker.bootstrap).then(
          (another) => {
            another[Symbol.dispose]();
            return false;
          },
          () => true,
        ),
      20_000,
      () => `the process goes on\n${broker.log()}`,
    );
  } finally {
    await broker.stop("SIGKILL");
    await disk.remove();
    directory.remove();
  }
}, 60_000);
