/**
 * What the kernel says a process used: CPU time and memory from `/proc`, the same figures that `bench/load/src/process.rs`
 * reads. CPU time is kept in ticks of 10 ms, so what is measured should take some tenths of a second.
 */
import { readdirSync, readFileSync } from "node:fs";
import { residentMib } from "../machine.ts";

/** The kernel's USER_HZ, which is 100 wherever Bun runs. */
const TICKS_PER_SECOND = 100;

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** CPU seconds of all threads of a process, of its children and of those it has waited for; throws when it is gone. */
export function cpuSecondsOf(pid: number): number {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === "") throw new Error(`no process ${pid}`);
  // The command name may hold blanks and parentheses; after it comes field 3, so utime (14) to cstime (17) are 11 to 14.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const own = fields.slice(11, 15).reduce((sum, text) => sum + Number(text), 0) / TICKS_PER_SECOND;
  return childrenOf(pid).reduce((sum, child) => {
    try {
      return sum + cpuSecondsOf(child);
    } catch {
      return sum;
    }
  }, own);
}

function childrenOf(pid: number): number[] {
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
  return threads.flatMap((thread) =>
    read(`/proc/${pid}/task/${thread}/children`)
      .split(" ")
      .filter((text) => text.trim() !== "")
      .map(Number),
  );
}

/** CPU seconds that all processors together have worked since boot. */
function machineBusySeconds(): number {
  const fields = (read("/proc/stat").split("\n")[0] ?? "").trim().split(/\s+/).slice(1).map(Number);
  // user nice system idle iowait irq softirq
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0] = fields;
  return (user + nice + system + irq + softIrq) / TICKS_PER_SECOND;
}

/** What a stretch of time cost. */
export interface Usage {
  readonly elapsedSeconds: number;
  readonly brokerCpuSeconds: number;
  readonly clientCpuSeconds: number;
  /** Cores that neither the broker nor this process had: what makes a figure doubtful. */
  readonly foreignCores: number;
}

/** Begins a stretch; the function returned ends it. `pid` is the broker's, the client is this process. */
export function startUsage(pid: number): () => Usage {
  const sample = (): [number, number, number, number] => [
    performance.now() / 1000,
    cpuSecondsOf(pid),
    cpuSecondsOf(process.pid),
    machineBusySeconds(),
  ];
  const before = sample();
  return () => {
    const after = sample();
    const [elapsed, broker, client, machine] = [0, 1, 2, 3].map(
      (index) => (after[index] ?? 0) - (before[index] ?? 0),
    ) as [number, number, number, number];
    return {
      elapsedSeconds: elapsed,
      brokerCpuSeconds: broker,
      clientCpuSeconds: client,
      foreignCores: Math.max(0, (machine - broker - client) / Math.max(elapsed, 1e-3)),
    };
  };
}

/** Adds stretches up; foreign cores by time. */
export function totalUsage(parts: readonly Usage[]): Usage {
  const sum = (figure: (usage: Usage) => number): number =>
    parts.reduce((total, usage) => total + figure(usage), 0);
  const elapsedSeconds = sum((usage) => usage.elapsedSeconds);
  return {
    elapsedSeconds,
    brokerCpuSeconds: sum((usage) => usage.brokerCpuSeconds),
    clientCpuSeconds: sum((usage) => usage.clientCpuSeconds),
    foreignCores:
      sum((usage) => usage.foreignCores * usage.elapsedSeconds) / Math.max(elapsedSeconds, 1e-3),
  };
}

/** Resident memory now, MiB. */
export function residentNowMib(pid: number): number {
  return residentMib([pid]).now;
}
