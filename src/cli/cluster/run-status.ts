/**
 * `sluice cluster status` at work: one look at all nodes of a cluster and at the partitions that are not as they should be. What cannot be
 * had (a broker that is away, one that is not ours and has no failure detector) is shown as not known; only without any broker it fails.
 */
import { formatAddress } from "#client/address.ts";
import { ClientError } from "#client/client-error.ts";
import { describeBrokers, describeMembers, describeQuorum } from "#client/cluster-info.ts";
import { cordonedBrokers } from "#client/cordon.ts";
import { listReassignments } from "#client/reassignments.ts";
import { describeReplicaEnds } from "#client/replica-ends.ts";
import type { ClusterArguments } from "../cluster-options.ts";
import type { CommandIo, OutputStream } from "../command-io.ts";
import { readInteger } from "../option-values.ts";
import { printJson, printTable, styleOf, type Style } from "../output.ts";
import { formatCount, formatPlural } from "../units.ts";
import { withCluster } from "../with-cluster.ts";
import {
  assessCluster,
  type ClusterStatus,
  type NodeStatus,
  type PartitionStatus,
} from "./status-report.ts";

/** Options as commander gives them. */
export interface ClusterStatusOptions extends ClusterArguments {
  readonly json?: true;
  readonly all?: true;
  /** Seconds between looks; true for the default. */
  readonly watch?: string | true;
}

const PARTITIONS_MAX = 20;
const WATCH_SECONDS = 1;
const WATCH_SECONDS_MAX = 3600;
const NONE = "-";
const NOT_KNOWN = "?";
/** Puts the cursor home; what is below the new text is cleared after it. */
const HOME = "\u001B[H";
const CLEAR_LINE_END = "\u001B[K";
const CLEAR_BELOW = "\u001B[J";
const CLEAR_SCREEN = "\u001B[2J";

/** Runs `sluice cluster status`. */
export async function runClusterStatus(
  options: ClusterStatusOptions,
  io: CommandIo,
): Promise<void> {
  const { watch } = options;
  if (watch === undefined) {
    const status = await look(options);
    if (options.json === true) await printJson(io.stdout, status);
    else await printStatus(status, options.all === true, io.stdout);
    return;
  }
  const seconds =
    watch === true
      ? WATCH_SECONDS
      : readInteger("--watch", watch, { min: 1, max: WATCH_SECONDS_MAX });
  await watchCluster(options, seconds * 1000, io);
}

/** Looks again and again until Ctrl-C; a cluster that is away is waited for. */
async function watchCluster(
  options: ClusterStatusOptions,
  intervalMs: number,
  io: CommandIo,
): Promise<void> {
  const interruption = io.interruption();
  const { stdout } = io;
  if (stdout.isTerminal) await stdout.write(CLEAR_SCREEN);
  while (!interruption.aborted) {
    const screen = new Screen(stdout);
    try {
      const status = await look(options);
      if (options.json === true) await screen.write(`${JSON.stringify(status)}\n`);
      else await printStatus(status, options.all === true, screen);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      await screen.write(`${styleOf(stdout).red(error.message)}\n`);
    }
    await stdout.write(screen.frame());
    await pause(intervalMs, interruption);
  }
}

/** Gathers what a terminal is to show in one go, so that it does not flicker. */
class Screen implements OutputStream {
  readonly isTerminal: boolean;
  readonly hasColor: boolean;
  readonly width: number;
  #text = "";

  constructor({ isTerminal, hasColor, width }: OutputStream) {
    this.isTerminal = isTerminal;
    this.hasColor = hasColor;
    this.width = width;
  }

  write(chunk: string | Uint8Array): Promise<void> {
    this.#text += typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk);
    return Promise.resolve();
  }

  frame(): string {
    if (!this.isTerminal) return this.#text;
    return `${HOME}${this.#text.replaceAll("\n", `${CLEAR_LINE_END}\n`)}${CLEAR_BELOW}`;
  }
}

function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, delayMs);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function look(options: ClusterStatusOptions): Promise<ClusterStatus> {
  return withCluster(options, async (cluster) => {
    const topics = await cluster.listTopics();
    const [brokers, quorum, reassignments, ends, members, cordoned] = await Promise.all([
      describeBrokers(cluster),
      describeQuorum(cluster).catch(nullIfRefused),
      listReassignments(cluster).catch(nullIfRefused),
      describeReplicaEnds(cluster, topics),
      describeMembers(cluster).catch(nullIfRefused),
      cordonedBrokers(cluster),
    ]);
    const { clusterId } = cluster.metadata;
    const told = { brokers, quorum, topics, reassignments, ends, members, cordoned };
    return assessCluster({ clusterId, ...told });
  });
}

function nullIfRefused(error: unknown): null {
  if (error instanceof ClientError) return null;
  throw error;
}

async function printStatus(
  status: ClusterStatus,
  showsAll: boolean,
  out: OutputStream,
): Promise<void> {
  const style = styleOf(out);
  const { clusterId, controllerId, controllerEpoch, nodes, askedId } = status;
  const controller =
    controllerId === null
      ? style.red("no active controller")
      : `active controller ${controllerId} (epoch ${controllerEpoch})`;
  await out.write(
    `${style.bold(clusterId ?? "(no cluster id)")}  ${formatPlural(nodes.length, "node")}, ${controller}\n\n`,
  );
  await printNodes(nodes, askedId, out);
  await out.write(`\n${summary(status, style)}\n`);
  if (status.partitions.length === 0) return;
  await out.write("\n");
  const shown = showsAll ? status.partitions : status.partitions.slice(0, PARTITIONS_MAX);
  await printPartitions(shown, out);
  const left = status.partitions.length - shown.length;
  if (left > 0) await out.write(style.dim(`${formatCount(left)} more; --all shows them\n`));
}

function summary(status: ClusterStatus, style: Style): string {
  const { topicCount, partitionCount, underReplicatedCount, offlineCount, reassigningCount } =
    status;
  const what = `${formatPlural(topicCount, "topic")}, ${formatPlural(partitionCount, "partition")}`;
  const troubles = [
    ...(offlineCount === 0 ? [] : [style.red(`${formatCount(offlineCount)} offline`)]),
    ...(underReplicatedCount === 0
      ? []
      : [style.yellow(`${formatCount(underReplicatedCount)} under-replicated`)]),
    ...(reassigningCount === 0 ? [] : [`${formatCount(reassigningCount)} being moved`]),
  ];
  if (partitionCount === 0) return what;
  const all = underReplicatedCount + offlineCount === 0 ? [style.green("all in sync")] : [];
  return `${what}: ${[...all, ...troubles].join(", ")}`;
}

function printNodes(
  nodes: readonly NodeStatus[],
  askedId: number | null,
  out: OutputStream,
): Promise<void> {
  const style = styleOf(out);
  const hasRacks = nodes.some(({ rack }) => rack !== null);
  const hasSwim = nodes.some(({ swim }) => swim !== null);
  return printTable(
    out,
    [
      { heading: "NODE", align: "right" },
      { heading: "ROLES" },
      { heading: "STATE" },
      ...(hasSwim ? [{ heading: `HEARD BY ${askedId ?? NOT_KNOWN}` }] : []),
      { heading: "LEADS", align: "right" },
      { heading: "REPLICAS", align: "right" },
      { heading: "UNSYNCED", align: "right" },
      { heading: "LAG", align: "right" },
      { heading: "METADATA", align: "right" },
      { heading: "ADDRESS" },
      ...(hasRacks ? [{ heading: "RACK" }] : []),
    ],
    nodes.map((node) => [
      String(node.id),
      node.roles.includes("controller") ? style.bold(rolesOf(node)) : rolesOf(node),
      stateOf(node, style),
      ...(hasSwim ? [swimOf(node, style)] : []),
      String(node.leaderCount),
      String(node.replicaCount),
      node.outOfSyncCount === 0 ? "0" : style.yellow(String(node.outOfSyncCount)),
      node.maxLag === null ? style.red(NOT_KNOWN) : formatCount(node.maxLag),
      node.metadataLag === null ? NONE : formatCount(node.metadataLag),
      node.host === null || node.port === null
        ? NONE
        : formatAddress({ host: node.host, port: node.port }),
      ...(hasRacks ? [node.rack ?? NONE] : []),
    ]),
  );
}

function rolesOf({ roles }: NodeStatus): string {
  const names = roles.filter((role) => role !== "controller");
  return `${names.join(", ")}${roles.includes("controller") ? ", active" : ""}`;
}

function stateOf({ state, isCordoned }: NodeStatus, style: Style): string {
  if (state === null) return NONE;
  if (state === "running" && isCordoned) return style.yellow("cordoned");
  return state === "running" ? style.green(state) : style.red(state);
}

function swimOf({ swim }: NodeStatus, style: Style): string {
  switch (swim) {
    case null:
    case "unknown":
      return NOT_KNOWN;
    case "asked":
      return style.dim("itself");
    case "alive":
      return style.green(swim);
    case "suspect":
      return style.yellow(swim);
    case "down":
    case "left":
      return style.red(swim);
  }
}

function printPartitions(partitions: readonly PartitionStatus[], out: OutputStream): Promise<void> {
  const style = styleOf(out);
  const isMoving = partitions.some(({ adding, removing }) => adding.length + removing.length > 0);
  return printTable(
    out,
    [
      { heading: "TOPIC", canShrink: true },
      { heading: "PARTITION", align: "right" },
      { heading: "STATE" },
      { heading: "LEADER", align: "right" },
      { heading: "REPLICAS" },
      { heading: "IN SYNC" },
      ...(isMoving ? [{ heading: "MOVING" }] : []),
      { heading: "BEHIND" },
    ],
    partitions.map((row) => [
      row.topic,
      String(row.partition),
      row.isOffline
        ? style.red("offline")
        : row.isUnderReplicated
          ? style.yellow("under-replicated")
          : "being moved",
      row.leader < 0 ? NONE : String(row.leader),
      row.replicas.join(","),
      row.isr.join(",") || NONE,
      ...(isMoving ? [movesOf(row)] : []),
      behind(row),
    ]),
  );
}

function movesOf({ adding, removing }: PartitionStatus): string {
  return [...adding.map((id) => `+${id}`), ...removing.map((id) => `-${id}`)].join(" ") || NONE;
}

function behind({ replicas, leader, lags }: PartitionStatus): string {
  const words = replicas
    .filter((id) => id !== leader)
    .map((id) => {
      const lag = lags[String(id)];
      return `${id}:${lag === undefined ? NOT_KNOWN : formatCount(lag)}`;
    });
  return words.join(" ") || NONE;
}
