// @platformatic/kafka, on Node and on Bun: the newer JavaScript client, which speaks recent protocol versions only
// (topic ids in Fetch, flexible messages everywhere). Protocol of commands: ../README.md.
// `--package NAME` picks another installed copy of the client.
import { createRequire } from "node:module";
import { argument, bytes, serve, text } from "../javascript/worker.mjs";

const require = createRequire(argument("from", import.meta.url));
const entry = require.resolve("@platformatic/kafka");
const { Admin, Consumer, Producer, compatibilityPartitioner, compressionsAlgorithms } =
  await import(entry);
const { version } = require(entry.replace(/dist[/\\]index\.js$/, "package.json"));

const base = {
  clientId: "conformance-platformatic",
  bootstrapBrokers: argument("bootstrap", "127.0.0.1:9092").split(","),
};
const admin = new Admin(base);

/** Collects `count` messages of a stream; the caller closes it. */
async function collect(stream, count, timeoutMs) {
  const messages = [];
  const timer = setTimeout(
    () => stream.destroy(new Error(`${messages.length} of ${count} records after ${timeoutMs} ms`)),
    timeoutMs,
  );
  try {
    for await (const message of stream) {
      messages.push(message);
      if (messages.length === count) break;
    }
  } finally {
    clearTimeout(timer);
  }
  return messages;
}

const toRecord = (message) => ({
  partition: message.partition,
  offset: Number(message.offset),
  timestamp: Number(message.timestamp),
  key: text(message.key),
  value: text(message.value),
  headers: [...message.headers].map(([name, value]) => [Buffer.from(name).toString(), text(value)]),
});

async function consume({ topic, group, count, timeoutMs = 30_000, commit = true }) {
  const consumer = new Consumer({ ...base, groupId: group });
  try {
    const options = {
      topics: [topic],
      autocommit: false,
      maxWaitTime: 200,
      sessionTimeout: 10_000,
    };
    const stream = await consumer.consume({
      ...options,
      heartbeatInterval: 500,
      mode: "committed",
      fallbackMode: "earliest",
    });
    const messages = await collect(stream, count, timeoutMs);
    if (commit) {
      const next = new Map();
      for (const { partition, offset } of messages) next.set(partition, offset + 1n);
      await consumer.commit({
        offsets: [...next].map(([partition, offset]) => ({
          topic,
          partition,
          offset,
          leaderEpoch: -1,
        })),
      });
    }
    return { records: messages.map(toRecord) };
  } finally {
    await consumer.close(true);
  }
}

await serve(
  {
    describe: async () => ({
      client: "@platformatic/kafka",
      version,
      runtime: process.versions.bun
        ? `bun ${process.versions.bun}`
        : `node ${process.versions.node}`,
      codecs: Object.entries(compressionsAlgorithms)
        .filter(([, codec]) => codec.available)
        .map(([name]) => name),
      partitioner: "murmur2",
      limits: ["noAssign", "bareSnappy"],
    }),
    create: async ({ topic, partitions, configs = {} }) => {
      await admin.createTopics({
        topics: [topic],
        partitions,
        replicas: 1,
        configs: Object.entries(configs).map(([name, value]) => ({ name, value })),
      });
    },
    remove: async ({ topic }) => admin.deleteTopics({ topics: [topic] }),
    produce: async ({ topic, codec, idempotent = false, records }) => {
      const producer = new Producer({ ...base, idempotent, partitioner: compatibilityPartitioner });
      try {
        await producer.send({
          acks: -1,
          compression: codec,
          messages: records.map((record) => ({
            topic,
            ...(record.key === null ? {} : { key: bytes(record.key) }),
            value: bytes(record.value),
            timestamp: BigInt(record.timestamp),
            headers: new Map(
              record.headers.map(([name, value]) => [Buffer.from(name), bytes(value)]),
            ),
            ...(record.partition === null ? {} : { partition: record.partition }),
          })),
        });
      } finally {
        await producer.close(true);
      }
    },
    consume,
    committed: async ({ topic, group, partitions }) => {
      const consumer = new Consumer({ ...base, groupId: group });
      try {
        const found = await consumer.listCommittedOffsets({ topics: [{ topic, partitions }] });
        return {
          offsets: Object.fromEntries(
            found.get(topic).map((offset, at) => [partitions[at], Number(offset)]),
          ),
        };
      } finally {
        await consumer.close(true);
      }
    },
    watermarks: async ({ topic, partitions }) => {
      const consumer = new Consumer({ ...base, groupId: "unused" });
      try {
        const low = (await consumer.listOffsets({ topics: [topic], timestamp: -2n })).get(topic);
        const high = (await consumer.listOffsets({ topics: [topic], timestamp: -1n })).get(topic);
        return {
          partitions: partitions.map((partition) => ({
            partition,
            low: Number(low[partition]),
            high: Number(high[partition]),
          })),
        };
      } finally {
        await consumer.close(true);
      }
    },
    offsetsForTimes: async ({ topic, timestamp }) => {
      const consumer = new Consumer({ ...base, groupId: "unused" });
      try {
        const found = await consumer.listOffsetsWithTimestamps({
          topics: [topic],
          timestamp: BigInt(timestamp),
        });
        return {
          offsets: Object.fromEntries(
            [...found.get(topic)].map(([partition, { offset }]) => [partition, Number(offset)]),
          ),
        };
      } finally {
        await consumer.close(true);
      }
    },
  },
  () => admin.close(),
);
