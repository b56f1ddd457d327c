/** A producer of a topic with three replicas in the fast lane: its acks=all writes wait there for the followers, and no longer than it said. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Reader } from "#protocol/codec/reader.ts";
import { ErrorCode } from "#common/error-code.ts";
import { ProduceApi } from "#protocol/generated/produce.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { createTopic } from "../crash/load.ts";
import { type BrokerCluster, type ClusterNode, sluiceCluster } from "../support/cluster-process.ts";
import { Client, encodeCase, TIMESTAMP } from "../support/lane-requests.ts";
import { freePort, temporaryDirectory, until } from "../support/process.ts";
import { type NodeView, viewsOf, whyNotWhole } from "./cluster-view.ts";

const TOPIC = "lane";
const PRODUCER_ID = 4711n;
const directory = temporaryDirectory("cluster-lane");
const adminPorts: number[] = [];
let cluster: BrokerCluster;
let leader: ClusterNode;

/** What the leader says of itself under a name. */
async function metric(name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${adminPorts[leader.id - 1]}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1));
}

/** Requests that the fast lane of the leader answered. */
const laneRequests = (): Promise<number> => metric("sluice_fast_lane_requests_total");

/** Produces that wait, in the lane or elsewhere. */
const waitingProduces = (): Promise<number> => metric('sluice_purgatory_requests{api="Produce"}');

beforeAll(async () => {
  for (let at = 0; at < 3; at++) adminPorts.push(await freePort());
  cluster = await sluiceCluster({
    directory: directory.path,
    overridesOf: ({ id }) => ({ "sluice.admin.listener": `127.0.0.1:${adminPorts[id - 1]}` }),
  });
  await cluster.start();
  await createTopic(() => cluster.nodes[0]?.bootstrap ?? "", TOPIC, 1, {}, 3);
  let views: NodeView[] = [];
  await until(
    async () => whyNotWhole(cluster, [TOPIC], (views = await viewsOf(cluster, [TOPIC]))) === null,
    60_000,
    () => `not whole: ${whyNotWhole(cluster, [TOPIC], views)}`,
  );
  const leaderId = views[0]?.topics.get(TOPIC)?.[0]?.leader;
  const found = cluster.nodes.find(({ id }) => id === leaderId);
  if (found === undefined) throw new Error("no leader");
  leader = found;
}, 120_000);

afterAll(async () => {
  await cluster?.stop("SIGKILL");
  directory.remove();
});

test("what waits for followers is answered in the lane, and not later than the producer waits", async () => {
  const client = await Client.open({ host: "127.0.0.1", port: leader.port });
  let sequence = 0;
  const send = async (acks: number, timeoutMs: number): Promise<(number | undefined)[]> => {
    const records = encodeRecordBatch({
      records: [{ key: null, value: new Uint8Array(20), headers: [] }],
      timestamp: TIMESTAMP,
      producerId: PRODUCER_ID,
      producerEpoch: 0,
      baseSequence: sequence,
    });
    const request = {
      transactionalId: null,
      acks,
      timeoutMs,
      topicData: [{ name: TOPIC, topicId: "", partitionData: [{ index: 0, records }] }],
    };
    const plain = { version: 9, clientId: null, flipAt: -1, cutBytes: 0, extraBytes: 0 };
    client.send(encodeCase({ ...plain, request: () => request }, sequence, new Map()));
    const reader = new Reader((await client.reply()) ?? Buffer.alloc(0));
    expect(reader.int32()).toBe(sequence);
    reader.int8();
    const { responses } = ProduceApi.response.decode(reader, 9);
    const [answer] = responses[0]?.partitionResponses ?? [];
    return [answer?.errorCode, answer?.baseOffset];
  };
  const produce = async (acks: number, count: number): Promise<void> => {
    for (let number = 0; number < count; number++) {
      expect(await send(acks, 30_000)).toEqual([ErrorCode.NONE, sequence]);
      sequence++;
    }
  };
  // Sixteen in a row, and the connection is lent.
  await produce(-1, 16 + 10);
  await produce(1, 5);
  await produce(-1, 25);
  expect(await laneRequests()).toBe(40);
  const follower = cluster.nodes.find(({ id }) => id !== leader.id);
  follower?.pause();
  try {
    // Shorter than it takes to find the follower silent, which would end the wait well.
    const answer = send(-1, 300);
    await until(
      async () => (await waitingProduces()) === 1,
      250,
      () => "nobody waits",
    );
    expect(await answer).toEqual([ErrorCode.REQUEST_TIMED_OUT, sequence]);
    expect(await waitingProduces()).toBe(0);
  } finally {
    follower?.resume();
  }
  // It landed all the same, and a retry is told where.
  await produce(-1, 10);
  expect(await laneRequests()).toBe(51);
  client.close();
}, 120_000);
