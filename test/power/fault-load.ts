/**
 * The load under failing system calls: one writer a partition that goes on after an error answer and gives each record a number once, so that
 * what was acknowledged is known record by record and a record of unknown fate may be there or not. A reader and a maker of topics run beside.
 */
import { decodeRecordBatches, encodeRecordBatch } from "#protocol/records/record-batch.ts";
import {
  FetchApi,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
} from "#protocol/generated/fetch.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { Wire } from "../differential/wire.ts";
import { readLog } from "../crash/load.ts";
import { TopicChecker } from "../crash/checkers.ts";
import { createTopic, deleteTopic, readTopics } from "./load.ts";

/** What happened to one partition. */
export class PartitionLoad {
  /** By offset: the number of the record acknowledged there. */
  readonly acknowledged: Map<number, number> = new Map<number, number>();
  /** When acknowledgements and refusals came, and the refusals' codes. */
  readonly acknowledgedAtMs: number[] = [];
  readonly refusals: { readonly atMs: number; readonly code: number }[] = [];
  sent = 0;
}

/** Writes to every partition of a topic until stopped. */
export class FaultLoad {
  readonly partitions: readonly PartitionLoad[];
  /** Topics made, deleted, and refused. */
  topicsMade = 0;
  topicsRefused = 0;
  readonly #address: string;
  readonly #topic: string;
  readonly #topics: TopicChecker;
  readonly #wires: Wire[] = [];
  readonly #firstTopic: number;
  #isStopped = false;

  /** @param before - the load before a stop, whose numbers and promises this one goes on with. */
  constructor(address: string, topic: string, partitions: number, before?: FaultLoad) {
    this.#address = address;
    this.#topic = topic;
    this.#topics = before === undefined ? new TopicChecker() : before.#topics;
    this.#firstTopic = before === undefined ? 0 : 1_000_000;
    this.partitions =
      before?.partitions ?? Array.from({ length: partitions }, () => new PartitionLoad());
  }

  /** Answers to writes so far, of either kind, by partition. */
  answers(): number[] {
    return this.partitions.map(({ acknowledged, refusals }) => acknowledged.size + refusals.length);
  }

  /** Acknowledged records so far. */
  get acknowledged(): number {
    return this.partitions.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0);
  }

  async start(): Promise<void> {
    for (const partition of this.partitions.keys())
      await this.#launch((wire) => this.#write(wire, partition));
    await this.#launch((wire) => this.#read(wire));
    await this.#launch((wire) => this.#administer(wire));
  }

  stop(): void {
    this.#isStopped = true;
    for (const wire of this.#wires) wire[Symbol.dispose]();
  }

  /** Findings when an acknowledged record is not where it was acknowledged, one is there that was never sent, or a topic is not as acknowledged. */
  async judge(): Promise<string[]> {
    const findings: string[] = [];
    for (const [partition, load] of this.partitions.entries()) {
      const log = await readLog(this.#address, this.#topic, partition);
      const at = new Map(log.map(({ offset, number }) => [offset, number]));
      let last = -1;
      for (const { offset, number } of log) {
        if (number <= last) findings.push(`partition ${partition}: ${number} after ${last}`);
        if (number >= load.sent)
          findings.push(`partition ${partition}: ${number} at ${offset} was never sent`);
        last = number;
      }
      for (const [offset, number] of load.acknowledged)
        if (at.get(offset) !== number)
          findings.push(
            `partition ${partition}: ${number} was acknowledged at ${offset}, there is ${at.get(offset) ?? "nothing"}`,
          );
    }
    findings.push(...this.#topics.check((await readTopics(this.#address)).topics));
    return findings.slice(0, 10);
  }

  async #launch(work: (wire: Wire) => Promise<void>): Promise<void> {
    const wire = await Wire.connect(this.#address, "fault-test");
    this.#wires.push(wire);
    void work(wire).catch(() => {});
  }

  async #write(wire: Wire, index: number): Promise<void> {
    const load = this.partitions[index];
    if (load === undefined) return;
    while (!this.#isStopped) {
      const number = load.sent;
      load.sent += 1;
      // Some are large, so that segments roll.
      const padding = "·".repeat(number % 4 === 0 ? 16_384 : 64);
      const records = encodeRecordBatch({
        timestamp: Date.now(),
        records: [{ key: Buffer.from("f"), value: Buffer.from(`f/${number}/${padding}`) }],
      });
      const partitionData = [makePartitionProduceData({ index, records })];
      const answer = await wire.send(
        ProduceApi,
        8,
        makeProduceRequest({
          acks: -1,
          timeoutMs: 10_000,
          topicData: [makeTopicProduceData({ name: this.#topic, partitionData })],
        }),
      );
      const found = answer.responses[0]?.partitionResponses[0];
      if (found === undefined) throw new Error("no answer for the partition");
      if (found.errorCode === 0) {
        load.acknowledged.set(found.baseOffset, number);
        load.acknowledgedAtMs.push(performance.now());
      } else {
        load.refusals.push({ atMs: performance.now(), code: found.errorCode });
        await Bun.sleep(5);
      }
    }
  }

  async #read(wire: Wire): Promise<void> {
    for (let turn = 0; !this.#isStopped; turn += 1) {
      const partition = turn % this.partitions.length;
      const partitions = [
        makeFetchPartition({ partition, fetchOffset: 0, partitionMaxBytes: 65_536 }),
      ];
      const topics = [makeFetchTopic({ topic: this.#topic, partitions })];
      const answer = await wire.send(
        FetchApi,
        11,
        makeFetchRequest({ maxWaitMs: 0, minBytes: 0, maxBytes: 65_536, topics }),
      );
      const records = answer.responses[0]?.partitions[0]?.records;
      if (records instanceof Uint8Array) decodeRecordBatches(records);
      await Bun.sleep(5);
    }
  }

  async #administer(wire: Wire): Promise<void> {
    for (let number = this.#firstTopic; !this.#isStopped; number += 1) {
      const name = `${this.#topic}-side-${number}`;
      try {
        this.#topics.changing(name);
        await createTopic(wire, name, 1);
        this.#topics.acknowledged(name, true);
        if (number % 2 === 0) {
          this.#topics.changing(name);
          await deleteTopic(wire, name);
          this.#topics.acknowledged(name, false);
        }
        this.topicsMade += 1;
      } catch {
        this.topicsRefused += 1;
      }
      await Bun.sleep(20);
    }
  }
}
