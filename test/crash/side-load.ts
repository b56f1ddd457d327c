/**
 * What else must survive a stop besides records: topics made and deleted, offsets committed without a group's members, logs whose beginning is
 * deleted on request and by retention. Each loop works on connections of its own and repeats what was not answered until it is.
 */
import { DeleteRecordsApi, makeDeleteRecordsRequest } from "#protocol/generated/delete-records.ts";
import { DeleteTopicsApi, makeDeleteTopicsRequest } from "#protocol/generated/delete-topics.ts";
import {
  FindCoordinatorApi,
  makeFindCoordinatorRequest,
} from "#protocol/generated/find-coordinator.ts";
import { makeMetadataRequest, MetadataApi } from "#protocol/generated/metadata.ts";
import {
  makeOffsetCommitRequest,
  makeOffsetCommitRequestPartition,
  makeOffsetCommitRequestTopic,
  OffsetCommitApi,
} from "#protocol/generated/offset-commit.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { Wire } from "../differential/wire.ts";
import { CommitChecker, TopicChecker, TrimChecker } from "./checkers.ts";
import { createTopic, insist, readCommitted, readTrimmedLog, within } from "./load.ts";

const PATIENCE_MS = 60_000;
const RETENTION_BYTES = 3 << 20;

/** All side loads of a run. */
export class SideLoad {
  readonly topics: TopicChecker = new TopicChecker();
  readonly commits: CommitChecker = new CommitChecker();
  readonly trimmed: TrimChecker = new TrimChecker(false);
  readonly retained: TrimChecker = new TrimChecker(true);
  #topicChanges = 0;
  #commitCount = 0;
  readonly #address: string;
  readonly #name: string;
  #isStopping = false;
  #runs: Promise<void>[] = [];
  readonly #starts = new Map<string, number>();

  constructor(address: string, name: string) {
    this.#address = address;
    this.#name = name;
  }

  /** What was acknowledged so far, in words. */
  summary(): string {
    return (
      `${this.#topicChanges} topics made or deleted, ${this.#commitCount} offsets committed, ` +
      `${this.trimmed.acknowledgedCount} records beside DeleteRecords (${this.#starts.get("trimmed") ?? 0} gone), ` +
      `${this.retained.acknowledgedCount} beside retention (${this.#starts.get("retained") ?? 0} gone)`
    );
  }

  async start(): Promise<void> {
    await createTopic(this.#address, `${this.#name}-trimmed`, 1, { "segment.ms": "300" });
    await createTopic(this.#address, `${this.#name}-retained`, 1, {
      "retention.bytes": String(RETENTION_BYTES),
      "file.delete.delay.ms": "100",
    });
    this.#runs = [
      this.#repeat((wire) => this.#changeTopics(wire)),
      this.#repeat((wire) => this.#commit(wire)),
      this.#repeat((wire) => this.#append(wire, "trimmed", this.trimmed, 200)),
      this.#repeat((wire) => this.#append(wire, "retained", this.retained, 100_000)),
      this.#repeat((wire) => this.#deleteRecords(wire)),
    ];
  }

  /** Ends all loops; returns once they have. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#runs);
  }

  /** Findings against what was acknowledged before the call; the loops may go on. */
  async judge(): Promise<string[]> {
    const address = this.#address;
    const findings: string[] = [];
    const topics = this.topics.promises();
    const listed = await insist(address, PATIENCE_MS, (wire) =>
      within(wire.send(MetadataApi, 8, makeMetadataRequest({ topics: null }))),
    );
    findings.push(
      ...this.topics.check(new Set(listed.topics.map(({ name }) => name ?? "")), topics),
    );
    const commits = this.commits.promises();
    if (commits.size > 0) {
      const [held = -1] = await readCommitted(address, `${this.#name}-bare`, this.#name, 1);
      findings.push(...this.commits.check(0, held, commits).map((text) => `bare group: ${text}`));
    }
    for (const [kind, checker] of [
      ["trimmed", this.trimmed],
      ["retained", this.retained],
    ] as const) {
      const promised = checker.promises();
      const { start, log } = await readTrimmedLog(address, `${this.#name}-${kind}`, 0);
      this.#starts.set(kind, start);
      findings.push(...checker.check(start, log, promised).map((text) => `${kind}: ${text}`));
    }
    return findings;
  }

  async #repeat(work: (wire: Wire) => Promise<void>): Promise<void> {
    while (!this.#isStopping) {
      try {
        using wire = await within(Wire.connect(this.#address, "crash-side"));
        while (!this.#isStopping) await work(wire);
      } catch {
        await Bun.sleep(20);
      }
    }
  }

  #topicNumber = 0;

  async #changeTopics(wire: Wire): Promise<void> {
    // Made by one turn, deleted two turns later, so that some always are.
    const name = `${this.#name}-side-${this.#topicNumber}`;
    this.topics.changing(name);
    await createTopic(this.#address, name, 2);
    this.topics.acknowledged(name, true);
    this.#topicChanges += 1;
    const old = `${this.#name}-side-${this.#topicNumber - 3}`;
    if (this.#topicNumber >= 3 && this.#topicNumber % 4 !== 0) {
      this.topics.changing(old);
      const request = makeDeleteTopicsRequest({ topicNames: [old], timeoutMs: 10_000 });
      const answer = await within(wire.send(DeleteTopicsApi, 4, request));
      const code = answer.responses[0]?.errorCode ?? -1;
      if (code !== 0 && code !== 3) throw new Error(`DeleteTopics: error ${code}`);
      this.topics.acknowledged(old, false);
      this.#topicChanges += 1;
    }
    this.#topicNumber += 1;
    await Bun.sleep(60);
  }

  #commitOffset = 0;

  async #commit(wire: Wire): Promise<void> {
    const groupId = `${this.#name}-bare`;
    const offset = this.#commitOffset;
    this.commits.sending(0, offset);
    const partitions = [
      makeOffsetCommitRequestPartition({ partitionIndex: 0, committedOffset: offset }),
    ];
    const topics = [makeOffsetCommitRequestTopic({ name: this.#name, partitions })];
    const answer = await within(
      wire.send(OffsetCommitApi, 7, makeOffsetCommitRequest({ groupId, topics })),
    );
    const code = answer.topics[0]?.partitions[0]?.errorCode ?? -1;
    if (code === 16)
      await within(wire.send(FindCoordinatorApi, 2, makeFindCoordinatorRequest({ key: groupId })));
    if (code !== 0) throw new Error(`OffsetCommit: error ${code}`);
    this.commits.acknowledged(0, offset);
    this.#commitOffset += 1;
    this.#commitCount += 1;
    await Bun.sleep(2);
  }

  async #append(wire: Wire, kind: string, checker: TrimChecker, bytes: number): Promise<void> {
    const number = checker.sending();
    const value = Buffer.from(`t/${number}/${"·".repeat(bytes / 2)}`);
    const records = encodeRecordBatch({ timestamp: Date.now(), records: [{ key: null, value }] });
    const partitionData = [makePartitionProduceData({ index: 0, records })];
    const topicData = [makeTopicProduceData({ name: `${this.#name}-${kind}`, partitionData })];
    const request = makeProduceRequest({ acks: -1, timeoutMs: 10_000, topicData });
    const answer = await within(wire.send(ProduceApi, 8, request));
    const found = answer.responses[0]?.partitionResponses[0];
    if (found?.errorCode !== 0) throw new Error(`Produce: error ${found?.errorCode}`);
    checker.acknowledged(number, found.baseOffset);
    await Bun.sleep(5);
  }

  async #deleteRecords(wire: Wire): Promise<void> {
    const count = this.trimmed.acknowledgedCount;
    const offset = Math.max(0, count - 20);
    this.trimmed.trimming(offset);
    const request = makeDeleteRecordsRequest({
      topics: [{ name: `${this.#name}-trimmed`, partitions: [{ partitionIndex: 0, offset }] }],
      timeoutMs: 10_000,
    });
    await within(wire.send(DeleteRecordsApi, 1, request));
    await Bun.sleep(100);
  }
}
