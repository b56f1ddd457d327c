/**
 * `sluice cluster drain NODE` at work: moves every replica of a broker to the others, some partitions at a time, until it has none. All that is under
 * way is the controller's to finish, so that the command may be interrupted, or die, at any time; the same command goes on where the last one was.
 *
 * Moves that somebody else began are left to end; partitions that lie on the broker because they were made meanwhile are moved too.
 */
import { describeBrokers } from "#client/cluster-info.ts";
import type { Cluster } from "#client/cluster.ts";
import { beginReassignments, listReassignments, type Reassignment } from "#client/reassignments.ts";
import type { ClusterArguments } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { CommandError } from "../failure.ts";
import { readInteger } from "../option-values.ts";
import { printJson, printTable, progressLine } from "../output.ts";
import { formatCount, formatPlural } from "../units.ts";
import { withCluster } from "../with-cluster.ts";
import {
  type DrainBroker,
  type DrainMove,
  type DrainPartition,
  type DrainPlan,
  planDrain,
} from "./drain-plan.ts";
import { readNodeId } from "./node-argument.ts";

/** Options as commander gives them. */
export interface ClusterDrainOptions extends ClusterArguments {
  readonly atOnce: string;
  readonly dryRun?: true;
  readonly json?: true;
}

const AT_ONCE_MAX = 1000;
const LOOK_MS = 250;
const INTERRUPTED_EXIT_CODE = 130;
const TOPICS_NAMED_MAX = 5;

interface DrainState {
  readonly plan: DrainPlan;
  /** Partitions that lie on the broker still, and leave it or are moved by somebody. */
  readonly underWay: readonly Reassignment[];
}

/** Runs `sluice cluster drain`. */
export async function runClusterDrain(
  nodeText: string,
  options: ClusterDrainOptions,
  io: CommandIo,
): Promise<void> {
  const node = readNodeId(nodeText);
  const atOnce = readInteger("--at-once", options.atOnce, { min: 1, max: AT_ONCE_MAX });
  await withCluster(options, async (cluster) => {
    const first = await lookAt(cluster, node);
    requireRoom(node, first.plan);
    if (options.dryRun === true) return printMoves(first.plan.moves, options.json === true, io);
    await drain(cluster, node, atOnce, first, io);
    if (options.json === true && !io.interruption().aborted)
      await printJson(io.stdout, { node, result: "drained" });
  });
}

async function drain(
  cluster: Cluster,
  node: number,
  atOnce: number,
  first: DrainState,
  io: CommandIo,
): Promise<void> {
  const interruption = io.interruption();
  const progress = progressLine(io.stderr);
  const owed = ({ plan, underWay }: DrainState): number => plan.moves.length + underWay.length;
  let state = first;
  let total = owed(first);
  let toldDone = 0;
  if (total > 0) {
    await io.stderr.write(
      `moving ${formatPlural(total, "replica")} off node ${node}, ${formatCount(atOnce)} at once\n`,
    );
  }
  while (owed(state) > 0 && !interruption.aborted) {
    const room = Math.max(0, atOnce - state.underWay.length);
    const next = state.plan.moves.slice(0, room);
    if (next.length > 0)
      await beginReassignments(
        cluster,
        next.map(({ topic, partition, to }) => ({ topic, partition, replicas: to })),
      );
    await pause(LOOK_MS, interruption);
    state = await lookAt(cluster, node);
    requireRoom(node, state.plan);
    total = Math.max(total, owed(state));
    const done = total - owed(state);
    const text = `${formatCount(done)} of ${formatCount(total)} moved, ${formatCount(state.underWay.length)} under way`;
    progress.update(() => text);
    // Where there is no line that changes in place, each tenth is told.
    if (!io.stderr.isTerminal && done - toldDone >= Math.max(1, Math.floor(total / 10))) {
      toldDone = done;
      await io.stderr.write(`${text}\n`);
    }
  }
  progress.clear();
  if (owed(state) === 0) {
    await io.stderr.write(
      `node ${node} holds no replica. Stop it, then 'sluice cluster remove ${node}' makes the cluster forget it.\n`,
    );
    return;
  }
  io.setExitCode(INTERRUPTED_EXIT_CODE);
  await io.stderr.write(
    `interrupted: ${formatPlural(state.underWay.length, "move")} under way will end without this command, ` +
      `${formatCount(state.plan.moves.length)} did not begin. The same command goes on.\n`,
  );
}

/** What lies on the node now, and what to do about it. @throws CommandError for a node that is no broker. */
async function lookAt(cluster: Cluster, node: number): Promise<DrainState> {
  const brokers = await describeBrokers(cluster);
  // Before and after: what ends or begins meanwhile is taken for under way, not for the replicas a partition has.
  const before = await listReassignments(cluster);
  const topics = await cluster.listTopics();
  const reassignments = await listReassignments(cluster);
  if (!brokers.some(({ id }) => id === node)) {
    throw new CommandError(`node ${node} is not a broker of this cluster`, [
      "'sluice cluster status' shows who is.",
    ]);
  }
  const moving = new Map([...before, ...reassignments].map((each) => [keyOf(each), each]));
  const partitions: DrainPartition[] = topics.flatMap(({ name, partitions: rows }) =>
    rows.map(({ partition, replicas }) => {
      const { removing = [] } = moving.get(`${name}-${partition}`) ?? {};
      return {
        topic: name,
        partition,
        replicas: replicas.filter((id) => !removing.includes(id)),
      };
    }),
  );
  const places: DrainBroker[] = brokers.map(({ id, rack, isFenced }) => ({
    id,
    rack,
    isServing: !isFenced,
  }));
  const plan = planDrain(node, places, partitions);
  return {
    plan: {
      moves: plan.moves.filter((move) => !moving.has(keyOf(move))),
      stuck: plan.stuck.filter((partition) => !moving.has(keyOf(partition))),
    },
    underWay: [...moving.values()].filter(({ replicas }) => replicas.includes(node)),
  };
}

function keyOf({
  topic,
  partition,
}: {
  readonly topic: string;
  readonly partition: number;
}): string {
  return `${topic}-${partition}`;
}

/** @throws CommandError when some partition has nowhere to go. Nothing was begun by this look. */
function requireRoom(node: number, { stuck }: DrainPlan): void {
  const [first] = stuck;
  if (first === undefined) return;
  const names = [...new Set(stuck.map(({ topic }) => topic))].sort();
  const named = names.slice(0, TOPICS_NAMED_MAX).join(", ");
  const more =
    names.length > TOPICS_NAMED_MAX ? ` and ${names.length - TOPICS_NAMED_MAX} more` : "";
  const widest = Math.max(...stuck.map(({ replicas }) => replicas.length));
  throw new CommandError(
    `node ${node} cannot be emptied: without it fewer brokers serve than ${widest}, the replication factor of ${named}${more}`,
    [
      "Add a broker first, or bring back one that is fenced: 'sluice cluster status' shows them.",
      "To stop a node for a while nothing need be moved.",
    ],
  );
}

async function printMoves(
  moves: readonly DrainMove[],
  isJson: boolean,
  io: CommandIo,
): Promise<void> {
  if (isJson) return printJson(io.stdout, moves);
  if (moves.length === 0) return io.stdout.write("nothing to move\n");
  await printTable(
    io.stdout,
    [
      { heading: "TOPIC", canShrink: true },
      { heading: "PARTITION", align: "right" },
      { heading: "REPLICAS" },
      { heading: "THEN" },
    ],
    moves.map(({ topic, partition, from, to }) => [
      topic,
      String(partition),
      from.join(","),
      to.join(","),
    ]),
  );
}

function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, delayMs);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
