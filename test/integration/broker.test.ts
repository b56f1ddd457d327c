/**
 * The whole broker, in this process, with real sockets, real files and a real client.
 */
import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { ConfigResourceTypes, Kafka, logLevel, type Message } from "kafkajs";
import { Broker, BrokerStartError } from "../../src/index.ts";
import { startBroker, temporaryDirectory } from "../support/start-broker.ts";

function client(bootstrapServers: string): Kafka {
  return new Kafka({
    brokers: [bootstrapServers],
    logLevel: logLevel.NOTHING,
    retry: { retries: 3, initialRetryTime: 20 },
  });
}

async function produce(
  kafka: Kafka,
  topic: string,
  messages: Message[],
  acks: -1 | 0 | 1,
): Promise<void> {
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic, messages, acks });
  await producer.disconnect();
}

/** Reads until `count` messages have come. */
async function consume(
  kafka: Kafka,
  topic: string,
  groupId: string,
  count: number,
): Promise<string[]> {
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  const values: string[] = [];
  await new Promise<void>((resolve, reject) => {
    const deadline = setTimeout(
      () => reject(new Error(`only ${values.length} of ${count}`)),
      20_000,
    );
    consumer
      .run({
        eachMessage: ({ message }) => {
          values.push(String(message.value));
          if (values.length === count) {
            clearTimeout(deadline);
            resolve();
          }
          return Promise.resolve();
        },
      })
      .catch(reject);
  });
  await consumer.disconnect();
  return values;
}

const VALUES: readonly string[] = Array.from({ length: 200 }, (_, index) => `value ${index}`);

describe("a broker in this process", () => {
  test.each([0, 1, -1] as const)("takes and returns records with acks=%d", async (acks) => {
    await using running = await startBroker();
    const kafka = client(running.bootstrapServers);
    await produce(
      kafka,
      "orders",
      VALUES.map((value) => ({ value })),
      acks,
    );
    expect(await consume(kafka, "orders", "readers", VALUES.length)).toEqual([...VALUES]);
    expect(running.logged.filter((line) => line.startsWith("ERROR"))).toEqual([]);
  });

  test("large records go through the assembled frames and the sending thread", async () => {
    await using running = await startBroker({ config: { "message.max.bytes": 4_000_000 } });
    const kafka = client(running.bootstrapServers);
    const values = Array.from({ length: 6 }, (_, index) => String(index).repeat(500_000));
    for (const value of values) await produce(kafka, "blobs", [{ value }], -1);
    expect(await consume(kafka, "blobs", "readers", values.length)).toEqual(values);
  });

  test("records and committed offsets outlive the broker", async () => {
    await using directory = await temporaryDirectory();
    {
      await using running = await startBroker({ dataDir: directory.path });
      const kafka = client(running.bootstrapServers);
      await produce(
        kafka,
        "kept",
        VALUES.slice(0, 100).map((value) => ({ value })),
        -1,
      );
      await consume(kafka, "kept", "readers", 100);
    }
    await using again = await startBroker({ dataDir: directory.path });
    const kafka = client(again.bootstrapServers);
    await produce(
      kafka,
      "kept",
      VALUES.slice(100).map((value) => ({ value })),
      -1,
    );
    expect(await consume(kafka, "kept", "readers", 100)).toEqual(VALUES.slice(100));
    expect(await consume(kafka, "kept", "others", 200)).toEqual([...VALUES]);
  });

  test("several brokers live side by side, one of them in memory", async () => {
    await using first = await startBroker();
    await using second = await Broker.start({ port: 0 });
    for (const servers of [first.bootstrapServers, second.bootstrapServers]) {
      await produce(client(servers), "shared-name", [{ value: servers }], -1);
    }
    expect([
      await consume(client(first.bootstrapServers), "shared-name", "readers", 1),
      await consume(client(second.bootstrapServers), "shared-name", "readers", 1),
    ]).toEqual([[first.bootstrapServers], [second.bootstrapServers]]);
  });
});

describe("a broker with threads of its own", () => {
  test("serves everything the same, on every thread", async () => {
    await using running = await startBroker({
      config: { "num.network.threads": 3, "message.max.bytes": 4_000_000 },
    });
    // More clients than threads, so that the kernel spreads them.
    const names = Array.from({ length: 6 }, (_, index) => `topic-${index}`);
    await Promise.all(
      names.map((name) =>
        produce(
          client(running.bootstrapServers),
          name,
          VALUES.map((value) => ({ value })),
          -1,
        ),
      ),
    );
    await produce(client(running.bootstrapServers), "blob", [{ value: "x".repeat(2_000_000) }], 1);
    const read = await Promise.all(
      names.map((name) =>
        consume(client(running.bootstrapServers), name, `of-${name}`, VALUES.length),
      ),
    );
    expect(read).toEqual(names.map(() => [...VALUES]));
    const [blob] = await consume(client(running.bootstrapServers), "blob", "of-blob", 1);
    expect(blob?.length).toBe(2_000_000);
    expect(running.logged.filter((line) => line.startsWith("ERROR"))).toEqual([]);
  });
});

describe("limits on connections changed while running", () => {
  const hasRoom = (port: number): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1");
      // A refused connection is closed at once; one that is taken answers ApiVersions.
      socket.on("data", () => socket.destroy());
      socket.on("close", () => resolve(socket.bytesRead > 0));
      socket.on("error", () => undefined);
      socket.write(Uint8Array.of(0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0, 0));
    });

  test.each([1, 2])("act at once and after a restart, with %i network threads", async (threads) => {
    await using directory = await temporaryDirectory();
    const options = { dataDir: directory.path, config: { "num.network.threads": threads } };
    const seen: boolean[] = [];
    {
      await using running = await startBroker(options);
      const admin = client(running.bootstrapServers).admin();
      await admin.connect();
      seen.push(await hasRoom(running.port));
      const configEntries = [{ name: "max.connections.per.ip.overrides", value: "127.0.0.1:0" }];
      await admin.alterConfigs({
        validateOnly: false,
        resources: [{ type: ConfigResourceTypes.BROKER, name: "1", configEntries }],
      });
      seen.push(await hasRoom(running.port));
      await admin.disconnect();
    }
    await using again = await startBroker(options);
    seen.push(await hasRoom(again.port));
    expect(seen).toEqual([true, false, false]);
  });
});

describe("what keeps a broker from starting", () => {
  async function failure(start: Promise<Broker>): Promise<string> {
    try {
      await (await start).stop();
    } catch (error) {
      if (error instanceof BrokerStartError) return error.code;
      throw error;
    }
    return "started";
  }

  test("a taken port, a locked directory and a bad value are told apart, and leave nothing behind", async () => {
    await using running = await startBroker();
    await using directory = await temporaryDirectory();
    const onSamePort = { dataDir: directory.path, port: running.port };
    expect([
      await failure(Broker.start(onSamePort)),
      await failure(Broker.start({ ...onSamePort, config: { "num.network.threads": 2 } })),
      await failure(Broker.start({ dataDir: running.dataDir, port: 0 })),
      await failure(Broker.start({ port: 0, config: { "num.partitions": "many" } })),
      await failure(Broker.start({ dataDir: directory.path, port: 0 })),
    ]).toEqual(["ADDRESS_IN_USE", "ADDRESS_IN_USE", "LOG_DIR_LOCKED", "CONFIG_INVALID", "started"]);
  });
});
