/**
 * The admin port of a real broker: exact counters after known traffic, health through a broken directory and a stop, and what becomes
 * of a taken address.
 */
import { describe, expect, test } from "bun:test";
import { rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { Kafka, logLevel } from "kafkajs";
import { loadConfiguration } from "../../src/broker/configuration.ts";
import { createLogger } from "../../src/common/logger.ts";
import { Broker, BrokerStartError } from "../../src/index.ts";
import { startBroker, temporaryDirectory } from "../support/start-broker.ts";

const ADMIN = { "sluice.admin.listener": "127.0.0.1:0" };

function urlOf(broker: Broker, path: string): string {
  const address = broker.adminAddress;
  if (address === null) throw new Error("the admin port is not open");
  return `http://${address.host}:${address.port}${path}`;
}

/** Samples by their text up to the value. */
async function scrape(broker: Broker): Promise<Map<string, number>> {
  const text = await (await fetch(urlOf(broker, "/metrics"))).text();
  const samples = new Map<string, number>();
  for (const line of text.split("\n")) {
    const at = line.lastIndexOf(" ");
    if (line !== "" && !line.startsWith("#"))
      samples.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return samples;
}

function client(bootstrapServers: string): Kafka {
  return new Kafka({
    brokers: [bootstrapServers],
    logLevel: logLevel.NOTHING,
    retry: { retries: 3, initialRetryTime: 20 },
  });
}

async function consume(kafka: Kafka, topic: string, count: number): Promise<void> {
  const consumer = kafka.consumer({ groupId: "readers", maxWaitTimeInMs: 50 });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  let seenCount = 0;
  await new Promise<void>((resolve, reject) => {
    consumer
      .run({
        eachMessage: () => {
          if (++seenCount === count) resolve();
          return Promise.resolve();
        },
      })
      .catch(reject);
  });
  await consumer.disconnect();
}

/** Sends bytes and settles when the broker closed the connection. */
function sendBytes(port: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => void socket.write(bytes));
    socket.on("close", () => resolve());
    socket.on("error", reject);
    socket.resume();
  });
}

describe.each([1, 2])("counters with %d network threads", (threads) => {
  test("are exact after known traffic", async () => {
    await using running = await startBroker({
      config: { ...ADMIN, "num.network.threads": threads, "auto.create.topics.enable": true },
    });
    const kafka = client(running.bootstrapServers);
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: "orders", numPartitions: 1 }] });
    await admin.disconnect();
    const producer = kafka.producer();
    await producer.connect();
    for (let request = 0; request < 4; request++) {
      await producer.send({
        topic: "orders",
        acks: -1,
        messages: Array.from({ length: 5 }, (_, index) => ({ value: `${request}-${index}` })),
      });
    }
    await producer.disconnect();
    await consume(kafka, "orders", 20);
    // Two frames that are no requests: an API that does not exist, and an announced size that no request has.
    await sendBytes(running.port, Uint8Array.from([0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0, 0]));
    await sendBytes(running.port, Uint8Array.from([0x7f, 0xff, 0xff, 0xff]));

    const samples = await scrape(running.broker);
    const of = (...names: string[]): (number | undefined)[] =>
      names.map((name) => samples.get(name));
    expect(of("sluice_ready", "sluice_degraded", "sluice_scrape_missing_threads")).toEqual([
      1, 0, 0,
    ]);
    const produces = [...samples]
      .filter(([name]) => name.startsWith('sluice_requests_total{api="Produce"'))
      .reduce((sum, [, count]) => sum + count, 0);
    expect(produces).toBe(4);
    expect(
      of(
        'sluice_request_duration_seconds_count{api="Produce"}',
        'sluice_request_local_seconds_count{api="Produce"}',
        'sluice_request_wait_seconds_count{api="Produce"}',
        "sluice_produced_records_total",
        'sluice_topic_produced_records_total{topic="orders"}',
        'sluice_partition_log_end_offset{topic="orders",partition="0"}',
        'sluice_requests_unreadable_total{reason="unknown_api"}',
        'sluice_connections_closed_total{reason="bad_frame"}',
        "sluice_connections_open",
      ),
    ).toEqual([4, 4, 4, 20, 20, 20, 1, 1, 0]);
    const bytes = samples.get('sluice_partition_log_bytes{topic="orders",partition="0"}') ?? 0;
    expect(bytes).toBeGreaterThan(0);
    expect(
      of(
        'sluice_topic_produced_bytes_total{topic="orders"}',
        'sluice_topic_fetched_bytes_total{topic="orders"}',
      ),
    ).toEqual([bytes, bytes]);
    expect(samples.get('sluice_groups{state="Empty"}')).toBe(1);
    expect(samples.get("sluice_offset_commits_total")).toBeGreaterThan(0);
    expect(samples.get("sluice_log_flush_duration_seconds_count")).toBeGreaterThanOrEqual(4);
    const loops = [...samples.keys()].filter((name) =>
      name.startsWith("sluice_event_loop_delay_seconds_count"),
    );
    expect(loops.length).toBe(threads === 1 ? 1 : 3);
    // What was wrong is told once, with who it was.
    const told = running.logged.filter((line) => line.includes("closing a connection"));
    expect(told.length).toBe(2);
    expect(told[0]).toContain("reason=unknown-api");
    expect(told[0]).toContain("clientHost=127.0.0.1");
  }, 30_000);
});

describe("health", () => {
  test("a broker that is well, then stops", async () => {
    await using running = await startBroker({ config: ADMIN });
    const { broker } = running;
    const response = await fetch(urlOf(broker, "/health"));
    expect([response.status, await response.json()]).toEqual([
      200,
      { status: "ok", isReady: true, reasons: [] },
    ]);
    const url = urlOf(broker, "/health/live");
    const stopping = broker.stop();
    expect(broker.health().status).toBe("stopping");
    await stopping;
    expect(broker.adminAddress).toBeNull();
    expect(await fetch(url).catch(() => "closed")).toBe("closed");
  });

  test("a failed log directory is named and degrades", async () => {
    await using directory = await temporaryDirectory();
    const broken = join(directory.path, "broken");
    await writeFile(broken, "not a directory");
    await using running = await startBroker({
      dataDir: directory.path,
      config: { ...ADMIN, "log.dirs": `${join(directory.path, "good")},${broken}` },
    });
    const response = await fetch(urlOf(running.broker, "/health"));
    const report = running.broker.health();
    expect([response.status, await response.json()]).toEqual([503, report]);
    expect([report.status, report.isReady, report.reasons.map(({ code }) => code)]).toEqual([
      "degraded",
      true,
      ["LOG_DIRECTORY_FAILED"],
    ]);
    expect(report.reasons[0]?.message).toContain(broken);
    expect((await fetch(urlOf(running.broker, "/health/ready"))).status).toBe(200);
    const samples = await scrape(running.broker);
    expect(samples.get(`sluice_log_directory_up{path="${broken}"}`)).toBe(0);
    expect(samples.get("sluice_degraded")).toBe(1);
  });
});

describe("damage on disk", () => {
  test("is named while it is there, with its offsets, and no longer", async () => {
    await using directory = await temporaryDirectory();
    const options = { dataDir: directory.path, config: ADMIN };
    {
      await using running = await startBroker(options);
      const kafka = client(running.bootstrapServers);
      const admin = kafka.admin();
      await admin.connect();
      await admin.createTopics({ topics: [{ topic: "orders", numPartitions: 1 }] });
      await admin.disconnect();
      const producer = kafka.producer();
      await producer.connect();
      for (const value of ["one", "two", "three", "four"])
        await producer.send({ topic: "orders", messages: [{ value }] });
      await producer.disconnect();
    }
    const file = join(directory.path, "orders-0", "00000000000000000000.log");
    const flip = async (): Promise<void> => {
      const bytes = await Bun.file(file).bytes();
      bytes[64] = (bytes[64] ?? 0) ^ 1;
      await writeFile(file, bytes);
      // An unclean stop, so that the whole log is looked at.
      await rm(join(directory.path, ".kafka_cleanshutdown"));
      await rm(join(directory.path, "recovery-point-offset-checkpoint"));
    };
    await flip();
    {
      await using running = await startBroker(options);
      const message =
        "partition orders-0 is damaged: offsets 0 to 0 cannot be read; the rest is served";
      expect(running.broker.health()).toEqual({
        status: "degraded",
        isReady: true,
        reasons: [{ code: "PARTITION_DAMAGED", message }],
      });
      const samples = await scrape(running.broker);
      expect(
        [
          "sluice_degraded",
          "sluice_log_damaged_partitions",
          'sluice_log_damaged_ranges{topic="orders",partition="0"}',
          'sluice_log_unreadable_segments{topic="orders",partition="0"}',
          "sluice_log_findings_total",
          "sluice_scrub_enabled",
          "sluice_inflate_queue_jobs",
        ].map((name) => samples.get(name)),
      ).toEqual([1, 1, 1, 0, 1, 1, 0]);
    }
    await flip();
    await using running = await startBroker(options);
    expect(running.broker.health()).toEqual({ status: "ok", isReady: true, reasons: [] });
    expect((await scrape(running.broker)).get("sluice_log_damaged_partitions")).toBe(0);
  }, 30_000);
});

describe("the admin address", () => {
  test("is not opened unasked in a program, which can ask the broker itself", async () => {
    await using running = await startBroker();
    expect(running.broker.adminAddress).toBeNull();
    expect(await running.broker.metrics()).toContain("\nsluice_ready 1\n");
    expect((await running.broker.metrics("openmetrics")).endsWith("# EOF\n")).toBe(true);
  });

  test("one that was set and is taken keeps the broker from starting", async () => {
    // A listener that would share its address.
    const taken = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      reusePort: true,
      fetch: () => new Response(),
    });
    try {
      const failure = await Broker.start({
        port: 0,
        config: { "sluice.admin.listener": `127.0.0.1:${taken.port}` },
      }).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(BrokerStartError);
      expect((failure as BrokerStartError).code).toBe("ADDRESS_IN_USE");
      expect((failure as BrokerStartError).message).toContain("sluice.admin.listener");
    } finally {
      await taken.stop(true);
    }
  });

  test("the default gives way with a warning", async () => {
    await using directory = await temporaryDirectory();
    // Ours, or somebody's who keeps it: one that is about to let go would leave the port free in the middle.
    let taken: Bun.Server<undefined> | null = null;
    for (let attempt = 0; taken === null && attempt < 50; attempt += 1) {
      try {
        taken = Bun.serve({
          hostname: "127.0.0.1",
          port: 9644,
          reusePort: true,
          fetch: () => new Response(),
        });
      } catch {
        await Bun.sleep(20);
      }
    }
    const { config } = await loadConfiguration({
      file: null,
      overrides: [`log.dirs=${directory.path}`, "listeners=PLAINTEXT://127.0.0.1:0"],
      environment: {},
    });
    if (config === null) throw new Error("the configuration is wrong");
    const warned: string[] = [];
    const logger = createLogger("warn", (_level, message) => void warned.push(message));
    try {
      await using broker = await Broker.start({ configuration: config, logger });
      expect(broker.adminAddress).toBeNull();
      expect(warned).toEqual([
        "running without an admin port, its default address cannot be bound",
      ]);
    } finally {
      await taken?.stop(true);
    }
  });
});
