/**
 * Memory for many offsets, and a restart on them. One run is three starts of a broker on one directory:
 *
 * 1. Empty directory: the topics are made, one offset of one group is committed. After a pause the live heap is read. Stopped.
 * 2. The empty start, timed until that group answers. After a pause RSS is read; then every offset is written once,
 *    and after another pause RSS and live heap are read again. Stopped.
 * 3. The loaded start, timed until the first and until all groups answer with what was written. RSS and live heap once more.
 *
 * Stops are clean. Memory of a broker is its RSS; of a Java broker also its live heap: what a full collection leaves, which
 * `jcmd GC.class_histogram` forces and counts. It is read last in each start, because a collection before the load would spare
 * the load the growth. Ours has no such count, so its RSS, garbage included, stands beside both.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Wire } from "../../test/differential/wire.ts";
import { freePort, runCommand, type RunningSystem, type System } from "../systems/system.ts";
import { ensureCoordinator, ensureTopic, retry } from "./admin.ts";
import { CLIENT_ID } from "./members.ts";
import { commitOnce, fetchOffsets } from "./offsets-client.ts";
import type { GroupRun } from "./record.ts";
import { cpuSecondsOf, residentNowMib, startUsage, totalUsage, type Usage } from "./usage.ts";
import type { OffsetsWorkload } from "./workloads.ts";

/** What one run is to do. */
export interface OffsetsJob {
  readonly system: Pick<System, "name" | "start">;
  readonly settings: Readonly<Record<string, string>>;
  /** Made and removed by the run. */
  readonly directory: string;
  readonly workload: OffsetsWorkload;
  /** Between load and a look at memory, ms. */
  readonly settleMs: number;
}

const TOPIC = "offsets";
const FIRST_GROUP = "offsets-first";
const WRITERS = 8;
const BYTES_PER_MIB = 1 << 20;
const POLL_MS = 1;

/** Does a job; the broker is stopped whatever happens. */
export async function runOffsets(job: OffsetsJob): Promise<GroupRun> {
  const { system, settings, directory, workload } = job;
  const options = { directory: join(directory, system.name), port: await freePort(), settings };
  const during = async <T>(
    use: (running: RunningSystem, startedMs: number) => Promise<T>,
  ): Promise<T> => {
    const startedMs = performance.now();
    const running = await system.start(options);
    try {
      return await use(running, startedMs);
    } finally {
      await running.stop();
    }
  };
  const groups = Array.from({ length: workload.groups }, (_, index) => `offsets-${index}`);
  try {
    const heapBefore = await during(async (running) => {
      await prepare(running, workload);
      await sleep(job.settleMs);
      return liveHeapMib(running.pid, system.name);
    });
    const empty = await during(async (running, startedMs) => {
      const start = await timeStart(running, startedMs, [FIRST_GROUP]);
      await sleep(job.settleMs);
      const residentBefore = residentNowMib(running.pid);
      const end = startUsage(running.pid);
      await writeAll(running, groups, workload.partitionsPerGroup);
      const written = end();
      await sleep(job.settleMs);
      const resident = residentNowMib(running.pid) - residentBefore;
      const heap = await liveHeapMib(running.pid, system.name);
      return { ...start, written, residentBefore, resident, heap };
    });
    const loaded = await during(async (running, startedMs) => {
      const start = await timeStart(running, startedMs, groups);
      await verify(running, groups, workload.partitionsPerGroup);
      await sleep(job.settleMs);
      const resident = residentNowMib(running.pid);
      return { ...start, resident, heap: await liveHeapMib(running.pid, system.name) };
    });
    const heap =
      heapBefore === null || empty.heap === null || loaded.heap === null
        ? {}
        : {
            heapEmptyMib: heapBefore,
            heapGrowthMib: empty.heap - heapBefore,
            heapGrowthLoadedMib: loaded.heap - heapBefore,
          };
    return {
      isValid: true,
      firstError: null,
      ...totalUsage([empty.usage, empty.written, loaded.usage]),
      figures: {
        ...heap,
        residentEmptyMib: empty.residentBefore,
        residentMib: empty.residentBefore + empty.resident,
        residentGrowthMib: empty.resident,
        residentGrowthLoadedMib: loaded.resident - empty.residentBefore,
        writeSeconds: empty.written.elapsedSeconds,
        writeCpuSeconds: empty.written.brokerCpuSeconds,
        emptyStartMs: empty.allGroupsMs,
        emptyStartCpuMs: empty.cpuMs,
        startToFirstGroupMs: loaded.firstGroupMs,
        startToAllGroupsMs: loaded.allGroupsMs,
        startCpuMs: loaded.cpuMs,
        loadMs: Math.max(0, loaded.allGroupsMs - empty.allGroupsMs),
        loadCpuMs: Math.max(0, loaded.cpuMs - empty.cpuMs),
      },
    };
  } finally {
    rmSync(options.directory, { recursive: true, force: true });
  }
}

async function prepare(running: RunningSystem, workload: OffsetsWorkload): Promise<void> {
  using wire = await Wire.connect(running.bootstrap, CLIENT_ID);
  await ensureTopic(wire, TOPIC, workload.partitionsPerGroup);
  await ensureCoordinator(wire, [FIRST_GROUP]);
  await commitUntilTaken(wire, FIRST_GROUP, 1);
}

/** A coordinator that is only just there refuses for a moment. */
async function commitUntilTaken(wire: Wire, groupId: string, count: number): Promise<void> {
  await retry(`a commit of ${groupId}`, async () => {
    const refusal = await commitOnce(wire, { groupId }, TOPIC, count, groupBase(groupId));
    return refusal ?? true;
  });
}

/** Offsets differ by group, so that one group's cannot pass for another's. */
function groupBase(groupId: string): number {
  return Number(groupId.slice(groupId.lastIndexOf("-") + 1)) * 1000 || 0;
}

async function writeAll(
  running: RunningSystem,
  groups: readonly string[],
  partitionsPerGroup: number,
): Promise<void> {
  const queue = groups.values();
  await Promise.all(
    Array.from({ length: Math.min(WRITERS, groups.length) }, async () => {
      using wire = await Wire.connect(running.bootstrap, CLIENT_ID);
      for (const groupId of queue) await commitUntilTaken(wire, groupId, partitionsPerGroup);
    }),
  );
}

/** Asks all groups for one partition each until all have answered. */
async function timeStart(
  running: RunningSystem,
  startedMs: number,
  groups: readonly string[],
): Promise<{ firstGroupMs: number; allGroupsMs: number; cpuMs: number; usage: Usage }> {
  using wire = await Wire.connect(running.bootstrap, CLIENT_ID);
  const end = startUsage(running.pid);
  let firstGroupMs = 0;
  let missing = [...groups];
  for (;;) {
    const answers = await fetchOffsets(wire, missing, TOPIC, [0]);
    const left = missing.filter((groupId) => typeof answers.get(groupId) !== "object");
    if (firstGroupMs === 0 && left.length < missing.length)
      firstGroupMs = performance.now() - startedMs;
    for (const groupId of missing) {
      const found = answers.get(groupId);
      if (typeof found === "object" && found[0] !== groupBase(groupId))
        throw new Error(
          `${groupId} answers offset ${found[0]}, committed was ${groupBase(groupId)}`,
        );
    }
    missing = left;
    if (missing.length === 0) break;
    await sleep(POLL_MS);
  }
  const allGroupsMs = performance.now() - startedMs;
  return { firstGroupMs, allGroupsMs, cpuMs: cpuSecondsOf(running.pid) * 1000, usage: end() };
}

/** Compares every offset with what was written. */
async function verify(
  running: RunningSystem,
  groups: readonly string[],
  partitionsPerGroup: number,
): Promise<void> {
  using wire = await Wire.connect(running.bootstrap, CLIENT_ID);
  const indexes = Array.from({ length: partitionsPerGroup }, (_, index) => index);
  for (let at = 0; at < groups.length; at += 20) {
    const some = groups.slice(at, at + 20);
    const answers = await fetchOffsets(wire, some, TOPIC, indexes);
    for (const groupId of some) {
      const found = answers.get(groupId);
      const isRight =
        typeof found === "object" &&
        indexes.every((index) => found[index] === groupBase(groupId) + index);
      if (!isRight) throw new Error(`${groupId} lost offsets over the restart`);
    }
  }
}

/** Live heap of a Java broker, MiB: what is left after the full collection that counting it takes. Null for ours. */
async function liveHeapMib(pid: number, system: string): Promise<number | null> {
  if (system !== "kafka") return null;
  const histogram = await runCommand(["jcmd", String(pid), "GC.class_histogram"]);
  const total = /^Total\s+\d+\s+(\d+)/m.exec(histogram)?.[1];
  return total === undefined ? null : Number(total) / BYTES_PER_MIB;
}
