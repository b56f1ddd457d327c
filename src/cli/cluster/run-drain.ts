/**
 * `sluice cluster drain NODE` at work: moves every replica of a broker to the others, some partitions at a time, until it has none. All that is under
 * way is the controller's to finish, so that the command may be interrupted, or die, at any time; the same command goes on where the last one was.
 *
 * The node is cordoned first (`drain-cordon.ts`), so that nothing new is placed on it. Moves that somebody else began are left to end; partitions that lie on the broker because they were made meanwhile are moved too.
 *
 * What brokers tell of replicas may be a little old, and then shows a partition in the middle of a move that has ended. So a partition that was moved is
 * not looked at again for a while, and the controller is told to keep replication factors: a move planned on such a view is refused, and planned again.
 */
import { ClientError } from "#client/client-error.ts";
import { describeBrokers } from "#client/cluster-info.ts";
import type { Cluster } from "#client/cluster.ts";
import { cordonedBrokers } from "#client/cordon.ts";
import { beginReassignments, listReassignments } from "#client/reassignments.ts";
import { ErrorCode } from "#common/error-code.ts";
import type { ClusterArguments } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { CommandError } from "../failure.ts";
import { readInteger } from "../option-values.ts";
import { printJson, printTable, progressLine } from "../output.ts";
import { formatCount, formatPlural } from "../units.ts";
import { withCluster } from "../with-cluster.ts";
import { cordonForDrain, cordonLine } from "./drain-cordon.ts";
import {
  type DrainBroker,
  type DrainMove,
  type DrainPartition,
  type DrainPlan,
  planDrain,
} from "./drain-plan.ts";
import { DrainThrottle, type ThrottledMove } from "./drain-throttle.ts";
import { readNodeId } from "./node-argument.ts";

/** Options as commander gives them. */
export interface ClusterDrainOptions extends ClusterArguments {
  readonly atOnce: string;
  readonly throttle?: string;
  readonly dryRun?: true;
  readonly json?: true;
}

const AT_ONCE_MAX = 1000;
const LOOK_MS = 250;
const INTERRUPTED_EXIT_CODE = 130;
const TOPICS_NAMED_MAX = 5;

/** Time after which a partition that was moved and lies on the broker still is moved again, ms. */
const SETTLED_MS = 10_000;

/** What the controller says of a partition that is not any more what a broker told. */
const OLD_VIEW_CODES: ReadonlySet<number> = new Set([
  ErrorCode.INVALID_REPLICATION_FACTOR,
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
]);

interface DrainState {
  readonly plan: DrainPlan;
  /** Partitions that lie on the broker still, and leave it or are moved by somebody. */
  readonly underWayCount: number;
  /** Moves off the broker under way. */
  readonly underWay: readonly ThrottledMove[];
  readonly topics: readonly string[];
  readonly serving: ReadonlySet<number>;
}

/** What lies on the node now. */
type Look = (begun: Begun) => Promise<DrainState>;

/** When the move of a partition was begun, by its name; of a clock that never goes back. */
type Begun = Map<string, number>;

/** Runs `sluice cluster drain`. */
export async function runClusterDrain(
  nodeText: string,
  options: ClusterDrainOptions,
  io: CommandIo,
): Promise<void> {
  const node = readNodeId(nodeText);
  const atOnce = readInteger("--at-once", options.atOnce, { min: 1, max: AT_ONCE_MAX });
  const { throttle: rateText } = options;
  const rate = rateText === undefined ? null : readInteger("--throttle", rateText, { min: 1 });
  await withCluster(options, async (cluster) => {
    const closed = await cordonedBrokers(cluster);
    const look: Look = (begun) => lookAt(cluster, node, closed, begun);
    let first = await look(new Map());
    if (first.plan.stuck.length > 0) {
      await pause(2 * LOOK_MS, io.interruption());
      first = await look(new Map());
    }
    requireRoom(node, first.plan);
    if (options.dryRun === true) return printMoves(first.plan.moves, options.json === true, io);
    const cordonRefusal = await cordonForDrain(cluster, node, first.serving.has(node));
    await io.stderr.write(cordonLine(node, cordonRefusal));
    const throttle = new DrainThrottle(cluster, node, rate);
    await drain(cluster, node, atOnce, throttle, { first, look }, io);
    const isCordoned = cordonRefusal === null;
    if (options.json === true && !io.interruption().aborted)
      await printJson(io.stdout, { node, result: "drained", isCordoned });
  });
}

async function drain(
  cluster: Cluster,
  node: number,
  atOnce: number,
  throttle: DrainThrottle,
  { first, look }: { readonly first: DrainState; readonly look: Look },
  io: CommandIo,
): Promise<void> {
  const interruption = io.interruption();
  const progress = progressLine(io.stderr);
  const begun: Begun = new Map();
  const owed = ({ plan, underWayCount }: DrainState): number =>
    plan.moves.length + plan.stuck.length + underWayCount;
  let state = first;
  let total = owed(first);
  let toldDone = 0;
  if (total > 0) {
    await io.stderr.write(
      `moving ${formatPlural(total, "replica")} off node ${node}, ${formatCount(atOnce)} at once\n`,
    );
  }
  // Begun by a command before this one, perhaps at another rate.
  await throttle.cover(first.underWay, first.serving);
  while (owed(state) > 0 && !interruption.aborted) {
    const room = Math.max(0, atOnce - state.underWayCount);
    const moves = state.plan.moves.slice(0, room);
    await throttle.cover(moves.map(throttledMove), state.serving);
    await begin(cluster, moves, begun);
    await pause(LOOK_MS, interruption);
    state = await look(begun);
    // A broker was fenced meanwhile, and nothing moves any more.
    if (state.plan.moves.length === 0 && state.underWayCount === 0) requireRoom(node, state.plan);
    total = Math.max(total, owed(state));
    const done = total - owed(state);
    const text = `${formatCount(done)} of ${formatCount(total)} moved, ${formatCount(state.underWayCount)} under way`;
    progress.update(() => text);
    // Where there is no line that changes in place, each tenth is told.
    if (!io.stderr.isTerminal && done - toldDone >= Math.max(1, Math.floor(total / 10))) {
      toldDone = done;
      await io.stderr.write(`${text}\n`);
    }
  }
  progress.clear();
  if (owed(state) === 0) {
    await throttle.lift(state.topics, state.serving);
    await io.stderr.write(
      `node ${node} holds no replica. Stop it, then 'sluice cluster remove ${node}' makes the cluster forget it.\n`,
    );
    return;
  }
  io.setExitCode(INTERRUPTED_EXIT_CODE);
  await io.stderr.write(
    `interrupted: ${formatPlural(state.underWayCount, "move")} under way will end without this command, ` +
      `${formatCount(state.plan.moves.length)} did not begin. The same command goes on.${throttle.isSet ? " The throttle stays until it ends." : ""}\n`,
  );
}

/** Begins moves. One that the controller does not take for what it should be is planned again. */
async function begin(cluster: Cluster, moves: readonly DrainMove[], begun: Begun): Promise<void> {
  if (moves.length === 0) return;
  const nowMs = performance.now();
  for (const move of moves) begun.set(keyOf(move), nowMs);
  try {
    await beginReassignments(
      cluster,
      moves.map(({ topic, partition, to }) => ({ topic, partition, replicas: to })),
    );
  } catch (error) {
    if (!(error instanceof ClientError) || !OLD_VIEW_CODES.has(error.errorCode)) throw error;
    // Which of them were refused is seen by the next look.
    for (const move of moves) begun.delete(keyOf(move));
  }
}

/** What lies on the node now, and what to do about it. @throws CommandError for a node that is no broker. */
async function lookAt(
  cluster: Cluster,
  node: number,
  closed: ReadonlySet<number>,
  begun: Begun,
): Promise<DrainState> {
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
    isOpen: !isFenced && !closed.has(id),
  }));
  const plan = planDrain(node, places, partitions);
  const nowMs = performance.now();
  const isLeft = (place: Parameters<typeof keyOf>[0]): boolean =>
    !moving.has(keyOf(place)) && nowMs - (begun.get(keyOf(place)) ?? -Infinity) >= SETTLED_MS;
  const moves = plan.moves.filter(isLeft);
  const stuck = plan.stuck.filter(isLeft);
  const held = new Set([
    ...[...plan.moves, ...plan.stuck].map(keyOf),
    ...[...moving.values()].filter(({ replicas }) => replicas.includes(node)).map(keyOf),
  ]);
  return {
    plan: { moves, stuck },
    underWayCount: held.size - moves.length - stuck.length,
    underWay: reassignments
      .filter(({ removing }) => removing.includes(node))
      .map(({ topic, partition, replicas, adding }) => ({
        topic,
        partition,
        sources: replicas.filter((id) => !adding.includes(id)),
        destinations: adding,
      })),
    topics: topics.map(({ name }) => name),
    serving: new Set(brokers.flatMap(({ id, isFenced }) => (isFenced ? [] : [id]))),
  };
}

function throttledMove({ topic, partition, from, to }: DrainMove): ThrottledMove {
  return { topic, partition, sources: from, destinations: to };
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
    `node ${node} cannot be emptied: without it fewer brokers can take replicas than ${widest}, the replication factor of ${named}${more}`,
    [
      "Add a broker first, or bring back one that is fenced or cordoned: 'sluice cluster status' shows them.",
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
