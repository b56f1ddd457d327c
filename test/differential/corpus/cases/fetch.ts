/** Fetch: offsets, epochs, sizes, isolation, followers that are none, and sessions. */
import {
  FetchApi,
  type FetchPartition,
  type FetchRequest,
  makeFetchPartition,
  makeFetchRequest,
  makeFetchTopic,
  makeForgottenTopic,
} from "#protocol/generated/fetch.ts";
import { ask } from "../bytes.ts";
import {
  type Case,
  type CaseOptions,
  conversation,
  one,
  type Place,
  type Play,
  type Reply,
  type Turn,
} from "../case.ts";

interface Options extends Partial<FetchRequest> {
  readonly name?: string;
  readonly id?: string;
}

function request(
  place: Place,
  version: number,
  partitions: readonly Partial<FetchPartition>[],
  options: Options = {},
): Turn {
  const { name, id, ...init } = options;
  return ask(
    FetchApi,
    version,
    makeFetchRequest({
      replicaId: -1,
      maxWaitMs: 20,
      minBytes: 1,
      maxBytes: 1 << 20,
      ...(version >= 7 && { sessionId: 0, sessionEpoch: -1 }),
      topics:
        partitions.length === 0
          ? []
          : [
              makeFetchTopic({
                ...(version >= 13
                  ? { topicId: id ?? place.topicId }
                  : { topic: name ?? place.topic }),
                partitions: partitions.map((partition) =>
                  makeFetchPartition({ partitionMaxBytes: 1 << 20, ...partition }),
                ),
              }),
            ],
      ...init,
    }),
  );
}

const fetched = (
  label: string,
  partition: Partial<FetchPartition>,
  options: Options = {},
  version = 11,
  caseOptions: CaseOptions = {},
): Case =>
  one(`fetch/${label}`, (place) => request(place, version, [partition], options), caseOptions);

const both = (
  label: string,
  partition: Partial<FetchPartition>,
  options: Options = {},
): readonly Case[] =>
  [11, 17].map((version) => fetched(`${label} v${version}`, partition, options, version));

const LONG_MAX = Number.MAX_SAFE_INTEGER;

const PARTITION_CASES: readonly Case[] = [
  ...Array.from({ length: 15 }, (_, index) => fetched(`sound v${index + 4}`, {}, {}, index + 4)),
  ...[-1, -2, 4, 9999, LONG_MAX, -LONG_MAX].flatMap((fetchOffset) =>
    both(`offset ${fetchOffset}`, { fetchOffset }),
  ),
  fetched("offset at the end", { fetchOffset: 3 }),
  ...[0, 99, -2, 0x7fffffff].flatMap((currentLeaderEpoch) =>
    both(`leader epoch ${currentLeaderEpoch}`, { currentLeaderEpoch }),
  ),
  ...[0, 99, -2].map((lastFetchedEpoch) =>
    fetched(`last fetched epoch ${lastFetchedEpoch}`, { fetchOffset: 2, lastFetchedEpoch }, {}, 15),
  ),
  ...[7, -1, 0x7fffffff].flatMap((partition) => both(`partition ${partition}`, { partition })),
  fetched("unknown topic", {}, { name: "corpus-missing" }),
  fetched("illegal topic", {}, { name: "a/b" }),
  fetched("empty topic", {}, { name: "" }),
  fetched("unknown topic id", {}, { id: "AAAAAAAAAAAAAAAAAAAABg" }, 13),
  fetched("zero topic id", {}, { id: "AAAAAAAAAAAAAAAAAAAAAA" }, 13),
  fetched("metadata topic id", {}, { id: "AAAAAAAAAAAAAAAAAAAAAQ" }, 17),
  fetched("__cluster_metadata", {}, { name: "__cluster_metadata" }),
  ...[0, 1, 60, -1, -0x80000000].flatMap((maxBytes) =>
    both(`max bytes ${maxBytes}`, {}, { maxBytes }),
  ),
  ...[0, 1, -1, -0x80000000].flatMap((partitionMaxBytes) =>
    both(`partition max bytes ${partitionMaxBytes}`, { partitionMaxBytes }),
  ),
  ...[0, -1, 0x7fffffff].map((minBytes) => fetched(`min bytes ${minBytes}`, {}, { minBytes })),
  ...[0, -1, -0x80000000].map((maxWaitMs) =>
    fetched(`max wait ${maxWaitMs}`, { fetchOffset: 3 }, { maxWaitMs }),
  ),
  ...[1, 2, 9, -1].flatMap((isolationLevel) =>
    both(`isolation ${isolationLevel}`, {}, { isolationLevel }),
  ),
  ...[0, 1, 5, -2, -3, 0x7fffffff].map((replicaId) =>
    fetched(`replica ${replicaId}`, {}, { replicaId }),
  ),
  ...[0, 5, -2].map((replicaId) =>
    fetched(`replica state ${replicaId}`, {}, { replicaState: { replicaId, replicaEpoch: 1 } }, 17),
  ),
  fetched("replica of this node", {}, { replicaState: { replicaId: 1, replicaEpoch: -1 } }, 17),
  fetched("cluster id of another", {}, { clusterId: "AAAAAAAAAAAAAAAAAAAABg" }, 17),
  fetched("unknown rack", {}, { rackId: "nowhere" }),
  fetched("rack of 30,000 letters", {}, { rackId: "r".repeat(30_000) }),
  fetched("log start offset beyond the end", { logStartOffset: 99 }),
  one("fetch/partition twice", (place) => request(place, 11, [{}, {}])),
  one("fetch/partition twice v17", (place) => request(place, 17, [{}, {}])),
  one("fetch/partition twice, other offsets", (place) =>
    request(place, 11, [{ fetchOffset: 1 }, { fetchOffset: 99 }]),
  ),
  one("fetch/partition twice in a session", (place) =>
    request(place, 11, [{ fetchOffset: 1 }, { fetchOffset: 99 }], { sessionEpoch: 0 }),
  ),
  one("fetch/an unknown partition first", (place) => request(place, 11, [{ partition: 9 }, {}])),
  one("fetch/an unknown partition first v17", (place) =>
    request(place, 17, [{ partition: 9 }, {}]),
  ),
  one("fetch/an offset out of range first", (place) =>
    request(place, 11, [{ fetchOffset: 99 }, { partition: 1 }]),
  ),
  one("fetch/nothing", (place) => request(place, 11, [])),
  one("fetch/nothing v4", (place) => request(place, 4, [])),
  one("fetch/topic without partitions", (place) =>
    ask(
      FetchApi,
      11,
      makeFetchRequest({
        maxWaitMs: 20,
        sessionEpoch: -1,
        topics: [makeFetchTopic({ topic: place.topic })],
      }),
    ),
  ),
  one("fetch/10,000 unknown partitions", (place) =>
    request(
      place,
      11,
      Array.from({ length: 10_000 }, (_, index) => ({ partition: index + 10 })),
    ),
  ),
  one("fetch/10,000 times one partition", (place) =>
    request(
      place,
      11,
      Array.from({ length: 10_000 }, () => ({ partition: 1 })),
    ),
  ),
  one("fetch/10,000 unknown topics", () =>
    ask(
      FetchApi,
      11,
      makeFetchRequest({
        maxWaitMs: 20,
        sessionEpoch: -1,
        topics: Array.from({ length: 10_000 }, (_, index) =>
          makeFetchTopic({ topic: `corpus-missing-${index}`, partitions: [makeFetchPartition()] }),
        ),
      }),
    ),
  ),
];

// ---- sessions

function sessionOf(reply: Reply | undefined): number {
  const id = reply?.message?.["sessionId"];
  return typeof id === "number" ? id : 0;
}

const session = (label: string, play: (place: Place) => Play): Case =>
  conversation(`fetch/session ${label}`, play);

const opened = { sessionId: 0, sessionEpoch: 0 };

const stale = (label: string, options: Options): readonly Case[] =>
  [7, 11, 13, 17].map((version) =>
    session(`${label} v${version}`, function* (place) {
      yield request(place, version, [{}], options);
    }),
  );

const SESSION_CASES: readonly Case[] = [
  ...stale("unknown", { sessionId: 5, sessionEpoch: 3 }),
  ...stale("unknown at epoch 0", { sessionId: 5, sessionEpoch: 0 }),
  ...stale("none at epoch 1", { sessionId: 0, sessionEpoch: 1 }),
  ...stale("unknown at epoch -1", { sessionId: 5, sessionEpoch: -1 }),
  ...stale("negative id", { sessionId: -5, sessionEpoch: 1 }),
  ...stale("none at epoch -2", { sessionId: 0, sessionEpoch: -2 }),
  session("goes on", function* (place) {
    const [first] = yield request(place, 11, [{}], opened);
    const sessionId = sessionOf(first);
    yield request(place, 11, [], { sessionId, sessionEpoch: 1 });
    yield request(place, 11, [{ fetchOffset: 3 }], { sessionId, sessionEpoch: 2 });
    yield request(place, 11, [], { sessionId, sessionEpoch: 3, maxWaitMs: 0 });
  }),
  session("skips an epoch", function* (place) {
    const [first] = yield request(place, 11, [{}], opened);
    const sessionId = sessionOf(first);
    yield request(place, 11, [], { sessionId, sessionEpoch: 2 });
    yield request(place, 11, [], { sessionId, sessionEpoch: 1 });
  }),
  session("repeats an epoch", function* (place) {
    const [first] = yield request(place, 11, [{}], opened);
    const sessionId = sessionOf(first);
    yield request(place, 11, [], { sessionId, sessionEpoch: 1 });
    yield request(place, 11, [], { sessionId, sessionEpoch: 1 });
  }),
  session("ends", function* (place) {
    const [first] = yield request(place, 11, [{}], opened);
    const sessionId = sessionOf(first);
    yield request(place, 11, [{}], { sessionId, sessionEpoch: -1 });
    yield request(place, 11, [], { sessionId, sessionEpoch: 1 });
  }),
  session("starts over", function* (place) {
    const [first] = yield request(place, 11, [{}], opened);
    const sessionId = sessionOf(first);
    yield request(place, 11, [{}], { sessionId, sessionEpoch: 0 });
    yield request(place, 11, [], { sessionId, sessionEpoch: 1 });
  }),
  session("forgets its partition", function* (place) {
    const [first] = yield request(place, 11, [{}], opened);
    const sessionId = sessionOf(first);
    const forgottenTopicsData = [makeForgottenTopic({ topic: place.topic, partitions: [0] })];
    yield request(place, 11, [], { sessionId, sessionEpoch: 1, forgottenTopicsData });
    yield request(place, 11, [], { sessionId, sessionEpoch: 2, maxWaitMs: 0 });
  }),
  session("forgets and asks for the same", function* (place) {
    const [first] = yield request(place, 11, [{}], opened);
    const sessionId = sessionOf(first);
    const forgottenTopicsData = [makeForgottenTopic({ topic: place.topic, partitions: [0] })];
    yield request(place, 11, [{ fetchOffset: 1 }], {
      sessionId,
      sessionEpoch: 1,
      forgottenTopicsData,
    });
  }),
  session("forgets what it never had", function* (place) {
    const [first] = yield request(place, 11, [{}], opened);
    const sessionId = sessionOf(first);
    const forgottenTopicsData = [
      makeForgottenTopic({ topic: "corpus-missing", partitions: [0, 0, -1] }),
    ];
    yield request(place, 11, [], { sessionId, sessionEpoch: 1, forgottenTopicsData });
  }),
  session("with an unknown partition", function* (place) {
    const [first] = yield request(place, 11, [{}, { partition: 9 }], opened);
    const sessionId = sessionOf(first);
    yield request(place, 11, [], { sessionId, sessionEpoch: 1 });
  }),
  session("with an unknown topic id", function* (place) {
    const [first] = yield request(place, 13, [{}], { ...opened, id: "AAAAAAAAAAAAAAAAAAAABg" });
    const sessionId = sessionOf(first);
    yield request(place, 13, [], { sessionId, sessionEpoch: 1 });
    yield request(place, 13, [{}], { sessionId, sessionEpoch: 2 });
  }),
  session("from names to ids", function* (place) {
    const [first] = yield request(place, 11, [{}], opened);
    const sessionId = sessionOf(first);
    yield request(place, 13, [{}], { sessionId, sessionEpoch: 1 });
  }),
  session("from ids to names", function* (place) {
    const [first] = yield request(place, 13, [{}], opened);
    const sessionId = sessionOf(first);
    yield request(place, 11, [{}], { sessionId, sessionEpoch: 1 });
  }),
  session("of nothing", function* (place) {
    const [first] = yield request(place, 11, [], opened);
    const sessionId = sessionOf(first);
    yield request(place, 11, [{}], { sessionId, sessionEpoch: 1 });
  }),
  session("with isolation 9", function* (place) {
    yield request(place, 11, [{}], { ...opened, isolationLevel: 9 });
  }),
];

/** All of them. */
export const FETCH_CASES: readonly Case[] = [...PARTITION_CASES, ...SESSION_CASES];
