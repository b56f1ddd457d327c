/** Committed offsets at every version: what is kept, who may write and delete it, and rows that are odd. */
import { DeleteGroupsApi, makeDeleteGroupsRequest } from "#protocol/generated/delete-groups.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import {
  makeOffsetCommitRequestPartition,
  makeOffsetCommitRequestTopic,
} from "#protocol/generated/offset-commit.ts";
import { makeOffsetDeleteRequest, OffsetDeleteApi } from "#protocol/generated/offset-delete.ts";
import {
  makeOffsetFetchRequest,
  makeOffsetFetchRequestGroup,
  makeOffsetFetchRequestTopic,
  makeOffsetFetchRequestTopics,
  OffsetFetchApi,
} from "#protocol/generated/offset-fetch.ts";
import { ask } from "../bytes.ts";
import { type Case, conversation, one, type Place, type Play, type Turn } from "../case.ts";
import {
  committing,
  fetching,
  joinAlone,
  joinAndSync,
  leaving,
  type Member,
} from "./group-requests.ts";

const COMMIT_VERSIONS = [2, 3, 4, 5, 6, 7, 8, 9, 10];
const FETCH_VERSIONS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const UNKNOWN_ID = "AAAAAAAAAAAAAAAAAAAAQQ";
const LONGEST_TEXT = 32_767;

/** What is in the end stored of the case's topic, by name and, where it is known, by id. */
function* looking(place: Place): Play {
  yield fetching(place, 9, null);
  yield fetching(place, 9, [0, 1]);
}

/** One commit, and what came of it. */
const stored = (
  label: string,
  turn: (place: Place) => Turn,
  cost: "light" | "costly" = "light",
): Case =>
  conversation(
    `offsets/${label}`,
    function* (place) {
      yield turn(place);
      yield* looking(place);
    },
    { cost },
  );

// ---- every version

const VERSIONS: readonly Case[] = [
  ...COMMIT_VERSIONS.flatMap((version) => [
    stored(`commit v${version}`, (place) =>
      committing(place, version, [
        { partitionIndex: 0, committedOffset: 5, committedMetadata: "five" },
        { partitionIndex: 1, committedOffset: 6, committedMetadata: null },
        { partitionIndex: 2, committedOffset: 7 },
      ]),
    ),
    stored(`commit as nobody v${version}`, (place) =>
      committing(place, version, [{ committedOffset: 5 }], {
        memberId: "nobody",
        generationId: 1,
        groupInstanceId: null,
      }),
    ),
    conversation(`offsets/commit as a member v${version}`, function* (place) {
      const member = yield* joinAndSync(place, 9);
      yield committing(place, version, [{ committedOffset: 5 }], member);
      yield committing(place, version, [{ committedOffset: 6 }], { ...member, generationId: 9 });
      yield committing(place, version, [{ committedOffset: 7 }], { ...member, memberId: "nobody" });
      yield committing(place, version, [{ committedOffset: 8 }]);
      yield* looking(place);
    }),
  ]),
  ...FETCH_VERSIONS.map((version) =>
    conversation(`offsets/fetch v${version}`, function* (place) {
      yield fetching(place, version, [0, 1, 2, -1]);
      yield committing(place, 9, [{ committedOffset: 5, committedMetadata: "m" }]);
      yield fetching(place, version, [1, 0, 1]);
      yield fetching(place, version, []);
      if (version >= 2) yield fetching(place, version, null);
      if (version >= 7) yield fetching(place, version, [0], { requireStable: true });
      if (version < 10) yield fetching(place, version, [0], { name: "corpus-missing" });
    }),
  ),
];

// ---- what a row may say

const ROWS: readonly Case[] = [
  ...[2, 3, 4].flatMap((version) =>
    [-1, 0, -2, 60_000, Number.MAX_SAFE_INTEGER].map((retentionTimeMs) =>
      stored(`commit v${version} for ${retentionTimeMs} ms`, (place) =>
        committing(place, version, [{ committedOffset: 5 }], null, { retentionTimeMs }),
      ),
    ),
  ),
  ...[-1, -2, 0, 7, 0x7fffffff].map((committedLeaderEpoch) =>
    stored(`commit leader epoch ${committedLeaderEpoch}`, (place) =>
      committing(place, 9, [{ committedOffset: 5, committedLeaderEpoch }]),
    ),
  ),
  ...[-1, -2, 0, Number.MAX_SAFE_INTEGER].map((committedOffset) =>
    stored(`commit offset ${committedOffset}`, (place) =>
      committing(place, 9, [{ committedOffset }]),
    ),
  ),
  // As long in UTF-16 units as is allowed, in bytes three times that.
  ...[4096, 4097].map((length) =>
    stored(`commit metadata of ${length} wide letters`, (place) =>
      committing(place, 9, [{ committedOffset: 5, committedMetadata: "猫".repeat(length) }]),
    ),
  ),
  stored("commit metadata of emoji", (place) =>
    committing(place, 9, [{ committedOffset: 5, committedMetadata: "😀".repeat(2048) }]),
  ),
  stored("commit metadata of a zero", (place) =>
    committing(place, 9, [{ committedOffset: 5, committedMetadata: "\0" }]),
  ),
  stored("commit one good row and one with long metadata", (place) =>
    committing(place, 9, [
      { partitionIndex: 0, committedOffset: 5 },
      { partitionIndex: 1, committedOffset: 6, committedMetadata: "m".repeat(LONGEST_TEXT) },
    ]),
  ),
  ...[9, 10].map((version) =>
    stored(`commit a partition three times v${version}`, (place) =>
      committing(place, version, [
        { committedOffset: 1 },
        { committedOffset: 2, committedMetadata: "m".repeat(5000) },
        { committedOffset: 3 },
      ]),
    ),
  ),
  ...[9, 10].map((version) =>
    stored(`commit a topic twice v${version}`, (place) => {
      const named = version >= 10 ? { topicId: place.topicId } : { name: place.topic };
      const topic = (partitionIndex: number, committedOffset: number) =>
        makeOffsetCommitRequestTopic({
          ...named,
          partitions: [
            makeOffsetCommitRequestPartition({
              partitionIndex,
              committedOffset,
              committedMetadata: "",
            }),
          ],
        });
      return committing(place, version, [], null, {
        topics: [topic(0, 1), topic(0, 2), topic(1, 3), topic(9, 4)],
      });
    }),
  ),
  ...[-1, 2, 0x7fffffff, -0x80000000].map((partitionIndex) =>
    stored(`commit partition ${partitionIndex}`, (place) =>
      committing(place, 9, [{ partitionIndex, committedOffset: 5 }]),
    ),
  ),
  stored("commit good and unknown partitions in turn", (place) =>
    committing(
      place,
      9,
      [9, 0, -1, 1, 0x7fffffff].map((partitionIndex) => ({ partitionIndex, committedOffset: 5 })),
    ),
  ),
  ...["corpus-missing", "", "a/b", "t".repeat(LONGEST_TEXT), "__consumer_offsets"].map((name) =>
    stored(`commit topic ${name.length > 99 ? "of 32,767 letters" : `'${name}'`}`, (place) =>
      committing({ ...place, topic: name }, 9, [{ committedOffset: 5 }]),
    ),
  ),
  ...[ZERO_UUID, UNKNOWN_ID].map((topicId) =>
    stored(`commit topic id ${topicId}`, (place) =>
      committing({ ...place, topicId }, 10, [{ committedOffset: 5 }, { partitionIndex: 7 }]),
    ),
  ),
  stored("commit known and unknown topics", ({ topic, ...place }) =>
    committing({ ...place, topic }, 9, [], null, {
      topics: ["corpus-missing", topic, "corpus-missing-too"].map((name) =>
        makeOffsetCommitRequestTopic({
          name,
          partitions: [
            makeOffsetCommitRequestPartition({ committedOffset: 5, committedMetadata: "" }),
          ],
        }),
      ),
    }),
  ),
  stored("commit known and unknown topic ids", (place) =>
    committing(place, 10, [], null, {
      topics: [UNKNOWN_ID, place.topicId, ZERO_UUID].map((topicId) =>
        makeOffsetCommitRequestTopic({
          topicId,
          partitions: [
            makeOffsetCommitRequestPartition({ committedOffset: 5, committedMetadata: "" }),
          ],
        }),
      ),
    }),
  ),
  ...[8, 9, 10].map((version) =>
    stored(`commit no rows v${version}`, (place) => committing(place, version, [])),
  ),
  ...[8, 9, 10].map((version) =>
    stored(`commit no topics v${version}`, (place) =>
      committing(place, version, [], null, { topics: [] }),
    ),
  ),
  ...[250, LONGEST_TEXT].map((length) =>
    conversation(`offsets/commit in a group of ${length} letters`, function* (place) {
      const long = { ...place, group: place.group.padEnd(length, "g") };
      yield committing(long, 9, [{ committedOffset: 5 }]);
      yield* looking(long);
    }),
  ),
  ...[0, 1, 99].map((generationId) =>
    stored(`commit in generation ${generationId} of an unknown group v8`, (place) =>
      committing(place, 8, [{ committedOffset: 5 }], {
        memberId: "",
        generationId,
        groupInstanceId: null,
      }),
    ),
  ),
  stored("commit as an instance in an unknown group", (place) =>
    committing(place, 9, [{ committedOffset: 5 }], {
      memberId: "",
      generationId: -1,
      groupInstanceId: "i",
    }),
  ),
  stored("commit as a member without a generation in an unknown group", (place) =>
    committing(place, 9, [{ committedOffset: 5 }], {
      memberId: "nobody",
      generationId: -1,
      groupInstanceId: null,
    }),
  ),
  stored(
    "commit 20,000 rows, half of them unknown",
    (place) =>
      committing(
        place,
        9,
        Array.from({ length: 20_000 }, (_, row) => ({
          partitionIndex: row % 4,
          committedOffset: row,
        })),
      ),
    "costly",
  ),
  stored(
    "commit 10,000 rows",
    (place) =>
      committing(
        place,
        9,
        Array.from({ length: 10_000 }, (_, row) => ({
          partitionIndex: row % 2,
          committedOffset: row,
        })),
      ),
    "costly",
  ),
];

// ---- what a member may commit

const as = (member: Member, changed: Partial<Member>): Member => ({ ...member, ...changed });

const MEMBERS: readonly Case[] = [
  conversation("offsets/commit of a member that is not quite one", function* (place) {
    const member = yield* joinAndSync(place, 9);
    yield committing(place, 9, [{ committedOffset: 1 }], as(member, { generationId: -1 }));
    yield committing(place, 9, [{ committedOffset: 2 }], as(member, { generationId: -2 }));
    yield committing(place, 9, [{ committedOffset: 3 }], as(member, { memberId: "" }));
    yield committing(place, 9, [{ committedOffset: 4 }], as(member, { groupInstanceId: "i" }));
    yield committing(
      place,
      9,
      [{ committedOffset: 5 }],
      as(member, { memberId: "", generationId: -1, groupInstanceId: "i" }),
    );
    yield* looking(place);
  }),
  conversation("offsets/commit of a static member", function* (place) {
    const member = yield* joinAndSync(place, 9, { groupInstanceId: "i" });
    yield committing(place, 9, [{ committedOffset: 1 }], member);
    yield committing(place, 9, [{ committedOffset: 2 }], as(member, { groupInstanceId: null }));
    yield committing(place, 9, [{ committedOffset: 3 }], as(member, { memberId: "nobody" }));
    yield committing(place, 9, [{ committedOffset: 4 }], as(member, { groupInstanceId: "j" }));
    yield* looking(place);
  }),
  conversation("offsets/fetch as a member of a classic group", function* (place) {
    const member = yield* joinAndSync(place, 9);
    yield committing(place, 9, [{ committedOffset: 1 }], member);
    for (const memberEpoch of [-1, 0, 1, 99]) {
      const { memberId } = member;
      yield fetching(place, 9, [0], { memberId, memberEpoch });
      yield fetching(place, 10, null, { memberId: "nobody", memberEpoch });
    }
  }),
  conversation("offsets/between join and sync", function* (place) {
    const member = yield* joinAlone(place, 9);
    yield committing(place, 9, [{ committedOffset: 1 }], member);
    yield* looking(place);
  }),
];

// ---- reading

const FETCHES: readonly Case[] = [
  ...[8, 9].map((version) =>
    conversation(`offsets/fetch many groups v${version}`, function* (place) {
      yield committing(place, 9, [{ committedOffset: 5 }]);
      const topics = [
        makeOffsetFetchRequestTopics({ name: place.topic, partitionIndexes: [0, 1] }),
        makeOffsetFetchRequestTopics({ name: "corpus-missing", partitionIndexes: [0] }),
      ];
      const groups = [
        makeOffsetFetchRequestGroup({ groupId: place.group, topics }),
        makeOffsetFetchRequestGroup({ groupId: "", topics }),
        makeOffsetFetchRequestGroup({ groupId: place.group, topics: null }),
        makeOffsetFetchRequestGroup({ groupId: `${place.group}-x`, topics: [] }),
      ];
      yield ask(OffsetFetchApi, version, makeOffsetFetchRequest({ groups }));
      yield ask(OffsetFetchApi, version, makeOffsetFetchRequest({ groups, requireStable: true }));
    }),
  ),
  conversation("offsets/fetch by id", function* (place) {
    yield committing(place, 10, [{ committedOffset: 5 }, { partitionIndex: 1 }]);
    const topics = [place.topicId, UNKNOWN_ID, ZERO_UUID, place.topicId].map((topicId) =>
      makeOffsetFetchRequestTopics({ topicId, partitionIndexes: [0, 9] }),
    );
    const groups = [
      makeOffsetFetchRequestGroup({ groupId: place.group, topics }),
      makeOffsetFetchRequestGroup({ groupId: `${place.group}-x`, topics }),
      makeOffsetFetchRequestGroup({ groupId: place.group, topics: null }),
    ];
    yield ask(OffsetFetchApi, 10, makeOffsetFetchRequest({ groups }));
  }),
  ...[1, 7].map((version) =>
    conversation(`offsets/fetch a topic twice v${version}`, function* (place) {
      yield committing(place, 9, [{ committedOffset: 5 }]);
      const topics = [[0], [1, 0], []].map((partitionIndexes) =>
        makeOffsetFetchRequestTopic({ name: place.topic, partitionIndexes }),
      );
      yield ask(OffsetFetchApi, version, makeOffsetFetchRequest({ groupId: place.group, topics }));
    }),
  ),
  ...[1, 7].map((version) =>
    one(
      `offsets/fetch empty group v${version}`,
      ask(
        OffsetFetchApi,
        version,
        makeOffsetFetchRequest({
          groupId: "",
          topics: [makeOffsetFetchRequestTopic({ name: "corpus-missing", partitionIndexes: [0] })],
        }),
      ),
    ),
  ),
  one("offsets/fetch no topics v1", ({ group }) =>
    ask(OffsetFetchApi, 1, makeOffsetFetchRequest({ groupId: group, topics: [] })),
  ),
  one(
    "offsets/fetch 1,000 groups",
    ({ group, topic }) =>
      ask(
        OffsetFetchApi,
        9,
        makeOffsetFetchRequest({
          groups: Array.from({ length: 1000 }, (_, index) =>
            makeOffsetFetchRequestGroup({
              groupId: `${group}-${index}`,
              topics: [makeOffsetFetchRequestTopics({ name: topic, partitionIndexes: [0] })],
            }),
          ),
        }),
      ),
    { cost: "costly" },
  ),
];

// ---- deleting

const removing = (
  { group }: Place,
  topics: readonly (readonly [name: string, partitions: readonly number[]])[],
): Turn =>
  ask(
    OffsetDeleteApi,
    0,
    makeOffsetDeleteRequest({
      groupId: group,
      topics: topics.map(([name, partitions]) => ({
        name,
        partitions: partitions.map((partitionIndex) => ({ partitionIndex })),
      })),
    }),
  );

const DELETIONS: readonly Case[] = [
  conversation("offsets/delete", function* (place) {
    const { topic } = place;
    yield removing(place, [[topic, [0]]]);
    yield committing(place, 9, [{ committedOffset: 5 }, { partitionIndex: 1, committedOffset: 6 }]);
    yield removing(place, [[topic, [0, 0, 9, -1]]]);
    yield removing(place, [["corpus-missing", [0]]]);
    yield removing(place, [[topic, []]]);
    yield removing(place, []);
    yield* looking(place);
    yield removing(place, [
      [topic, [1]],
      [topic, [0]],
      ["corpus-missing", [0, 1]],
    ]);
    yield* looking(place);
    yield removing(place, [[topic, [1]]]);
  }),
  conversation("offsets/delete what is subscribed", function* (place) {
    const member = yield* joinAndSync(place, 9);
    yield committing(place, 9, [{ committedOffset: 5 }], member);
    yield removing(place, [
      [place.topic, [0]],
      ["corpus-missing", [0]],
    ]);
    yield* looking(place);
    yield leaving(place, 5, member);
    yield removing(place, [[place.topic, [0]]]);
    yield* looking(place);
  }),
  conversation("offsets/delete in a group of no consumers", function* (place) {
    const member = yield* joinAndSync(place, 9, { protocolType: "connect" });
    yield committing(place, 9, [{ committedOffset: 5 }], member);
    yield removing(place, [[place.topic, [0]]]);
    yield leaving(place, 5, member);
    yield removing(place, [[place.topic, [0]]]);
    yield* looking(place);
  }),
  conversation("offsets/delete between join and sync", function* (place) {
    yield* joinAlone(place, 9);
    yield removing(place, [[place.topic, [0]]]);
  }),
  one(
    "offsets/delete 20,000 rows of nobody",
    (place) => removing(place, [[place.topic, Array.from({ length: 20_000 }, (_, row) => row)]]),
    { cost: "costly" },
  ),
  one("offsets/delete in a group of 32,767 letters", (place) =>
    removing({ ...place, group: "g".repeat(LONGEST_TEXT) }, [[place.topic, [0]]]),
  ),
  conversation("offsets/delete the group", function* (place) {
    yield committing(place, 9, [{ committedOffset: 5 }]);
    yield ask(DeleteGroupsApi, 3, makeDeleteGroupsRequest({ groupsNames: [place.group] }));
    yield* looking(place);
    yield committing(place, 9, [{ committedOffset: 6 }]);
    yield* looking(place);
  }),
];

/** All of them. */
export const COMMITTED_OFFSET_CASES: readonly Case[] = [
  ...VERSIONS,
  ...ROWS,
  ...MEMBERS,
  ...FETCHES,
  ...DELETIONS,
];
