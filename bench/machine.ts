/** What a figure depends on besides the code: processor, memory, kernel, tools, and memory that was never touched. */
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { cpus, release, totalmem, type as systemType } from "node:os";
import { join } from "node:path";
import { root, runCommand } from "./systems/system.ts";

/** Describes the machine; what cannot be found out is "unknown". */
export async function describeMachine(): Promise<Record<string, string | number>> {
  const read = (path: string): string =>
    existsSync(path) ? readFileSync(path, "utf8").trim() : "unknown";
  const ask = async (command: string[]): Promise<string> => {
    try {
      return (await runCommand(command)).trim().split("\n")[0] ?? "unknown";
    } catch {
      return "unknown";
    }
  };
  return {
    processor: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryMib: Math.round(totalmem() / (1 << 20)),
    kernel: `${systemType()} ${release()}`,
    governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    loadBefore: read("/proc/loadavg").split(" ").slice(0, 3).join(" "),
    bun: Bun.version,
    rust: await ask(["rustc", "--version"]),
  };
}

/** Which code a figure is of; an installed package has no checkout, and its commit is "unknown". */
export async function describeCheckout(): Promise<{
  readonly commit: string;
  readonly hasUncommittedChanges: boolean;
}> {
  if (!existsSync(join(root, ".git"))) return { commit: "unknown", hasUncommittedChanges: false };
  const status = await runCommand(["git", "status", "--porcelain", "--", "src", "native"]);
  return {
    commit: (await runCommand(["git", "rev-parse", "HEAD"])).trim(),
    hasUncommittedChanges: status.trim() !== "",
  };
}

/**
 * Writes and removes a file, so that the memory behind that many page-cache pages has been touched once.
 *
 * On a virtual machine the first touch of a page is paid to the hypervisor (some CPU seconds a GiB), and whoever appends
 * first would pay it. Afterwards the pages go round between the kernel's free list and the logs.
 */
export function warmMemory(directory: string, mib: number): void {
  const path = join(directory, "warm-memory");
  const chunk = new Uint8Array(8 << 20).fill(1);
  const file = openSync(path, "w");
  try {
    for (let written = 0; written < mib; written += 8) writeSync(file, chunk);
  } finally {
    closeSync(file);
    rmSync(path);
  }
}

/** What the files below a directory take of the disk, holes left out, MiB. */
export function diskMib(directory: string): number {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  const blocks = names.map((name) => {
    const found = statSync(join(directory, name), { throwIfNoEntry: false });
    return found?.isFile() === true ? found.blocks : 0;
  });
  return (blocks.reduce((sum, each) => sum + each, 0) * 512) / (1 << 20);
}

/** Resident memory of processes together, now and each at its highest, MiB; one that is gone counts as zero. */
export function residentMib(pids: readonly number[]): { now: number; peak: number } {
  const all = pids.map(residentMibOf);
  return {
    now: all.reduce((sum, { now }) => sum + now, 0),
    peak: all.reduce((sum, { peak }) => sum + peak, 0),
  };
}

function residentMibOf(pid: number): { now: number; peak: number } {
  const path = `/proc/${pid}/status`;
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  const kib = (key: string): number =>
    Number(new RegExp(`^${key}:\\s*(\\d+)`, "m").exec(text)?.[1] ?? 0);
  return { now: kib("VmRSS") / 1024, peak: kib("VmHWM") / 1024 };
}
