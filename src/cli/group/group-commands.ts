/** `sluice group list`, `describe`, `delete` and `delete-offsets` at work; `reset-offsets` is in `src/cli/group/run-reset-offsets.ts`. */
import type { Cluster } from "#client/cluster.ts";
import {
  deleteOffsets,
  fetchCommittedOffsets,
  type PartitionOutcome,
} from "#client/group-offsets.ts";
import {
  deleteGroup,
  describeGroup,
  type GroupDescription,
  listGroups,
  type TopicPartitionSets,
} from "#client/groups.ts";
import { ClientError } from "#client/client-error.ts";
import { ErrorCode } from "#common/error-code.ts";
import type { ClusterArguments } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { CommandError, ExitCode, UsageError } from "../failure.ts";
import { readChoice } from "../option-values.ts";
import { forEachName } from "../outcomes.ts";
import { printJson, printTable, styleOf } from "../output.ts";
import { withCluster } from "../with-cluster.ts";
import {
  colorState,
  printGroupMembers,
  printGroupReport,
  printGroupStates,
} from "./group-output.ts";
import { type GroupReport, reportGroup } from "./group-report.ts";
import { parseTopicSelection } from "./topic-selection.ts";

/** Options of `group list`, as commander gives them. */
export interface GroupListOptions extends ClusterArguments {
  readonly state?: string;
  readonly type?: string;
  readonly names?: true;
  readonly json?: true;
}

/** Options of `group describe`. */
export interface GroupDescribeOptions extends ClusterArguments {
  readonly all?: true;
  readonly members?: true;
  readonly state?: true;
  readonly json?: true;
}

/** Options of `group delete`. */
export interface GroupDeleteOptions extends ClusterArguments {
  readonly ifExists?: true;
  readonly json?: true;
}

/** Options of `group delete-offsets`. */
export interface GroupDeleteOffsetsOptions extends ClusterArguments {
  readonly topic?: readonly string[];
  readonly json?: true;
}

const STATES = [
  "Stable",
  "Empty",
  "PreparingRebalance",
  "CompletingRebalance",
  "Assigning",
  "Reconciling",
  "NotReady",
  "Dead",
] as const;
const TYPES = ["classic", "consumer", "share", "streams"] as const;

/** Runs `group list`. */
export async function runGroupList(options: GroupListOptions, io: CommandIo): Promise<void> {
  const states = wordsOf(options.state).map((word) => {
    const lower = readChoice(
      "--state",
      word,
      STATES.map((state) => state.toLowerCase()),
    );
    return STATES.find((state) => state.toLowerCase() === lower) ?? word;
  });
  const types = wordsOf(options.type).map((word) => readChoice("--type", word, TYPES));
  await withCluster(options, async (cluster) => {
    const groups = await listGroups(cluster, { states, types });
    if (options.names === true) {
      await io.stdout.write(groups.map(({ groupId }) => `${groupId}\n`).join(""));
      return;
    }
    if (options.json === true) {
      await printJson(
        io.stdout,
        groups.map(({ groupId, ...rest }) => ({ group: groupId, ...rest })),
      );
      return;
    }
    if (groups.length === 0) {
      const isFiltered = states.length > 0 || types.length > 0;
      await io.stderr.write(`There are no groups${isFiltered ? " of that kind" : ""}.\n`);
      return;
    }
    const style = styleOf(io.stdout);
    await printTable(
      io.stdout,
      [
        { heading: "GROUP" },
        { heading: "STATE" },
        { heading: "TYPE" },
        { heading: "PROTOCOL" },
        { heading: "COORDINATOR", align: "right" },
      ],
      groups.map(({ groupId, state, type, protocolType, coordinator }) => [
        groupId,
        colorState(state, style) || "-",
        type.toLowerCase() || "-",
        protocolType || "-",
        String(coordinator),
      ]),
    );
  });
}

function wordsOf(text: string | undefined): readonly string[] {
  return (text ?? "")
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
}

/** Runs `group describe`. */
export async function runGroupDescribe(
  names: readonly string[],
  options: GroupDescribeOptions,
  io: CommandIo,
): Promise<void> {
  if (options.all === true && names.length > 0)
    throw new UsageError("--all describes every group: not with names");
  if (options.all !== true && names.length === 0)
    throw new UsageError("say which groups, or --all", ["'sluice group list' shows what exists."]);
  if (options.members === true && options.state === true)
    throw new UsageError("--members and --state exclude each other");
  await withCluster(options, async (cluster) => {
    const groupIds = options.all === true ? await readableGroups(cluster) : names;
    if (options.state === true) {
      const groups = await inTurn(groupIds, (groupId) => describeGroup(cluster, groupId));
      if (options.json === true) await printJson(io.stdout, groups.map(groupToJson));
      else if (groups.length > 0) await printGroupStates(groups, io);
      return;
    }
    if (options.json === true) {
      const reports = await inTurn(groupIds, (groupId) => reportGroup(cluster, groupId));
      await printJson(io.stdout, reports.map(reportToJson));
      return;
    }
    for (const [index, groupId] of groupIds.entries()) {
      const print =
        options.members === true
          ? printGroupMembers.bind(null, await describeGroup(cluster, groupId))
          : printGroupReport.bind(null, await reportGroup(cluster, groupId));
      if (index > 0) await io.stdout.write("\n");
      await print(io);
    }
  });
}

/** Share and streams groups have other ways to be described. */
async function readableGroups(cluster: Cluster): Promise<readonly string[]> {
  const groups = await listGroups(cluster);
  return groups
    .filter(({ type }) => ["", "classic", "consumer"].includes(type.toLowerCase()))
    .map(({ groupId }) => groupId);
}

async function inTurn<T>(
  names: readonly string[],
  work: (name: string) => Promise<T>,
): Promise<T[]> {
  const results: T[] = [];
  for (const name of names) results.push(await work(name));
  return results;
}

function groupToJson({ groupId, members, ...rest }: GroupDescription): Record<string, unknown> {
  return {
    group: groupId,
    ...rest,
    members: members.map((member) => ({
      ...member,
      assignment: setsToJson(member.assignment),
      target: member.target === null ? null : setsToJson(member.target),
    })),
  };
}

function setsToJson(sets: TopicPartitionSets): Record<string, readonly number[]> {
  return Object.fromEntries(sets);
}

function reportToJson({ group, offsets, totalLag }: GroupReport): Record<string, unknown> {
  return {
    ...groupToJson(group),
    totalLag,
    offsets: offsets.map(({ member, committed, start, end, ...rest }) => ({
      topic: rest.topic,
      partition: rest.partition,
      committedOffset: committed,
      startOffset: start,
      endOffset: end,
      lag: rest.lag,
      metadata: rest.metadata,
      memberId: member?.memberId ?? null,
      clientId: member?.clientId ?? null,
      host: member?.host ?? null,
    })),
  };
}

/** Runs `group delete`. */
export async function runGroupDelete(
  names: readonly string[],
  options: GroupDeleteOptions,
  io: CommandIo,
): Promise<void> {
  await withCluster(options, (cluster) =>
    forEachName(
      {
        names,
        noun: "group",
        isJson: options.json === true,
        work: async (name): Promise<{ readonly result: "deleted" | "absent" }> => {
          try {
            await deleteGroup(cluster, name);
            return { result: "deleted" };
          } catch (error) {
            const isAbsent =
              error instanceof ClientError && error.errorCode === ErrorCode.GROUP_ID_NOT_FOUND;
            if (isAbsent && options.ifExists === true) return { result: "absent" };
            throw error;
          }
        },
        sentence: (name, { result }) =>
          result === "deleted" ? `Deleted group ${name}.` : `There is no group ${name}.`,
      },
      io,
    ),
  );
}

/** Runs `group delete-offsets`. */
export async function runGroupDeleteOffsets(
  groupId: string,
  options: GroupDeleteOffsetsOptions,
  io: CommandIo,
): Promise<void> {
  const selection = parseTopicSelection(options.topic ?? []);
  if (selection.size === 0) throw new UsageError("say which topics' offsets, with --topic");
  await withCluster(options, async (cluster) => {
    const committed = await fetchCommittedOffsets(cluster, groupId);
    const rows = [...selection].flatMap(([topic, partitions]) => {
      const wanted =
        partitions ??
        committed.filter((row) => row.topic === topic).map(({ partition }) => partition);
      if (wanted.length === 0) {
        throw new CommandError(`group '${groupId}' has committed nothing in topic '${topic}'`, [
          `'sluice group describe ${groupId}' shows what it has committed.`,
        ]);
      }
      return wanted.map((partition) => ({ topic, partition }));
    });
    const outcomes = await deleteOffsets(cluster, groupId, rows);
    await printOutcomes(outcomes, "deleted", options.json === true, io);
  });
}

/** A row a partition with what became of it; the exit code tells of failures. */
export async function printOutcomes(
  outcomes: readonly PartitionOutcome[],
  done: string,
  isJson: boolean,
  io: CommandIo,
): Promise<void> {
  if (outcomes.some(({ error }) => error !== null)) io.setExitCode(ExitCode.FAILED);
  if (isJson) {
    await printJson(io.stdout, outcomes);
    return;
  }
  const style = styleOf(io.stdout);
  await printTable(
    io.stdout,
    [{ heading: "TOPIC" }, { heading: "PARTITION", align: "right" }, { heading: "RESULT" }],
    outcomes.map(({ topic, partition, error }) => [
      topic,
      String(partition),
      error === null ? done : style.red(error),
    ]),
  );
}
