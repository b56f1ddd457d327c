/** The test's own side of a topic: records that keep coming while brokers come and go, and what the coordinator says is committed. */
import { Kafka, logLevel, type Admin, type Producer } from "kafkajs";
import { until } from "../../support/process.ts";
import { placeName } from "./member.ts";

const PULSE_MS = 100;

/** Feeds topics and answers questions about a group; `close` it. */
export class Feeder {
  readonly #admin: Admin;
  readonly #producer: Producer;
  readonly #topics = new Map<string, number>();
  #isFeeding = false;
  #fed: Promise<void> = Promise.resolve();

  constructor(bootstrap: string) {
    const kafka = new Kafka({
      clientId: "conformance-feeder",
      brokers: [bootstrap],
      logLevel: logLevel.NOTHING,
      retry: { retries: 8, initialRetryTime: 100, maxRetryTime: 400 },
    });
    this.#admin = kafka.admin();
    this.#producer = kafka.producer({ retry: { retries: 3, initialRetryTime: 100 } });
  }

  async create(topic: string, partitions: number): Promise<void> {
    await this.#admin.connect();
    await this.#producer.connect();
    await this.#patiently(
      async () =>
        await this.#admin.createTopics({
          waitForLeaders: false,
          topics: [{ topic, numPartitions: partitions, replicationFactor: 1 }],
        }),
    );
    await this.#patiently(async () => await this.#admin.fetchTopicOffsets(topic));
    this.#topics.set(topic, partitions);
  }

  /** Starts a record a partition every tenth of a second, until {@link stop}; failures (the broker is away) are tried again. */
  feed(): void {
    if (this.#isFeeding) return;
    this.#isFeeding = true;
    this.#fed = this.#run();
  }

  async stop(): Promise<void> {
    this.#isFeeding = false;
    await this.#fed;
  }

  /** The end offset of every partition. */
  async ends(): Promise<Map<string, number>> {
    const out = new Map<string, number>();
    for (const topic of this.#topics.keys()) {
      for (const { partition, high } of await this.#patiently(
        async () => await this.#admin.fetchTopicOffsets(topic),
      ))
        out.set(placeName(topic, partition), Number(high));
    }
    return out;
  }

  /** What the coordinator holds as committed; partitions without an offset are left out. */
  async committed(group: string): Promise<Map<string, number>> {
    const topics = [...this.#topics.keys()];
    const found = await this.#patiently(
      async () => await this.#admin.fetchOffsets({ groupId: group, topics }),
    );
    return new Map(
      found.flatMap(({ topic, partitions }) =>
        partitions
          .filter(({ offset }) => Number(offset) >= 0)
          .map(({ partition, offset }): [string, number] => [
            placeName(topic, partition),
            Number(offset),
          ]),
      ),
    );
  }

  /** Whether the broker answers; used after restarts. */
  async isUp(): Promise<boolean> {
    try {
      await this.#admin.fetchTopicMetadata({ topics: [...this.#topics.keys()] });
      return true;
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {
    await this.stop();
    await this.#producer.disconnect().catch(() => {});
    await this.#admin.disconnect().catch(() => {});
  }

  async #run(): Promise<void> {
    for (let pulse = 0; this.#isFeeding; pulse += 1) {
      try {
        for (const [topic, partitions] of this.#topics)
          await this.#producer.send({
            topic,
            acks: -1,
            messages: Array.from({ length: partitions }, (_, partition) => ({
              partition,
              value: `pulse ${pulse}`,
            })),
          });
      } catch {
        // The broker is away: the next pulse tries again.
      }
      await Bun.sleep(PULSE_MS);
    }
  }

  /** kafkajs gives up on coordinators that load for long; a test does not. */
  async #patiently<T>(ask: () => Promise<T>): Promise<T> {
    let found: { value: T } | null = null;
    let last: unknown;
    await until(
      async () => {
        try {
          found = { value: await ask() };
          return true;
        } catch (error) {
          last = error;
          return false;
        }
      },
      60_000,
      () => `no answer: ${String(last)}`,
    );
    if (found === null) throw new Error("no answer");
    return (found as { value: T }).value;
  }
}
