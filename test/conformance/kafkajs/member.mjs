// A group member on kafkajs; see ../README.md. kafkajs tells its generation only with heartbeats and commits, and its
// protocols are eager: one join is one generation, so what is learnt later holds for the whole of it. A consumer that
// gives up (the broker was away, which kafkajs holds for final) is replaced, as whoever runs a program would restart it.
import kafkajs from "kafkajs";
import { failed, leaving, options, pairs, say } from "../javascript/member.mjs";
import { argument } from "../javascript/worker.mjs";

const { Kafka, logLevel } = kafkajs;
const kafka = new Kafka({
  clientId: "conformance-kafkajs-member",
  brokers: argument("bootstrap", "127.0.0.1:9092").split(","),
  logLevel: logLevel.NOTHING,
  retry: { retries: 50, initialRetryTime: 100, maxRetryTime: 500 },
});
let held = [];
let joined = { generation: null };
let isLeaving = false;
void leaving.then(() => (isLeaving = true));

function drop() {
  if (held.length > 0) say("revoked", { partitions: held });
  held = [];
}

/** Runs one consumer until it gives up or the member leaves. */
async function consume() {
  const consumer = kafka.consumer({
    groupId: options.group,
    sessionTimeout: options.sessionTimeoutMs,
    heartbeatInterval: options.heartbeatMs,
    rebalanceTimeout: 30_000,
    maxWaitTimeInMs: 100,
  });
  const learn = ({ payload }) => (joined.generation = payload.groupGenerationId);
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    drop();
    held = pairs(payload.memberAssignment);
    joined = { generation: null };
    say("assigned", { partitions: held, generation: null, memberId: payload.memberId });
  });
  consumer.on(consumer.events.REBALANCING, drop);
  consumer.on(consumer.events.HEARTBEAT, learn);
  consumer.on(consumer.events.COMMIT_OFFSETS, learn);
  const gaveUp = new Promise((resolve) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      failed("crash", payload.error);
      if (!payload.restart) resolve();
    });
  });
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: options.topics, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch: { topic, partition, messages }, isStale, isRunning }) => {
        if (messages.length === 0 || isStale() || !isRunning()) return;
        const offsets = messages.map(({ offset }) => Number(offset));
        say("read", { topic, partition, offsets, generation: joined.generation });
        const next = offsets.at(-1) + 1;
        try {
          await consumer.commitOffsets([{ topic, partition, offset: String(next) }]);
          say("committed", { offsets: [[topic, partition, next]] });
        } catch (error) {
          failed("commit", error);
          throw error; // kafkajs rejoins on what the coordinator said
        }
      },
    });
    await Promise.race([leaving, gaveUp]);
  } catch (error) {
    failed("consumer", error);
  }
  await consumer.disconnect().catch((error) => failed("disconnect", error));
  drop();
}

while (!isLeaving) {
  await consume();
  if (!isLeaving) await new Promise((resolve) => setTimeout(resolve, 200));
}
say("left");
process.exit(0);
