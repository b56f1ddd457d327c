/** What groups cost while nothing changes: commits and heartbeats of stable members. Sets members up, makes the script, runs it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ErrorCode, errorInfo } from "#common/error-code.ts";
import { ConsumerGroupHeartbeatApi } from "#protocol/generated/consumer-group-heartbeat.ts";
import { HeartbeatApi } from "#protocol/generated/heartbeat.ts";
import { OffsetCommitApi } from "#protocol/generated/offset-commit.ts";
import { Wire } from "../../test/differential/wire.ts";
import { replayScript } from "../load-generator.ts";
import type { System } from "../systems/system.ts";
import { ensureCoordinator, ensureTopic, setCommitDurability } from "./admin.ts";
import { ClassicMember, HEARTBEAT_VERSION } from "./classic-member.ts";
import { CONSUMER_HEARTBEAT_VERSION, ConsumerMember } from "./consumer-member.ts";
import { CLIENT_ID, type Member, MemberGroup } from "./members.ts";
import { commitError, commitRequest, OFFSET_COMMIT_VERSION } from "./offsets-client.ts";
import { prepareMembers } from "./rebalance.ts";
import type { GroupRun } from "./record.ts";
import { type Exchange, encodeScript, record, replayHere, type Script } from "./script.ts";
import type { CommitWorkload, HeartbeatWorkload, Protocol } from "./workloads.ts";

/** What one run is to do. */
export interface SteadyJob<Workload = CommitWorkload | HeartbeatWorkload> {
  readonly bootstrap: string;
  readonly pid: number;
  readonly system: Pick<System, "topicConfig">;
  readonly workload: Workload;
  readonly seconds: number;
  readonly warmSeconds: number;
  /** Of the topic that members are subscribed to. */
  readonly partitions: number;
  /** Called when all members are stable and the load begins. */
  readonly onLoad?: () => void;
  /** Rounds in this process instead of the load generator: nothing is measured. */
  readonly smokeRounds?: number;
}

/** Members that only commit or are driven by the script send no heartbeats of their own meanwhile. */
const idleHeartbeatMs = 60_000;

/** Does a job. @throws whatever went wrong before the script ran; errors of the script are in the result. */
export async function runSteady(job: SteadyJob): Promise<GroupRun> {
  using wire = await Wire.connect(job.bootstrap, CLIENT_ID);
  const { partitions } = job;
  const topic = `steady-${partitions}`;
  const topicId = await ensureTopic(wire, topic, partitions);
  const prefix = `${job.workload.name}-${Date.now()}`;
  await ensureCoordinator(wire, [prefix]);
  const place = { topic, topicId, partitions, prefix };
  const groups: Member[][] = [];
  try {
    const script =
      job.workload.kind === "commit"
        ? await commitScript(wire, { ...job, workload: job.workload }, place, groups)
        : await heartbeatScript(wire, job.workload, job.bootstrap, place, groups);
    job.onLoad?.();
    return await replay(job, script);
  } finally {
    await disband(job.bootstrap, groups);
  }
}

interface Place {
  readonly topic: string;
  readonly topicId: string;
  readonly partitions: number;
  /** Of group ids. */
  readonly prefix: string;
}

/** Makes a stable group; its members' connections are closed, since membership is not of a connection. */
async function stableGroup(
  bootstrap: string,
  protocol: Protocol,
  groupId: string,
  count: number,
  { topic, topicId, partitions }: Place,
): Promise<readonly Member[]> {
  const group = new MemberGroup(partitions);
  const common = { groupId, topic, topicId, partitions, onChange: group.look };
  const heartbeatMs = count === 1 ? idleHeartbeatMs : 20;
  const options = { ...common, heartbeatMs };
  const { members, wires } = await prepareMembers(bootstrap, protocol, count, options);
  try {
    await group.start(members);
    await group.pause();
  } finally {
    for (const wire of wires) wire[Symbol.dispose]();
  }
  return group.members;
}

async function commitScript(
  wire: Wire,
  { workload, system, bootstrap }: SteadyJob<CommitWorkload>,
  place: Place,
  groups: Member[][],
): Promise<Script> {
  await setCommitDurability(wire, system, workload.durability);
  const count = workload.partitionsPerCommit;
  return Promise.all(
    Array.from({ length: workload.connections }, async (_, index) => {
      const groupId = `${place.prefix}-${String(index).padStart(3, "0")}`;
      const members = await stableGroup(bootstrap, "classic", groupId, 1, place);
      groups.push([...members]);
      const { memberId = "", epoch = -1 } = members[0] ?? {};
      const who = { groupId, memberId, generationIdOrMemberEpoch: epoch };
      const request = commitRequest(who, place.topic, count, 1000);
      return [
        await record(wire, OffsetCommitApi, OFFSET_COMMIT_VERSION, request, count, (answer) =>
          commitError(answer, count),
        ),
      ];
    }),
  );
}

async function heartbeatScript(
  wire: Wire,
  workload: HeartbeatWorkload,
  bootstrap: string,
  place: Place,
  groups: Member[][],
): Promise<Script> {
  const { members: total, membersPerGroup, protocol, connections } = workload;
  for (let index = 0; groups.length * membersPerGroup < total; index++) {
    const groupId = `${place.prefix}-${index}`;
    groups.push([...(await stableGroup(bootstrap, protocol, groupId, membersPerGroup, place))]);
  }
  const script: Exchange[][] = Array.from({ length: connections }, () => []);
  for (const [index, member] of groups.flat().entries()) {
    script[index % connections]?.push(await askHeartbeat(wire, member));
  }
  return script;
}

/** The heartbeat of a stable member, and its answer. */
async function askHeartbeat(wire: Wire, member: Member): Promise<Exchange> {
  const name = (code: number): string | null =>
    code === ErrorCode.NONE ? null : errorInfo(code).name;
  if (member instanceof ClassicMember) {
    const request = member.heartbeatRequest();
    return record(wire, HeartbeatApi, HEARTBEAT_VERSION, request, 1, ({ errorCode }) =>
      name(errorCode),
    );
  }
  if (!(member instanceof ConsumerMember)) throw new Error("a member of no protocol");
  const request = member.heartbeatRequest();
  return record(
    wire,
    ConsumerGroupHeartbeatApi,
    CONSUMER_HEARTBEAT_VERSION,
    request,
    1,
    (answer) => {
      if (answer.errorCode !== ErrorCode.NONE) return name(answer.errorCode);
      return answer.memberEpoch === member.epoch && answer.assignment === null
        ? null
        : "it changed";
    },
  );
}

/** Lets all members leave, so that the next run finds no timers of this one. */
async function disband(bootstrap: string, groups: readonly (readonly Member[])[]): Promise<void> {
  using wire = await Wire.connect(bootstrap, CLIENT_ID);
  for (const members of groups) await Promise.all(members.map((member) => member.leave(wire)));
}

async function replay(job: SteadyJob, script: Script): Promise<GroupRun> {
  const noun = job.workload.kind === "commit" ? "commits" : "heartbeats";
  if (job.smokeRounds !== undefined) {
    const count = await replayHere(job.bootstrap, script, job.smokeRounds);
    return {
      isValid: true,
      firstError: null,
      elapsedSeconds: 0,
      brokerCpuSeconds: 0,
      clientCpuSeconds: 0,
      foreignCores: 0,
      figures: { [noun]: count },
    };
  }
  const directory = mkdtempSync(join(tmpdir(), "group-bench-"));
  try {
    const path = join(directory, "script");
    writeFileSync(path, encodeScript(script));
    const { bootstrap, seconds, warmSeconds } = job;
    const result = await replayScript({
      bootstrap,
      pids: [job.pid],
      seconds,
      warmSeconds,
      script: path,
    });
    return {
      isValid: result.isValid,
      firstError: result.firstError,
      elapsedSeconds: result.elapsedSeconds,
      brokerCpuSeconds: result.broker?.cpuSeconds ?? 0,
      clientCpuSeconds: result.generatorCpuSeconds,
      foreignCores: Math.max(0, result.foreignCores ?? 0),
      figures: {
        [noun]: result.requests,
        [`${noun}PerSecond`]: result.requestsPerSecond,
        cpuSecondsPer100k: result.broker?.cpuSecondsPer100kRequests ?? 0,
        p50Ms: result.latencyMs.p50,
        p99Ms: result.latencyMs.p99,
      },
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
