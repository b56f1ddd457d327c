/** Where reading begins: what `--from` may say, and what it means for each partition. */
import type { Cluster } from "#client/cluster.ts";
import { type IsolationLevel, listOffsets, OffsetSpec } from "#client/offsets.ts";
import { UsageError } from "../failure.ts";
import { parseTime } from "../option-values.ts";

/** A value of `--from`. */
export type StartPosition =
  | { readonly kind: "beginning" }
  | { readonly kind: "end" }
  | { readonly kind: "offset"; readonly offset: number }
  /** The last records of each partition. */
  | { readonly kind: "last"; readonly count: number }
  /** The first record at or after a time. */
  | { readonly kind: "time"; readonly timestampMs: number };

/** Reads `beginning`, `end`, an offset, `-N`, or a date as ISO 8601 writes it. */
export function parseStartPosition(text: string): StartPosition {
  if (text === "beginning") return { kind: "beginning" };
  if (text === "end") return { kind: "end" };
  if (/^\d{1,15}$/.test(text)) return { kind: "offset", offset: Number(text) };
  if (/^-\d{1,15}$/.test(text)) return { kind: "last", count: -Number(text) };
  const timestampMs = parseTime(text);
  if (timestampMs === null) {
    throw new UsageError(
      `--from wants beginning, end, an offset, -N for the last N, or a date such as 2026-01-31T12:00:00Z, not '${text}'`,
    );
  }
  return { kind: "time", timestampMs };
}

/** Where partitions begin and end. */
export interface Bounds {
  readonly starts: ReadonlyMap<number, number>;
  readonly ends: ReadonlyMap<number, number>;
}

/** Asks where partitions begin, and where they end for a reader at that isolation level. */
export async function readBounds(
  cluster: Cluster,
  topic: string,
  partitions: readonly number[],
  isolation: IsolationLevel,
): Promise<Bounds> {
  if (partitions.length === 0) return { starts: new Map(), ends: new Map() };
  const [starts, ends] = await Promise.all([
    listOffsets(cluster, topic, { timestamp: OffsetSpec.EARLIEST, partitions }),
    listOffsets(cluster, topic, { timestamp: OffsetSpec.LATEST, partitions, isolation }),
  ]);
  return { starts, ends };
}

/** Offset to begin at for each partition of `bounds`, always within what exists. */
export async function resolveStart(
  cluster: Cluster,
  topic: string,
  from: StartPosition,
  bounds: Bounds,
): Promise<ReadonlyMap<number, number>> {
  const { starts, ends } = bounds;
  const partitions = [...ends.keys()];
  const times =
    from.kind === "time" && partitions.length > 0
      ? await listOffsets(cluster, topic, { timestamp: from.timestampMs, partitions })
      : new Map<number, number>();
  return new Map(
    partitions.map((partition) => {
      const start = starts.get(partition) ?? 0;
      const end = ends.get(partition) ?? 0;
      return [partition, within(start, end, wanted(from, start, end, times.get(partition) ?? -1))];
    }),
  );
}

function wanted(from: StartPosition, start: number, end: number, timeOffset: number): number {
  switch (from.kind) {
    case "beginning":
      return start;
    case "end":
      return end;
    case "offset":
      return from.offset;
    case "last":
      return end - from.count;
    case "time":
      // No record is that late: what is still to come will be.
      return timeOffset < 0 ? end : timeOffset;
  }
}

function within(start: number, end: number, offset: number): number {
  return Math.max(start, Math.min(end, offset));
}
