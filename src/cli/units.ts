/**
 * Quantities for people: bytes in powers of 1024, counts with separators, durations in the unit that fits. Programs get the plain
 * numbers through `--json`.
 */

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** 1536 → "1.5 KiB". */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || Math.abs(value) >= 100 ? 0 : 1;
  return `${value.toFixed(digits).replace(/\.0$/, "")} ${BYTE_UNITS[unit] ?? ""}`;
}

/** 1234567 → "1,234,567". */
export function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}

/** "1 record", "2 records". */
export function formatPlural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** 1234 → "1.2 s". */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 10) return `${milliseconds.toFixed(1).replace(/\.0$/, "")} ms`;
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1).replace(/\.0$/, "")} s`;
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** Partition numbers as ranges: `0-3,7`. */
export function formatPartitions(partitions: readonly number[]): string {
  const sorted = partitions.toSorted((a, b) => a - b);
  const ranges: [first: number, last: number][] = [];
  for (const partition of sorted) {
    const range = ranges.at(-1);
    if (range !== undefined && partition === range[1] + 1) range[1] = partition;
    else ranges.push([partition, partition]);
  }
  return ranges
    .map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`))
    .join(",");
}
