/**
 * The rebalance benchmark, as a process of its own: `bun bench/groups/rebalance.ts JOB` prints one `GroupRun` as JSON.
 *
 * Some members are stable in a fresh group; then all others join at once. Measured is from the moment their first requests
 * leave until every member is stable with its final share, every revocation acknowledged. Connections are open before.
 */
import { Wire } from "../../test/differential/wire.ts";
import { ensureCoordinator, ensureTopic } from "./admin.ts";
import { ClassicMember } from "./classic-member.ts";
import { ConsumerMember } from "./consumer-member.ts";
import { CLIENT_ID, type Member, MemberGroup, type MemberOptions } from "./members.ts";
import { failedRun, type GroupRun } from "./record.ts";
import { startUsage, totalUsage, type Usage } from "./usage.ts";
import type { Protocol, RebalanceWorkload } from "./workloads.ts";

/** What one run is to do. */
export interface RebalanceJob {
  readonly bootstrap: string;
  /** The broker's. */
  readonly pid: number;
  readonly workload: RebalanceWorkload;
  /** Rebalances in this run, each of a group of its own. */
  readonly repetitions: number;
  /** Between heartbeats of classic members; members of consumer groups are told by the broker. */
  readonly heartbeatMs: number;
}

/** A member of either protocol. */
export function makeMember(protocol: Protocol, options: MemberOptions): Member {
  return protocol === "classic" ? new ClassicMember(options) : new ConsumerMember(options);
}

/** Opens connections for members of a group that does not exist yet. */
export async function prepareMembers(
  bootstrap: string,
  protocol: Protocol,
  count: number,
  options: Omit<MemberOptions, "wire">,
): Promise<{ members: Member[]; wires: Wire[] }> {
  const wires = await Promise.all(
    Array.from({ length: count }, () => Wire.connect(bootstrap, CLIENT_ID)),
  );
  return { members: wires.map((wire) => makeMember(protocol, { ...options, wire })), wires };
}

/** Does a job. @throws whatever a member met that must not be. */
export async function runRebalances(job: RebalanceJob): Promise<GroupRun> {
  const { bootstrap, pid, workload, repetitions, heartbeatMs } = job;
  const { protocol, membersBefore, membersAfter, partitions } = workload;
  using admin = await Wire.connect(bootstrap, CLIENT_ID);
  const topic = `rebalance-${partitions}`;
  const topicId = await ensureTopic(admin, topic, partitions);
  const prefix = `${workload.name}-${process.pid}-${Date.now()}`;
  await ensureCoordinator(admin, [prefix]);
  const usages: Usage[] = [];
  for (let round = 0; round < repetitions; round++) {
    const groupId = `${prefix}-${round}`;
    const group = new MemberGroup(partitions);
    const options = { groupId, topic, topicId, partitions, heartbeatMs, onChange: group.look };
    const { members, wires } = await prepareMembers(bootstrap, protocol, membersAfter, options);
    try {
      await group.start(members.slice(0, membersBefore));
      const end = startUsage(pid);
      await group.start(members.slice(membersBefore));
      usages.push(end());
      await group.leave(admin);
    } finally {
      for (const wire of wires) wire[Symbol.dispose]();
    }
  }
  const total = totalUsage(usages);
  const times = usages.map(({ elapsedSeconds }) => elapsedSeconds * 1000).toSorted((a, b) => a - b);
  const mean = times.reduce((sum, each) => sum + each, 0) / times.length;
  return {
    isValid: true,
    firstError: null,
    ...total,
    figures: {
      rebalanceMs: times[times.length >> 1] ?? mean,
      rebalanceMeanMs: mean,
      rebalanceMaxMs: times.at(-1) ?? mean,
      cpuMsPerRebalance: (total.brokerCpuSeconds * 1000) / repetitions,
    },
  };
}

if (import.meta.main) {
  const job: RebalanceJob = JSON.parse(process.argv[2] ?? "");
  const run = await runRebalances(job).catch(failedRun);
  console.log(JSON.stringify(run));
  process.exit(0);
}
