// kafkajs 2.2.4, on Node and on Bun: the older JavaScript client, which speaks the protocol's versions from before
// flexible messages. Protocol of commands: ../README.md.
import kafkajs from "kafkajs";
import { createRequire } from "node:module";
import { lz4, snappy, zstd } from "../javascript/codecs.mjs";
import { argument, bytes, serve, text } from "../javascript/worker.mjs";

const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = kafkajs;
const plug = (codec) => () => ({
  compress: async (encoder) => codec.compress(encoder.buffer),
  decompress: async (buffer) => codec.decompress(buffer),
});
CompressionCodecs[CompressionTypes.Snappy] = plug(snappy);
CompressionCodecs[CompressionTypes.LZ4] = plug(lz4);
if (zstd !== null) CompressionCodecs[CompressionTypes.ZSTD] = plug(zstd);

const TYPES = { none: "None", gzip: "GZIP", snappy: "Snappy", lz4: "LZ4", zstd: "ZSTD" };
const kafka = new Kafka({
  clientId: "conformance-kafkajs",
  brokers: argument("bootstrap", "127.0.0.1:9092").split(","),
  logLevel: process.env.CLIENT_DEBUG ? logLevel.DEBUG : logLevel.NOTHING,
  retry: { retries: 5, initialRetryTime: 100 },
});
const admin = kafka.admin();
await admin.connect();

/** kafkajs gives a repeated header as an array of values under its one name. */
const headersFrom = (headers) =>
  Object.entries(headers ?? {}).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => [name, text(one)]),
  );

function headersTo(headers) {
  const out = {};
  for (const [name, value] of headers) {
    const one = bytes(value);
    if (!(name in out)) out[name] = one;
    else out[name] = [].concat(out[name], [one]);
  }
  return out;
}

async function consume({ topic, group, count, timeoutMs = 30_000, commit = true }) {
  const consumer = kafka.consumer({ groupId: group, sessionTimeout: 10_000, maxWaitTimeInMs: 200 });
  const records = [];
  const next = new Map();
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${records.length} of ${count} records after ${timeoutMs} ms`)),
        timeoutMs,
      );
      const finish = (settle) => (value) => (clearTimeout(timer), settle(value));
      consumer.on(consumer.events.CRASH, ({ payload }) => finish(reject)(payload.error));
      consumer
        .run({
          autoCommit: false,
          eachMessage: async ({ partition, message }) => {
            if (records.length >= count) return;
            records.push({
              partition,
              offset: Number(message.offset),
              timestamp: Number(message.timestamp),
              key: text(message.key),
              value: text(message.value),
              headers: headersFrom(message.headers),
            });
            next.set(partition, String(Number(message.offset) + 1));
            if (records.length === count) finish(resolve)();
          },
        })
        .catch(finish(reject));
    });
    if (commit) {
      await consumer.commitOffsets(
        [...next].map(([partition, offset]) => ({ topic, partition, offset })),
      );
    }
  } finally {
    await consumer.disconnect();
  }
  return { records };
}

await serve(
  {
    describe: async () => ({
      client: "kafkajs",
      version: createRequire(import.meta.url)("kafkajs/package.json").version,
      runtime: process.versions.bun
        ? `bun ${process.versions.bun}`
        : `node ${process.versions.node}`,
      codecs: ["none", "gzip", "snappy", "lz4", ...(zstd === null ? [] : ["zstd"])],
      partitioner: "murmur2",
      limits: ["nullHeaderValue", "noAssign"],
    }),
    create: async ({ topic, partitions, configs = {} }) => {
      await admin.createTopics({
        waitForLeaders: true,
        topics: [
          {
            topic,
            numPartitions: partitions,
            replicationFactor: 1,
            configEntries: Object.entries(configs).map(([name, value]) => ({ name, value })),
          },
        ],
      });
    },
    remove: async ({ topic }) => admin.deleteTopics({ topics: [topic] }),
    produce: async ({ topic, codec, idempotent = false, records }) => {
      const producer = kafka.producer({
        createPartitioner: Partitioners.DefaultPartitioner,
        idempotent,
        ...(idempotent ? { maxInFlightRequests: 1 } : {}),
      });
      try {
        await producer.connect();
        await producer.send({
          topic,
          acks: -1,
          compression: CompressionTypes[TYPES[codec]],
          messages: records.map((record) => ({
            key: bytes(record.key),
            value: bytes(record.value),
            timestamp: String(record.timestamp),
            headers: headersTo(record.headers),
            ...(record.partition === null ? {} : { partition: record.partition }),
          })),
        });
      } finally {
        await producer.disconnect();
      }
    },
    consume,
    committed: async ({ topic, group }) => {
      const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
      return {
        offsets: Object.fromEntries(
          found.partitions.map(({ partition, offset }) => [partition, Number(offset)]),
        ),
      };
    },
    watermarks: async ({ topic }) => ({
      partitions: (await admin.fetchTopicOffsets(topic)).map(({ partition, low, high }) => ({
        partition,
        low: Number(low),
        high: Number(high),
      })),
    }),
    offsetsForTimes: async ({ topic, timestamp }) => ({
      // kafkajs answers the end offset, not -1, for a partition with no such record.
      offsets: Object.fromEntries(
        (await admin.fetchTopicOffsetsByTimestamp(topic, timestamp)).map(
          ({ partition, offset }) => [partition, Number(offset)],
        ),
      ),
      endInsteadOfNone: true,
    }),
  },
  () => admin.disconnect(),
);
