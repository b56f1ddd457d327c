/**
 * What the operating system says about this process, under the names that Prometheus's own libraries give it. What a system
 * does not tell is left out.
 */
import { readdir, readFile } from "node:fs/promises";
import type { ExpositionWriter } from "./exposition.ts";

/** The process at a moment; -1 where the system does not say. */
export interface ProcessStatistics {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly openDescriptors: number;
  readonly maxDescriptors: number;
}

/** Asks the system. */
export async function readProcessStatistics(): Promise<ProcessStatistics> {
  const { user, system } = process.cpuUsage();
  const [descriptors, limits] = await Promise.all([
    readdir("/proc/self/fd").catch(() => null),
    readFile("/proc/self/limits", "latin1").catch(() => ""),
  ]);
  const limit = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return {
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    openDescriptors: descriptors?.length ?? -1,
    maxDescriptors: limit === undefined ? -1 : Number(limit),
  };
}

/** Writes them. */
export function writeProcess(writer: ExpositionWriter, statistics: ProcessStatistics): void {
  const { cpuSeconds, residentBytes, openDescriptors, maxDescriptors } = statistics;
  writer.counter("process_cpu_seconds_total", "CPU time, user and system.").sample(cpuSeconds);
  writer.gauge("process_resident_memory_bytes", "Resident memory.").sample(residentBytes);
  if (openDescriptors >= 0)
    writer.gauge("process_open_fds", "Open file descriptors.").sample(openDescriptors);
  if (maxDescriptors >= 0)
    writer.gauge("process_max_fds", "Limit of open file descriptors.").sample(maxDescriptors);
}
