/** The consumer of the crash tests: a member of a real group (kafkajs), which must find its way back after every stop. */
import { type Consumer, Kafka, logLevel } from "kafkajs";
import type { CommitChecker, LogChecker } from "./checkers.ts";
import { toLogged } from "./load.ts";

/** A group member that reads everything and commits after each batch. */
export class CrashConsumer {
  readonly #consumer: Consumer;
  readonly #topic: string;
  readonly #log: LogChecker;
  readonly #commits: CommitChecker;
  #records = 0;

  constructor(
    brokers: readonly string[],
    group: string,
    topic: string,
    log: LogChecker,
    commits: CommitChecker,
  ) {
    const kafka = new Kafka({
      clientId: "crash-consumer",
      brokers: [...brokers],
      logLevel: logLevel.NOTHING,
      connectionTimeout: 2_000,
      retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 1_000 },
    });
    this.#consumer = kafka.consumer({
      groupId: group,
      sessionTimeout: 6_000,
      heartbeatInterval: 300,
      maxWaitTimeInMs: 100,
      retry: {
        initialRetryTime: 50,
        maxRetryTime: 500,
        retries: 1_000,
        restartOnFailure: async () => true,
      },
    });
    this.#topic = topic;
    this.#log = log;
    this.#commits = commits;
  }

  /** Records received so far, repeats included. */
  get records(): number {
    return this.#records;
  }

  async start(): Promise<void> {
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topics: [this.#topic], fromBeginning: true });
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: 1,
      eachBatch: async ({ batch, resolveOffset, heartbeat }) => {
        for (const message of batch.messages) {
          this.#records += 1;
          this.#log.seen(batch.partition, toLogged(Number(message.offset), message.value));
        }
        resolveOffset(batch.lastOffset());
        const offset = Number(batch.lastOffset()) + 1;
        this.#commits.sending(batch.partition, offset);
        await this.#consumer.commitOffsets([
          { topic: this.#topic, partition: batch.partition, offset: String(offset) },
        ]);
        this.#commits.acknowledged(batch.partition, offset);
        await heartbeat();
      },
    });
  }

  async stop(): Promise<void> {
    await this.#consumer.disconnect();
  }
}
