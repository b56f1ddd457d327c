/**
 * A whole run: builds the cluster that a plan describes, lets clients work while faults happen, heals everything, and sees that it comes to
 * rest as it should. What comes out is a hash of all that happened, or the rule that was broken.
 */
import type { ClusterImage, PartitionImage } from "#metadata/cluster-image.ts";
import { changeVote, createTopics, electPreferred, reassign } from "./administrator.ts";
import type { Coverage } from "./coverage.ts";
import { Consumer, Producer } from "./clients.ts";
import { GroupMember, GroupReader, type GroupWorld } from "./group-members.ts";
import type { Fault, Plan } from "./faults.ts";
import { describeFault } from "./faults.ts";
import { Violation } from "./history.ts";
import { Network } from "./network.ts";
import { Rules } from "./rules.ts";
import type { PartitionRules } from "./replica-rules.ts";
import { slotOf, TOPIC } from "./names.ts";
import { SimulatedNode } from "./simulated-node.ts";
import { World } from "./world.ts";

/** Time for the cluster to come up and make its topic. */
const WARM_UP_MS = 20_000;
/** Time for everything to be well again once the faults are over (I11). */
const HEAL_MS = 30_000;
const STEP_MS = 250;

/** What became of a run. */
export interface Outcome {
  readonly seed: number;
  readonly hash: string;
  readonly violation: { readonly rule: string; readonly message: string } | null;
  readonly eventCount: number;
  readonly virtualMs: number;
  readonly writtenCount: number;
  readonly ackedCount: number;
  readonly consumedCount: number;
  /** What it met. */
  readonly coverage: Coverage;
  /** Last lines of the trace, of a run that broke a rule. */
  readonly lines: readonly string[];
}

/** See the head of the file. */
export class Cluster {
  readonly world: World;
  readonly network: Network;
  readonly rules: Rules;
  readonly nodes: readonly SimulatedNode[];
  readonly #plan: Plan;

  constructor(plan: Plan, isTracing = false) {
    this.#plan = plan;
    this.world = new World(plan.seed, isTracing);
    this.network = new Network(this.world, plan.network);
    this.rules = new Rules({
      partitionCount: plan.partitionCount,
      hasGroup: plan.memberCount > 0,
      minIsr: plan.minIsr,
      allowsUnclean: plan.allowsUnclean,
      count: (name) => this.world.count(name),
      onStep: (before, image) => this.#onStep(before, image),
    });
    const of = { world: this.world, network: this.network, plan, rules: this.rules };
    this.nodes = Array.from({ length: plan.nodeCount }, (_, id) => new SimulatedNode(of, id));
    this.world.addCheck(() => this.#check());
  }

  /** Runs everything; throws the {@link Violation} that ends it. */
  run(): void {
    const { busyMs, producerCount, consumerCount } = this.#plan;
    for (const node of this.nodes) node.start();
    this.#makeTopic();
    const beganMs = this.world.nowMs;
    const untilMs = beganMs + busyMs;
    for (const fault of this.#plan.faults) this.#arm(fault);
    const clients = {
      world: this.world,
      network: this.network,
      history: this.rules.history,
      nodeIds: this.nodes.map(({ id }) => id),
      partitionCount: this.#plan.partitionCount,
    };
    const producers = Array.from({ length: producerCount }, (_, id) => {
      // The last of several does not wait for anybody: what it lost is nobody's fault.
      const acks = id > 0 && id === producerCount - 1 ? 1 : -1;
      const intervalMs = [5, 20, 60][id % 3] as number;
      return new Producer(clients, { id, acks, intervalMs, untilMs });
    });
    for (const producer of producers) this.world.spawn(producer.run());
    for (let id = 0; id < consumerCount; id += 1) {
      this.world.spawn(new Consumer(clients, id).run(untilMs + HEAL_MS));
    }
    const { group } = this.rules;
    const groupWorld = group === null ? null : { ...clients, rules: group };
    const members = groupWorld === null ? [] : this.#startMembers(groupWorld, untilMs);
    this.world.runUntil(untilMs);
    this.#heal();
    this.#awaitRest(() => [...producers, ...members].every(({ isDone }) => isDone));
    if (groupWorld !== null) {
      this.#readGroup(groupWorld);
      // Sessions of members may have ended meanwhile.
      this.#awaitRest(() => true);
    }
    this.#checkLogs();
    for (const node of this.nodes) node.check();
  }

  /** Frees what the native side holds. */
  close(): void {
    for (const node of this.nodes) node.close();
  }

  #startMembers(of: GroupWorld, untilMs: number): GroupMember[] {
    const members = Array.from(
      { length: this.#plan.memberCount },
      (_, id) => new GroupMember(of, id, untilMs),
    );
    for (const member of members) this.world.spawn(member.run());
    return members;
  }

  /** All is calm: whoever coordinates the group must tell what was committed. */
  #readGroup(of: GroupWorld): void {
    const reader = new GroupReader(of);
    this.world.spawn(reader.run());
    const untilMs = this.world.nowMs + HEAL_MS;
    while (!reader.isDone && this.world.nowMs < untilMs)
      this.world.runUntil(this.world.nowMs + STEP_MS);
    if (!reader.isDone) throw new Violation("I11", "nobody tells what the group has committed");
  }

  #makeTopic(): void {
    const { world } = this;
    let isAsked = false;
    while (world.nowMs < WARM_UP_MS) {
      world.runUntil(world.nowMs + STEP_MS);
      if (this.#isAtRest()) return;
      if (isAsked) continue;
      const active = this.nodes.find(({ isActive }) => isActive);
      const registered = [...(active?.committed?.brokers.values() ?? [])];
      if (registered.filter(({ isFenced }) => !isFenced).length < this.nodes.length) continue;
      isAsked = true;
      world.spawn(createTopics(active as SimulatedNode, this.#plan));
    }
    throw new Violation("I11", "the cluster did not come up");
  }

  // ---- faults

  #arm(fault: Fault): void {
    this.world.after(fault.atMs, () => {
      this.world.trace(`fault ${describeFault(fault)}`);
      this.#begin(fault);
    });
  }

  #begin(fault: Fault): void {
    const { network, world } = this;
    const node = (id: number): SimulatedNode => this.nodes[id] as SimulatedNode;
    switch (fault.kind) {
      case "crash":
        if (node(fault.node).machine.isUp) world.count(`crash ${fault.mode}`);
        node(fault.node).crash(fault.mode, fault.seed);
        world.after(fault.forMs, () => this.#restart(node(fault.node)));
        return;
      case "stop":
        world.spawn(node(fault.node).stop());
        world.after(fault.forMs + 2500, () => this.#restart(node(fault.node)));
        return;
      case "pause":
        world.count("pause");
        node(fault.node).machine.pause();
        world.after(fault.forMs, () => node(fault.node).machine.resume());
        return;
      case "cut": {
        const pairs = fault.from.flatMap((from) => fault.to.map((to) => [from, to] as const));
        const all = fault.isOneWay
          ? pairs
          : pairs.flatMap(([from, to]) => [[from, to] as const, [to, from] as const]);
        world.count(fault.isOneWay ? "cut one way" : "cut both ways");
        for (const [from, to] of all) network.cut(from, to);
        world.after(fault.forMs, () => {
          for (const [from, to] of all) network.mend(from, to);
        });
        return;
      }
      case "reset":
        world.count("connection reset");
        network.reset(fault.one, fault.other);
        return;
      case "slow":
        world.count("slow node");
        network.slow(fault.node, fault.byMs);
        world.after(fault.forMs, () => network.slow(fault.node, 0));
        return;
      case "full":
        world.count("full disk");
        node(fault.node).disk.limit(fault.freeBytes);
        world.after(fault.forMs, () => node(fault.node).disk.limit(null));
        return;
      case "verdict":
        node(fault.at).onVerdict(fault.about, fault.verdict);
        return;
      case "transfer":
        for (const { quorum } of this.nodes) quorum?.transferTo(fault.to);
        return;
      case "elect":
        this.#askActive((active) => electPreferred(active, fault.partition));
        return;
      case "reassign":
        this.#askActive((active) => reassign(active, world, fault.partition, fault.replicas));
        return;
      case "vote":
        this.#askActive((active) => changeVote(active, world, fault.node));
        return;
      default:
        fault satisfies never;
    }
  }

  #restart(node: SimulatedNode): void {
    if (!node.machine.isUp) node.start();
  }

  #askActive(ask: (active: SimulatedNode) => Promise<void>): void {
    const active = this.nodes.find(({ isActive }) => isActive);
    if (active !== undefined) this.world.spawn(ask(active));
  }

  #heal(): void {
    this.world.trace("everything heals");
    this.network.profile = { ...this.network.profile, lossChance: 0, slowChance: 0 };
    this.network.mendAll();
    for (const node of this.nodes) {
      node.disk.limit(null);
      node.machine.resume();
      if (node.machine.isUp && node.isFailed) node.crash("process", 0);
      this.#restart(node);
    }
  }

  // ---- rest

  #awaitRest(areDone: () => boolean): void {
    const untilMs = this.world.nowMs + HEAL_MS;
    while (this.world.nowMs < untilMs) {
      this.world.runUntil(this.world.nowMs + STEP_MS);
      for (const node of this.nodes) this.#restart(node);
      if (areDone() && this.#isAtRest()) {
        // What followers do not know yet of the high watermark comes with their next fetch.
        this.world.runUntil(this.world.nowMs + 2 * STEP_MS);
        if (this.#isAtRest()) return;
      }
    }
    throw new Violation("I11", `not well ${HEAL_MS} ms after the faults: ${this.#whyNot()}`);
  }

  #isAtRest(): boolean {
    return this.#whyNot() === "";
  }

  #whyNot(): string {
    const { truth } = this.rules.metadata;
    if (!truth.topicsByName.has(TOPIC)) return "there is no topic";
    if (!this.nodes.some(({ isActive }) => isActive)) return "no controller";
    for (const node of this.nodes) {
      if (node.committed?.offset !== truth.offset) return `node ${node.id} is behind`;
    }
    for (const [name, partition, rules] of this.#partitions()) {
      const { leader, isr, replicas, addingReplicas, removingReplicas } = partition;
      if (addingReplicas.length > 0 || removingReplicas.length > 0)
        return `${name} is on its way to other replicas`;
      if (leader < 0) return `${name} has no leader`;
      if (isr.length < replicas.length)
        return `${name} has ISR ${isr.join()} of ${replicas.join()}`;
      for (const id of replicas) {
        if (rules.lengthOf(id) !== rules.lengthOf(leader))
          return `replica ${id} of ${name} has not caught up`;
      }
    }
    return "";
  }

  /** All partitions that rules look at, with their names. */
  *#partitions(): Iterable<[string, PartitionImage, PartitionRules]> {
    const { partitionCount } = this.#plan;
    for (const { name, partitions } of this.rules.metadata.truth.topicsById.values()) {
      for (const partition of partitions) {
        const { partitionId } = partition;
        const rules = this.rules.partitions[slotOf(name, partitionId, partitionCount) ?? -1];
        if (rules !== undefined) yield [`${name}-${partitionId}`, partition, rules];
      }
    }
  }

  /** All replicas of a partition are the same, and hold what clients were promised. */
  #checkLogs(): void {
    for (const node of this.nodes) {
      if (node.committed !== null) this.rules.metadata.checkWhole(node.id, node.committed);
    }
    for (const [name, { partitionId, leader, replicas }, rules] of this.#partitions()) {
      const log = rules.recordsOf(leader).map(({ value }, offset) => ({ offset, value }));
      if (rules.topic === TOPIC)
        this.rules.history.checkLog(partitionId, log, `the log of ${name}`);
      for (const id of replicas) {
        const other = rules.recordsOf(id);
        const at = log.findIndex(({ value }, offset) => other[offset]?.value !== value);
        if (at < 0 && other.length === log.length) continue;
        throw new Violation(
          "divergent",
          `replicas ${leader} and ${id} of ${name} differ at ${at < 0 ? log.length : at}`,
        );
      }
    }
  }

  /** Writes down what the metadata now says. */
  #onStep(before: ClusterImage, image: ClusterImage): void {
    const { world } = this;
    for (const broker of image.brokers.values()) {
      if (broker === before.brokers.get(broker.id)) continue;
      const { id, epoch, isFenced, isInControlledShutdown } = broker;
      const state = isFenced ? "fenced" : isInControlledShutdown ? "leaving" : "in service";
      world.trace(`metadata ${image.offset}: broker ${id} of epoch ${epoch} is ${state}`);
    }
    for (const topic of image.topicsById.values()) {
      const was = before.topicsById.get(topic.id);
      for (const partition of topic.partitions) {
        if (partition === was?.partitions[partition.partitionId]) continue;
        world.trace(`metadata ${image.offset}: ${describePartition(topic.name, partition)}`);
      }
    }
  }

  #check(): void {
    for (const id of this.world.touched) {
      this.nodes[id]?.look();
    }
    this.rules.checkChanged();
  }
}

function describePartition(topic: string, partition: PartitionImage): string {
  const { partitionId, leader, leaderEpoch, partitionEpoch, replicas, isr } = partition;
  const { eligibleLeaderReplicas, lastKnownElr, addingReplicas, removingReplicas } = partition;
  const sets = [
    ["replicas", replicas],
    ["ISR", isr],
    ["ELR", eligibleLeaderReplicas],
    ["last known ELR", lastKnownElr],
    ["adding", addingReplicas],
    ["removing", removingReplicas],
  ] as const;
  const words = sets.flatMap(([name, ids]) => (ids.length === 0 ? [] : [`${name} ${ids.join()}`]));
  return `${topic}-${partitionId} is led by ${leader} in epoch ${leaderEpoch}/${partitionEpoch}, ${words.join(", ")}`;
}

/** Runs a plan to its end, or to the first rule that it breaks. */
export function runPlan(plan: Plan, isTracing = false): Outcome {
  const cluster = new Cluster(plan, isTracing);
  let violation: Outcome["violation"] = null;
  try {
    cluster.run();
  } catch (error) {
    if (error instanceof Violation) violation = { rule: error.rule, message: error.message };
    else
      violation = {
        rule: "error",
        message: error instanceof Error ? (error.stack ?? error.message) : String(error),
      };
  } finally {
    cluster.close();
  }
  const { world, rules } = cluster;
  return {
    seed: plan.seed,
    hash: world.hash,
    violation,
    eventCount: world.eventCount,
    virtualMs: world.nowMs,
    writtenCount: rules.history.writtenCount,
    ackedCount: rules.history.ackedCount,
    consumedCount: rules.history.consumedCount,
    coverage: world.coverage,
    lines: violation === null ? [] : world.lines,
  };
}
