/**
 * Runs cases against one broker: topics first, all in a few requests; then the cases, several at a time, each on a connection of
 * its own; at the end the topics go again. The outcome of a case is text: what was answered in each turn, and the socket's state.
 */
import { ErrorCode } from "#common/error-code.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import { ApiVersionsApi, makeApiVersionsRequest } from "#protocol/generated/api-versions.ts";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreatableTopicConfig,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  DeleteTopicsApi,
  makeDeleteTopicsRequest,
  makeDeleteTopicState,
} from "#protocol/generated/delete-topics.ts";
import {
  DescribeClusterApi,
  makeDescribeClusterRequest,
} from "#protocol/generated/describe-cluster.ts";
import {
  FindCoordinatorApi,
  makeFindCoordinatorRequest,
} from "#protocol/generated/find-coordinator.ts";
import {
  InitProducerIdApi,
  makeInitProducerIdRequest,
} from "#protocol/generated/init-producer-id.ts";
import {
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { Wire } from "../wire.ts";
import { concat, requestFrame } from "./bytes.ts";
import type { Case, OwnTopic, Place, Reply, Turn } from "./case.ts";
import { Exchange } from "./exchange.ts";
import { decodeReply, describeReply, type SentRequest } from "./normalize.ts";

/** What became of the socket. */
export type SocketState = "open" | "closed" | "silent";

/** What a case came to. */
export interface Outcome {
  /** Replies of each turn, and the state of the socket: equal text is an equal answer. */
  readonly text: string;
  readonly socket: SocketState;
  /** Longest wait of the case for an answer or an end, ms. */
  readonly slowestMs: number;
}

/** How to run. */
export interface RunOptions {
  readonly run: string;
  /** Time after which a connection counts as silent. */
  readonly patienceMs: number;
  readonly concurrency: number;
}

const PROBE_CORRELATION_ID = 0x70000001;
const QUIET_MS = 250;
const TOPICS_PER_REQUEST = 100;

/** Ranges a broker advertises, as "min-max" by the API's key. */
export async function advertisedRanges(address: string): Promise<Map<number, string>> {
  using wire = await Wire.connect(address);
  const answer = await wire.send(ApiVersionsApi, 0, makeApiVersionsRequest());
  return new Map(
    answer.apiKeys.map(({ apiKey, minVersion, maxVersion }) => [
      apiKey,
      `${minVersion}-${maxVersion}`,
    ]),
  );
}

/** Runs `cases` at `address` and returns their outcomes by name. */
export async function runCases(
  address: string,
  cases: readonly Case[],
  options: RunOptions,
): Promise<Map<string, Outcome>> {
  for (const { prepare } of cases) prepare();
  using wire = await Wire.connect(address);
  await warmUp(wire);
  const { clusterId } = await wire.send(DescribeClusterApi, 0, makeDescribeClusterRequest());
  const shared = `corpus-${options.run}-shared`;
  const topics = new Map<string, OwnTopic>([[shared, { partitions: 2, configs: {} }]]);
  cases.forEach(({ own }, index) => {
    if (own !== null) topics.set(topicName(options.run, index), own);
  });
  const ids = await createTopics(wire, topics);
  await fill(wire, shared);
  const outcomes = new Map<string, Outcome>();
  try {
    const work = async (queue: number[]): Promise<void> => {
      for (let index = queue.shift(); index !== undefined; index = queue.shift()) {
        const each = cases[index] as Case;
        const topic = each.own === null ? shared : topicName(options.run, index);
        const place: Place = {
          run: options.run,
          topic,
          topicId: ids.get(topic) ?? ZERO_UUID,
          group: `corpus-${options.run}-g${String(index).padStart(4, "0")}`,
          clusterId,
        };
        outcomes.set(each.name, await runCase(address, each, place, options));
      }
    };
    const indexes = [...cases.keys()];
    const light = indexes.filter((index) => cases[index]?.cost === "light");
    await Promise.all(Array.from({ length: options.concurrency }, () => work(light)));
    await work(indexes.filter((index) => cases[index]?.cost !== "light"));
  } finally {
    await deleteTopics(wire, [...topics.keys()]);
  }
  return outcomes;
}

function topicName(run: string, index: number): string {
  return `corpus-${run}-t${String(index).padStart(4, "0")}`;
}

async function runCase(
  address: string,
  { play, ending }: Case,
  place: Place,
  { patienceMs }: RunOptions,
): Promise<Outcome> {
  using exchange = await Exchange.connect(address);
  const sent = new Map<number, SentRequest>();
  const lines: string[] = [];
  let slowestMs = 0;
  const wait = async (isDone: () => boolean, timeoutMs: number): Promise<boolean> => {
    const started = performance.now();
    const isSettled = await exchange.until(isDone, timeoutMs);
    if (timeoutMs > QUIET_MS) slowestMs = Math.max(slowestMs, performance.now() - started);
    return isSettled;
  };
  const take = (): Reply[] =>
    exchange.frames.splice(0).map((frame) => {
      const reply = decodeReply(frame, sent);
      lines.push(describeReply(reply, frame, place));
      return reply;
    });

  const turns = play(place);
  let replies: Reply[] = [];
  for (;;) {
    const step = turns.next(replies);
    if (step.done === true) break;
    const turn: Turn = step.value;
    noteRequests(concat(...turn.writes), sent);
    for (const [index, write] of turn.writes.entries()) {
      if (index > 0) await exchange.until(() => false, 2);
      exchange.write(write);
    }
    if (turn.replies > 0) {
      const limitMs = ending === "idle" ? QUIET_MS : patienceMs;
      await wait(() => exchange.frames.length >= turn.replies, limitMs);
    } else await exchange.until(() => exchange.frames.length > 0, QUIET_MS);
    replies = take();
    if (exchange.isClosed) break;
    if (replies.length > 0) lines.push("/");
  }
  const socket = await lookAt(exchange, ending, wait, patienceMs);
  const late = exchange.frames
    .splice(0)
    .filter((frame) => correlationOf(frame) !== PROBE_CORRELATION_ID);
  for (const frame of late) lines.push(describeReply(decodeReply(frame, sent), frame, place));
  if (exchange.leftoverBytes > 0) lines.push("half a frame");
  while (lines.at(-1) === "/") lines.pop();
  return { text: [...lines, socket].join(" "), socket, slowestMs };
}

async function lookAt(
  exchange: Exchange,
  ending: Case["ending"],
  wait: (isDone: () => boolean, timeoutMs: number) => Promise<boolean>,
  patienceMs: number,
): Promise<SocketState> {
  if (exchange.isClosed) return "closed";
  if (ending === "idle") {
    await exchange.until(() => false, QUIET_MS);
    return exchange.isClosed ? "closed" : "open";
  }
  if (ending === "finish") {
    exchange.finish();
    return (await wait(() => false, patienceMs)) ? "closed" : "silent";
  }
  exchange.write(
    requestFrame(ApiVersionsApi, 0, makeApiVersionsRequest(), {
      correlationId: PROBE_CORRELATION_ID,
    }),
  );
  const isProbe = (frame: Uint8Array): boolean => correlationOf(frame) === PROBE_CORRELATION_ID;
  const isSettled = await wait(() => exchange.frames.some(isProbe), patienceMs);
  if (exchange.frames.some(isProbe)) return "open";
  return isSettled ? "closed" : "silent";
}

function correlationOf(frame: Uint8Array): number {
  return frame.length < 4 ? 0 : new DataView(frame.buffer, frame.byteOffset).getInt32(0);
}

/** Remembers which requests the whole frames in `bytes` are, so that replies can be decoded. */
function noteRequests(bytes: Uint8Array, sent: Map<number, SentRequest>): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 12 <= bytes.length;) {
    const size = view.getInt32(at);
    if (size < 8) return;
    const request = { apiKey: view.getInt16(at + 4), apiVersion: view.getInt16(at + 6) };
    sent.set(view.getInt32(at + 8), request);
    at += 4 + size;
  }
}

// ---- before and after

/** Makes a fresh broker create what it creates when it is first asked. */
async function warmUp(wire: Wire): Promise<void> {
  const find = makeFindCoordinatorRequest({ coordinatorKeys: ["any"] });
  await awaitCode(
    async () => (await wire.send(FindCoordinatorApi, 4, find)).coordinators[0]?.errorCode,
  );
  // Kafka makes the topic of transactions when it is first asked; we serve none yet and say so.
  const transactions = makeFindCoordinatorRequest({ coordinatorKeys: ["any"], keyType: 1 });
  await awaitCode(async () => {
    const answer = await wire.send(FindCoordinatorApi, 4, transactions);
    const errorCode = answer.coordinators[0]?.errorCode;
    return errorCode === ErrorCode.COORDINATOR_NOT_AVAILABLE ? errorCode : 0;
  });
  const init = makeInitProducerIdRequest({ transactionalId: null, transactionTimeoutMs: 1000 });
  await awaitCode(async () => (await wire.send(InitProducerIdApi, 4, init)).errorCode);
}

async function awaitCode(code: () => Promise<number | undefined>): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if ((await code()) === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the broker is not ready after 30 s");
}

async function createTopics(
  wire: Wire,
  wanted: ReadonlyMap<string, OwnTopic>,
): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  const rows = [...wanted];
  for (let from = 0; from < rows.length; from += TOPICS_PER_REQUEST) {
    const topics = rows.slice(from, from + TOPICS_PER_REQUEST).map(([name, own]) =>
      makeCreatableTopic({
        name,
        numPartitions: own.partitions,
        replicationFactor: 1,
        configs: Object.entries(own.configs).map(([key, value]) =>
          makeCreatableTopicConfig({ name: key, value }),
        ),
      }),
    );
    const answer = await wire.send(
      CreateTopicsApi,
      7,
      makeCreateTopicsRequest({ topics, timeoutMs: 30_000 }),
    );
    for (const { name, topicId, errorCode, errorMessage } of answer.topics) {
      if (errorCode !== 0) throw new Error(`${name}: error ${errorCode} ${errorMessage}`);
      ids.set(name, topicId);
    }
  }
  return ids;
}

/** Three records of their own batches, so that every run finds the same offsets. */
async function fill(wire: Wire, topic: string): Promise<void> {
  const value = new TextEncoder().encode("value");
  // The last one is the latest, also where all are written within a millisecond.
  const startMs = Date.now() - 3;
  for (let offset = 0; offset < 3;) {
    const records = encodeRecordBatch({
      records: [{ key: value, value }],
      timestamp: startMs + offset,
    });
    const request = makeProduceRequest({
      acks: -1,
      timeoutMs: 10_000,
      topicData: [makeTopicProduceData({ name: topic, partitionData: [{ index: 0, records }] })],
    });
    const answer = await wire.send(ProduceApi, 9, request);
    const errorCode = answer.responses[0]?.partitionResponses[0]?.errorCode;
    if (errorCode === 0) offset += 1;
    // The leader of a new topic may not have taken up its office yet.
    else await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function deleteTopics(wire: Wire, names: readonly string[]): Promise<void> {
  for (let from = 0; from < names.length; from += TOPICS_PER_REQUEST) {
    const topics = names
      .slice(from, from + TOPICS_PER_REQUEST)
      .map((name) => makeDeleteTopicState({ name }));
    await wire.send(DeleteTopicsApi, 6, makeDeleteTopicsRequest({ topics, timeoutMs: 30_000 }));
  }
}
