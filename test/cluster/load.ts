/**
 * The load of the cluster tests: idempotent producers that follow leadership, readers that follow each partition from its first record to
 * its newest, a group of real consumers. The checkers of the crash tests hear of everything that is sent, acknowledged, seen and committed.
 */
import {
  FetchApi,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
} from "#protocol/generated/fetch.ts";
import {
  FindCoordinatorApi,
  makeFindCoordinatorRequest,
} from "#protocol/generated/find-coordinator.ts";
import { decodeRecordBatches } from "#protocol/records/record-batch.ts";
import { CommitChecker, LogChecker } from "../crash/checkers.ts";
import { CrashConsumer } from "../crash/group-consumer.ts";
import { AGAIN, CrashProducer, insist, readCommitted, toLogged, within } from "../crash/load.ts";
import { seededRandom } from "../crash/harness.ts";
import { Wire } from "../differential/wire.ts";
import type { BrokerCluster } from "../support/cluster-process.ts";
import { Routes } from "./cluster-view.ts";

/** Time an answer may take, ms: a node that was stopped is found out by this. */
const ANSWER_TIMEOUT_MS = 3_000;
const FETCH_BYTES_MAX = 1 << 20;
const OFFSET_OUT_OF_RANGE = 1;
/** What a single broker says for "again", and what leadership, ISRs and epochs that change add to it. */
const CLUSTER_AGAIN: ReadonlySet<number> = new Set([...AGAIN, 9, 19, 20, 74, 75, 76]);

/** Reads one partition as a consumer does, from 0 on, and tells the checker what it was given. */
class TailReader {
  readonly #routes: Routes;
  readonly #topic: string;
  readonly #partition: number;
  readonly #checker: LogChecker;
  readonly #onFinding: (finding: string) => void;
  #next = 0;
  #isStopping = false;

  constructor(
    routes: Routes,
    topic: string,
    partition: number,
    checker: LogChecker,
    onFinding: (finding: string) => void,
  ) {
    this.#routes = routes;
    this.#topic = topic;
    this.#partition = partition;
    this.#checker = checker;
    this.#onFinding = onFinding;
  }

  stop(): void {
    this.#isStopping = true;
  }

  async run(): Promise<void> {
    while (!this.#isStopping) {
      try {
        const address = await this.#routes.addressOf(this.#partition);
        using wire = await within(Wire.connect(address, "tail"), ANSWER_TIMEOUT_MS);
        while (!this.#isStopping) await this.#turn(wire);
      } catch {
        await Bun.sleep(50);
      }
    }
  }

  async #turn(wire: Wire): Promise<void> {
    const partition = this.#partition;
    const row = makeFetchPartition({
      partition,
      fetchOffset: this.#next,
      partitionMaxBytes: FETCH_BYTES_MAX,
    });
    const request = makeFetchRequest({
      maxWaitMs: 300,
      minBytes: 1,
      maxBytes: FETCH_BYTES_MAX,
      topics: [makeFetchTopic({ topic: this.#topic, partitions: [row] })],
    });
    const answer = await within(wire.send(FetchApi, 11, request), ANSWER_TIMEOUT_MS);
    const found = answer.responses[0]?.partitions[0];
    if (found?.errorCode === OFFSET_OUT_OF_RANGE) {
      // What a consumer was given lies below the high watermark, and that never falls.
      this.#onFinding(`partition ${partition}: a consumer at ${this.#next} is out of range`);
      this.#isStopping = true;
    }
    if (found === undefined || found.errorCode !== 0) throw new Error(`error ${found?.errorCode}`);
    const bytes = found.records instanceof Uint8Array ? found.records : new Uint8Array(0);
    const { batches, failure } = decodeRecordBatches(bytes);
    if (failure !== null) this.#onFinding(`partition ${partition} at ${this.#next}: ${failure}`);
    for (const batch of batches) {
      for (const { offset, value } of batch.records)
        if (offset >= this.#next) this.#checker.seen(partition, toLogged(offset, value));
      this.#next = Math.max(this.#next, batch.baseOffset + batch.lastOffsetDelta + 1);
    }
    await Bun.sleep(20);
  }
}

/** How much load. */
export interface ClusterLoadOptions {
  readonly topic: string;
  readonly partitions: number;
  readonly producers: number;
  readonly consumers: number;
  readonly seed: number;
  /** Time of a producer from one batch of a partition to the next, ms. */
  readonly pauseMs: number;
}

/** See the head of the file. */
export class ClusterLoad {
  readonly log: LogChecker = new LogChecker();
  readonly commits: CommitChecker = new CommitChecker();
  readonly routes: Routes;
  /** What the load itself found while it ran. */
  readonly findings: string[] = [];
  readonly group: string;
  readonly #options: ClusterLoadOptions;
  readonly #producers: CrashProducer[] = [];
  readonly #readers: TailReader[] = [];
  readonly #consumers: CrashConsumer[] = [];
  #runs: Promise<unknown>[] = [];
  #reading: Promise<unknown>[] = [];

  constructor(cluster: BrokerCluster, options: ClusterLoadOptions) {
    const { topic, partitions, seed } = options;
    this.#options = options;
    this.routes = new Routes(cluster, topic);
    this.group = `${topic}-group`;
    for (let partition = 0; partition < partitions; partition += 1) {
      const where = (): Promise<string> => this.routes.addressOf(partition);
      for (let at = 0; at < options.producers; at += 1)
        this.#producers.push(
          new CrashProducer({
            name: `p${at}`,
            where,
            topic,
            partitions: [partition],
            checker: this.log,
            random: seededRandom(seed * 977 + partition * 31 + at),
            isPipelined: true,
            again: CLUSTER_AGAIN,
            answerTimeoutMs: ANSWER_TIMEOUT_MS,
            pauseMs: options.pauseMs,
          }),
        );
      const onFinding = (finding: string): void => void this.findings.push(finding);
      this.#readers.push(new TailReader(this.routes, topic, partition, this.log, onFinding));
    }
    const brokers = cluster.nodes.map(({ bootstrap }) => bootstrap);
    for (let at = 0; at < options.consumers; at += 1)
      this.#consumers.push(new CrashConsumer(brokers, this.group, topic, this.log, this.commits));
  }

  /** How many records of each partition are acknowledged. */
  get acknowledged(): number[] {
    return Array.from({ length: this.#options.partitions }, (_, partition) => {
      let sum = 0;
      for (const count of this.log.promises(partition).acknowledged.values()) sum += count;
      return sum;
    });
  }

  /** Requests that had to be sent more than once, and records the group was given. */
  get figures(): { readonly requestsAgain: number; readonly consumed: number } {
    return {
      requestsAgain: this.#producers.reduce((sum, { requestsAgain }) => sum + requestsAgain, 0),
      consumed: this.#consumers.reduce((sum, { records }) => sum + records, 0),
    };
  }

  async start(): Promise<void> {
    this.#runs = this.#producers.map((producer) =>
      producer.run().catch((error: unknown) => {
        this.findings.push(error instanceof Error ? error.message : String(error));
      }),
    );
    this.#reading = this.#readers.map((reader) => reader.run());
    for (const consumer of this.#consumers) await consumer.start();
  }

  /** Ends the producers; resolves with what got no acknowledgement within the time. */
  async stopProducing(timeoutMs: number): Promise<string[]> {
    for (const producer of this.#producers) producer.stop();
    const late = Bun.sleep(timeoutMs).then(() => true);
    if ((await Promise.race([Promise.all(this.#runs), late])) !== true) return [];
    return this.#producers.flatMap(({ waiting }) => waiting);
  }

  /** Ends everything else. */
  async stop(): Promise<void> {
    for (const producer of this.#producers) producer.stop();
    for (const reader of this.#readers) reader.stop();
    const ended = [...this.#reading, ...this.#consumers.map((consumer) => consumer.stop())];
    await Promise.race([Promise.all(ended), Bun.sleep(10_000)]);
  }

  /** What the group has committed, by partition. */
  async committed(): Promise<number[]> {
    const { topic, partitions } = this.#options;
    return await readCommitted(() => this.#coordinator(), this.group, topic, partitions);
  }

  async #coordinator(): Promise<string> {
    const request = makeFindCoordinatorRequest({ key: this.group, keyType: 0 });
    return await insist(
      () => this.routes.anyAddress(),
      10_000,
      async (wire) => {
        const answer = await within(wire.send(FindCoordinatorApi, 3, request), ANSWER_TIMEOUT_MS);
        if (answer.errorCode !== 0) throw new Error(`FindCoordinator: error ${answer.errorCode}`);
        return `${answer.host}:${answer.port}`;
      },
    );
  }
}
