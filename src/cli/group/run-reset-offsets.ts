/**
 * `sluice group reset-offsets` at work. It shows a plan and changes nothing until `--execute` is given. A group with members is refused:
 * they would overwrite what is reset with their next commit, and the coordinator does not take it either.
 */
import { ClientError } from "#client/client-error.ts";
import type { Cluster } from "#client/cluster.ts";
import { byTopicPartition, commitOffsets, fetchCommittedOffsets } from "#client/group-offsets.ts";
import { describeGroup } from "#client/groups.ts";
import { listTopicOffsets, OffsetSpec } from "#client/offsets.ts";
import { ErrorCode } from "#common/error-code.ts";
import type { ClusterArguments } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { CommandError, ExitCode, UsageError } from "../failure.ts";
import { parseDuration, parseTime, readInteger } from "../option-values.ts";
import { printJson, printTable, styleOf } from "../output.ts";
import { formatCount, formatPlural } from "../units.ts";
import { withCluster } from "../with-cluster.ts";
import {
  formatPlanCsv,
  parsePlanCsv,
  type PartitionFacts,
  planReset,
  type PlanRow,
  type ResetTarget,
} from "./reset-plan.ts";
import { parseTopicSelection, type TopicSelection } from "./topic-selection.ts";

/** Options as commander gives them. */
export interface ResetOffsetsOptions extends ClusterArguments {
  readonly topic?: readonly string[];
  readonly allTopics?: true;
  readonly toEarliest?: true;
  readonly toLatest?: true;
  readonly toCurrent?: true;
  readonly toOffset?: string;
  readonly shiftBy?: string;
  readonly toDatetime?: string;
  readonly byDuration?: string;
  readonly fromFile?: string;
  readonly execute?: true;
  readonly dryRun?: true;
  readonly export?: true;
  readonly json?: true;
}

const TARGET_OPTIONS =
  "--to-earliest, --to-latest, --to-current, --to-offset, --shift-by, --to-datetime, --by-duration or --from-file";

/** Runs `sluice group reset-offsets`. */
export async function runResetOffsets(
  groupId: string,
  options: ResetOffsetsOptions,
  io: CommandIo,
): Promise<void> {
  if (options.execute === true && options.dryRun === true)
    throw new UsageError("--execute and --dry-run exclude each other");
  if (options.export === true && options.json === true)
    throw new UsageError("--export and --json exclude each other");
  const target = await readTarget(groupId, options, io);
  const selection = readSelection(options, target);
  await withCluster(options, async (cluster) => {
    await refuseActive(cluster, groupId);
    const facts = await gatherFacts(cluster, groupId, selection, target);
    const plan = planReset(facts, target);
    const failed =
      options.execute === true
        ? await commitPlan(cluster, groupId, plan)
        : new Map<string, string>();
    if (failed.size > 0) io.setExitCode(ExitCode.FAILED);
    await tell(groupId, plan, failed, options, io);
  });
}

async function readTarget(
  groupId: string,
  options: ResetOffsetsOptions,
  io: CommandIo,
): Promise<ResetTarget> {
  const targets: ResetTarget[] = [];
  if (options.toEarliest === true) targets.push({ kind: "earliest" });
  if (options.toLatest === true) targets.push({ kind: "latest" });
  if (options.toCurrent === true) targets.push({ kind: "current" });
  if (options.toOffset !== undefined) {
    const offset = readInteger("--to-offset", options.toOffset, { min: 0 });
    targets.push({ kind: "offset", offset });
  }
  if (options.shiftBy !== undefined) {
    const by = readInteger("--shift-by", options.shiftBy, { min: Number.MIN_SAFE_INTEGER });
    targets.push({ kind: "shift", by });
  }
  if (options.toDatetime !== undefined) {
    const timestampMs = parseTime(options.toDatetime);
    if (timestampMs === null) {
      throw new UsageError(
        `--to-datetime wants a date such as 2026-01-31T12:00:00Z, not '${options.toDatetime}'`,
      );
    }
    targets.push({ kind: "time", timestampMs });
  }
  if (options.byDuration !== undefined) {
    const spanMs = parseDuration(options.byDuration);
    if (spanMs === null) {
      throw new UsageError(
        `--by-duration wants a time span such as PT1H30M or 90m, not '${options.byDuration}'`,
      );
    }
    targets.push({ kind: "time", timestampMs: Date.now() - spanMs });
  }
  if (options.fromFile !== undefined) {
    const rows = parsePlanCsv(await readFileOrInput(options.fromFile, io), groupId);
    if (rows.length === 0)
      throw new UsageError(`${options.fromFile} has no row for group '${groupId}'`);
    targets.push({ kind: "rows", rows });
  }
  const [target] = targets;
  if (target === undefined || targets.length > 1) {
    throw new UsageError(`say where to, with one of ${TARGET_OPTIONS}`);
  }
  return target;
}

async function readFileOrInput(path: string, io: CommandIo): Promise<string> {
  if (path === "-") {
    const chunks: Uint8Array[] = [];
    for await (const chunk of io.stdin.chunks()) chunks.push(chunk);
    return Buffer.concat(chunks).toString("utf8");
  }
  try {
    return await Bun.file(path).text();
  } catch (error) {
    throw new CommandError(
      `cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** Null for every topic that the group has committed in. */
function readSelection(options: ResetOffsetsOptions, target: ResetTarget): TopicSelection | null {
  const selection = parseTopicSelection(options.topic ?? []);
  const isAll = options.allTopics === true;
  if (target.kind === "rows") {
    if (isAll || selection.size > 0)
      throw new UsageError(
        "the file names topics and partitions: not with --topic or --all-topics",
      );
    const rows = new Map<string, number[]>();
    for (const { topic, partition } of target.rows) {
      const known = rows.get(topic);
      if (known === undefined) rows.set(topic, [partition]);
      else known.push(partition);
    }
    return rows;
  }
  if (isAll === selection.size > 0) {
    throw new UsageError(
      isAll
        ? "--topic and --all-topics exclude each other"
        : "say in which topics, with --topic or --all-topics",
    );
  }
  return isAll ? null : selection;
}

/** A group that does not exist is fine: the commit makes it. */
async function refuseActive(cluster: Cluster, groupId: string): Promise<void> {
  try {
    const { state, members } = await describeGroup(cluster, groupId);
    if (state === "Empty" || state === "Dead") return;
    throw new CommandError(
      `group '${groupId}' is active (${state}, ${formatPlural(members.length, "member")}): its offsets can only be reset while nobody reads`,
      [
        "Its members would commit over what is reset. Stop them, wait until the group is Empty, and try again:",
        `'sluice group describe ${groupId} --members' shows who they are.`,
      ],
    );
  } catch (error) {
    const isUnknown =
      error instanceof ClientError && error.errorCode === ErrorCode.GROUP_ID_NOT_FOUND;
    if (!isUnknown) throw error;
  }
}

async function gatherFacts(
  cluster: Cluster,
  groupId: string,
  selection: TopicSelection | null,
  target: ResetTarget,
): Promise<readonly PartitionFacts[]> {
  const committed = await fetchCommittedOffsets(cluster, groupId);
  if (selection === null && committed.length === 0) {
    throw new CommandError(
      `group '${groupId}' has committed nothing: --all-topics means no topic`,
      ["Name the topics with --topic."],
    );
  }
  const query: TopicSelection =
    selection ?? new Map(committed.map(({ topic }) => [topic, null] as const));
  const [starts, ends, times] = await Promise.all([
    listTopicOffsets(cluster, query, OffsetSpec.EARLIEST),
    listTopicOffsets(cluster, query, OffsetSpec.LATEST),
    target.kind === "time" ? listTopicOffsets(cluster, query, target.timestampMs) : null,
  ]);
  const offsetOf = new Map(
    committed.map(({ topic, partition, offset }) => [`${topic}:${partition}`, offset]),
  );
  const facts: PartitionFacts[] = [];
  for (const [topic, partitions] of query) {
    const known = ends.get(topic) ?? new Map<number, number>();
    // A topic that is gone is no longer in the way of the others, unless it was asked for.
    if (known.size === 0 && selection === null) continue;
    const missing = (partitions ?? []).filter((partition) => !known.has(partition));
    if (known.size === 0 || missing.length > 0) {
      const what =
        missing.length > 0
          ? `topic '${topic}', partition ${missing.join(", ")}`
          : `topic '${topic}'`;
      throw new CommandError(`${what}: does not exist, or has no leader that answers`, [
        `'sluice topic describe ${topic}' shows what there is.`,
      ]);
    }
    for (const [partition, end] of known) {
      facts.push({
        topic,
        partition,
        start: starts.get(topic)?.get(partition) ?? 0,
        end,
        committed: offsetOf.get(`${topic}:${partition}`) ?? null,
        atTime: times === null ? null : (times.get(topic)?.get(partition) ?? -1),
      });
    }
  }
  // A group that reads some partitions of a topic is shifted in those alone.
  const only =
    selection === null && target.kind === "shift"
      ? facts.filter((fact) => fact.committed !== null)
      : facts;
  return only.sort(byTopicPartition);
}

/** Errors by `topic:partition`; empty when all was committed. */
async function commitPlan(
  cluster: Cluster,
  groupId: string,
  plan: readonly PlanRow[],
): Promise<ReadonlyMap<string, string>> {
  const outcomes = await commitOffsets(cluster, groupId, plan);
  return new Map(
    outcomes.flatMap(({ topic, partition, error }) =>
      error === null ? [] : [[`${topic}:${partition}`, error] as const],
    ),
  );
}

async function tell(
  groupId: string,
  plan: readonly PlanRow[],
  failed: ReadonlyMap<string, string>,
  options: ResetOffsetsOptions,
  io: CommandIo,
): Promise<void> {
  const isDone = options.execute === true;
  const errorOf = ({ topic, partition }: PlanRow): string | null =>
    failed.get(`${topic}:${partition}`) ?? null;
  if (options.json === true) {
    const rows = plan.map((row) => ({
      topic: row.topic,
      partition: row.partition,
      committedOffset: row.committed,
      newOffset: row.offset,
      endOffset: row.end,
      warning: row.warning,
      error: errorOf(row),
    }));
    await printJson(io.stdout, { group: groupId, isExecuted: isDone, offsets: rows });
    return;
  }
  const style = styleOf(io.stderr);
  if (options.export === true) {
    await io.stdout.write(formatPlanCsv(plan.filter((row) => errorOf(row) === null)));
  } else {
    await printPlan(plan, errorOf, io);
  }
  for (const { topic, partition, warning } of plan) {
    if (warning !== null)
      await io.stderr.write(
        `${style.yellow("warning:")} ${topic} partition ${partition}: ${warning}\n`,
      );
  }
  const count = formatPlural(plan.length - failed.size, "offset");
  await io.stderr.write(
    isDone
      ? `Reset ${count} of group ${groupId}.\n`
      : `Nothing was changed; --execute commits this.\n`,
  );
}

function printPlan(
  plan: readonly PlanRow[],
  errorOf: (row: PlanRow) => string | null,
  io: CommandIo,
): Promise<void> {
  const style = styleOf(io.stdout);
  const hasErrors = plan.some((row) => errorOf(row) !== null);
  return printTable(
    io.stdout,
    [
      { heading: "TOPIC" },
      { heading: "PARTITION", align: "right" },
      { heading: "COMMITTED", align: "right" },
      { heading: "NEW", align: "right" },
      { heading: "CHANGE", align: "right" },
      { heading: "LAG", align: "right" },
      ...(hasErrors ? [{ heading: "RESULT" }] : []),
    ],
    plan.map((row) => {
      const change = row.committed === null ? null : row.offset - row.committed;
      const error = errorOf(row);
      return [
        row.topic,
        String(row.partition),
        row.committed === null ? "-" : formatCount(row.committed),
        formatCount(row.offset),
        change === null ? "-" : change > 0 ? `+${formatCount(change)}` : formatCount(change),
        formatCount(row.end - row.offset),
        ...(hasErrors ? [error === null ? "reset" : style.red(error)] : []),
      ];
    }),
  );
}
