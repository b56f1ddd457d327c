import { describe, expect, test } from "bun:test";
import { ErrorCode } from "#common/error-code.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  type PartitionProduceResponse,
  type ProduceRequest,
  type ProduceResponse,
} from "#protocol/generated/produce.ts";
import { PartitionDirectory } from "#replica/partition-directory.ts";
import { ReplicaManager } from "#replica/replica-manager.ts";
import {
  type ApiHandler,
  BlockingAnswer,
  CLOSE_CONNECTION,
  type RequestContext,
} from "#server/handler.ts";
import { createProduceHandler } from "#server/handlers/produce.ts";
import { FakeLog } from "../../../support/fake-log.ts";
import { ManualTime } from "../../../support/manual-time.ts";
import { viewOf } from "../../../support/replication-view.ts";

const TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAQ";

interface Fixture {
  readonly log: FakeLog;
  readonly time: ManualTime;
  readonly handler: ApiHandler<ProduceRequest, ProduceResponse>;
}

function fixture(): Fixture {
  const log = new FakeLog();
  const time = new ManualTime();
  const directory = new PartitionDirectory();
  for (const [name, topicId] of [
    ["t", TOPIC_ID],
    ["__consumer_offsets", "AAAAAAAAAAAAAAAAAAAAAg"],
  ] as const) {
    const handles = [0, 1].map(() => log.addPartition());
    directory.apply({
      kind: "topic",
      name,
      topicId,
      partitions: handles.map((handle, index) => ({ index, handle, leaderEpoch: 0 })),
    });
  }
  const handler = createProduceHandler({
    directory,
    replicas: new ReplicaManager(log, time, time),
    view: viewOf(1),
    isInternalTopic: (name) => name.startsWith("__"),
  });
  return { log, time, handler };
}

function context(apiVersion: number, clientId = "c"): RequestContext {
  return {
    apiKey: 0,
    apiVersion,
    correlationId: 1,
    clientId,
    connection: {
      id: 1,
      listenerName: "PLAINTEXT",
      localHost: "127.0.0.1",
      localPort: 9092,
      clientHost: "127.0.0.1",
      clientPort: 50000,
      clientSoftwareName: "unknown",
      clientSoftwareVersion: "unknown",
      peerNodeId: -1,
    },
    receivedMonotonicMs: 0,
  };
}

/** A batch whose header says magic 2 and these attributes; the fake log looks no further. */
function batch(attributes = 0): Uint8Array {
  const bytes = new Uint8Array(70);
  bytes[11] = 58;
  bytes[16] = 2;
  bytes[22] = attributes;
  return bytes;
}

function request(
  init: Partial<ProduceRequest> & {
    readonly name?: string;
    readonly index?: number;
    readonly records?: Uint8Array | null;
  } = {},
): ProduceRequest {
  const { name = "t", index = 0, records = batch() } = init;
  return makeProduceRequest({
    acks: 1,
    timeoutMs: 1000,
    topicData: [
      makeTopicProduceData({
        name,
        partitionData: [makePartitionProduceData({ index, records })],
      }),
    ],
    ...init,
  });
}

function only(result: unknown): PartitionProduceResponse {
  const response = result as ProduceResponse;
  return response.responses[0]?.partitionResponses[0] as PartitionProduceResponse;
}

describe("Produce", () => {
  test("acks=1 is answered at once with the offset", () => {
    const { handler } = fixture();
    void handler.handle(request(), context(9));
    expect(handler.handle(request(), context(9))).toEqual({
      throttleTimeMs: 0,
      nodeEndpoints: [],
      responses: [
        {
          name: "t",
          topicId: "AAAAAAAAAAAAAAAAAAAAAA",
          partitionResponses: [
            {
              index: 0,
              errorCode: 0,
              baseOffset: 1,
              logAppendTimeMs: -1,
              logStartOffset: 0,
              recordErrors: [],
              errorMessage: null,
              currentLeader: { leaderId: -1, leaderEpoch: -1 },
            },
          ],
        },
      ],
    });
  });

  test("acks=all waits for the flush", async () => {
    const { handler, log, time } = fixture();
    const result = handler.handle(request({ acks: -1 }), context(9));
    expect(result).toBeInstanceOf(Promise);
    log.flush(0);
    const { errorCode, baseOffset } = only(await result);
    expect([errorCode, baseOffset, time.pendingCount]).toEqual([0, 0, 0]);
  });

  test("acks=all that is not flushed in time says so and keeps its offset", async () => {
    const { handler, time } = fixture();
    const result = handler.handle(request({ acks: -1 }), context(9));
    time.advance(5000);
    const { errorCode, baseOffset } = only(await result);
    expect([errorCode, baseOffset]).toEqual([7, 0]);
  });

  test("a timeout of 0 is for replicas: the flush is waited for", async () => {
    const { handler, log, time } = fixture();
    const result = handler.handle(request({ acks: -1, timeoutMs: 0 }), context(9));
    time.advance(100);
    log.flush(0);
    expect(only(await result).errorCode).toBe(0);
  });

  const magic7 = batch();
  magic7[16] = 7;
  const size3 = batch();
  size3[11] = 3;
  const magicProblem = "Invalid magic found in record: 7";
  const sizeProblem = "Record size 3 is less than the minimum record overhead (14)";
  test.each([
    ["a magic of the future", magic7, magicProblem],
    ["a size that no record has", size3, sizeProblem],
    ["only such a size", size3.subarray(0, 12), sizeProblem],
  ])(
    "%s in one partition refuses the whole request, before topics are looked up",
    (_label, bad, errorMessage) => {
      const { handler, log } = fixture();
      const partitionData = [
        makePartitionProduceData({ index: 0, records: batch() }),
        makePartitionProduceData({ index: 9, records: bad }),
      ];
      const topicData = [makeTopicProduceData({ name: "t", partitionData })];
      const { responses } = handler.handle(request({ topicData }), context(9)) as ProduceResponse;
      expect(
        responses[0]?.partitionResponses.map((each) => [
          each.index,
          each.errorCode,
          each.errorMessage,
        ]),
      ).toEqual([
        [0, 2, errorMessage],
        [9, 2, errorMessage],
      ]);
      expect(handler.handle(request({ topicData, acks: 0 }), context(9))).toBe(CLOSE_CONNECTION);
      expect(log.partitions[0]?.batches).toEqual([]);
    },
  );

  test("records too short to have a magic are the log's to judge, not the request's", () => {
    const { handler } = fixture();
    const records = magic7.subarray(0, 16);
    expect(only(handler.handle(request({ records, name: "nope" }), context(9))).errorCode).toBe(3);
  });

  test("a topic without partitions is left out of the answer", () => {
    const { handler } = fixture();
    const topicData = [makeTopicProduceData({ name: "t" })];
    const answer = handler.handle(request({ topicData }), context(9)) as ProduceResponse;
    expect(answer.responses).toEqual([]);
  });

  test("a partition that goes away while its records wait is an error", async () => {
    const { handler, log } = fixture();
    const result = handler.handle(request({ acks: -1 }), context(9));
    log.remove(0);
    expect(only(await result).errorCode).toBe(3);
  });

  test("acks=0 gets no answer, and a closed connection for an error", () => {
    const { handler, log } = fixture();
    expect(handler.handle(request({ acks: 0 }), context(9))).toBeNull();
    log.nextAppendError = 2;
    expect(handler.handle(request({ acks: 0 }), context(9))).toBe(CLOSE_CONNECTION);
  });

  test.each([
    ["acks=2", request({ acks: 2 }), 9, 21],
    ["an unknown topic", request({ name: "nope" }), 9, 3],
    ["an unknown partition", request({ index: 7 }), 9, 3],
    ["a negative partition", request({ index: -1 }), 9, 3],
    ["an unknown topic id", request(), 13, 100],
    ["no records", request({ records: null }), 9, 87],
    ["zstd before it was known", request({ records: batch(4) }), 6, 76],
    ["an internal topic", request({ name: "__consumer_offsets" }), 9, 17],
    ["a transaction without an id", request({ records: batch(0x10) }), 9, 53],
    [
      "a transaction that does not run",
      request({ records: batch(0x10), transactionalId: "x" }),
      9,
      49,
    ],
  ])("%s is refused and nothing is written", (_name, wanted, version, errorCode) => {
    const { handler, log } = fixture();
    expect([only(handler.handle(wanted, context(version))).errorCode, log.appendCount]).toEqual([
      errorCode,
      0,
    ]);
  });

  test("Kafka's admin client may write to internal topics", () => {
    const { handler } = fixture();
    const result = handler.handle(
      request({ name: "__consumer_offsets" }),
      context(9, "__admin_client"),
    );
    expect(only(result).errorCode).toBe(0);
  });

  test("record errors are passed on", () => {
    const { handler, log } = fixture();
    log.nextAppendError = 87;
    log.appendErrors = '{"message":"bad","recordErrors":[{"batchIndex":3,"message":"worse"}]}';
    const { errorCode, errorMessage, recordErrors } = only(handler.handle(request(), context(9)));
    expect({ errorCode, errorMessage, recordErrors }).toEqual({
      errorCode: 87,
      errorMessage: "bad",
      recordErrors: [{ batchIndex: 3, batchIndexErrorMessage: "worse" }],
    });
  });

  test("of a partition named twice only the last is written and answered", () => {
    const { handler, log } = fixture();
    const wanted = request();
    wanted.topicData[0]?.partitionData.push(
      makePartitionProduceData({ index: 1, records: batch() }),
      makePartitionProduceData({ index: 0, records: batch() }),
    );
    wanted.topicData.push(
      makeTopicProduceData({
        name: "t",
        partitionData: [makePartitionProduceData({ index: 1, records: batch() })],
      }),
    );
    const response = handler.handle(wanted, context(9)) as ProduceResponse;
    expect([
      log.appendCount,
      response.responses.map(({ partitionResponses }) => partitionResponses.length),
    ]).toEqual([2, [2]]);
  });
});

describe("a batch too large to be inflated at once", () => {
  test("is appended later, and the connection's next requests wait for it", async () => {
    const { handler, log } = fixture();
    log.nextAppendError = -32768;
    const records = batch();
    const result = handler.handle(request({ records }), context(9));
    expect(result).toBeInstanceOf(BlockingAnswer);
    // The frame's bytes are somebody else's once the handler has returned.
    records.fill(9);
    expect(log.late.length).toBe(1);
    log.finishLate();
    const { errorCode, baseOffset } = only(
      await (result as BlockingAnswer<ProduceResponse>).answer,
    );
    expect([errorCode, baseOffset]).toEqual([ErrorCode.NONE, 0]);
    expect(log.partitions[0]?.batches).toEqual([batch()]);
  });

  test("with acks=all it waits for the flush as well", async () => {
    const { handler, log } = fixture();
    log.nextAppendError = -32768;
    const result = handler.handle(request({ acks: -1 }), context(9));
    let isAnswered = false as boolean;
    const answer = (result as BlockingAnswer<ProduceResponse>).answer.then((response) => {
      isAnswered = true;
      return response;
    });
    log.finishLate();
    await Bun.sleep(1);
    expect(isAnswered).toBe(false);
    log.flush(0);
    expect(only(await answer).errorCode).toBe(ErrorCode.NONE);
  });

  test("is refused with an error that clients retry when too many wait", async () => {
    const { handler, log } = fixture();
    log.nextAppendError = -32768;
    log.isLateQueueFull = true;
    const result = handler.handle(request(), context(9));
    const { errorCode, baseOffset } = only(
      await (result as BlockingAnswer<ProduceResponse>).answer,
    );
    expect([errorCode, baseOffset]).toEqual([ErrorCode.REQUEST_TIMED_OUT, -1]);
    expect(log.partitions[0]?.batches).toEqual([]);
  });

  test("an error with acks=0 closes the connection", async () => {
    const { handler, log } = fixture();
    log.nextAppendError = -32768;
    const result = handler.handle(request({ acks: 0 }), context(9));
    log.nextAppendError = ErrorCode.INVALID_RECORD;
    log.finishLate();
    expect(await (result as BlockingAnswer<ProduceResponse>).answer).toBe(CLOSE_CONNECTION);
  });
});
