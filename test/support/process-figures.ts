/**
 * What the kernel says of a process: memory, descriptors, threads and processor time, from `/proc`. Zeros for a process that is gone.
 */
import { readdirSync, readFileSync } from "node:fs";

/** One look at a process. */
export interface ProcessFigures {
  /** Resident memory. */
  readonly residentMib: number;
  readonly descriptors: number;
  readonly threads: number;
  /** Processor time used since its start, user and system. */
  readonly cpuSeconds: number;
}

const NOTHING: ProcessFigures = { residentMib: 0, descriptors: 0, threads: 0, cpuSeconds: 0 };
/** `USER_HZ`, which the kernel fixes for user space. */
const TICKS_PER_SECOND = 100;

/** Reads the figures of `pid` now. */
export function processFigures(pid: number): ProcessFigures {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold anything: fields are counted from behind it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return {
      residentMib: Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024,
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
      threads: Number(/Threads:\s+(\d+)/.exec(status)?.[1] ?? 0),
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    };
  } catch {
    return NOTHING;
  }
}

/** Whether a process of that id exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
