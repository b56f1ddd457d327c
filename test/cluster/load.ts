/**
 * The load of the cluster tests: idempotent producers that follow leadership, readers that follow each partition from its first record to
 * its newest, a group of each protocol. The checkers of the crash tests hear of everything that is sent, acknowledged, seen and committed.
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
import { AGAIN, CrashProducer, insist, readCommitted, toLogged, within } from "../crash/load.ts";
import { seededRandom } from "../crash/harness.ts";
import { Wire } from "../differential/wire.ts";
import type { BrokerCluster } from "../support/cluster-process.ts";
import { Routes } from "./cluster-view.ts";
import { type GroupProtocol, MemberReader } from "./member-reader.ts";

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
  /** Members of each of the two groups. */
  readonly members: number;
  readonly seed: number;
  /** Time of a producer from one batch of a partition to the next, ms. */
  readonly pauseMs: number;
}

/** One group and what it committed. */
interface GroupLoad {
  readonly groupId: string;
  readonly commits: CommitChecker;
  readonly members: readonly MemberReader[];
}

const PROTOCOLS: readonly GroupProtocol[] = ["classic", "consumer"];

/** See the head of the file. */
export class ClusterLoad {
  readonly log: LogChecker = new LogChecker();
  readonly routes: Routes;
  /** What the load itself found while it ran. */
  readonly findings: string[] = [];
  readonly #groups: readonly GroupLoad[];
  readonly #options: ClusterLoadOptions;
  readonly #producers: CrashProducer[] = [];
  readonly #readers: TailReader[] = [];
  #runs: Promise<unknown>[] = [];
  #reading: Promise<unknown>[] = [];

  constructor(cluster: BrokerCluster, options: ClusterLoadOptions) {
    const { topic, partitions, seed } = options;
    this.#options = options;
    this.routes = new Routes(cluster, topic);
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
    const addresses = cluster.nodes.map(({ bootstrap }) => bootstrap);
    const onFinding = (finding: string): void => void this.findings.push(finding);
    this.#groups = PROTOCOLS.map((protocol) => {
      const groupId = `${topic}-${protocol}`;
      const commits = new CommitChecker();
      const reader = { addresses, groupId, topic, protocol, log: this.log, commits, onFinding };
      const members = Array.from({ length: options.members }, () => new MemberReader(reader));
      return { groupId, commits, members };
    });
  }

  /** How many records of each partition are acknowledged. */
  get acknowledged(): number[] {
    return Array.from({ length: this.#options.partitions }, (_, partition) => {
      let sum = 0;
      for (const count of this.log.promises(partition).acknowledged.values()) sum += count;
      return sum;
    });
  }

  /** Requests that had to be sent more than once. */
  get requestsAgain(): number {
    return this.#producers.reduce((sum, { requestsAgain }) => sum + requestsAgain, 0);
  }

  /** Records that each group was given, repeats included. */
  get consumed(): number[] {
    return this.#groups.map(({ members }) =>
      members.reduce((sum, { records }) => sum + records, 0),
    );
  }

  /** What the members of the groups say, for a message. */
  get groupState(): string {
    return this.#groups
      .map(({ groupId, members }) =>
        [groupId, ...members.map(({ records, lastFailure }) => `${records} (${lastFailure})`)].join(
          " ",
        ),
      )
      .join("; ");
  }

  start(): void {
    this.#runs = this.#producers.map((producer) =>
      producer.run().catch((error: unknown) => {
        this.findings.push(error instanceof Error ? error.message : String(error));
      }),
    );
    this.#reading = this.#readers.map((reader) => reader.run());
    for (const { members } of this.#groups) for (const member of members) member.start();
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
    const members = this.#groups.flatMap((group) => group.members);
    const ended = [...this.#reading, ...members.map((member) => member.stop())];
    await Promise.race([Promise.all(ended), Bun.sleep(10_000)]);
  }

  /** Findings about what the groups hold, against what was acknowledged before the call. */
  async checkCommits(): Promise<string[]> {
    const { topic, partitions } = this.#options;
    const findings: string[] = [];
    for (const { groupId, commits } of this.#groups) {
      const promised = commits.promises();
      const where = (): Promise<string> => this.#coordinator(groupId);
      const held = await readCommitted(where, groupId, topic, partitions);
      const found = held.flatMap((offset, at) => commits.check(at, offset, promised));
      findings.push(...found.map((finding) => `${groupId}: ${finding}`));
    }
    return findings;
  }

  async #coordinator(groupId: string): Promise<string> {
    const request = makeFindCoordinatorRequest({ key: groupId, keyType: 0 });
    const anyAddress = (): string => this.routes.anyAddress();
    return await insist(anyAddress, 10_000, async (wire) => {
      const answer = await within(wire.send(FindCoordinatorApi, 3, request), ANSWER_TIMEOUT_MS);
      if (answer.errorCode !== 0) throw new Error(`FindCoordinator: error ${answer.errorCode}`);
      return `${answer.host}:${answer.port}`;
    });
  }
}
