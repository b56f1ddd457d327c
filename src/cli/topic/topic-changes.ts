/** `sluice topic alter` and `topic delete-records` at work: what changes a topic that is there. */
import { createPartitions, deleteRecords } from "#client/admin.ts";
import { alterConfigs, type ConfigChange, describeConfigs } from "#client/configs.ts";
import { Isolation } from "#client/offsets.ts";
import type { ClusterArguments } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { refuseTypos } from "../config/known-keys.ts";
import { readBounds, resolveStart, type StartPosition } from "../consume/start-position.ts";
import { ExitCode, UsageError } from "../failure.ts";
import { parseTime, readInteger, readPairs } from "../option-values.ts";
import { printJson, printTable, styleOf } from "../output.ts";
import { formatCount, formatPlural } from "../units.ts";
import { withCluster } from "../with-cluster.ts";

/** Options of `topic alter`, as commander gives them. */
export interface TopicAlterOptions extends ClusterArguments {
  readonly partitions?: string;
  readonly config?: readonly string[];
  readonly unset?: readonly string[];
  readonly dryRun?: true;
  readonly json?: true;
}

/** Options of `topic delete-records`. */
export interface TopicDeleteRecordsOptions extends ClusterArguments {
  readonly before: string;
  readonly partition?: readonly string[];
  readonly dryRun?: true;
  readonly json?: true;
}

const MAX_PARTITIONS = 1_000_000;
const MAX_PARTITION = 0x7f_ff_ff_ff;

/** Runs `topic alter`. */
export async function alterTopic(
  name: string,
  options: TopicAlterOptions,
  io: CommandIo,
): Promise<void> {
  const count =
    options.partitions === undefined
      ? null
      : readInteger("--partitions", options.partitions, { min: 1, max: MAX_PARTITIONS });
  const changes: readonly ConfigChange[] = [
    ...[...readPairs("--config", options.config ?? [])].map(
      ([key, value]) => ({ name: key, operation: "set", value }) as const,
    ),
    ...(options.unset ?? []).map(
      (key) => ({ name: key, operation: "unset", value: null }) as const,
    ),
  ];
  if (count === null && changes.length === 0)
    throw new UsageError("say what to change: --partitions, --config or --unset");
  const isValidateOnly = options.dryRun === true;
  const done: string[] = [];
  await withCluster(options, async (cluster) => {
    const resource = { type: "topic", name } as const;
    const before = (await cluster.topic(name)).partitions.length;
    if (changes.length > 0) {
      const keys = changes.map((change) => change.name);
      refuseTypos(
        { word: "topic", resource },
        await describeConfigs(cluster, resource),
        keys,
        false,
      );
    }
    // What the broker would refuse is refused before the first part is done.
    if (count !== null && changes.length > 0)
      await createPartitions(cluster, name, count, { isValidateOnly: true });
    if (changes.length > 0) {
      await alterConfigs(cluster, resource, changes, { isValidateOnly });
      for (const { name: key, value } of changes)
        done.push(value === null ? `${key} unset` : `${key} set to ${value}`);
    }
    if (count !== null) {
      await createPartitions(cluster, name, count, { isValidateOnly });
      done.push(`${formatPlural(count, "partition")} instead of ${formatCount(before)}`);
    }
  });
  if (options.json === true) {
    await printJson(io.stdout, {
      topic: name,
      isExecuted: !isValidateOnly,
      partitions: count,
      configs: changes,
    });
    return;
  }
  await io.stdout.write(
    `${isValidateOnly ? "Would alter" : "Altered"} topic ${name}: ${done.join(", ")}.\n`,
  );
  if (isValidateOnly) await io.stderr.write("Nothing was changed.\n");
}

/** Runs `topic delete-records`. */
export async function deleteTopicRecords(
  name: string,
  options: TopicDeleteRecordsOptions,
  io: CommandIo,
): Promise<void> {
  const before = readBefore(options.before);
  const wanted = options.partition?.map((text) =>
    readInteger("--partition", text, { min: 0, max: MAX_PARTITION }),
  );
  await withCluster(options, async (cluster) => {
    const topic = await cluster.topic(name);
    const partitions = wanted ?? topic.partitions.map(({ partition }) => partition);
    const bounds = await readBounds(cluster, name, partitions, Isolation.READ_UNCOMMITTED);
    const offsets = await resolveStart(cluster, name, before, bounds);
    const outcomes =
      options.dryRun === true
        ? [...offsets].map(([partition, offset]) => ({
            partition,
            startOffset: offset,
            error: null,
          }))
        : await deleteRecords(cluster, name, offsets);
    if (outcomes.some(({ error }) => error !== null)) io.setExitCode(ExitCode.FAILED);
    const sorted = outcomes.toSorted((a, b) => a.partition - b.partition);
    const rows = sorted.map(({ partition, startOffset, error }) => {
      const start = bounds.starts.get(partition) ?? 0;
      return {
        partition,
        deletedRecords: startOffset === null ? 0 : startOffset - start,
        startOffset: startOffset ?? start,
        endOffset: bounds.ends.get(partition) ?? null,
        error,
      };
    });
    if (options.json === true) {
      await printJson(io.stdout, {
        topic: name,
        isExecuted: options.dryRun !== true,
        partitions: rows,
      });
      return;
    }
    const style = styleOf(io.stdout);
    await printTable(
      io.stdout,
      [
        { heading: "PARTITION", align: "right" },
        { heading: "DELETED", align: "right" },
        { heading: "START", align: "right" },
        { heading: "END", align: "right" },
        ...(rows.some(({ error }) => error !== null) ? [{ heading: "ERROR" }] : []),
      ],
      rows.map(({ partition, deletedRecords, startOffset, endOffset, error }) => [
        String(partition),
        formatCount(deletedRecords),
        formatCount(startOffset),
        endOffset === null ? "-" : formatCount(endOffset),
        ...(error === null ? [] : [style.red(error)]),
      ]),
    );
    if (options.dryRun === true) await io.stderr.write("Nothing was deleted.\n");
  });
}

/** An offset, `end`, or a date. */
function readBefore(text: string): StartPosition {
  if (text === "end") return { kind: "end" };
  if (/^\d{1,15}$/.test(text)) return { kind: "offset", offset: Number(text) };
  const timestampMs = parseTime(text);
  if (timestampMs === null) {
    throw new UsageError(
      `--before wants an offset, end, or a date such as 2026-01-31T12:00:00Z, not '${text}'`,
    );
  }
  return { kind: "time", timestampMs };
}
