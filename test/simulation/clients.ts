/**
 * Producers and consumers of a simulated cluster: as a client of Kafka behaves, in small. They ask any node who leads, follow what they are told,
 * retry what may be retried with the same sequence number, and write down what they saw.
 */
import { ErrorCode } from "#common/error-code.ts";
import { oneRecordBatch, recordsOf } from "./batches.ts";
import { type History, Violation } from "./history.ts";
import type { GroupRequest } from "./group-coordination.ts";
import type { Network } from "./network.ts";
import type { SeededRandom } from "./random.ts";
import { Caller, CallFailure } from "./rpc.ts";
import { Machine, type World } from "./world.ts";

/** What nodes answer clients under the service `broker`. */
export type ClientRequest =
  | GroupRequest
  | { readonly kind: "metadata" }
  | {
      readonly kind: "produce";
      readonly partition: number;
      readonly acks: number;
      readonly timeoutMs: number;
      readonly records: Uint8Array;
    }
  | {
      readonly kind: "fetch";
      readonly partition: number;
      readonly offset: number;
      readonly leaderEpoch: number;
    };

export interface MetadataAnswer {
  /** By slot; leader -1 when there is none. */
  readonly leaders: readonly { readonly leader: number; readonly leaderEpoch: number }[];
}

export interface ProduceAnswer {
  readonly errorCode: number;
  readonly baseOffset: number;
}

export interface FetchAnswer {
  readonly errorCode: number;
  readonly highWatermark: number;
  readonly records: Uint8Array;
}

/** After these the same request may succeed, here or elsewhere. */
const RETRIABLE: ReadonlySet<number> = new Set([
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.FENCED_LEADER_EPOCH,
  ErrorCode.UNKNOWN_LEADER_EPOCH,
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.NOT_ENOUGH_REPLICAS,
  ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
  ErrorCode.REQUEST_TIMED_OUT,
  ErrorCode.KAFKA_STORAGE_ERROR,
  ErrorCode.LEADER_NOT_AVAILABLE,
  ErrorCode.OFFSET_NOT_AVAILABLE,
]);

const RETRY_MS = 20;
const REQUEST_TIMEOUT_MS = 1500;

/** What clients live in. */
export interface ClientWorld {
  readonly world: World;
  readonly network: Network;
  readonly history: History;
  readonly nodeIds: readonly number[];
  readonly partitionCount: number;
}

/** Who leads, as far as a client knows, and connections to everyone. */
export class Routing {
  readonly #of: ClientWorld;
  readonly #machine: Machine;
  readonly #random: SeededRandom;
  readonly #callers: Map<number, Caller> = new Map();
  #leaders: MetadataAnswer["leaders"] = [];

  constructor(of: ClientWorld, machine: Machine, random: SeededRandom) {
    this.#of = of;
    this.#machine = machine;
    this.#random = random;
  }

  leaderOf(partition: number): { leader: number; leaderEpoch: number } {
    return this.#leaders[partition] ?? { leader: -1, leaderEpoch: -1 };
  }

  call(node: number, request: ClientRequest): Promise<unknown> {
    let caller = this.#callers.get(node);
    if (caller === undefined) {
      caller = new Caller(this.#of.network, this.#machine, node, "broker");
      this.#callers.set(node, caller);
    }
    return caller.call(request, REQUEST_TIMEOUT_MS);
  }

  /** Asks one node, whichever. */
  async refresh(): Promise<void> {
    const node = this.#random.pick(this.#of.nodeIds);
    try {
      const answer = (await this.call(node, { kind: "metadata" })) as MetadataAnswer;
      for (const [partition, told] of answer.leaders.entries()) {
        // A node may be behind: what is older than what is known says nothing.
        if (told.leaderEpoch >= this.leaderOf(partition).leaderEpoch) {
          this.#leaders = this.#leaders.toSpliced(partition, 1, told);
        }
      }
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
    }
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#machine.after(ms, resolve));
  }
}

/** Settings of a producer. */
export interface ProducerOptions {
  readonly id: number;
  readonly acks: number;
  readonly intervalMs: number;
  /** Values are not begun after this moment. */
  readonly untilMs: number;
}

/** An idempotent producer that writes one value at a time, to each partition in turn. */
export class Producer {
  readonly #of: ClientWorld;
  readonly #options: ProducerOptions;
  readonly #machine: Machine;
  readonly #routing: Routing;
  readonly #sequences: number[];
  #producerId: number;
  #count = 0;
  isDone = false;

  constructor(of: ClientWorld, options: ProducerOptions) {
    this.#of = of;
    this.#options = options;
    this.#machine = new Machine(of.world, 1000 + options.id, { rate: 1, offsetMs: 0 });
    this.#machine.start();
    of.network.add(this.#machine);
    this.#routing = new Routing(of, this.#machine, of.world.random.split(`producer ${options.id}`));
    this.#producerId = 1000 * (options.id + 1);
    this.#sequences = Array.from({ length: of.partitionCount }, () => 0);
  }

  async run(): Promise<void> {
    const { untilMs, intervalMs } = this.#options;
    await this.#routing.refresh();
    while (this.#of.world.nowMs < untilMs) {
      await this.#write(this.#count % this.#of.partitionCount);
      await this.#routing.sleep(intervalMs);
    }
    this.isDone = true;
  }

  async #write(partition: number): Promise<void> {
    const { history, world } = this.#of;
    const { id, acks } = this.#options;
    const number = this.#count++;
    const value = `p${id}-${number}`;
    history.onWrite(value, `p${id}`, number, partition, acks);
    const sequence = this.#sequences[partition] as number;
    for (;;) {
      const outcome = await this.#send(partition, value, sequence);
      world.trace(`client ${value} to ${partition}: ${outcome.errorCode} @${outcome.baseOffset}`);
      if (outcome.errorCode === ErrorCode.NONE) {
        this.#sequences[partition] = sequence + 1;
        history.onAck(value, outcome.baseOffset);
        return;
      }
      if (!RETRIABLE.has(outcome.errorCode)) {
        this.#onRefused(partition, value, outcome.errorCode);
        return;
      }
      await this.#routing.sleep(RETRY_MS);
      await this.#routing.refresh();
    }
  }

  async #send(partition: number, value: string, sequence: number): Promise<ProduceAnswer> {
    const { leader } = this.#routing.leaderOf(partition);
    if (leader < 0) return { errorCode: ErrorCode.LEADER_NOT_AVAILABLE, baseOffset: -1 };
    const records = oneRecordBatch({
      value,
      producerId: this.#producerId,
      producerEpoch: 0,
      sequence,
      nowMs: this.#machine.nowMs(),
    });
    const { acks } = this.#options;
    try {
      const request = { kind: "produce", partition, acks, timeoutMs: 1000, records } as const;
      return (await this.#routing.call(leader, request)) as ProduceAnswer;
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
      return { errorCode: ErrorCode.REQUEST_TIMED_OUT, baseOffset: -1 };
    }
  }

  /** A sequence out of order tells that something acknowledged is gone: with acks=all that must not be. The producer begins anew. */
  #onRefused(partition: number, value: string, errorCode: number): void {
    this.#of.world.trace(`client ${value} gave up: ${errorCode}`);
    const isLoss =
      errorCode === ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER ||
      errorCode === ErrorCode.UNKNOWN_PRODUCER_ID;
    if (!isLoss) {
      throw new Violation("refused", `${value} to ${partition} was refused with ${errorCode}`);
    }
    this.#producerId += 1;
    this.#sequences.fill(0);
  }
}

/** Reads one partition after another from its leader, up to the high watermark, again and again. */
export class Consumer {
  readonly #of: ClientWorld;
  readonly #routing: Routing;
  readonly #positions: number[];
  readonly #highest: { leaderEpoch: number; highWatermark: number }[];

  constructor(of: ClientWorld, id: number) {
    this.#of = of;
    const machine = new Machine(of.world, 2000 + id, { rate: 1, offsetMs: 0 });
    machine.start();
    of.network.add(machine);
    this.#routing = new Routing(of, machine, of.world.random.split(`consumer ${id}`));
    this.#positions = Array.from({ length: of.partitionCount }, () => 0);
    this.#highest = this.#positions.map(() => ({ leaderEpoch: -1, highWatermark: 0 }));
  }

  async run(untilMs: number): Promise<void> {
    await this.#routing.refresh();
    while (this.#of.world.nowMs < untilMs) {
      for (let partition = 0; partition < this.#positions.length; partition += 1) {
        if (!(await this.#read(partition))) await this.#routing.refresh();
      }
      await this.#routing.sleep(50);
    }
  }

  /** False when somebody else has to be asked. */
  async #read(partition: number): Promise<boolean> {
    const { leader, leaderEpoch } = this.#routing.leaderOf(partition);
    if (leader < 0) return false;
    const offset = this.#positions[partition] as number;
    let answer: FetchAnswer;
    try {
      const request = { kind: "fetch", partition, offset, leaderEpoch } as const;
      answer = (await this.#routing.call(leader, request)) as FetchAnswer;
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
      return false;
    }
    if (answer.errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) {
      this.#onOutOfRange(partition, answer.highWatermark);
      return false;
    }
    if (answer.errorCode !== ErrorCode.NONE) return false;
    this.#onHighWatermark(partition, leaderEpoch, answer.highWatermark);
    for (const record of recordsOf(answer.records)) {
      if (record.offset < (this.#positions[partition] as number)) continue;
      this.#of.world.trace(`consumer ${partition}@${record.offset} ${record.value}`);
      this.#of.history.onConsume(partition, record);
      this.#positions[partition] = record.offset + 1;
    }
    return true;
  }

  #onHighWatermark(partition: number, leaderEpoch: number, highWatermark: number): void {
    const highest = this.#highest[partition];
    if (highest?.leaderEpoch === leaderEpoch && highWatermark < highest.highWatermark) {
      throw new Violation(
        "I5",
        `high watermark of ${partition} fell from ${highest.highWatermark} to ${highWatermark} in epoch ${leaderEpoch}`,
      );
    }
    this.#highest[partition] = { leaderEpoch, highWatermark };
  }

  /** The log ends before what was read. Where disks lost that much, reading goes on from there. */
  #onOutOfRange(partition: number, highWatermark: number): void {
    this.#of.world.trace(`consumer ${partition} is out of range, high watermark ${highWatermark}`);
    this.#positions[partition] = 0;
  }
}
