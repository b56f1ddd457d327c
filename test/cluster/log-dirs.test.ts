/**
 * Three processes, one of them with two log directories. A replica moves from one to the other while it leads, the controller learns where it is, and
 * when that directory fails, what was led in it is led by others, what was moved there included; the rest of the broker goes on (KIP-858).
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeBrokers } from "#client/cluster-info.ts";
import { Cluster } from "#client/cluster.ts";
import { ErrorCode } from "#common/error-code.ts";
import {
  AlterReplicaLogDirsApi,
  makeAlterReplicaLogDirsRequest,
} from "#protocol/generated/alter-replica-log-dirs.ts";
import {
  CreateTopicsApi,
  makeCreatableReplicaAssignment,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  DescribeLogDirsApi,
  makeDescribeLogDirsRequest,
} from "#protocol/generated/describe-log-dirs.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { mortalDisk, shutDown } from "../disk-full/small-disk.ts";
import { sluiceCluster } from "../support/cluster-process.ts";
import { CLUSTER_PATIENCE_MS, waitForNodes } from "../support/cluster-questions.ts";

const TOPIC = "t";
const ELSEWHERE = "elsewhere";
const PARTITIONS = 4;
/** The node with two directories. */
const NODE = 2;

/** The partition as everybody sees it. */
interface Seen {
  readonly leader: number;
  readonly isr: readonly number[];
}

test("a failed directory gives up what it led, and nothing else", async () => {
  const disk = await mortalDisk();
  if (typeof disk === "string") {
    console.log(`skipped: ${disk}`);
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), "sluice-log-dirs-"));
  const good = join(directory, "good");
  const mortal = join(disk.path, "data");
  const cluster = await sluiceCluster({
    directory,
    overrides: { "sluice.admin.listener": "" },
    overridesOf: ({ id }) => (id === NODE ? { "log.dirs": `${good},${mortal}` } : {}),
  });
  let client: Cluster | null = null;
  try {
    await cluster.start();
    const connected = await Cluster.connect({
      bootstrap: cluster.nodes.map(({ port }) => ({ host: "127.0.0.1", port })),
      retryTimeoutMs: CLUSTER_PATIENCE_MS,
    });
    client = connected;
    const waitFor = (what: string, isReached: () => Promise<boolean>): Promise<void> =>
      waitForNodes(cluster.nodes, what, isReached);
    await waitFor("three brokers in service", async () => {
      const brokers = await describeBrokers(connected).catch(() => []);
      return brokers.filter(({ isFenced }) => !isFenced).length === 3;
    });
    const seen = async (): Promise<Seen[]> => {
      const topics = await connected.listTopics().catch(() => []);
      return topics.find(({ name }) => name === TOPIC)?.partitions.map((row) => row) ?? [];
    };
    /** Directory of each partition on the node; `*` for one on its way. */
    const places = async (): Promise<Map<string, string>> => {
      const connection = await connected.node(NODE);
      const request = makeDescribeLogDirsRequest({ topics: null });
      const { results } = await connection.send(DescribeLogDirsApi, request);
      return new Map(
        results.flatMap(({ logDir, topics }) =>
          topics.flatMap(({ name, partitions }) =>
            partitions.map(({ partitionIndex, isFutureKey }): [string, string] => [
              `${name}-${partitionIndex}${isFutureKey ? "*" : ""}`,
              logDir,
            ]),
          ),
        ),
      );
    };
    const move = async (name: string, partition: number, path: string): Promise<number> => {
      const connection = await connected.node(NODE);
      const dirs = [{ path, topics: [{ name, partitions: [partition] }] }];
      const answer = await connection.send(
        AlterReplicaLogDirsApi,
        makeAlterReplicaLogDirsRequest({ dirs }),
      );
      return answer.results[0]?.partitions[0]?.errorCode ?? -1;
    };
    /** Writes to a partition, on whoever leads it. */
    const write = async (partition: number): Promise<number> => {
      const leader = (await seen())[partition]?.leader ?? -1;
      if (leader < 0) return -1;
      const records = encodeRecordBatch({
        timestamp: Date.now(),
        records: [{ key: null, value: Buffer.from("value") }],
      });
      const partitionData = [makePartitionProduceData({ index: partition, records })];
      const topicData = [makeTopicProduceData({ name: TOPIC, partitionData })];
      const connection = await connected.node(leader);
      const request = makeProduceRequest({ acks: -1, timeoutMs: 10_000, topicData });
      const answer = await connection.sendAt(ProduceApi, 9, request);
      return answer.responses[0]?.partitionResponses[0]?.errorCode ?? -1;
    };

    const assignments = Array.from({ length: PARTITIONS }, (_, partitionIndex) =>
      makeCreatableReplicaAssignment({ partitionIndex, brokerIds: [NODE, 1, 3] }),
    );
    const elsewhere = [makeCreatableReplicaAssignment({ partitionIndex: 0, brokerIds: [1] })];
    const topics = [
      makeCreatableTopic({ name: TOPIC, numPartitions: -1, replicationFactor: -1, assignments }),
      makeCreatableTopic({
        name: ELSEWHERE,
        numPartitions: -1,
        replicationFactor: -1,
        assignments: elsewhere,
      }),
    ];
    await (await connected.any()).send(CreateTopicsApi, makeCreateTopicsRequest({ topics }));
    await waitFor("all replicas in sync", async () => {
      const rows = await seen();
      return rows.length === PARTITIONS && rows.every(({ isr }) => isr.length === 3);
    });
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      expect(await write(partition)).toBe(0);
    }
    expect(await move(ELSEWHERE, 0, good)).toBe(ErrorCode.REPLICA_NOT_AVAILABLE);
    expect(await move("none", 0, good)).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);

    const placed = await places();
    const isIn = (dir: string) => (partition: number) =>
      placed.get(`${TOPIC}-${partition}`) === dir;
    const all = Array.from({ length: PARTITIONS }, (_, partition) => partition);
    const [moved = -1, ...kept] = all.filter(isIn(good));
    const led = all.filter(isIn(mortal));
    expect([moved >= 0, kept.length > 0, led.length > 0]).toEqual([true, true, true]);
    expect(await move(TOPIC, moved, mortal)).toBe(0);
    await waitFor("the replica is in the other directory", async () => {
      const now = await places();
      return now.get(`${TOPIC}-${moved}`) === mortal && !now.has(`${TOPIC}-${moved}*`);
    });
    expect(await write(moved)).toBe(0);
    // The controller is told within a second or two; nobody can see when.
    await Bun.sleep(3_000);

    await shutDown(disk);
    await write(led[0] ?? -1);
    await waitFor("the failed directory leads nothing, and is in sync with nothing", async () => {
      const rows = await seen();
      return [moved, ...led].every((partition) => {
        const row = rows[partition];
        return (
          row !== undefined && row.leader > 0 && row.leader !== NODE && !row.isr.includes(NODE)
        );
      });
    });
    const rows = await seen();
    expect(kept.map((partition) => rows[partition]?.leader)).toEqual(kept.map(() => NODE));
    for (const partition of all)
      await waitFor(
        `records in partition ${partition}`,
        async () => (await write(partition)) === 0,
      );
  } finally {
    client?.close();
    await cluster.stop("SIGKILL");
    await disk.remove();
    rmSync(directory, { recursive: true, force: true });
  }
}, 120_000);
