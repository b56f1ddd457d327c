/**
 * A member of a group that reads what it is assigned and commits after every fetch, with the project's own client: whatever happens it
 * begins again, with a new connection and as a new member where it must. The group protocol is either one.
 */
import { Cluster } from "#client/cluster.ts";
import { ConsumerGroupMember } from "#client/consumer-group-member.ts";
import { Fetcher } from "#client/fetcher.ts";
import { GroupMember } from "#client/group-member.ts";
import type { Membership } from "#client/membership.ts";
import { nativeCodecs } from "#log/native-log.ts";
import type { CommitChecker, LogChecker } from "../crash/checkers.ts";
import { toLogged } from "../crash/load.ts";

const REQUEST_TIMEOUT_MS = 4_000;
const REBALANCE_TIMEOUT_MS = 8_000;
const SESSION_TIMEOUT_MS = 6_000;

/** Which group protocol. */
export type GroupProtocol = "classic" | "consumer";

/** What a reader works with. */
export interface MemberReaderOptions {
  /** `host:port` of every node. */
  readonly addresses: readonly string[];
  readonly groupId: string;
  readonly topic: string;
  readonly protocol: GroupProtocol;
  readonly log: LogChecker;
  readonly commits: CommitChecker;
  readonly onFinding: (finding: string) => void;
}

/** See the head of the file. */
export class MemberReader {
  readonly #options: MemberReaderOptions;
  readonly #over: AbortController = new AbortController();
  #records = 0;
  #run: Promise<void> = Promise.resolve();
  #lastFailure = "none";

  constructor(options: MemberReaderOptions) {
    this.#options = options;
  }

  /** Records received so far, repeats included. */
  get records(): number {
    return this.#records;
  }

  /** Why it began again the last time. */
  get lastFailure(): string {
    return this.#lastFailure;
  }

  start(): void {
    this.#run = this.#repeat();
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await this.#run;
  }

  async #repeat(): Promise<void> {
    const { addresses, groupId, topic, protocol } = this.#options;
    const bootstrap = addresses.map((address) => {
      const [host = "", port] = address.split(":");
      return { host, port: Number(port) };
    });
    for (let turn = 0; !this.#over.signal.aborted; turn += 1) {
      // The first that answers is taken: another one each time.
      const first = bootstrap.slice(turn % bootstrap.length);
      let cluster: Cluster | null = null;
      let member: Membership | null = null;
      try {
        cluster = await Cluster.connect({
          bootstrap: [...first, ...bootstrap],
          clientId: `member-${protocol}`,
          connectTimeoutMs: 2_000,
          requestTimeoutMs: REQUEST_TIMEOUT_MS,
          retryTimeoutMs: 5_000,
        });
        const options = { groupId, topic, rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS };
        member =
          protocol === "consumer"
            ? new ConsumerGroupMember(cluster, options)
            : new GroupMember(cluster, { ...options, sessionTimeoutMs: SESSION_TIMEOUT_MS });
        while (!this.#over.signal.aborted) {
          const partitions = await member.join();
          await this.#readAssigned(cluster, member, partitions);
        }
      } catch (error) {
        this.#lastFailure = error instanceof Error ? error.message : String(error);
        await Bun.sleep(100);
      } finally {
        await member?.leave();
        cluster?.close();
      }
    }
  }

  async #readAssigned(
    cluster: Cluster,
    member: Membership,
    partitions: readonly number[],
  ): Promise<void> {
    const { topic, log, commits, onFinding } = this.#options;
    const stop = AbortSignal.any([member.rebalance, this.#over.signal]);
    if (partitions.length === 0) {
      while (!stop.aborted) await Bun.sleep(20);
      return;
    }
    const starts = new Map(partitions.map((partition) => [partition, 0]));
    for (const [partition, offset] of await member.committed(partitions))
      if (offset >= 0) starts.set(partition, offset);
    const fetcher = new Fetcher(cluster, topic, starts, {
      decompressor: nativeCodecs,
      maxWaitMs: 200,
    });
    while (!stop.aborted) {
      const { fetched, outOfRange } = await fetcher.poll();
      for (const { partition, offset } of outOfRange)
        onFinding(`partition ${partition}: a group member at ${offset} is out of range`);
      const offsets = new Map<number, number>();
      for (const { partition, records, nextOffset } of fetched) {
        for (const { offset, value } of records) log.seen(partition, toLogged(offset, value));
        this.#records += records.length;
        if (records.length > 0) offsets.set(partition, nextOffset);
      }
      if (offsets.size === 0) continue;
      for (const [partition, offset] of offsets) commits.sending(partition, offset);
      await member.commit(offsets);
      for (const [partition, offset] of offsets) commits.acknowledged(partition, offset);
    }
  }
}
