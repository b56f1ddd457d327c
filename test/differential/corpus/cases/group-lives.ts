/**
 * Groups through all they can be asked, at every version: strangers, whole lives, and what members do wrong in them. After each wrong
 * step the group is looked at again: it must be unharmed.
 */
import { DeleteGroupsApi, makeDeleteGroupsRequest } from "#protocol/generated/delete-groups.ts";
import {
  DescribeGroupsApi,
  makeDescribeGroupsRequest,
} from "#protocol/generated/describe-groups.ts";
import {
  FindCoordinatorApi,
  makeFindCoordinatorRequest,
} from "#protocol/generated/find-coordinator.ts";
import { HeartbeatApi, makeHeartbeatRequest } from "#protocol/generated/heartbeat.ts";
import { type JoinGroupRequest } from "#protocol/generated/join-group.ts";
import { LeaveGroupApi, makeLeaveGroupRequest } from "#protocol/generated/leave-group.ts";
import { ListGroupsApi, makeListGroupsRequest } from "#protocol/generated/list-groups.ts";
import { type SyncGroupRequest } from "#protocol/generated/sync-group.ts";
import { ask, utf8 } from "../bytes.ts";
import { type Case, conversation, one, type Place, type Play, type Turn } from "../case.ts";
import {
  beating,
  committing,
  fetching,
  idIn,
  joinAlone,
  joinAndSync,
  joining,
  leaving,
  type Member,
  NOBODY,
  subscription,
  syncing,
} from "./group-requests.ts";

const LONGEST_TEXT = 32_767;

const upTo = (highest: number): number[] =>
  Array.from({ length: highest + 1 }, (_, version) => version);

const describing = ({ group }: Place, version: number, includeAuthorizedOperations = false): Turn =>
  ask(
    DescribeGroupsApi,
    version,
    makeDescribeGroupsRequest({ groups: [group], includeAuthorizedOperations }),
  );

const listing = (version: number, statesFilter: string[] = [], typesFilter: string[] = []): Turn =>
  ask(ListGroupsApi, version, makeListGroupsRequest({ statesFilter, typesFilter }));

const deleting = ({ group }: Place, version: number): Turn =>
  ask(DeleteGroupsApi, version, makeDeleteGroupsRequest({ groupsNames: [group] }));

// ---- nobody's requests, at every version

const STRANGERS: readonly Case[] = [
  ...upTo(9).map((version) =>
    one(`group-lives/join as nobody v${version}`, (place) =>
      joining(place, version, { memberId: "nobody" }),
    ),
  ),
  ...upTo(5).flatMap((version) => [
    one(`group-lives/sync as nobody v${version}`, (place) => syncing(place, version, NOBODY)),
    one(`group-lives/leave as nobody v${version}`, (place) => leaving(place, version, NOBODY)),
  ]),
  ...upTo(4).map((version) =>
    one(`group-lives/heartbeat as nobody v${version}`, (place) => beating(place, version, NOBODY)),
  ),
  ...upTo(6).map((version) =>
    one(`group-lives/describe nobody v${version}`, (place) => describing(place, version)),
  ),
  ...[3, 4, 5, 6].map((version) =>
    one(`group-lives/describe nobody, operations, v${version}`, (place) =>
      describing(place, version, true),
    ),
  ),
  ...upTo(3).map((version) =>
    one(`group-lives/delete nobody v${version}`, (place) => deleting(place, version)),
  ),
  ...upTo(3).map((version) =>
    one(
      `group-lives/find v${version}`,
      ask(FindCoordinatorApi, version, makeFindCoordinatorRequest({ key: "corpus-group" })),
    ),
  ),
  ...[1, 2, 3].flatMap((version) =>
    [2, 3, -1].map((keyType) =>
      one(
        `group-lives/find v${version} type ${keyType}`,
        ask(
          FindCoordinatorApi,
          version,
          makeFindCoordinatorRequest({ key: "corpus-group", keyType }),
        ),
      ),
    ),
  ),
  ...["", "g".repeat(250), "g".repeat(LONGEST_TEXT)].flatMap((key) =>
    [0, 3].map((version) =>
      one(
        `group-lives/find ${key.length} letters v${version}`,
        ask(FindCoordinatorApi, version, makeFindCoordinatorRequest({ key })),
      ),
    ),
  ),
  ...[4, 5, 6].map((version) =>
    one(
      `group-lives/find many v${version}`,
      ask(
        FindCoordinatorApi,
        version,
        makeFindCoordinatorRequest({
          coordinatorKeys: ["", "g", "g", "g".repeat(250), "g".repeat(LONGEST_TEXT), "\0", "ü"],
        }),
      ),
    ),
  ),
];

// ---- whole lives

/** Versions of the other requests in a life whose JoinGroup has `version`. */
const lowered = (version: number, highest: number): number => Math.min(version, highest);

function* wholeLife(place: Place, version: number): Play {
  const member = yield* joinAndSync(place, version);
  yield beating(place, lowered(version, 4), member);
  const committed = lowered(version + 1, 10);
  yield committing(
    place,
    Math.max(2, committed),
    [{ committedOffset: 5, committedMetadata: "m" }],
    member,
  );
  yield fetching(place, Math.max(1, committed), [0, 1]);
  yield describing(place, lowered(version, 6));
  yield listing(lowered(version, 5));
  yield deleting(place, lowered(version, 3));
  yield leaving(place, lowered(version, 5), member);
  yield describing(place, lowered(version, 6));
  yield beating(place, lowered(version, 4), member);
  yield listing(lowered(version, 5));
  yield deleting(place, lowered(version, 3));
  yield fetching(place, Math.max(1, committed), [0]);
}

function* staticLife(place: Place, version: number): Play {
  const identity = { groupInstanceId: "i" };
  const first = yield* joinAndSync(place, version, identity);
  const second = yield* joinAlone(place, version, identity);
  yield beating(place, 4, first);
  yield beating(place, 4, { ...second, generationId: first.generationId });
  yield syncing(place, lowered(version, 5), first);
  yield syncing(place, lowered(version, 5), { ...second, generationId: first.generationId });
  yield committing(place, 9, [{ committedOffset: 5 }], first);
  yield joining(place, version, { ...identity, memberId: first.memberId });
  yield leaving(place, 5, first);
  yield leaving(
    place,
    5,
    { ...NOBODY, groupInstanceId: "i" },
    { memberId: "", generationId: -1, groupInstanceId: "other" },
    { memberId: "", generationId: -1, groupInstanceId: "i" },
    { memberId: "", generationId: -1, groupInstanceId: "i" },
  );
  yield describing(place, 6);
}

const LIVES: readonly Case[] = [
  ...upTo(9).map((version) =>
    conversation(`group-lives/whole life v${version}`, (place) => wholeLife(place, version)),
  ),
  ...[5, 6, 7, 8, 9].map((version) =>
    conversation(`group-lives/static life v${version}`, (place) => staticLife(place, version)),
  ),
  conversation("group-lives/connect", function* (place) {
    const connect = {
      protocolType: "connect",
      protocols: [
        { name: "sessioned", metadata: utf8("s") },
        { name: "compatible", metadata: utf8("c") },
      ],
    };
    const member = yield* joinAlone(place, 9, connect);
    yield syncing(place, 5, member, { protocolType: "connect", protocolName: "sessioned" });
    yield describing(place, 6, true);
    yield listing(5);
    yield committing(place, 9, [{ committedOffset: 1 }], member);
    yield leaving(place, 5, member);
    yield listing(5);
    yield describing(place, 6);
  }),
];

// ---- what a member does wrong

/** A stable group of one, `wrong` done in it, and then a heartbeat and a description: both as if nothing had happened. */
function wrong(
  label: string,
  act: (place: Place, member: Member) => Play,
  init: Partial<JoinGroupRequest> = {},
): Case {
  return conversation(`group-lives/${label}`, function* (place) {
    const member = yield* joinAndSync(place, 9, init);
    yield* act(place, member);
    yield beating(place, 4, member);
    yield describing(place, 6);
  });
}

const wrongJoin = (label: string, init: Partial<JoinGroupRequest>, version = 9): Case =>
  wrong(`join ${label}`, function* (place) {
    yield joining(place, version, init);
  });

const wrongSync = (label: string, init: Partial<SyncGroupRequest>): Case =>
  wrong(`sync ${label}`, function* (place, member) {
    yield syncing(place, 5, member, init);
  });

const proto = (name: string): JoinGroupRequest["protocols"] => [{ name, metadata: utf8("m") }];

const MISTAKES: readonly Case[] = [
  wrongJoin("with another protocol type", { protocolType: "connect" }),
  wrongJoin("with another protocol type v4", { protocolType: "connect" }, 4),
  wrongJoin("with no protocol type", { protocolType: "" }),
  wrongJoin("with another protocol", { protocols: proto("sticky") }),
  wrongJoin("with no protocols", { protocols: [] }),
  wrongJoin("as nobody", { memberId: "nobody" }),
  wrongJoin("as nobody with another protocol", { memberId: "nobody", protocols: proto("sticky") }),
  wrongJoin("with a short session", { sessionTimeoutMs: 5999 }),
  wrongJoin("with a long session", { sessionTimeoutMs: 1_800_001 }),
  wrongJoin("as an unknown instance of nobody", { groupInstanceId: "i", memberId: "nobody" }),
  ...[-1, 0, 1, 99, -2, 0x7fffffff].map((generationId) =>
    wrong(`sync in generation ${generationId}`, function* (place, member) {
      yield syncing(place, 5, { ...member, generationId });
    }),
  ),
  wrongSync("as nobody", { memberId: "nobody" }),
  wrongSync("as nobody in a wrong generation", { memberId: "nobody", generationId: 9 }),
  wrongSync("with an empty member", { memberId: "" }),
  wrongSync("as an unknown instance", { groupInstanceId: "i" }),
  wrongSync("with another protocol type", { protocolType: "connect" }),
  wrongSync("with another protocol", { protocolName: "sticky" }),
  wrongSync("with an empty protocol", { protocolName: "" }),
  wrongSync("with no protocol type", { protocolType: null }),
  wrongSync("with no assignments", { assignments: [] }),
  wrongSync("with an assignment of nobody", {
    assignments: [{ memberId: "nobody", assignment: utf8("x") }],
  }),
  ...[-1, 0, 2, 99].map((generationId) =>
    wrong(`heartbeat in generation ${generationId}`, function* (place, member) {
      yield beating(place, 4, { ...member, generationId });
    }),
  ),
  wrong("heartbeat as nobody", function* (place, member) {
    yield beating(place, 4, { ...member, memberId: "nobody" });
  }),
  wrong("heartbeat as an empty member", function* (place, member) {
    yield beating(place, 4, { ...member, memberId: "" });
  }),
  wrong("heartbeat as an unknown instance", function* (place, member) {
    yield beating(place, 4, { ...member, groupInstanceId: "i" });
  }),
  wrong("heartbeat as a member of 32,767 letters", function* (place, member) {
    yield beating(place, 4, { ...member, memberId: "m".repeat(LONGEST_TEXT) });
  }),
  wrong("leave as nobody", function* (place) {
    yield leaving(place, 5, NOBODY);
  }),
  wrong("leave without members", function* ({ group }) {
    yield ask(LeaveGroupApi, 5, makeLeaveGroupRequest({ groupId: group }));
  }),
  wrong("leave as an unknown instance", function* (place, member) {
    yield leaving(place, 5, { ...member, groupInstanceId: "i" });
  }),
  wrong("leave as an empty member", function* (place) {
    yield leaving(place, 5, { memberId: "", generationId: -1, groupInstanceId: null });
  }),
  wrong("leave an empty member v0", function* ({ group }) {
    yield ask(LeaveGroupApi, 0, makeLeaveGroupRequest({ groupId: group, memberId: "" }));
  }),
  wrong("delete while it is in use", function* ({ group }) {
    yield ask(
      DeleteGroupsApi,
      3,
      makeDeleteGroupsRequest({ groupsNames: [group, `${group}-missing`, ""] }),
    );
  }),
  wrong("filters of a list", function* () {
    for (const states of [["Stable"], ["stable"], ["STABLE", "Empty"], ["Empty"], ["Dead"], [""]])
      yield listing(4, states);
    yield listing(5, ["Stable"], ["classic"]);
    for (const types of [
      ["Classic"],
      ["CLASSIC", "consumer"],
      [" classic "],
      ["consumer"],
      ["share"],
      [""],
    ])
      yield listing(5, [], types);
    yield listing(5, ["Empty"], ["classic"]);
    yield listing(5, [" stable "], []);
    yield listing(5, ["Stable", "Nonsense"], ["classic", "nonsense"]);
  }),
  wrong("descriptions at every version", function* (place) {
    for (const version of upTo(6)) yield describing(place, version, version >= 3);
  }),
  wrong("describe it twice among others", function* ({ group }) {
    const groups = [group, `${group}-missing`, group, ""];
    yield ask(DescribeGroupsApi, 6, makeDescribeGroupsRequest({ groups }));
    yield ask(DescribeGroupsApi, 5, makeDescribeGroupsRequest({ groups }));
    yield ask(DescribeGroupsApi, 6, makeDescribeGroupsRequest({ groups: [] }));
  }),
  wrong(
    "instance of another member",
    function* (place, member) {
      yield beating(place, 4, { ...member, memberId: "nobody" });
      yield syncing(place, 5, { ...member, memberId: "nobody" });
      yield leaving(place, 5, { ...member, memberId: "nobody" });
      yield joining(place, 9, { groupInstanceId: "i", memberId: "nobody" });
      yield joining(place, 9, { groupInstanceId: "j", memberId: member.memberId });
      yield committing(place, 9, [{}], { ...member, memberId: "nobody" });
    },
    { groupInstanceId: "i" },
  ),
];

// ---- before a member is one, and after

const PENDING: readonly Case[] = [
  conversation("group-lives/an id that was handed out and not used", function* (place) {
    const [reply] = yield joining(place, 9);
    const member = { memberId: idIn(reply), generationId: 0, groupInstanceId: null };
    for (const generationId of [-1, 0, 1]) yield beating(place, 4, { ...member, generationId });
    yield syncing(place, 5, member);
    yield committing(place, 9, [{ committedOffset: 1 }], member);
    yield committing(place, 9, [{ committedOffset: 2 }]);
    yield describing(place, 6);
    yield listing(5);
    yield joining(place, 9, { memberId: member.memberId, groupInstanceId: "i" });
    yield leaving(place, 5, member);
    yield joining(place, 9, { memberId: member.memberId });
    yield deleting(place, 3);
  }),
  conversation("group-lives/between join and sync", function* (place) {
    const member = yield* joinAlone(place, 9);
    yield beating(place, 4, member);
    yield committing(place, 9, [{ committedOffset: 1 }], member);
    yield committing(place, 9, [{ committedOffset: 1 }]);
    yield fetching(place, 9, [0]);
    yield describing(place, 6);
    yield joining(place, 9, { memberId: member.memberId });
    yield deleting(place, 3);
    yield syncing(place, 5, member, { assignments: [] });
    yield describing(place, 6);
  }),
  conversation("group-lives/assignments of many kinds", function* (place) {
    const member = yield* joinAlone(place, 9);
    const { memberId } = member;
    yield syncing(place, 5, member, {
      assignments: [
        { memberId, assignment: utf8("first") },
        { memberId: "nobody", assignment: utf8("second") },
        { memberId, assignment: utf8("third") },
      ],
    });
    yield describing(place, 6);
  }),
  conversation(
    "group-lives/an assignment of 2 MiB",
    function* (place) {
      const member = yield* joinAlone(place, 9);
      const { memberId } = member;
      yield syncing(place, 5, member, {
        assignments: [{ memberId, assignment: new Uint8Array(2 << 20) }],
      });
      yield beating(place, 4, member);
      yield describing(place, 6);
      yield joining(place, 9, { memberId });
      yield syncing(place, 5, { ...member, generationId: member.generationId + 1 });
    },
    { cost: "costly" },
  ),
  conversation(
    "group-lives/metadata of 2 MiB",
    function* (place) {
      const protocols = [{ name: "range", metadata: new Uint8Array(2 << 20) }];
      const member = yield* joinAlone(place, 9, { protocols });
      yield syncing(place, 5, member);
      yield beating(place, 4, member);
      yield leaving(place, 5, member);
    },
    { cost: "costly" },
  ),
  conversation(
    "group-lives/a static member with metadata of 2 MiB comes back",
    function* (place) {
      const identity = { groupInstanceId: "i" };
      const member = yield* joinAndSync(place, 9, identity);
      yield joining(place, 9, {
        ...identity,
        protocols: [{ name: "range", metadata: new Uint8Array(2 << 20) }],
      });
      yield beating(place, 4, member);
      yield describing(place, 6);
    },
    { cost: "costly" },
  ),
  conversation("group-lives/metadata that is no subscription", function* (place) {
    const protocols = [{ name: "range", metadata: new Uint8Array(0) }];
    const member = yield* joinAndSync(place, 9, { protocols });
    yield committing(place, 9, [{ committedOffset: 1 }], member);
    yield describing(place, 6);
  }),
  conversation("group-lives/the leader joins again with other metadata", function* (place) {
    const member = yield* joinAndSync(place, 9);
    yield joining(place, 9, {
      memberId: member.memberId,
      protocols: [{ name: "range", metadata: subscription("corpus-missing") }],
    });
    yield beating(place, 4, member);
    yield syncing(place, 5, member);
    yield describing(place, 6);
  }),
  conversation("group-lives/protocols in another order", function* (place) {
    const both = [...proto("roundrobin"), ...proto("range")];
    const member = yield* joinAlone(place, 9, { protocols: both });
    yield syncing(place, 5, member, { protocolName: "roundrobin" });
    yield joining(place, 9, { memberId: member.memberId, protocols: both.toReversed() });
    yield describing(place, 6);
  }),
  conversation("group-lives/rebalance timeout 2147483647", function* (place) {
    const member = yield* joinAndSync(place, 9, { rebalanceTimeoutMs: 0x7fffffff });
    yield describing(place, 6);
    yield beating(place, 4, member);
  }),
  ...[6000, 1_800_000].map((sessionTimeoutMs) =>
    conversation(`group-lives/session timeout ${sessionTimeoutMs}`, function* (place) {
      const member = yield* joinAndSync(place, 9, { sessionTimeoutMs });
      yield beating(place, 4, member);
    }),
  ),
  ...[250, LONGEST_TEXT].map((length) =>
    conversation(`group-lives/group of ${length} letters`, function* (place) {
      const long: Place = { ...place, group: place.group.padEnd(length, "g") };
      const member = yield* joinAndSync(long, 9);
      yield beating(long, 4, member);
      yield committing(long, 9, [{ committedOffset: 3 }], member);
      yield fetching(long, 9, [0]);
      yield leaving(long, 5, member);
      yield deleting(long, 3);
    }),
  ),
  conversation("group-lives/protocol of 32,767 letters", function* (place) {
    const name = "p".repeat(LONGEST_TEXT);
    const member = yield* joinAlone(place, 9, { protocols: proto(name) });
    yield syncing(place, 5, member, { protocolName: name });
    yield beating(place, 4, member);
  }),
  conversation("group-lives/instance of 249 letters", function* (place) {
    const groupInstanceId = "i".repeat(249);
    const member = yield* joinAndSync(place, 9, { groupInstanceId });
    yield beating(place, 4, member);
    yield leaving(place, 5, member);
  }),
  conversation("group-lives/protocol with no name", function* (place) {
    const member = yield* joinAlone(place, 9, { protocols: proto("") });
    yield syncing(place, 5, member, { protocolName: "" });
    yield describing(place, 6);
  }),
  conversation("group-lives/after the last member left", function* (place) {
    const member = yield* joinAndSync(place, 9);
    yield leaving(place, 5, member);
    yield beating(place, 4, member);
    yield syncing(place, 5, member);
    yield leaving(place, 5, member);
    yield committing(place, 9, [{ committedOffset: 1 }], member);
    yield committing(place, 9, [{ committedOffset: 2 }]);
    yield joining(place, 9, { memberId: member.memberId });
    yield fetching(place, 9, null);
    const again = yield* joinAndSync(place, 9, { protocolType: "connect" });
    yield describing(place, 6);
    yield leaving(place, 5, again, again);
  }),
];

const FLOODS: readonly Case[] = [
  one(
    "group-lives/describe 10,000",
    ({ group }) =>
      ask(
        DescribeGroupsApi,
        6,
        makeDescribeGroupsRequest({
          groups: Array.from({ length: 10_000 }, (_, index) => `${group}-${index}`),
        }),
      ),
    { cost: "costly" },
  ),
  one(
    "group-lives/delete 10,000",
    ({ group }) =>
      ask(
        DeleteGroupsApi,
        3,
        makeDeleteGroupsRequest({
          groupsNames: Array.from({ length: 10_000 }, (_, index) => `${group}-${index}`),
        }),
      ),
    { cost: "costly" },
  ),
  one("group-lives/delete none", ask(DeleteGroupsApi, 3, makeDeleteGroupsRequest())),
  one("group-lives/describe none", ask(DescribeGroupsApi, 6, makeDescribeGroupsRequest())),
  one(
    "group-lives/delete a group of 32,767 letters",
    ask(DeleteGroupsApi, 3, makeDeleteGroupsRequest({ groupsNames: ["g".repeat(LONGEST_TEXT)] })),
  ),
  one("group-lives/heartbeat in a group of 32,767 letters", () =>
    ask(
      HeartbeatApi,
      4,
      makeHeartbeatRequest({ groupId: "g".repeat(LONGEST_TEXT), memberId: "x" }),
    ),
  ),
  conversation(
    "group-lives/sync with 20,000 assignments",
    function* (place) {
      const member = yield* joinAlone(place, 9);
      yield syncing(place, 5, member, {
        assignments: Array.from({ length: 20_000 }, (_, index) => ({
          memberId: index === 9999 ? member.memberId : `nobody-${index}`,
          assignment: utf8(`${index}`),
        })),
      });
      yield beating(place, 4, member);
    },
    { cost: "costly" },
  ),
];

/** All of them. */
export const GROUP_LIFE_CASES: readonly Case[] = [
  ...STRANGERS,
  ...LIVES,
  ...MISTAKES,
  ...PENDING,
  ...FLOODS,
];
