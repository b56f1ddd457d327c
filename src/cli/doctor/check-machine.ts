/** The machine and the runtime: what every broker on it has to live with. */
import { readFile } from "node:fs/promises";
import { arch, cpus, release } from "node:os";
import { formatBytes, formatCount } from "../units.ts";
import { type Finding, finding } from "./finding.ts";

const LOW_FILE_LIMIT = 4_096;
const LOW_MEMORY_BYTES = 268_435_456;
/** Kernels from here on tell what is in the page cache, see ARCHITECTURE.md. */
const CACHESTAT_KERNEL = { major: 6, minor: 5 } as const;
/** Nothing was written before this; a clock that says so is wrong. */
const EARLIEST_YEAR = 2_026;

/** Runs the checks of this file. */
export async function checkMachine(expectedBun: string): Promise<readonly Finding[]> {
  return [
    checkBun(expectedBun),
    await checkAddon(),
    await checkProcessor(),
    checkKernel(),
    await checkFileLimit(),
    await checkMemory(),
    checkClock(),
  ];
}

function checkBun(expected: string): Finding {
  return Bun.version === expected
    ? finding("ok", "bun", Bun.version)
    : finding(
        "warn",
        "bun",
        `${Bun.version}; Sluice is tested with ${expected}`,
        "'npm start' in the checkout uses the tested version.",
      );
}

async function checkAddon(): Promise<Finding> {
  try {
    const { crc32c } = await import("#log/native-log.ts");
    const isRight = crc32c(new TextEncoder().encode("123456789")) === 0xe3_06_92_83;
    return isRight
      ? finding("ok", "addon", "loads and computes")
      : finding("fail", "addon", "computes a wrong checksum", "Build it again: bun build.ts addon");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return finding(
      "fail",
      "addon",
      `does not load: ${reason}`,
      "Build it: 'npm start' does, or 'bun build.ts addon' (Rust is needed).",
    );
  }
}

async function checkProcessor(): Promise<Finding> {
  const info = await readFile("/proc/cpuinfo", "latin1").catch(() => "");
  const flags = new Set(/^(?:flags|Features)\s*:\s*(.*)$/m.exec(info)?.[1]?.split(" ") ?? []);
  const count = cpus().length;
  const what = `${count} x ${arch()}`;
  // Checksums are computed over every byte written; without the instruction they cost several times as much.
  const hasCrc = flags.has("sse4_2") || flags.has("crc32");
  if (info === "" || flags.size === 0) return finding("ok", "processor", what);
  return hasCrc
    ? finding("ok", "processor", `${what}, CRC-32C in hardware`)
    : finding("warn", "processor", `${what}, no CRC-32C instruction: checksums are slow`);
}

function checkKernel(): Finding {
  const version = release();
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isNew =
    major > CACHESTAT_KERNEL.major ||
    (major === CACHESTAT_KERNEL.major && minor >= CACHESTAT_KERNEL.minor);
  return process.platform !== "linux"
    ? finding("warn", "kernel", `${process.platform} ${version}: Sluice is tested on Linux`)
    : isNew
      ? finding("ok", "kernel", version)
      : finding(
          "ok",
          "kernel",
          `${version}; from 6.5 on fetches of cached data cost a little less`,
        );
}

async function checkFileLimit(): Promise<Finding> {
  const limits = await readFile("/proc/self/limits", "latin1").catch(() => "");
  const match = /^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec(limits);
  if (match === null) return finding("ok", "open files", "the limit is not known here");
  const read = (text: string): number => (text === "unlimited" ? Infinity : Number(text));
  const soft = read(match[1] ?? "");
  const hard = read(match[2] ?? "");
  const show = (limit: number): string => (limit === Infinity ? "no limit" : formatCount(limit));
  return soft >= LOW_FILE_LIMIT
    ? finding("ok", "open files", show(soft))
    : finding(
        "warn",
        "open files",
        `${show(soft)} at most: many clients at once will be refused`,
        `To raise it: ulimit -n ${hard === Infinity ? 100_000 : hard}${hard < LOW_FILE_LIMIT ? " (the hard limit; more needs root)" : ""}, or LimitNOFILE=100000 in the systemd unit.`,
      );
}

async function checkMemory(): Promise<Finding> {
  const info = await readFile("/proc/meminfo", "latin1").catch(() => "");
  const available = Number(/^MemAvailable:\s+(\d+) kB/m.exec(info)?.[1] ?? 0) * 1024;
  const limit = await controlGroupLimit();
  const text = `${available === 0 ? "unknown" : formatBytes(available)} available${limit === null ? "" : `, ${formatBytes(limit)} allowed by the control group`}`;
  const usable = Math.min(available === 0 ? Infinity : available, limit ?? Infinity);
  return usable >= LOW_MEMORY_BYTES
    ? finding("ok", "memory", text)
    : finding(
        "warn",
        "memory",
        text,
        `Give it ${formatBytes(LOW_MEMORY_BYTES)} at least; beyond the limit the kernel ends the process.`,
      );
}

/** The limit of the control group of this process, version 2 or 1; null for none. */
async function controlGroupLimit(): Promise<number | null> {
  const groups = await readFile("/proc/self/cgroup", "latin1").catch(() => "");
  const unified = /^0::(.*)$/m.exec(groups)?.[1] ?? "/";
  const memory = /^\d+:[^:]*\bmemory\b[^:]*:(.*)$/m.exec(groups)?.[1] ?? "/";
  const candidates = [
    `/sys/fs/cgroup${unified}/memory.max`,
    "/sys/fs/cgroup/memory.max",
    `/sys/fs/cgroup/memory${memory}/memory.limit_in_bytes`,
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
  ];
  for (const path of candidates) {
    const text = (await readFile(path, "latin1").catch(() => "")).trim();
    const limit = /^\d+$/.test(text) ? Number(text) : Infinity;
    // Version 1 says "none" by a number that no machine has.
    if (limit < 2 ** 60) return limit;
  }
  return null;
}

function checkClock(): Finding {
  const now = new Date();
  return now.getUTCFullYear() >= EARLIEST_YEAR
    ? finding("ok", "clock", now.toISOString())
    : finding(
        "fail",
        "clock",
        `${now.toISOString()} cannot be: records would carry wrong times, and retention would go wrong`,
        "Set the clock, or start time synchronisation.",
      );
}
