/**
 * The load between two power cuts, and what it was promised. Nothing is retried: a producer whose connection fails is done, so each batch is
 * either acknowledged once or of unknown fate. Beside records it makes and deletes topics, commits offsets and draws producer ids, because those are
 * promised as well. A tenth of the batches is sent twice at once: the answer to the copy must not be quicker than the disk.
 */
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreatableTopicConfig,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import { DeleteTopicsApi, makeDeleteTopicsRequest } from "#protocol/generated/delete-topics.ts";
import {
  FindCoordinatorApi,
  makeFindCoordinatorRequest,
} from "#protocol/generated/find-coordinator.ts";
import {
  InitProducerIdApi,
  makeInitProducerIdRequest,
} from "#protocol/generated/init-producer-id.ts";
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
import { CommitChecker, LogChecker } from "../crash/checkers.ts";
import { insist } from "../crash/load.ts";
import { Wire } from "../differential/wire.ts";

const IN_FLIGHT = 4;
const START_TIMEOUT_MS = 60_000;

/** An acknowledgement: when it arrived, and for what. */
export interface Acknowledgement {
  readonly atMs: number;
  readonly producer: string;
  readonly partition: number;
  readonly first: number;
  readonly last: number;
}

/** One topic besides the main one; its fate as far as the broker told. */
interface SideTopic {
  readonly name: string;
  isCreated: boolean;
  isDeleting: boolean;
  isDeleted: boolean;
}

/** What the load of one round is to be. */
export interface LoadOptions {
  readonly address: string;
  readonly topic: string;
  readonly group: string;
  readonly partitions: number;
  readonly producers: number;
  readonly acks: 1 | -1;
  /** 1 MiB unless given. A segment that is rolled is synced, whatever the policy. */
  readonly segmentBytes?: number;
  readonly random: () => number;
}

/** The load of one round. */
export class PowerLoad {
  readonly log: LogChecker = new LogChecker();
  readonly commits: CommitChecker = new CommitChecker();
  readonly acknowledgements: Acknowledgement[] = [];
  readonly producerIds: bigint[] = [];
  readonly sideTopics: SideTopic[] = [];
  /** Error codes other than NONE, with how often they came. */
  readonly refusals: Map<number, number> = new Map<number, number>();
  clusterId: string | null = null;
  /** Called with each acknowledgement. */
  onAcknowledged: (count: number) => void = () => {};
  readonly #options: LoadOptions;
  readonly #wires: Wire[] = [];
  #isStopped = false;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  /** Acknowledged records so far. */
  get acknowledged(): number {
    return this.log.acknowledgedCount;
  }

  /** Makes the topic and starts everything; resolves once the load runs. */
  async start(): Promise<void> {
    const { address, topic, group, partitions, producers } = this.#options;
    await insist(address, START_TIMEOUT_MS, (wire) =>
      createTopic(wire, topic, partitions, this.#options.segmentBytes),
    );
    const metadata = await insist(address, START_TIMEOUT_MS, (wire) =>
      wire.send(MetadataApi, 8, makeMetadataRequest({ topics: [] })),
    );
    this.clusterId = metadata.clusterId;
    // Asking for the coordinator makes its topic; only an accepted commit says that it is there.
    await insist(address, START_TIMEOUT_MS, async (wire) => {
      await wire.send(FindCoordinatorApi, 2, makeFindCoordinatorRequest({ key: group }));
      await this.#commit(wire, 0);
    });
    const started: Promise<void>[] = [];
    for (let at = 0; at < producers; at += 1) {
      const id = await insist(address, START_TIMEOUT_MS, drawProducerId);
      this.producerIds.push(id);
      started.push(this.#launch((wire) => this.#produce(wire, `p${at}`, id)));
    }
    started.push(
      this.#launch((wire) => this.#commitOn(wire)),
      this.#launch((wire) => this.#administer(wire)),
    );
    await Promise.all(started);
  }

  /** Ends all connections; whatever is unanswered stays so. */
  stop(): void {
    this.#isStopped = true;
    for (const wire of this.#wires) wire[Symbol.dispose]();
  }

  async #launch(work: (wire: Wire) => Promise<void>): Promise<void> {
    const wire = await Wire.connect(this.#options.address, "power-test");
    this.#wires.push(wire);
    // The end of the connection is the end of the work: that is what a power cut looks like from outside.
    void work(wire).catch(() => {});
  }

  #refused(code: number): void {
    this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1);
  }

  async #produce(wire: Wire, name: string, producerId: bigint): Promise<void> {
    const { random, topic, partitions, acks } = this.#options;
    const next = Array.from({ length: partitions }, () => 0);
    const answers: Promise<void>[] = [];
    while (!this.#isStopped) {
      const partition = Math.floor(random() * partitions);
      const first = next[partition] ?? 0;
      const count = 1 + Math.floor(random() * 8);
      const last = first + count - 1;
      next[partition] = last + 1;
      const padding = "·".repeat(Math.floor(random() * (random() < 0.1 ? 8_000 : 200)));
      const records = encodeRecordBatch({
        timestamp: Date.now(),
        producerId,
        producerEpoch: 0,
        baseSequence: first,
        records: Array.from({ length: count }, (_, at) => ({
          key: Buffer.from(name),
          value: Buffer.from(`${name}/${first + at}/${padding}`),
        })),
      });
      this.log.sending(name, partition, last);
      const send = async (): Promise<void> => {
        const partitionData = [makePartitionProduceData({ index: partition, records })];
        const request = makeProduceRequest({
          acks,
          timeoutMs: 10_000,
          topicData: [makeTopicProduceData({ name: topic, partitionData })],
        });
        const answer = await wire.send(ProduceApi, 8, request);
        const found = answer.responses[0]?.partitionResponses[0];
        if (found?.errorCode !== 0) {
          this.#refused(found?.errorCode ?? -1);
          throw new Error(`Produce: error ${found?.errorCode}`);
        }
        this.log.acknowledged(name, partition, first, last, found.baseOffset);
        this.acknowledgements.push({
          atMs: performance.now(),
          producer: name,
          partition,
          first,
          last,
        });
        this.onAcknowledged(this.acknowledgements.length);
      };
      const copies = random() < 0.1 ? 2 : 1;
      for (let copy = 0; copy < copies; copy += 1) {
        const answer = send();
        answer.catch(() => {});
        answers.push(answer);
      }
      while (answers.length >= IN_FLIGHT) await answers.shift();
    }
  }

  async #commit(wire: Wire, offset: number): Promise<void> {
    const { group, topic, partitions } = this.#options;
    const indexes = Array.from({ length: partitions }, (_, at) => at);
    for (const partition of indexes) this.commits.sending(partition, offset);
    const request = makeOffsetCommitRequest({
      groupId: group,
      topics: [
        makeOffsetCommitRequestTopic({
          name: topic,
          partitions: indexes.map((partitionIndex) =>
            makeOffsetCommitRequestPartition({ partitionIndex, committedOffset: offset }),
          ),
        }),
      ],
    });
    const answer = await wire.send(OffsetCommitApi, 7, request);
    for (const { partitionIndex, errorCode } of answer.topics[0]?.partitions ?? []) {
      if (errorCode !== 0) throw new Error(`OffsetCommit: error ${errorCode}`);
      this.commits.acknowledged(partitionIndex, offset);
    }
  }

  async #commitOn(wire: Wire): Promise<void> {
    for (let offset = 1; !this.#isStopped; offset += 1) await this.#commit(wire, offset);
  }

  async #administer(wire: Wire): Promise<void> {
    const { topic, random } = this.#options;
    for (let number = 0; !this.#isStopped; number += 1) {
      const side: SideTopic = {
        name: `${topic}-side-${number}`,
        isCreated: false,
        isDeleting: false,
        isDeleted: false,
      };
      this.sideTopics.push(side);
      await createTopic(wire, side.name, 1);
      side.isCreated = true;
      this.producerIds.push(await drawProducerId(wire));
      const old = this.sideTopics[number - 2];
      if (old !== undefined && random() < 0.7) {
        old.isDeleting = true;
        await deleteTopic(wire, old.name);
        old.isDeleted = true;
      }
      await Bun.sleep(random() * 40);
    }
  }
}

/** Makes a topic; one that is there already is fine. */
export async function createTopic(
  wire: Wire,
  name: string,
  numPartitions: number,
  segmentBytes: number = 1 << 20,
): Promise<void> {
  const configs = [
    makeCreatableTopicConfig({ name: "segment.bytes", value: String(segmentBytes) }),
  ];
  const topics = [makeCreatableTopic({ name, numPartitions, replicationFactor: 1, configs })];
  const request = makeCreateTopicsRequest({ topics, timeoutMs: 10_000 });
  const code = (await wire.send(CreateTopicsApi, 5, request)).topics[0]?.errorCode ?? -1;
  if (code !== 0 && code !== 36) throw new Error(`CreateTopics: error ${code}`);
}

/** Deletes a topic; one that is not there counts as deleted. */
export async function deleteTopic(wire: Wire, name: string): Promise<void> {
  const request = makeDeleteTopicsRequest({ topicNames: [name], timeoutMs: 10_000 });
  const code = (await wire.send(DeleteTopicsApi, 4, request)).responses[0]?.errorCode ?? -1;
  if (code !== 0 && code !== 3) throw new Error(`DeleteTopics: error ${code}`);
}

async function drawProducerId(wire: Wire): Promise<bigint> {
  const request = makeInitProducerIdRequest({
    transactionalId: null,
    transactionTimeoutMs: 60_000,
    producerId: -1n,
    producerEpoch: -1,
  });
  const answer = await wire.send(InitProducerIdApi, 4, request);
  if (answer.errorCode !== 0) throw new Error(`InitProducerId: error ${answer.errorCode}`);
  return answer.producerId;
}

/** The cluster's id and all its topics by name. */
export async function readTopics(
  address: string,
): Promise<{ clusterId: string | null; topics: ReadonlySet<string> }> {
  return await insist(address, START_TIMEOUT_MS, async (wire) => {
    const answer = await wire.send(MetadataApi, 8, makeMetadataRequest({ topics: null }));
    return {
      clusterId: answer.clusterId,
      topics: new Set(answer.topics.flatMap(({ name }) => (name === null ? [] : [name]))),
    };
  });
}
