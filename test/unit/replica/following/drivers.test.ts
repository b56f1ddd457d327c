import { describe, expect, test } from "bun:test";
import { createLogger, SILENT_LOGGER } from "#common/logger.ts";
import type { ApiMessages } from "#protocol/api.ts";
import {
  type AlterPartitionResponse,
  makeAlterPartitionResponse,
} from "#protocol/generated/alter-partition.ts";
import {
  FetchApi,
  type FetchRequest,
  makeFetchableTopicResponse,
  makeFetchResponse,
} from "#protocol/generated/fetch.ts";
import { ListOffsetsApi } from "#protocol/generated/list-offsets.ts";
import { IsrManager } from "#replica/following/isr-manager.ts";
import { IsrManagerDriver } from "#replica/following/isr-manager-driver.ts";
import {
  DEFAULT_FOLLOWING_CONFIG,
  type FollowingConfig,
  type PeerConnection,
} from "#replica/following/ports.ts";
import { ReplicaFetchers } from "#replica/following/replica-fetchers.ts";
import { ManualTime } from "../../../support/manual-time.ts";
import { answerOf, epochsOf, leaderRole, makeFollower, makeLog, TOPIC_ID } from "./fixture.ts";

/** What was sent and waits for its answer. */
interface Sent {
  readonly leaderId: number;
  readonly key: number;
  readonly request: unknown;
  readonly answer: (response: unknown) => void;
  readonly fail: () => void;
}

/** Connections that a test answers for. */
class FakeNetwork {
  readonly sent: Sent[] = [];
  readonly refused: Set<number> = new Set();
  opened = 0;
  open = 0;

  connect = (leaderId: number): Promise<PeerConnection> => {
    if (this.refused.has(leaderId)) return Promise.reject(new Error("connection refused"));
    this.opened += 1;
    this.open += 1;
    let isOpen = true;
    const waiting = new Set<() => void>();
    const close = (): void => {
      if (!isOpen) return;
      isOpen = false;
      this.open -= 1;
      for (const fail of waiting) fail();
    };
    return Promise.resolve({
      get isOpen(): boolean {
        return isOpen;
      },
      sendAt: <Req, Res>(api: ApiMessages<Req, Res>, _version: number, request: Req) =>
        new Promise<Res>((resolve, reject) => {
          const fail = (): void => reject(new Error("connection closed"));
          waiting.add(fail);
          this.sent.push({
            leaderId,
            key: api.key,
            request,
            answer: (response) => resolve(response as Res),
            fail,
          });
        }),
      recycle: () => {},
      close,
    });
  };

  /** The next thing sent, when it has been. */
  async next(): Promise<Sent> {
    for (let turn = 0; turn < 20 && this.sent.length === 0; turn += 1) await Promise.resolve();
    const sent = this.sent.shift();
    if (sent === undefined) throw new Error("nothing was sent");
    return sent;
  }
}

/** Lets everything run that waits for nothing. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

const namedIn = ({ request }: Sent): number[] =>
  (request as FetchRequest).topics.flatMap(({ partitions }) =>
    partitions.map((one) => one.partition),
  );

function records(partition: number, baseOffset: number, epochs: string) {
  const row = { ...answerOf(baseOffset, epochs), partitionIndex: partition };
  return makeFetchResponse({
    sessionId: 5,
    responses: [makeFetchableTopicResponse({ topicId: TOPIC_ID, partitions: [row] })],
  });
}

function makeFetchers(config: Partial<FollowingConfig> = {}) {
  const time = new ManualTime();
  const network = new FakeNetwork();
  const lines: string[] = [];
  const fetchers = new ReplicaFetchers({
    nodeId: 1,
    brokerEpoch: () => 7,
    config: { ...DEFAULT_FOLLOWING_CONFIG, ...config },
    connect: network.connect,
    clock: time,
    scheduler: time,
    logger: createLogger("info", (_level, message) => lines.push(message)),
  });
  return { time, network, fetchers, lines };
}

describe("fetchers", () => {
  test("connect once, and append what comes, one request after the other", async () => {
    const { network, fetchers } = makeFetchers();
    const { partition, log } = makeFollower(makeLog("0"));
    fetchers.add(partition);
    fetchers.flush();
    const first = await network.next();
    expect([first.leaderId, first.key, namedIn(first)]).toEqual([2, FetchApi.key, [0]]);
    first.answer(records(0, 1, "0 0"));
    const second = await network.next();
    expect(epochsOf(log)).toBe("0 0 0");
    expect((second.request as FetchRequest).sessionEpoch).toBe(1);
    expect([network.opened, network.sent.length]).toEqual([1, 0]);
    expect(fetchers.counters.requestCount).toBe(2);
    fetchers.stop();
  });

  test("one for each leader, more where asked for, and none without partitions", async () => {
    const { network, fetchers } = makeFetchers({ fetcherCount: 2 });
    const follow = (partition: number, leaderId: number) =>
      fetchers.add(makeFollower(makeLog("0"), { partition, leaderId }).partition);
    follow(0, 2);
    follow(1, 2);
    follow(2, 3);
    fetchers.flush();
    const sent = [await network.next(), await network.next(), await network.next()];
    expect(sent.map(({ leaderId }) => leaderId)).toEqual([2, 2, 3]);
    expect([...fetchers.partitions()]).toHaveLength(3);
    for (const partition of [0, 1, 2]) fetchers.remove(`${TOPIC_ID}-${partition}`);
    fetchers.flush();
    expect(network.open).toBe(0);
    await settle();
    expect(network.sent).toEqual([]);
    expect(fetchers.counters).toMatchObject({ requestCount: 3, failureCount: 0 });
  });

  test("a partition that was let go of is not appended to", async () => {
    const { network, fetchers } = makeFetchers();
    const kept = makeFollower(makeLog("0"), { partition: 0 });
    const left = makeFollower(makeLog("0"), { partition: 1 });
    fetchers.add(kept.partition);
    fetchers.add(left.partition);
    fetchers.flush();
    const request = await network.next();
    fetchers.remove(left.partition.key);
    request.answer(records(1, 1, "0"));
    await settle();
    expect(epochsOf(left.log)).toBe("0");
    fetchers.stop();
  });

  test("a lost connection is made anew after a pause, told of once", async () => {
    const { network, fetchers, time, lines } = makeFetchers();
    const { partition, log } = makeFollower(makeLog("0"));
    fetchers.add(partition);
    fetchers.flush();
    (await network.next()).fail();
    await settle();
    network.refused.add(2);
    time.advance(10);
    await settle();
    network.refused.clear();
    time.advance(19);
    await settle();
    expect(network.sent).toEqual([]);
    time.advance(1);
    (await network.next()).answer(records(0, 1, "0"));
    await settle();
    expect(epochsOf(log)).toBe("0 0");
    expect(lines).toEqual([
      "cannot fetch from a leader, trying again",
      "fetching from a leader again",
    ]);
    expect(fetchers.counters.failureCount).toBe(2);
    fetchers.stop();
  });

  test("partitions that come while a request waits are asked for on a new connection", async () => {
    const { network, fetchers, time } = makeFetchers();
    const first = makeFollower(makeLog("0"), { partition: 0 });
    fetchers.add(first.partition);
    fetchers.flush();
    const waiting = await network.next();
    fetchers.add(makeFollower(makeLog("0"), { partition: 1 }).partition);
    fetchers.flush();
    await settle();
    expect(network.sent).toEqual([]);
    time.advance(20);
    const next = await network.next();
    expect([namedIn(next), network.opened, network.open]).toEqual([[0, 1], 2, 1]);
    // What the old connection still brings is not looked at.
    waiting.answer(records(0, 1, "0"));
    await settle();
    expect(epochsOf(first.log)).toBe("0");
    expect(fetchers.counters).toMatchObject({ abandonedCount: 1, failureCount: 0 });
    fetchers.stop();
  });

  test("offsets are asked for with two requests at once", async () => {
    const { network, fetchers } = makeFetchers();
    const { partition } = makeFollower(makeLog("0 0"));
    fetchers.add(partition);
    fetchers.flush();
    const errorCode = 1;
    const row = { ...answerOf(0, "", { errorCode }), partitionIndex: 0 };
    (await network.next()).answer(
      makeFetchResponse({
        responses: [makeFetchableTopicResponse({ topicId: TOPIC_ID, partitions: [row] })],
      }),
    );
    const [ends, starts] = [await network.next(), await network.next()];
    expect([ends.key, starts.key]).toEqual([ListOffsetsApi.key, ListOffsetsApi.key]);
    fetchers.stop();
    await settle();
    expect(network.open).toBe(0);
  });
});

describe("in-sync replicas", () => {
  const make = () => {
    const time = new ManualTime();
    const asked: {
      readonly answer: (response: AlterPartitionResponse) => void;
      readonly fail: () => void;
    }[] = [];
    const manager = new IsrManager({
      nodeId: 1,
      brokerEpoch: () => 7,
      events: { onChanged() {}, onRefused() {} },
    });
    const driver = new IsrManagerDriver({
      manager,
      alterPartition: () =>
        new Promise((resolve, reject) => {
          asked.push({ answer: resolve, fail: () => reject(new Error("no controller")) });
        }),
      lagTimeMaxMs: 1_000,
      clock: time,
      scheduler: time,
      logger: SILENT_LOGGER,
    });
    const log = makeLog("0");
    const lead = (isr: number[]): void => {
      const role = leaderRole({ isr });
      log.lead(role);
      const partition = {
        ...role,
        topic: "orders",
        topicId: TOPIC_ID,
        partition: 0,
        addingReplicas: [],
        leaderRecoveryState: 0,
      };
      manager.lead(partition, log);
      driver.turn();
    };
    return { time, asked, driver, log, lead };
  };

  test("who is late is looked for every half of the lag that is allowed", async () => {
    const { time, asked, driver, log, lead } = make();
    lead([1, 2, 3]);
    log.followers = () => [];
    time.advance(499);
    expect(asked).toHaveLength(0);
    time.advance(1);
    expect(asked).toHaveLength(1);
    asked[0]?.answer(makeAlterPartitionResponse());
    await settle();
    time.advance(50);
    expect(asked).toHaveLength(2);
    driver.stop();
    time.advance(10_000);
    expect(asked).toHaveLength(2);
  });

  test("who has caught up is looked for while somebody is missing, and a controller that is gone is asked again", async () => {
    const { time, asked, driver, log, lead } = make();
    lead([1, 2]);
    log.followers = () => [
      { replicaId: 3, logEndOffset: 1, brokerEpoch: 7, isCaughtUp: true, qualifies: true },
    ];
    time.advance(100);
    expect(asked).toHaveLength(1);
    asked[0]?.fail();
    await settle();
    time.advance(49);
    expect(asked).toHaveLength(1);
    time.advance(1);
    expect(asked).toHaveLength(2);
    driver.stop();
  });
});
