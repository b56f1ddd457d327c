import { describe, expect, test } from "bun:test";
import { SILENT_LOGGER } from "#common/logger.ts";
import { ClusterDelta } from "#metadata/cluster-delta.ts";
import { type ClusterImage, EMPTY_IMAGE } from "#metadata/cluster-image.ts";
import { makePartitionChangeRecord } from "#protocol/generated/records/partition-change-record.ts";
import { makePartitionRecord } from "#protocol/generated/records/partition-record.ts";
import { makeRegisterBrokerRecord } from "#protocol/generated/records/register-broker-record.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import type { FollowerPartition } from "#replica/following/follower-partition.ts";
import { followingStatistics } from "#replica/following/following-statistics.ts";
import { IsrManager } from "#replica/following/isr-manager.ts";
import type { LocalReplica } from "#replica/following/ports.ts";
import { ReplicaPublisher } from "#replica/following/replica-publisher.ts";
import { makeLog, TOPIC_ID } from "./fixture.ts";
import type { ModelLog } from "../../../support/replication/model-log.ts";

const SELF = 1;

/** A publisher with everything it talks to, which notes what happens in which order. */
class PublisherUnderTest {
  readonly calls: string[] = [];
  readonly logs: Map<number, ModelLog> = new Map();
  readonly fetched: Map<string, FollowerPartition> = new Map();
  readonly isr = new IsrManager({
    nodeId: SELF,
    brokerEpoch: () => 10,
    events: { onChanged() {}, onRefused() {} },
  });
  image: ClusterImage = EMPTY_IMAGE;
  readonly publisher: ReplicaPublisher;

  constructor() {
    const { calls, fetched } = this;
    this.publisher = new ReplicaPublisher({
      nodeId: SELF,
      replicas: {
        find: (_topic, _topicId, partition) => this.#find(partition),
        setBrokers: (brokers) =>
          calls.push(
            `brokers ${brokers.map(({ id, epoch, isEligible }) => `${id}@${epoch}${isEligible ? "" : "!"}`).join(" ")}`,
          ),
      },
      fetchers: {
        add: (partition) => {
          const { leaderId, leaderEpoch } = partition.assignment;
          fetched.set(partition.key, partition);
          calls.push(`fetch from ${leaderId} in ${leaderEpoch}, offset ${partition.fetchOffset}`);
        },
        remove: (key) => {
          if (fetched.delete(key)) calls.push("fetch no more");
        },
        flush: () => {},
      },
      isr: this.isr,
      onIsrChange: () => {},
      events: { onTruncated() {}, onRestarted() {}, onFailed() {}, onRefused() {} },
      fetchBackoffMs: 100,
      logger: SILENT_LOGGER,
    });
  }

  #find(partition: number): LocalReplica | null {
    const log = this.logs.get(partition);
    if (log === undefined) return null;
    return {
      lead: (role) => {
        this.calls.push(
          `lead in ${role.leaderEpoch}/${role.partitionEpoch} isr ${role.isr.join(",")}`,
        );
        log.lead(role);
      },
      follow: (leaderEpoch, leaderId) => {
        this.calls.push(`follow ${leaderId} in ${leaderEpoch}`);
        log.follow(leaderEpoch, leaderId);
      },
      followerLog: log,
      leaderLog: log,
    };
  }

  /** Commits records; what that caused. */
  commit(...records: MetadataRecord[]): string[] {
    const delta = new ClusterDelta(this.image);
    for (const record of records) delta.replay(record);
    this.image = delta.apply(this.image.offset + 1, 1);
    this.calls.length = 0;
    this.publisher.onMetadataUpdate(delta, this.image);
    return [...this.calls];
  }
}

const topic: MetadataRecord = {
  kind: "TopicRecord",
  record: { name: "orders", topicId: TOPIC_ID },
};

function partition(leader: number, change: object = {}): MetadataRecord {
  const record = makePartitionRecord({
    partitionId: 0,
    topicId: TOPIC_ID,
    replicas: [1, 2, 3],
    isr: [1, 2, 3],
    leader,
    leaderEpoch: 0,
    partitionEpoch: 0,
    ...change,
  });
  return { kind: "PartitionRecord", record };
}

function change(fields: Parameters<typeof makePartitionChangeRecord>[0]): MetadataRecord {
  const record = makePartitionChangeRecord({ partitionId: 0, topicId: TOPIC_ID, ...fields });
  return { kind: "PartitionChangeRecord", record };
}

function setUp(leader: number): PublisherUnderTest {
  const whole = new PublisherUnderTest();
  whole.logs.set(0, makeLog("0 0"));
  whole.commit(topic, partition(leader));
  return whole;
}

describe("roles", () => {
  test("a leader leads, a follower follows and then is fetched for", () => {
    expect(setUp(SELF).calls).toEqual(["lead in 0/0 isr 1,2,3"]);
    expect(setUp(2).calls).toEqual(["follow 2 in 0", "fetch from 2 in 0, offset 2"]);
  });

  test("the fetcher lets go before the log is led", () => {
    const whole = setUp(2);
    expect(whole.commit(change({ leader: SELF }))).toEqual([
      "fetch no more",
      "lead in 1/1 isr 1,2,3",
    ]);
    expect(whole.fetched.size).toBe(0);
    expect(whole.commit(change({ leader: 3 }))).toEqual([
      "follow 3 in 2",
      "fetch from 3 in 2, offset 2",
    ]);
    expect([...whole.isr.partitions()]).toEqual([]);
  });

  test("without a leader nothing is fetched, and nothing is led", () => {
    const whole = setUp(2);
    expect(whole.commit(change({ leader: -1 }))).toEqual(["fetch no more", "follow -1 in 1"]);
  });

  test("another ISR is no new role", () => {
    const follower = setUp(2);
    expect(follower.commit(change({ isr: [2, 3] }))).toEqual([]);
    expect(follower.fetched.size).toBe(1);
    const leader = setUp(SELF);
    expect(leader.commit(change({ isr: [1, 3] }))).toEqual(["lead in 0/1 isr 1,3"]);
  });

  test("the same image again changes nothing", () => {
    const whole = setUp(2);
    whole.calls.length = 0;
    const delta = new ClusterDelta(EMPTY_IMAGE);
    delta.replay(topic);
    delta.replay(partition(2));
    whole.publisher.onMetadataUpdate(delta, whole.image);
    expect(whole.calls).toEqual([]);
  });

  test("a partition that moves away, or whose topic is deleted, is left alone", () => {
    const whole = setUp(2);
    expect(whole.commit(change({ replicas: [2, 3], isr: [2, 3] }))).toEqual(["fetch no more"]);
    const other = setUp(SELF);
    other.commit({ kind: "RemoveTopicRecord", record: { topicId: TOPIC_ID } });
    expect([...other.isr.partitions()]).toEqual([]);
  });

  test("a partition of other brokers is nobody's business", () => {
    const whole = new PublisherUnderTest();
    expect(whole.commit(topic, partition(2, { replicas: [2, 3], isr: [2, 3] }))).toEqual([]);
    expect(whole.publisher.missingCount).toBe(0);
  });
});

describe("what goes wrong", () => {
  test("a log that could not be made is looked for again", () => {
    const whole = new PublisherUnderTest();
    whole.commit(topic, partition(2));
    expect(whole.publisher.missingCount).toBe(1);
    whole.publisher.retryMissing(whole.image);
    expect(whole.publisher.missingCount).toBe(1);
    whole.logs.set(0, makeLog("0"));
    whole.publisher.retryMissing(whole.image);
    expect(whole.publisher.missingCount).toBe(0);
    expect(whole.calls).toEqual(["follow 2 in 0", "fetch from 2 in 0, offset 1"]);
  });

  test("a log that refuses its role is not led, and the others go on", () => {
    const whole = new PublisherUnderTest();
    whole.logs.set(0, makeLog("0", { leaderEpoch: 9 }));
    whole.logs.set(1, makeLog("0"));
    const second = partition(SELF, { partitionId: 1 });
    expect(whole.commit(topic, partition(SELF), second)).toEqual([
      "lead in 0/0 isr 1,2,3",
      "lead in 0/0 isr 1,2,3",
    ]);
    expect([...whole.isr.partitions()].map(({ partition: index }) => index)).toEqual([1]);
  });
});

test("brokers are told to the leaders before their roles", () => {
  const whole = setUp(SELF);
  const register = (brokerId: number, brokerEpoch: number, fenced: boolean): MetadataRecord => ({
    kind: "RegisterBrokerRecord",
    record: makeRegisterBrokerRecord({ brokerId, brokerEpoch, fenced }),
  });
  const calls = whole.commit(
    register(2, 20, false),
    register(3, 30, true),
    change({ isr: [1, 2] }),
  );
  expect(calls).toEqual(["brokers 2@20 3@30!", "lead in 0/1 isr 1,2"]);
});

test("statistics", () => {
  const whole = setUp(SELF);
  whole.logs.set(1, makeLog("0"));
  whole.commit(
    partition(2, { partitionId: 1 }),
    partition(2, { partitionId: 2 }),
    change({ isr: [1] }),
  );
  const counters = { requestCount: 3, failureCount: 1, abandonedCount: 0, byteCount: 99 };
  const fetchers = { counters, partitions: () => whole.fetched.values() };
  const statistics = followingStatistics({
    isr: whole.isr,
    fetchers,
    missingCount: whole.publisher.missingCount,
    lagsMax: 10,
  });
  expect(statistics).toMatchObject({
    leaderCount: 1,
    followerCount: 1,
    underReplicatedCount: 1,
    underMinIsrCount: 0,
    atMinIsrCount: 1,
    offlineReplicaCount: 1,
    failedPartitionCount: 0,
    fetchers: counters,
    maxLag: 0,
    lags: [{ topic: "orders", partition: 1, leaderId: 2, lag: null }],
  });
});
