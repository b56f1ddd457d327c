/**
 * What administrators store and ask of a real broker, over a restart: quotas, credentials, the quorum of one, producers. Answers to
 * what is wrong are in the corpus of `test/differential`.
 */
import { expect, test } from "bun:test";
import {
  AlterClientQuotasApi,
  makeAlterClientQuotasRequest,
} from "#protocol/generated/alter-client-quotas.ts";
import {
  AlterUserScramCredentialsApi,
  makeAlterUserScramCredentialsRequest,
} from "#protocol/generated/alter-user-scram-credentials.ts";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  DescribeClientQuotasApi,
  makeDescribeClientQuotasRequest,
} from "#protocol/generated/describe-client-quotas.ts";
import {
  DescribeProducersApi,
  makeDescribeProducersRequest,
} from "#protocol/generated/describe-producers.ts";
import {
  DescribeQuorumApi,
  makeDescribeQuorumRequest,
} from "#protocol/generated/describe-quorum.ts";
import {
  DescribeUserScramCredentialsApi,
  makeDescribeUserScramCredentialsRequest,
} from "#protocol/generated/describe-user-scram-credentials.ts";
import {
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { Wire } from "../differential/wire.ts";
import { startBroker, temporaryDirectory } from "../support/start-broker.ts";

const QUORUM = makeDescribeQuorumRequest({
  topics: [{ topicName: "__cluster_metadata", partitions: [{ partitionIndex: 0 }] }],
});

async function produce(wire: Wire, baseSequence: number): Promise<number | undefined> {
  const value = new TextEncoder().encode("value");
  const records = encodeRecordBatch({
    records: [{ key: value, value }],
    timestamp: Date.now(),
    producerId: 4242n,
    producerEpoch: 7,
    baseSequence,
  });
  const answer = await wire.send(
    ProduceApi,
    9,
    makeProduceRequest({
      acks: -1,
      timeoutMs: 5000,
      topicData: [makeTopicProduceData({ name: "t", partitionData: [{ index: 0, records }] })],
    }),
  );
  return answer.responses[0]?.partitionResponses[0]?.errorCode;
}

/** Everything that is the same before and after a restart. */
async function look(wire: Wire): Promise<unknown> {
  const quotas = await wire.send(
    DescribeClientQuotasApi,
    1,
    makeDescribeClientQuotasRequest({ components: [], strict: false }),
  );
  const users = await wire.send(
    DescribeUserScramCredentialsApi,
    0,
    makeDescribeUserScramCredentialsRequest({ users: null }),
  );
  const producers = await wire.send(
    DescribeProducersApi,
    0,
    makeDescribeProducersRequest({ topics: [{ name: "t", partitionIndexes: [0] }] }),
  );
  const [state] = producers.topics[0]?.partitions[0]?.activeProducers ?? [];
  return { quotas: quotas.entries, users: users.results, producer: { ...state, lastTimestamp: 0 } };
}

test("what administrators store outlives the broker, and what they ask is true", async () => {
  await using kept = await temporaryDirectory();
  let before: unknown;
  let endOffset = 0;
  {
    await using broker = await startBroker({ dataDir: kept.path });
    using wire = await Wire.connect(broker.bootstrapServers);
    const topics = [makeCreatableTopic({ name: "t", numPartitions: 1, replicationFactor: 1 })];
    await wire.send(CreateTopicsApi, 7, makeCreateTopicsRequest({ topics, timeoutMs: 5000 }));
    const ops = [
      { key: "producer_byte_rate", value: 1024, remove: false },
      { key: "request_percentage", value: 12.5, remove: false },
    ];
    const entity = [
      { entityType: "user", entityName: "anna" },
      { entityType: "client-id", entityName: null },
    ];
    const altered = await wire.send(
      AlterClientQuotasApi,
      1,
      makeAlterClientQuotasRequest({ entries: [{ entity, ops }] }),
    );
    expect(altered.entries.map(({ errorCode }) => errorCode)).toEqual([0]);
    const upsertion = {
      name: "anna",
      mechanism: 2,
      iterations: 8192,
      salt: new Uint8Array([1, 2, 3]),
      saltedPassword: new Uint8Array(64).fill(9),
    };
    await wire.send(
      AlterUserScramCredentialsApi,
      0,
      makeAlterUserScramCredentialsRequest({ upsertions: [upsertion] }),
    );
    expect(await produce(wire, 0)).toBe(0);
    expect(await produce(wire, 1)).toBe(0);
    const partition = (await wire.send(DescribeQuorumApi, 2, QUORUM)).topics[0]?.partitions[0];
    endOffset = partition?.highWatermark ?? 0;
    before = await look(wire);
  }
  expect(before).toMatchObject({
    quotas: [
      {
        entity: [
          { entityType: "user", entityName: "anna" },
          { entityType: "client-id", entityName: null },
        ],
        values: [
          { key: "producer_byte_rate", value: 1024 },
          { key: "request_percentage", value: 12.5 },
        ],
      },
    ],
    users: [{ user: "anna", credentialInfos: [{ mechanism: 2, iterations: 8192 }] }],
    producer: { producerId: 4242n, producerEpoch: 7, lastSequence: 1, currentTxnStartOffset: -1 },
  });
  await using again = await startBroker({ dataDir: kept.path });
  using wire = await Wire.connect(again.bootstrapServers);
  expect(await look(wire)).toEqual(before);
  const quorum = await wire.send(DescribeQuorumApi, 2, QUORUM);
  const partition = quorum.topics[0]?.partitions[0];
  expect(partition).toMatchObject({ errorCode: 0, leaderId: 1, observers: [] });
  // The log goes on where it was; what a start writes comes on top.
  expect(partition?.highWatermark).toBeGreaterThanOrEqual(endOffset);
  expect(partition?.currentVoters[0]?.logEndOffset).toBe(partition?.highWatermark ?? -1);
  expect(quorum.nodes[0]?.listeners[0]).toMatchObject({ name: "PLAINTEXT", host: "127.0.0.1" });
});
