// A group member on @platformatic/kafka; see ../README.md. Messages carry the generation they were taken in. A stream
// that ends with an error (the broker went away for longer than the client retries) is opened again, as a program would.
// The client hands out after a rebalance what it had asked for before it, also of partitions that are no longer its own (so
// on real Kafka); those are left alone here.
import { createRequire } from "node:module";
import { failed, leaving, options, pairs, say } from "../javascript/member.mjs";
import { argument } from "../javascript/worker.mjs";

const require = createRequire(argument("from", import.meta.url));
const { Consumer } = await import(require.resolve("@platformatic/kafka"));
const isNext = options.protocol === "consumer";
let isLeaving = false;
let current = null;
let held = [];
/** The last assignment, also while the next is being agreed upon. */
let assigned = [];

function drop() {
  if (held.length > 0) say("revoked", { partitions: held });
  held = [];
}

/** Consumes until the stream ends or fails. */
async function consume() {
  const consumer = new Consumer({
    clientId: "conformance-platformatic-member",
    bootstrapBrokers: argument("bootstrap", "127.0.0.1:9092").split(","),
    groupId: options.group,
    retries: 50,
    retryDelay: 200,
    rebalanceTimeout: 60_000,
    ...(options.instanceId === undefined ? {} : { groupInstanceId: options.instanceId }),
    ...(isNext
      ? { groupProtocol: "consumer" }
      : { sessionTimeout: options.sessionTimeoutMs, heartbeatInterval: options.heartbeatMs }),
  });
  current = consumer;
  consumer.on("error", (error) => failed("consumer", error));
  consumer.on("consumer:group:rebalance", drop);
  consumer.on("consumer:group:leave", drop);
  consumer.on("consumer:group:join", ({ memberId }) => {
    drop();
    held = assigned = pairs(consumer.assignments ?? []);
    const generation = isNext ? consumer.memberEpoch : consumer.generationId;
    say("assigned", { partitions: held, generation: generation ?? null, memberId });
  });
  try {
    const stream = await consumer.consume({
      topics: options.topics,
      autocommit: false,
      maxWaitTime: 100,
      mode: "committed",
      fallbackMode: "earliest",
      highWaterMark: 1,
    });
    for await (const message of stream) {
      const { topic, partition } = message;
      if (!assigned.some(([name, index]) => name === topic && index === partition)) continue;
      const offset = Number(message.offset);
      const generation = isNext ? null : (message.metadata?.consumer?.generationId ?? null);
      say("read", { topic, partition, offsets: [offset], generation });
      try {
        await message.commit();
        say("committed", { offsets: [[topic, partition, offset + 1]] });
      } catch (error) {
        failed("commit", error);
      }
    }
  } catch (error) {
    if (!isLeaving) failed("stream", error);
  }
  if (!isLeaving) {
    await consumer.close(true).catch((error) => failed("close", error));
    drop();
  }
}

void leaving.then(async () => {
  isLeaving = true;
  await current?.close(true).catch((error) => failed("close", error));
  drop();
  say("left");
  process.exit(0);
});
while (!isLeaving) {
  await consume();
  await new Promise((resolve) => setTimeout(resolve, 200));
}
