/**
 * How groups look: a line about the group, its members, and a row a partition. Lag is green at 0, yellow above, and red where nobody
 * works on it or where records were deleted before the group read them.
 */
import type { GroupDescription, MemberDescription, TopicPartitionSets } from "#client/groups.ts";
import type { CommandIo } from "../command-io.ts";
import { type Column, printTable, type Style, styleOf } from "../output.ts";
import { formatCount, formatPartitions, formatPlural } from "../units.ts";
import { wrapText } from "../wrap-text.ts";
import type { GroupOffsetRow, GroupReport } from "./group-report.ts";

const NONE = "-";

/** A state in the colour of how well the group is. */
export function colorState(state: string, style: Style): string {
  switch (state) {
    case "Stable":
      return style.green(state);
    case "Dead":
      return style.red(state);
    case "Empty":
    case "":
      return state;
    default:
      return style.yellow(state);
  }
}

/** The whole of a group: the default view of `group describe`. */
export async function printGroupReport(report: GroupReport, io: CommandIo): Promise<void> {
  const { group, offsets, totalLag } = report;
  await printHeading(group, ` Total lag ${formatCount(totalLag)}.`, io);
  if (group.members.length > 0) {
    await io.stdout.write("\n");
    await printTable(io.stdout, ...memberTable(group, false));
  }
  await io.stdout.write("\n");
  await printOffsets(offsets, io);
}

/** The members alone, with what they subscribe to: `--members`. */
export async function printGroupMembers(group: GroupDescription, io: CommandIo): Promise<void> {
  await printHeading(group, "", io);
  if (group.members.length === 0) return;
  await io.stdout.write("\n");
  await printTable(io.stdout, ...memberTable(group, true));
}

/** A row a group: `--state`. */
export function printGroupStates(
  groups: readonly GroupDescription[],
  io: CommandIo,
): Promise<void> {
  const style = styleOf(io.stdout);
  return printTable(
    io.stdout,
    [
      { heading: "GROUP" },
      { heading: "STATE" },
      { heading: "TYPE" },
      { heading: "ASSIGNOR" },
      { heading: "COORDINATOR" },
      { heading: "MEMBERS", align: "right" },
      { heading: "EPOCH", align: "right" },
      { heading: "TARGET", align: "right" },
    ],
    groups.map((group) => [
      group.groupId,
      colorState(group.state, style),
      group.type,
      group.assignor || NONE,
      coordinatorOf(group),
      String(group.members.length),
      orNone(group.groupEpoch),
      orNone(group.targetEpoch),
    ]),
  );
}

async function printHeading(group: GroupDescription, more: string, io: CommandIo): Promise<void> {
  const style = styleOf(io.stdout);
  const parts = [
    colorState(group.state, style),
    `${group.type} protocol`,
    ...(group.protocolType === "" || group.protocolType === "consumer"
      ? []
      : [`of type ${group.protocolType}`]),
    ...(group.assignor === "" ? [] : [`assignor ${group.assignor}`]),
    ...(group.groupEpoch === null
      ? []
      : [
          `epoch ${group.groupEpoch}${group.targetEpoch === group.groupEpoch ? "" : `, target at ${group.targetEpoch}`}`,
        ]),
  ];
  const members =
    group.members.length === 0 ? "No members" : formatPlural(group.members.length, "member");
  await io.stdout.write(
    `${style.bold(group.groupId)}  ${parts.join(", ")}\n${members}, coordinator ${coordinatorOf(group)}.${more}\n`,
  );
}

function coordinatorOf({ coordinator: { nodeId, host, port } }: GroupDescription): string {
  return `${nodeId} (${host}:${port})`;
}

function memberTable(
  { members, type }: GroupDescription,
  isVerbose: boolean,
): [Column[], string[][]] {
  const hasInstances = members.some(({ instanceId }) => instanceId !== null);
  const hasRacks = members.some(({ rackId }) => rackId !== null);
  const isMixed = new Set(members.map(({ protocol }) => protocol)).size > 1;
  const isMoving = members.some((member) => isOnTheWay(member));
  const parts: (readonly [Column, (member: MemberDescription) => string])[] = [
    [{ heading: "MEMBER", canShrink: true }, ({ memberId }) => memberId],
  ];
  if (hasInstances) parts.push([{ heading: "INSTANCE" }, ({ instanceId }) => instanceId ?? NONE]);
  parts.push(
    [{ heading: "CLIENT", canShrink: true }, ({ clientId }) => clientId || NONE],
    [{ heading: "HOST" }, ({ host }) => host || NONE],
  );
  if (hasRacks) parts.push([{ heading: "RACK" }, ({ rackId }) => rackId ?? NONE]);
  if (isMixed) parts.push([{ heading: "PROTOCOL" }, ({ protocol }) => protocol]);
  if (type === "consumer")
    parts.push([{ heading: "EPOCH", align: "right" }, ({ memberEpoch }) => orNone(memberEpoch)]);
  if (isVerbose) parts.push([{ heading: "SUBSCRIBED" }, formatSubscription]);
  parts.push([{ heading: "READS" }, ({ assignment }) => formatSets(assignment)]);
  if (isMoving)
    parts.push([
      { heading: "TO READ" },
      (member) => (isOnTheWay(member) ? formatSets(member.target ?? new Map()) : "the same"),
    ]);
  return [
    parts.map(([column]) => column),
    members.map((member) => parts.map(([, cell]) => cell(member))),
  ];
}

function isOnTheWay({ assignment, target }: MemberDescription): boolean {
  return target !== null && formatSets(target) !== formatSets(assignment);
}

function formatSubscription({ subscribedTopics, subscribedRegex }: MemberDescription): string {
  const words = [
    ...subscribedTopics.toSorted(),
    ...(subscribedRegex === null ? [] : [`/${subscribedRegex}/`]),
  ];
  return words.join(" ") || NONE;
}

function formatSets(sets: TopicPartitionSets): string {
  const words = [...sets]
    .filter(([, partitions]) => partitions.length > 0)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([topic, partitions]) => `${topic}:${formatPartitions(partitions)}`);
  return words.join(" ") || NONE;
}

async function printOffsets(rows: readonly GroupOffsetRow[], io: CommandIo): Promise<void> {
  const style = styleOf(io.stdout);
  if (rows.length === 0) {
    await io.stdout.write("Nothing is committed.\n");
    return;
  }
  const hasMembers = rows.some(({ member }) => member !== null);
  await printTable(
    io.stdout,
    [
      { heading: "TOPIC" },
      { heading: "PARTITION", align: "right" },
      { heading: "COMMITTED", align: "right" },
      { heading: "END", align: "right" },
      { heading: "LAG", align: "right" },
      ...(hasMembers
        ? ([
            { heading: "MEMBER", canShrink: true },
            { heading: "CLIENT", canShrink: true },
            { heading: "HOST" },
          ] as const)
        : []),
    ],
    rows.map((row) => [
      row.topic,
      String(row.partition),
      countOrNone(row.committed),
      countOrNone(row.end),
      colorLag(row, style),
      ...(hasMembers
        ? [row.member?.memberId ?? NONE, row.member?.clientId ?? NONE, row.member?.host ?? NONE]
        : []),
    ]),
  );
  const notes = notesOf(rows);
  const width = io.stdout.isTerminal ? io.stdout.width : Infinity;
  if (notes.length > 0)
    await io.stdout.write(`\n${notes.map((note) => wrapText(note, width)).join("\n")}\n`);
}

function colorLag(row: GroupOffsetRow, style: Style): string {
  const text = countOrNone(row.lag);
  if (row.lag === null) return text;
  if (row.lag === 0) return style.green(text);
  return row.member === null || isExpired(row) ? style.red(text) : style.yellow(text);
}

/** Whether records were deleted before the group read them. */
function isExpired({ committed, start }: GroupOffsetRow): boolean {
  return committed !== null && start !== null && committed < start;
}

/** What the numbers alone do not say. */
export function notesOf(rows: readonly GroupOffsetRow[]): readonly string[] {
  const ends = new Set(rows.filter(({ end }) => end !== null).map(({ topic }) => topic));
  const gone = [...new Set(rows.map(({ topic }) => topic))].filter((topic) => !ends.has(topic));
  return [
    ...gone.map(
      (topic) =>
        `${topic}: the topic is gone, or none of its leaders answers; it has no end and no lag.`,
    ),
    ...rows
      .filter(isExpired)
      .map(
        ({ topic, partition, committed, start }) =>
          `${topic} partition ${partition}: ${formatPlural((start ?? 0) - (committed ?? 0), "record")} behind the committed offset ${committed === null ? "" : formatCount(committed)} are deleted; the partition begins at ${countOrNone(start)}.`,
      ),
  ];
}

function countOrNone(value: number | null): string {
  return value === null ? NONE : formatCount(value);
}

function orNone(value: number | null): string {
  return value === null ? NONE : String(value);
}
