/** Produce, Fetch, ListOffsets and DeleteRecords where partitions have several replicas, over the native log in memory. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { PartitionHandle } from "#log/log.ts";
import type { Replication } from "#log/replication.ts";
import { makeDeleteRecordsRequest } from "#protocol/generated/delete-records.ts";
import {
  type FetchPartition,
  type FetchRequest,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
  makeReplicaState,
} from "#protocol/generated/fetch.ts";
import {
  makeListOffsetsPartition,
  makeListOffsetsRequest,
} from "#protocol/generated/list-offsets.ts";
import {
  makeOffsetForLeaderEpochRequest,
  makeOffsetForLeaderPartition,
} from "#protocol/generated/offset-for-leader-epoch.ts";
import { makeProduceRequest } from "#protocol/generated/produce.ts";
import { FollowerSync } from "#replica/follower-sync.ts";
import { PartitionDirectory } from "#replica/partition-directory.ts";
import { ReplicaManager } from "#replica/replica-manager.ts";
import { DEFAULT_QUOTA_WINDOWS, ReplicationQuota } from "#replica/replication-quota.ts";
import { FetchSessionCache } from "#server/fetch-session.ts";
import { type RequestContext, SlicedResponse } from "#server/handler.ts";
import { createDeleteRecordsHandler } from "#server/handlers/delete-records.ts";
import { createFetchHandler } from "#server/handlers/fetch.ts";
import { createListOffsetsHandler } from "#server/handlers/list-offsets.ts";
import { createOffsetForLeaderEpochHandler } from "#server/handlers/offset-for-leader-epoch.ts";
import { createProduceHandler } from "#server/handlers/produce.ts";
import { ManualTime } from "../../../support/manual-time.ts";
import { viewOf } from "../../../support/replication-view.ts";
import { batchOf, openStore, type TestStore } from "../../log/store.ts";

const TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAQ";
const LEADER_EPOCH = 4;
const CLIENT = -1;

let opened: TestStore;
let time: ManualTime;
let directory: PartitionDirectory;
let replicas: ReplicaManager;
let handle: PartitionHandle;

/** Broker 1 of 1, 2, 3; partition t-0 is made anew, with this role. */
async function begin(isr: readonly number[], minInsyncReplicas = 1): Promise<void> {
  await end();
  opened = await openStore({ inMemory: true });
  time = new ManualTime(Date.now());
  directory = new PartitionDirectory();
  replicas = new ReplicaManager(opened.store, time, time);
  handle = opened.store.createPartition({
    topic: "t",
    partition: 0,
    topicId: TOPIC_ID,
    config: { minInsyncReplicas },
  });
  lead(LEADER_EPOCH, isr);
}

async function end(): Promise<void> {
  replicas?.close();
  await opened?.store.close();
}

function lead(leaderEpoch: number, isr: readonly number[], partitionEpoch = 0): void {
  const replication: Replication = {
    partitionEpoch,
    nodeId: 1,
    replicas: [1, 2, 3],
    isr,
    lagTimeMaxMs: 30_000,
    nowMs: time.nowMs(),
  };
  opened.store.setLeader(handle, leaderEpoch, replication);
  tell(leaderEpoch, null);
}

function follow(leaderEpoch: number, leaderId: number): void {
  opened.store.setFollower(handle, leaderEpoch, leaderId);
  tell(leaderEpoch, leaderId);
}

function tell(leaderEpoch: number, otherLeader: number | null): void {
  directory.apply({
    kind: "topic",
    name: "t",
    topicId: TOPIC_ID,
    partitions: [{ index: 0, handle, leaderEpoch, otherLeader }],
  });
}

beforeEach(() => begin([1, 2]));
afterEach(end);

function contextOf(apiVersion: number, peerNodeId: number = CLIENT): RequestContext {
  return {
    apiKey: 0,
    apiVersion,
    correlationId: 1,
    clientId: "c",
    connection: {
      id: 1,
      listenerName: "PLAINTEXT",
      localHost: "127.0.0.1",
      localPort: 9092,
      clientHost: "127.0.0.1",
      clientPort: 50000,
      clientSoftwareName: "unknown",
      clientSoftwareVersion: "unknown",
      peerNodeId,
    },
    receivedMonotonicMs: 0,
  };
}

interface Produced {
  readonly errorCode: number;
  readonly currentLeader: { readonly leaderId: number; readonly leaderEpoch: number };
}

/** Produces a record; settles with the partition's answer and the endpoints beside it. */
async function produce(
  acks: number,
  timeoutMs = 1000,
  apiVersion = 12,
): Promise<Produced & { ports: number[] }> {
  const handler = createProduceHandler({
    directory,
    replicas,
    view: viewOf(1),
    isInternalTopic: () => false,
  });
  const request = makeProduceRequest({
    acks,
    timeoutMs,
    topicData: [
      {
        name: "t",
        topicId: TOPIC_ID,
        partitionData: [{ index: 0, records: batchOf("value") }],
      },
    ],
  });
  const answer = await handler.handle(request, contextOf(apiVersion));
  if (answer === null || typeof answer !== "object" || !("responses" in answer))
    throw new Error("no answer");
  const [partition] = answer.responses[0]?.partitionResponses ?? [];
  if (partition === undefined) throw new Error("no partition");
  return { ...partition, ports: answer.nodeEndpoints.map(({ port }) => port) };
}

interface Fetched {
  readonly errorCode: number;
  readonly highWatermark: number;
  readonly bytes: number;
  readonly preferredReadReplica: number;
  readonly currentLeader: { readonly leaderId: number; readonly leaderEpoch: number };
  readonly ports: number[];
}

async function fetch(
  fetchOffset: number,
  apiVersion: number,
  options: {
    readonly peerNodeId?: number;
    readonly request?: Partial<FetchRequest>;
    readonly partition?: Partial<FetchPartition>;
    readonly racks?: Record<number, string>;
  } = {},
): Promise<Fetched> {
  const handler = createFetchHandler({
    directory,
    replicas,
    sessions: new FetchSessionCache(10, 1000, { next: () => 0.5, uuid: () => "" }),
    fetchMaxBytes: 1 << 20,
    view: viewOf(1, options.racks),
  });
  const request = makeFetchRequest({
    sessionEpoch: -1,
    maxBytes: 1 << 20,
    minBytes: 1,
    ...options.request,
    topics: [
      makeFetchTopic({
        topic: "t",
        topicId: TOPIC_ID,
        partitions: [
          makeFetchPartition({
            partition: 0,
            fetchOffset,
            partitionMaxBytes: 1 << 20,
            ...options.partition,
          }),
        ],
      }),
    ],
  });
  const answer = await handler.handle(request, contextOf(apiVersion, options.peerNodeId));
  const response = answer instanceof SlicedResponse ? answer.response : answer;
  if (answer instanceof SlicedResponse) replicas.drop(answer.plan);
  if (response === null || typeof response !== "object" || !("responses" in response)) {
    throw new Error("no answer");
  }
  const [partition] = response.responses[0]?.partitions ?? [];
  if (partition === undefined) throw new Error("no partition");
  const { records } = partition;
  const bytes = records instanceof Uint8Array ? records.length : (records?.lengthBytes ?? 0);
  return { ...partition, bytes, ports: response.nodeEndpoints.map(({ port }) => port) };
}

/** A fetch of replica `id`, as a node sends it. */
function fetchAs(
  id: number,
  fetchOffset: number,
  request: Partial<FetchRequest> = {},
  partition: Partial<FetchPartition> = {},
): Promise<Fetched> {
  return fetch(fetchOffset, 18, {
    peerNodeId: id,
    request: { replicaState: makeReplicaState({ replicaId: id, replicaEpoch: 1 }), ...request },
    partition: { currentLeaderEpoch: LEADER_EPOCH, logStartOffset: 0, ...partition },
  });
}

/** What a promise has settled with by now, undefined for nothing. */
async function soFar<T>(promise: Promise<T>): Promise<T | undefined> {
  const nothing = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 5));
  return Promise.race([promise, nothing]);
}

describe("a throttled replica", () => {
  let quota = new ReplicationQuota();
  beforeEach(() => {
    quota = new ReplicationQuota();
  });
  const throttle = (topics: ReadonlyMap<string, "all">): void =>
    directory.apply({
      kind: "throttled",
      topics,
      windows: DEFAULT_QUOTA_WINDOWS,
      memory: quota.memory,
    });

  test("gets no records while the quota is exceeded, and its progress counts", async () => {
    await begin([1, 2]);
    await produce(1);
    throttle(new Map([["t", "all"]]));
    quota.limit = 1;
    const sent = (await fetchAs(3, 0)).bytes;
    expect(sent).toBeGreaterThan(1);
    expect(quota.rate(replicas.nowMs)).toBe(sent);
    await produce(1);
    expect(await fetchAs(3, 1)).toMatchObject({ errorCode: 0, bytes: 0 });
    expect(new FollowerSync(opened.store).isInSync(handle, 3, replicas.nowMs)).toBe(false);
    // The fetch counted: with the other follower at the end, nothing holds the records back.
    await fetchAs(2, 2);
    expect(opened.store.stateOf(handle)?.highWatermark).toBe(1);
    quota.limit = Number.POSITIVE_INFINITY;
    expect((await fetchAs(3, 1)).bytes).toBe(sent);
    quota.limit = 1;
    throttle(new Map());
    expect(directory.throttle).toBeNull();
    expect((await fetchAs(3, 1)).bytes).toBe(sent);
  });

  test("in sync is not held back, for acks=all waits for it", async () => {
    await begin([1, 2]);
    throttle(new Map([["t", "all"]]));
    quota.limit = 1;
    quota.record(1e9, replicas.nowMs);
    const produced = produce(-1);
    expect((await fetchAs(2, 0)).bytes).toBeGreaterThan(0);
    await fetchAs(2, 1);
    expect((await produced).errorCode).toBe(0);
  });

  test("waits out its time although records come", async () => {
    await begin([1, 2]);
    throttle(new Map([["t", "all"]]));
    quota.limit = 1;
    quota.record(1e9, replicas.nowMs);
    const waiting = fetchAs(3, 0, { maxWaitMs: 50 });
    await produce(1);
    expect(await soFar(waiting)).toBeUndefined();
    time.advance(60);
    expect((await waiting).bytes).toBe(0);
  });
});

describe("acks=all", () => {
  test("is answered when every member of the ISR has the record, and consumers see it then", async () => {
    const produced = produce(-1);
    expect(await soFar(produced)).toBeUndefined();
    expect((await fetch(0, 12)).bytes).toBe(0);
    expect((await fetchAs(3, 0)).bytes).toBeGreaterThan(0);
    await fetchAs(3, 1);
    expect((await fetchAs(2, 0)).bytes).toBeGreaterThan(0);
    expect(await soFar(produced)).toBeUndefined();
    expect((await fetchAs(2, 1)).highWatermark).toBe(1);
    expect((await produced).errorCode).toBe(0);
    expect((await fetch(0, 12)).bytes).toBeGreaterThan(0);
    expect(replicas.watchedCount).toBe(0);
  });

  test("with the leader alone in the ISR needs nobody, and no disk", async () => {
    lead(LEADER_EPOCH, [1], 1);
    expect((await produce(-1)).errorCode).toBe(0);
  });

  test("is refused when the ISR is too small, and acks=1 is not", async () => {
    await begin([1], 2);
    expect((await produce(-1)).errorCode).toBe(19);
    expect((await produce(1)).errorCode).toBe(0);
    expect(opened.store.stateOf(handle)).toMatchObject({ logEndOffset: 1, highWatermark: 0 });
  });

  test("times out with the client's patience", async () => {
    const produced = produce(-1, 250);
    time.advance(249);
    expect(await soFar(produced)).toBeUndefined();
    time.advance(1);
    expect((await produced).errorCode).toBe(7);
  });

  test("tells when the ISR became too small after the records were in it", async () => {
    await begin([1, 2], 2);
    const produced = produce(-1);
    await fetchAs(2, 1);
    lead(LEADER_EPOCH, [1], 1);
    expect((await produced).errorCode).toBe(20);
  });

  test("ends with the leadership, and names the new leader", async () => {
    const produced = produce(-1);
    follow(5, 2);
    const { errorCode, currentLeader, ports } = await produced;
    expect({ errorCode, currentLeader, ports }).toEqual({
      errorCode: 6,
      currentLeader: { leaderId: 2, leaderEpoch: 5 },
      ports: [9093],
    });
    const refused = await produce(1);
    expect([refused.errorCode, refused.currentLeader.leaderId]).toEqual([6, 2]);
    const old = await produce(1, 1000, 9);
    expect([old.errorCode, old.ports]).toEqual([6, []]);
  });

  test("is not answered by records that another leader put there meanwhile", async () => {
    const produced = produce(-1);
    follow(5, 2);
    expect(opened.store.followerTruncate(handle, 5, 0)).toBe(0);
    // Led again, with other records at the same offset, before anybody looked.
    lead(6, [1], 2);
    await produce(1);
    expect((await produced).errorCode).toBe(6);
  });
});

describe("Fetch", () => {
  test("of a client that calls itself a replica is refused and counted", async () => {
    void produce(1);
    const request = { replicaState: makeReplicaState({ replicaId: 2, replicaEpoch: 1 }) };
    const partition = { currentLeaderEpoch: LEADER_EPOCH };
    expect((await fetch(1, 18, { request, partition })).errorCode).toBe(75);
    expect((await fetch(1, 18, { request })).errorCode).toBe(6);
    expect((await fetch(1, 18, { request, peerNodeId: 3 })).errorCode).toBe(6);
    expect(replicas.refusedReplicaFetchCount).toBe(3);
    expect(opened.store.stateOf(handle)?.highWatermark).toBe(0);
  });

  test("of a replica waits for records, and hears of a higher high watermark only if it asked", async () => {
    const waiting = { maxWaitMs: 500 };
    const quiet = fetchAs(3, 0, waiting);
    const curious = fetchAs(2, 0, waiting, { highWatermark: 0 });
    expect(await soFar(quiet)).toBeUndefined();
    await produce(1);
    expect((await quiet).bytes).toBeGreaterThan(0);
    expect((await curious).bytes).toBeGreaterThan(0);
    const next = fetchAs(3, 1, waiting);
    const eager = fetchAs(3, 1, waiting, { highWatermark: 0 });
    expect(await soFar(eager)).toBeUndefined();
    await fetchAs(2, 1);
    expect((await eager).highWatermark).toBe(1);
    expect(await soFar(next)).toBeUndefined();
    time.advance(500);
    expect((await next).highWatermark).toBe(1);
  });

  test("that waits is answered when the leader changes", async () => {
    const request = { maxWaitMs: 500 };
    const old = fetch(0, 10, { request });
    const known = fetch(0, 16, { request, partition: { currentLeaderEpoch: LEADER_EPOCH } });
    const replica = fetchAs(2, 0, request);
    follow(5, 2);
    expect((await old).errorCode).toBe(6);
    const { errorCode, currentLeader, ports } = await known;
    expect({ errorCode, currentLeader, ports }).toEqual({
      errorCode: 74,
      currentLeader: { leaderId: 2, leaderEpoch: 5 },
      ports: [9093],
    });
    expect(await replica).toMatchObject({
      errorCode: 74,
      currentLeader: { leaderId: 2 },
      ports: [],
    });
  });

  test("from a follower is served below its high watermark, to clients that may", async () => {
    follow(5, 2);
    const out = new Float64Array(4);
    const records = batchOf("value");
    // As the leader stamps it.
    new DataView(records.buffer, records.byteOffset).setInt32(12, 5);
    expect(opened.store.followerAppend(handle, records, 5, 0, 0, 0, out)).toBe(0);
    expect([...out]).toEqual([1, 0, 0, 5]);
    expect((await fetch(0, 12)).bytes).toBe(0);
    expect(opened.store.followerAppend(handle, new Uint8Array(0), 5, 9, 0, 0, out)).toBe(0);
    expect(out[1]).toBe(1);
    expect((await fetch(0, 12)).bytes).toBeGreaterThan(0);
    expect((await fetch(0, 10)).errorCode).toBe(6);
    expect((await fetchAs(3, 0, {}, { currentLeaderEpoch: 5 })).errorCode).toBe(6);
  });

  test("of a consumer is sent to the replica in its rack that has come furthest", async () => {
    await begin([1, 2, 3]);
    const racks = { 1: "a", 2: "b", 3: "b" };
    await produce(1);
    const consume = (rackId: string): Promise<Fetched> =>
      fetch(0, 12, { racks, request: { rackId } });
    await fetchAs(2, 0);
    expect((await consume("b")).preferredReadReplica).toBe(2);
    await fetchAs(3, 1);
    expect(await consume("b")).toMatchObject({ preferredReadReplica: 3, bytes: 0, errorCode: 0 });
    await fetchAs(2, 1);
    for (const rackId of ["a", "", "elsewhere"]) {
      expect(await consume(rackId)).toMatchObject({ preferredReadReplica: -1, highWatermark: 1 });
    }
    expect((await fetch(0, 12, { request: { rackId: "b" } })).preferredReadReplica).toBe(-1);
    lead(LEADER_EPOCH, [1], 1);
    expect((await consume("b")).preferredReadReplica).toBe(-1);
  });

  test("of a partition that only others have names its leader", async () => {
    directory.apply({
      kind: "topic",
      name: "t",
      topicId: TOPIC_ID,
      partitions: [{ index: 0, handle: -1, leaderEpoch: 7, otherLeader: 3 }],
    });
    expect(await fetch(0, 17)).toMatchObject({
      errorCode: 6,
      currentLeader: { leaderId: 3, leaderEpoch: 7 },
      ports: [9094],
    });
    expect(await produce(1)).toMatchObject({ errorCode: 6, currentLeader: { leaderId: 3 } });
  });
});

describe("ListOffsets", () => {
  function latest(apiVersion: number, replicaId = -1, peerNodeId = CLIENT): [number, number] {
    const handler = createListOffsetsHandler({ directory, log: opened.store, replicas });
    const answer = handler.handle(
      makeListOffsetsRequest({
        replicaId,
        topics: [{ name: "t", partitions: [makeListOffsetsPartition({ timestamp: -1 })] }],
      }),
      contextOf(apiVersion, peerNodeId),
    );
    if (answer === null || typeof answer !== "object" || !("topics" in answer))
      throw new Error("late");
    const [partition] = answer.topics[0]?.partitions ?? [];
    return [partition?.errorCode ?? -1, partition?.offset ?? -1];
  }

  test("tells clients of the high watermark and replicas of the log end", async () => {
    await produce(1);
    expect(latest(7)).toEqual([0, 0]);
    expect(latest(7, 2, 2)).toEqual([0, 1]);
    expect(latest(7, 2)).toEqual([0, 0]);
    await fetchAs(2, 1);
    expect(latest(7)).toEqual([0, 1]);
  });

  test("tells whoever debugs of the log end, on every replica", async () => {
    await produce(1);
    expect([latest(7), latest(7, -2)]).toEqual([
      [0, 0],
      [0, 1],
    ]);
    follow(6, 2);
    expect([latest(7), latest(7, -2)]).toEqual([
      [6, -1],
      [0, 1],
    ]);
  });

  test("has no answer while a new leader does not know what was committed", async () => {
    await produce(1);
    lead(5, [1, 2]);
    expect([latest(7), latest(4)]).toEqual([
      [78, -1],
      [5, -1],
    ]);
    follow(6, 2);
    expect(latest(7)).toEqual([6, -1]);
  });
});

test("OffsetForLeaderEpoch is the leader's to answer", () => {
  follow(5, 2);
  const handler = createOffsetForLeaderEpochHandler({ directory, log: opened.store });
  const partition = makeOffsetForLeaderPartition({ partition: 0, leaderEpoch: 4 });
  const request = makeOffsetForLeaderEpochRequest({
    topics: [{ topic: "t", partitions: [partition] }],
  });
  expect(handler.handle(request, contextOf(4))).toMatchObject({
    topics: [{ partitions: [{ errorCode: 6 }] }],
  });
});

describe("DeleteRecords", () => {
  async function deleteBefore(offset: number): Promise<[number, number]> {
    const handler = createDeleteRecordsHandler({
      directory,
      replicas,
      log: opened.store,
      isInternalTopic: () => false,
    });
    const request = makeDeleteRecordsRequest({
      timeoutMs: 300,
      topics: [{ name: "t", partitions: [{ partitionIndex: 0, offset }] }],
    });
    const answer = await handler.handle(request, contextOf(2));
    if (answer === null || typeof answer !== "object" || !("topics" in answer))
      throw new Error("late");
    const [partition] = answer.topics[0]?.partitions ?? [];
    return [partition?.errorCode ?? -1, partition?.lowWatermark ?? -1];
  }

  test("waits for the replicas that live", async () => {
    opened.store.setBrokers([
      { id: 2, epoch: 1, isEligible: true },
      { id: 3, epoch: 1, isEligible: false },
    ]);
    await produce(1);
    expect(await deleteBefore(1)).toEqual([1, -1]);
    await fetchAs(2, 1);
    const deleted = deleteBefore(1);
    expect(await soFar(deleted)).toBeUndefined();
    await fetchAs(2, 1, {}, { logStartOffset: 1 });
    expect(await deleted).toEqual([0, 1]);
    await produce(1);
    await fetchAs(2, 2, {}, { logStartOffset: 1 });
    const late = deleteBefore(-1);
    time.advance(300);
    expect(await late).toEqual([7, -1]);
    const refused = deleteBefore(-1);
    follow(5, 2);
    expect((await refused)[0]).toBe(6);
    expect((await deleteBefore(-1))[0]).toBe(6);
  });
});
