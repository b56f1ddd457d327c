/**
 * Which partition is fetched by whom: `num.replica.fetchers` fetchers for each leader, made when the first partition needs them and
 * ended with the last. A partition always goes to the same one of a leader's, by the hash that Kafka uses, so that its answers are in order.
 */
import type { Logger } from "#common/logger.ts";
import type { Clock, Scheduler } from "#common/time.ts";
import { javaStringHash } from "#common/java-hash.ts";
import type { FollowerPartition } from "./follower-partition.ts";
import type { ConnectToBroker, FollowerThrottle, FollowingConfig } from "./ports.ts";
import { type FetcherCounters, ReplicaFetcher } from "./replica-fetcher.ts";
import { ReplicaFetcherDriver } from "./replica-fetcher-driver.ts";

/** What the fetchers work with. */
export interface ReplicaFetchersOptions {
  readonly nodeId: number;
  readonly brokerEpoch: () => number;
  readonly config: FollowingConfig;
  readonly connect: ConnectToBroker;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly logger: Logger;
  readonly throttle?: FollowerThrottle | undefined;
}

/** See the head of the file. */
export class ReplicaFetchers {
  readonly #options: ReplicaFetchersOptions;
  readonly #drivers: Map<string, ReplicaFetcherDriver> = new Map();
  /** Of fetchers that have ended. */
  readonly #ended: FetcherCounters = {
    requestCount: 0,
    failureCount: 0,
    abandonedCount: 0,
    byteCount: 0,
  };
  /** By partition: the name of its fetcher. */
  readonly #places: Map<string, string> = new Map();
  /** With new partitions since the last `flush`. */
  readonly #changed: Set<string> = new Set();
  #isStopped = false;

  constructor(options: ReplicaFetchersOptions) {
    this.#options = options;
  }

  /** Fetches a partition, which has been started, from its leader, in place of what had its key. Effective with `flush`. */
  add(partition: FollowerPartition): void {
    if (this.#isStopped) return;
    this.remove(partition.key);
    const { leaderId, topic, partition: index } = partition.assignment;
    const hash =
      Math.abs((31 * javaStringHash(topic) + index) | 0) % this.#options.config.fetcherCount;
    const name = `${leaderId}/${hash}`;
    let driver = this.#drivers.get(name);
    if (driver === undefined) {
      driver = this.#makeDriver(leaderId);
      this.#drivers.set(name, driver);
    }
    driver.add(partition);
    this.#places.set(partition.key, name);
    this.#changed.add(name);
  }

  /** Fetches a partition no more; from here on nothing is appended to its log. */
  remove(key: string): void {
    const name = this.#places.get(key);
    if (name === undefined) return;
    this.#places.delete(key);
    this.#drivers.get(name)?.remove(key);
    this.#changed.add(name);
  }

  /** Starts what was added and ends fetchers without partitions. To be called once after the changes of an image. */
  flush(): void {
    for (const name of this.#changed) {
      const driver = this.#drivers.get(name);
      if (driver === undefined) continue;
      if (driver.fetcher.size > 0) {
        driver.turn();
        continue;
      }
      driver.stop();
      this.#drivers.delete(name);
      addCounters(this.#ended, driver.fetcher.counters);
    }
    this.#changed.clear();
  }

  /** Ends all, for good. */
  stop(): void {
    this.#isStopped = true;
    for (const driver of this.#drivers.values()) driver.stop();
    this.#drivers.clear();
    this.#places.clear();
    this.#changed.clear();
  }

  /** Partitions that are followed. */
  *partitions(): Iterable<FollowerPartition> {
    for (const { fetcher } of this.#drivers.values()) yield* fetcher.partitions();
  }

  /** Counters of all fetchers since the start. */
  get counters(): FetcherCounters {
    const sum = { ...this.#ended };
    for (const { fetcher } of this.#drivers.values()) addCounters(sum, fetcher.counters);
    return sum;
  }

  #makeDriver(leaderId: number): ReplicaFetcherDriver {
    const { nodeId, brokerEpoch, config, throttle, connect, clock, scheduler, logger } =
      this.#options;
    return new ReplicaFetcherDriver({
      leaderId,
      fetcher: new ReplicaFetcher({ nodeId, brokerEpoch, config, throttle }),
      connect,
      socketTimeoutMs: config.socketTimeoutMs,
      clock,
      scheduler,
      logger,
    });
  }
}

function addCounters(sum: FetcherCounters, more: FetcherCounters): void {
  sum.requestCount += more.requestCount;
  sum.failureCount += more.failureCount;
  sum.abandonedCount += more.abandonedCount;
  sum.byteCount += more.byteCount;
}
