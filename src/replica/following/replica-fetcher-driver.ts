/**
 * Runs a {@link ReplicaFetcher}: a connection to its leader, one request at a time, timers. Everything that is decided is decided in the
 * state machine; this only carries. What a connection brings after it was given up is not looked at.
 */
import { errorFields, type Logger } from "#common/logger.ts";
import type { Clock, Scheduler, Timer } from "#common/time.ts";
import { FetchApi } from "#protocol/generated/fetch.ts";
import {
  ListOffsetsApi,
  type ListOffsetsRequest,
  type ListOffsetsResponse,
} from "#protocol/generated/list-offsets.ts";
import type { FollowerPartition } from "./follower-partition.ts";
import type { ConnectToBroker, PeerConnection } from "./ports.ts";
import type { FetcherStep, ReplicaFetcher } from "./replica-fetcher.ts";

/** What the driver works with. */
export interface FetcherDriverOptions {
  readonly leaderId: number;
  readonly fetcher: ReplicaFetcher;
  readonly connect: ConnectToBroker;
  /** How long an answer may take: `replica.socket.timeout.ms`. */
  readonly socketTimeoutMs: number;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly logger: Logger;
}

/** Topic ids, and a replica's broker epoch (KIP-903), are in both; nodes of one cluster speak the same versions. */
const FETCH_VERSION = 18;
const LIST_OFFSETS_VERSION = 10;

type Exchange = Exclude<FetcherStep, { kind: "wait" }>;

/** See the head of the file. */
export class ReplicaFetcherDriver {
  readonly #options: FetcherDriverOptions;
  #connection: PeerConnection | null = null;
  /** Stands for the exchange under way; an outcome that belongs to another is dropped. */
  #exchange: object | null = null;
  #timer: Timer | null = null;
  #isStopped = false;
  #isFailing = false;

  constructor(options: FetcherDriverOptions) {
    this.#options = options;
  }

  get fetcher(): ReplicaFetcher {
    return this.#options.fetcher;
  }

  /** Fetches a partition from now on. */
  add(partition: FollowerPartition): void {
    this.fetcher.add(partition, this.#nowMs);
  }

  /** Fetches a partition no more: from here on nothing is appended to its log. */
  remove(key: string): void {
    this.fetcher.remove(key);
  }

  /** Does what there is to do now. To be called after partitions were added. */
  turn(): void {
    if (this.#isStopped) return;
    this.#timer?.cancel();
    this.#timer = null;
    const { fetcher } = this.#options;
    const nowMs = this.#nowMs;
    if (this.#exchange !== null) {
      const { abandonAtMs } = fetcher;
      if (abandonAtMs === null) return;
      if (nowMs < abandonAtMs) return this.#wakeAt(abandonAtMs, nowMs);
      this.#exchange = null;
      this.#disconnect();
      fetcher.onAbandoned(nowMs);
    }
    const step = fetcher.next(nowMs);
    if (step.kind === "wait") {
      if (step.untilMs !== null) this.#wakeAt(step.untilMs, nowMs);
      return;
    }
    const exchange = {};
    this.#exchange = exchange;
    void this.#run(step, exchange);
  }

  /** Closes the connection; nothing more is appended. */
  stop(): void {
    this.#isStopped = true;
    this.#exchange = null;
    this.#timer?.cancel();
    this.#timer = null;
    this.#disconnect();
  }

  get #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  #wakeAt(atMs: number, nowMs: number): void {
    this.#timer = this.#options.scheduler.after(Math.max(1, Math.ceil(atMs - nowMs)), () => {
      this.#timer = null;
      this.turn();
    });
  }

  #disconnect(): void {
    this.#connection?.close();
    this.#connection = null;
  }

  async #run(step: Exchange, exchange: object): Promise<void> {
    try {
      await this.#carry(step, exchange);
    } catch (error) {
      if (this.#exchange !== exchange) return;
      this.#exchange = null;
      this.#disconnect();
      this.#tellFailure(error);
      this.fetcher.onFailure(this.#nowMs);
    }
    if (this.#exchange === null || this.#exchange === exchange) {
      this.#exchange = null;
      this.turn();
    }
  }

  async #carry(step: Exchange, exchange: object): Promise<void> {
    const connection = await this.#connected(exchange);
    if (connection === null) return;
    const { socketTimeoutMs } = this.#options;
    if (step.kind === "fetch") {
      const answer = await connection.sendAt(
        FetchApi,
        FETCH_VERSION,
        step.request,
        socketTimeoutMs,
      );
      if (this.#exchange !== exchange) return;
      this.#tellRecovery();
      this.fetcher.onFetched(answer, this.#nowMs);
      // The records are in the logs now.
      connection.recycle();
      return;
    }
    const ask = (request: ListOffsetsRequest): Promise<ListOffsetsResponse> =>
      connection.sendAt(ListOffsetsApi, LIST_OFFSETS_VERSION, request, socketTimeoutMs);
    const [ends, starts] = await Promise.all([ask(step.ends), ask(step.starts)]);
    if (this.#exchange === exchange) this.fetcher.onOffsets(ends, starts, this.#nowMs);
  }

  /** The connection, made if need be; null when the exchange was given up meanwhile. */
  async #connected(exchange: object): Promise<PeerConnection | null> {
    if (this.#connection?.isOpen === true) return this.#connection;
    const connection = await this.#options.connect(this.#options.leaderId);
    if (this.#exchange !== exchange) {
      connection.close();
      return null;
    }
    this.#connection = connection;
    return connection;
  }

  /** Once per outage: a leader that is down is asked many times. */
  #tellFailure(error: unknown): void {
    const { logger, leaderId } = this.#options;
    if (this.#isFailing) return;
    this.#isFailing = true;
    logger.warn("cannot fetch from a leader, trying again", { leaderId, ...errorFields(error) });
  }

  #tellRecovery(): void {
    const { logger, leaderId } = this.#options;
    if (!this.#isFailing) return;
    this.#isFailing = false;
    logger.info("fetching from a leader again", { leaderId });
  }
}
