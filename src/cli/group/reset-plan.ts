/**
 * Where a group is to read on: what a reset would commit, worked out before anything is sent. Offsets are kept within what a partition
 * has, as Kafka's tool does, and the plan says where that made a difference.
 */
import { UsageError } from "../failure.ts";

/** What the new offsets are. */
export type ResetTarget =
  | { readonly kind: "earliest" | "latest" | "current" }
  | { readonly kind: "offset"; readonly offset: number }
  | { readonly kind: "shift"; readonly by: number }
  /** The first record at or after a time. */
  | { readonly kind: "time"; readonly timestampMs: number }
  /** A row a partition, from a file. */
  | { readonly kind: "rows"; readonly rows: readonly PlannedOffset[] };

/** An offset to commit. */
export interface PlannedOffset {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** What is known of a partition before it is planned. */
export interface PartitionFacts {
  readonly topic: string;
  readonly partition: number;
  readonly start: number;
  readonly end: number;
  readonly committed: number | null;
  /** Offset of the first record at or after the target's time; -1 for none; null when no time was asked for. */
  readonly atTime: number | null;
}

/** One row of a plan. */
export interface PlanRow extends PlannedOffset {
  readonly committed: number | null;
  readonly end: number;
  /** Why the offset is another than the one asked for; null when it is not. */
  readonly warning: string | null;
}

/** Works out each row, in the order of `facts`. @throws UsageError where a shift has nothing to shift. */
export function planReset(
  facts: readonly PartitionFacts[],
  target: ResetTarget,
): readonly PlanRow[] {
  if (target.kind === "shift") {
    const without = facts.filter(({ committed }) => committed === null);
    if (without.length > 0) {
      const list = without.map(({ topic, partition }) => `${topic}:${partition}`).join(" ");
      throw new UsageError(`nothing is committed in ${list}: there is no offset to shift`, [
        "Leave these out, or use --to-earliest, --to-latest or --to-offset for them.",
      ]);
    }
  }
  return facts.map((fact) => {
    const { topic, partition, start, end, committed } = fact;
    const [wanted, reason] = wantedOffset(fact, target);
    const offset = Math.max(start, Math.min(end, wanted));
    const clamped =
      wanted < start
        ? `${wanted} lies before the start, ${start}`
        : wanted > end
          ? `${wanted} lies past the end, ${end}`
          : null;
    return { topic, partition, offset, committed, end, warning: clamped ?? reason };
  });
}

/** The offset before it is kept within bounds, and why it is not what the words say. */
function wantedOffset(
  { topic, partition, start, end, committed, atTime }: PartitionFacts,
  target: ResetTarget,
): readonly [offset: number, reason: string | null] {
  switch (target.kind) {
    case "earliest":
      return [start, null];
    case "latest":
      return [end, null];
    case "current":
      return committed === null ? [end, "nothing is committed: the end"] : [committed, null];
    case "offset":
      return [target.offset, null];
    case "shift":
      return [(committed ?? 0) + target.by, null];
    case "time":
      return atTime === null || atTime < 0
        ? [end, "no record is that late: the end"]
        : [atTime, null];
    case "rows": {
      const row = target.rows.find(
        (candidate) => candidate.topic === topic && candidate.partition === partition,
      );
      return [row?.offset ?? end, null];
    }
  }
}

/** Lines of `topic,partition,offset`, as `--export` writes and Kafka's tool reads and writes them. */
export function formatPlanCsv(rows: readonly PlannedOffset[]): string {
  return rows.map(({ topic, partition, offset }) => `${topic},${partition},${offset}\n`).join("");
}

/**
 * Reads what {@link formatPlanCsv} or Kafka's tool wrote; lines may name their group first, and those of other groups are left out.
 *
 * @throws UsageError with the number of the line that is none.
 */
export function parsePlanCsv(text: string, groupId: string): readonly PlannedOffset[] {
  const rows = new Map<string, PlannedOffset>();
  for (const [index, raw] of text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .entries()) {
    const line = raw.trim();
    if (line === "") continue;
    const fields = splitCsv(line);
    const group = fields.length === 4 ? fields.shift() : undefined;
    const [topic = "", partition = "", offset = ""] = fields;
    if (
      fields.length !== 3 ||
      topic === "" ||
      !/^\d{1,10}$/.test(partition) ||
      !/^\d{1,15}$/.test(offset)
    ) {
      throw new UsageError(
        `line ${index + 1} of the file is not TOPIC,PARTITION,OFFSET: '${line.slice(0, 100)}'`,
      );
    }
    if (group !== undefined && group !== groupId) continue;
    const row = { topic, partition: Number(partition), offset: Number(offset) };
    rows.set(`${topic}:${row.partition}`, row);
  }
  return [...rows.values()];
}

/** Fields between commas; one in quotes may hold commas, and quotes written twice. */
function splitCsv(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    ([, quoted, bare = ""]) => quoted?.replaceAll('""', '"') ?? bare.trim(),
  );
}
