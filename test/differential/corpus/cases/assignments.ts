/** ElectLeaders, AlterPartitionReassignments, ListPartitionReassignments, UnregisterBroker: what one node answers. */
import {
  AlterPartitionReassignmentsApi,
  makeAlterPartitionReassignmentsRequest,
} from "#protocol/generated/alter-partition-reassignments.ts";
import {
  ElectLeadersApi,
  type ElectLeadersRequest,
  makeElectLeadersRequest,
} from "#protocol/generated/elect-leaders.ts";
import {
  ListPartitionReassignmentsApi,
  makeListPartitionReassignmentsRequest,
} from "#protocol/generated/list-partition-reassignments.ts";
import {
  makeUnregisterBrokerRequest,
  UnregisterBrokerApi,
} from "#protocol/generated/unregister-broker.ts";
import { ask } from "../bytes.ts";
import { type Case, one, type Place, several, type Turn } from "../case.ts";

const MISSING = "corpus-missing";

type Rows = readonly (readonly [topic: string, partitions: readonly number[]])[];

function elect(rows: Rows | null, version: number, init: Partial<ElectLeadersRequest> = {}): Turn {
  const topicPartitions =
    rows === null
      ? null
      : rows.map(([topic, partitions]) => ({ topic, partitions: [...partitions] }));
  return ask(
    ElectLeadersApi,
    version,
    makeElectLeadersRequest({ topicPartitions, timeoutMs: 5000, ...init }),
  );
}

const election = (label: string, rows: (place: Place) => Rows): Case[] =>
  [0, 1, 2].flatMap((version) =>
    (version === 0 ? [0] : [0, 1]).map((electionType) =>
      one(`elections/${label}, type ${electionType} v${version}`, (place) =>
        elect(rows(place), version, { electionType }),
      ),
    ),
  );

type Moves = readonly (readonly [
  topic: string,
  partition: number,
  replicas: readonly number[] | null,
])[];

function move(
  moves: Moves,
  version: number,
  init: { timeoutMs?: number; allowReplicationFactorChange?: boolean } = {},
): Turn {
  const topics = moves.map(([name, partitionIndex, replicas]) => ({
    name,
    partitions: [{ partitionIndex, replicas: replicas === null ? null : [...replicas] }],
  }));
  return ask(
    AlterPartitionReassignmentsApi,
    version,
    makeAlterPartitionReassignmentsRequest({ topics, timeoutMs: 5000, ...init }),
  );
}

const reassignment = (label: string, moves: (place: Place) => Moves): Case[] =>
  [0, 1].map((version) =>
    one(`reassignments/${label} v${version}`, (place) => move(moves(place), version)),
  );

const moved = (label: string, replicas: readonly number[] | null): Case[] =>
  reassignment(label, ({ topic }) => [[topic, 0, replicas]]);

function list(rows: Rows | null, timeoutMs = 5000): Turn {
  const topics =
    rows === null
      ? null
      : rows.map(([name, partitions]) => ({ name, partitionIndexes: [...partitions] }));
  return ask(
    ListPartitionReassignmentsApi,
    0,
    makeListPartitionReassignmentsRequest({ topics, timeoutMs }),
  );
}

const unregister = (brokerId: number): Case =>
  one(
    `brokers/unregister ${brokerId}`,
    ask(UnregisterBrokerApi, 0, makeUnregisterBrokerRequest({ brokerId })),
  );

/** All of them. */
export const ASSIGNMENT_CASES: readonly Case[] = [
  ...election("led by the preferred one", ({ topic }) => [[topic, [0, 1]]]),
  ...election("unknown topic", () => [[MISSING, [0]]]),
  ...election("unknown partition", ({ topic }) => [[topic, [9, -1, 2147483647]]]),
  ...election("empty name", () => [["", [0]]]),
  ...election("illegal name", () => [["a/b", [0]]]),
  ...election("__cluster_metadata", () => [["__cluster_metadata", [0]]]),
  ...election("no partitions", ({ topic }) => [[topic, []]]),
  ...election("nothing", () => []),
  ...election("partition twice", ({ topic }) => [[topic, [0, 0]]]),
  ...election("topic twice", ({ topic }) => [
    [topic, [0]],
    [topic, [1]],
  ]),
  ...election("one of two unknown", ({ topic }) => [
    [topic, [0]],
    [MISSING, [0]],
  ]),
  ...[2, -1, 127].map((electionType) =>
    one(`elections/type ${electionType}`, ({ topic }) =>
      elect([[topic, [0]]], 2, { electionType }),
    ),
  ),
  ...[0, -1].flatMap((timeoutMs) => [
    one(`elections/timeout ${timeoutMs}`, ({ topic }) => elect([[topic, [0]]], 2, { timeoutMs })),
    ...[0, 1].map((version) =>
      one(`elections/timeout ${timeoutMs} v${version}`, ({ topic }) =>
        elect([[topic, [0]]], version, { timeoutMs }),
      ),
    ),
    one(`elections/timeout ${timeoutMs}, all v0`, elect(null, 0, { timeoutMs })),
    one(`elections/timeout ${timeoutMs}, all`, elect(null, 2, { timeoutMs })),
    one(`elections/timeout ${timeoutMs}, unknown topic`, elect([[MISSING, [0]]], 2, { timeoutMs })),
  ]),

  ...moved("to where it is", [1]),
  ...moved("to an unknown broker", [5]),
  ...moved("to one and an unknown broker", [1, 5]),
  ...moved("to a negative broker", [-1]),
  ...moved("to a broker twice", [1, 1]),
  ...moved("to nobody", []),
  ...moved("cancelled", null),
  ...reassignment("unknown topic", () => [[MISSING, 0, [1]]]),
  ...reassignment("unknown topic cancelled", () => [[MISSING, 0, null]]),
  ...reassignment("unknown partition", ({ topic }) => [[topic, 9, [1]]]),
  ...reassignment("negative partition", ({ topic }) => [[topic, -1, [1]]]),
  ...reassignment("empty name", () => [["", 0, [1]]]),
  ...reassignment("illegal name", () => [["a/b", 0, [1]]]),
  ...reassignment("__cluster_metadata", () => [["__cluster_metadata", 0, [1]]]),
  ...reassignment("nothing", () => []),
  ...reassignment("partition twice", ({ topic }) => [
    [topic, 0, [1]],
    [topic, 0, null],
  ]),
  ...reassignment("good and bad", ({ topic }) => [
    [topic, 0, [1]],
    [MISSING, 0, [1]],
  ]),
  one("reassignments/no change of the factor", ({ topic }) =>
    move([[topic, 0, [1]]], 1, { allowReplicationFactorChange: false }),
  ),
  one("reassignments/no change of the factor, unknown broker", ({ topic }) =>
    move([[topic, 0, [1, 5]]], 1, { allowReplicationFactorChange: false }),
  ),
  one("reassignments/no change of the factor, none", ({ topic }) =>
    move([[topic, 0, []]], 1, { allowReplicationFactorChange: false }),
  ),
  one("reassignments/no change of the factor, cancelled", ({ topic }) =>
    move([[topic, 0, null]], 1, { allowReplicationFactorChange: false }),
  ),
  one("reassignments/timeout 0", ({ topic }) => move([[topic, 0, [5]]], 1, { timeoutMs: 0 })),
  one("reassignments/timeout -1", ({ topic }) => move([[topic, 0, [1]]], 1, { timeoutMs: -1 })),
  several("reassignments/moved and listed", [
    ({ topic }) => move([[topic, 1, [1]]], 0),
    ({ topic }) => list([[topic, [0, 1]]]),
  ]),
  one("reassignments/list of all", list(null)),
  one("reassignments/list of none", list([])),
  one("reassignments/list of an unknown topic", list([[MISSING, [0]]])),
  one("reassignments/list of an unknown partition", ({ topic }) => list([[topic, [9, -1]]])),
  one("reassignments/list of no partitions", ({ topic }) => list([[topic, []]])),
  one("reassignments/list of an empty name", list([["", [0]]])),
  one("reassignments/list with timeout 0", ({ topic }) => list([[topic, [0]]], 0)),

  ...[0, 99, -1, 2147483647].map(unregister),
];
