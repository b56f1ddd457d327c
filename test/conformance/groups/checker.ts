/**
 * Judges what the members of one group wrote down, without trusting any of them: their logs are laid side by side, partition by partition. A partition
 * is held from `assigned` to `revoked`, `lost` or the end of the process (an interval), in a generation (member epoch in the consumer protocol).
 *
 * Rules, named in what is reported:
 * - complete: every record up to the end of each partition was read;
 * - one owner: no partition is held by two members in one generation, nor by two at once unless the earlier one had lost it unknowingly;
 * - one reader: no record was read by two members in one generation;
 * - resumes: an interval's first record is not before an offset whose commit was acknowledged before the interval began;
 * - in order: within an interval records follow each other without gap or repetition, and none is read outside of one;
 * - fenced: who no longer holds a partition gets no commit acknowledged once its next owner has it;
 * - kept: the coordinator's offsets at the end are not before any acknowledged commit.
 */
import { placeName, type MemberHistory } from "./member.ts";

/** What the group's partitions came to, by {@link placeName}. */
export interface GroupEnd {
  /** The offset after the last record. */
  readonly ends: ReadonlyMap<string, number>;
  /** The coordinator's committed offsets. */
  readonly committed: ReadonlyMap<string, number>;
}

/** What a client's own ways forbid to demand. */
export interface CheckLimits {
  /** Never says that partitions were lost rather than revoked. */
  readonly noLost?: boolean;
  /** May hand out what it had fetched before a rebalance after it. */
  readonly readsAfterRevoke?: boolean;
  /**
   * Hands out, and commits, after a rebalance what it had asked for before it, in its new generation: the coordinator cannot tell, so
   * neither order nor who commits is judged; that all is read, by one owner at a time, and that commits are kept, is.
   */
  readonly isLoose?: boolean;
}

interface Interval {
  readonly member: string;
  readonly identity: string;
  readonly place: string;
  readonly from: number;
  generation: number | null;
  to: number;
  closedBy: "revoked" | "lost" | "killed" | "left" | "open";
  readonly reads: { offset: number; generation: number | null }[];
}

interface Acknowledged {
  readonly member: string;
  readonly place: string;
  readonly at: number;
  readonly next: number;
}

interface Told {
  readonly intervals: Interval[];
  readonly acknowledged: Acknowledged[];
  readonly strays: {
    member: string;
    identity: string;
    place: string;
    offset: number;
    generation: number | null;
  }[];
}

/** Rewrites logs as intervals; a generation learnt late (kafkajs) holds for its whole interval. */
function tell(members: readonly MemberHistory[]): Told {
  const told: Told = { intervals: [], acknowledged: [], strays: [] };
  for (const { name, identity, events, end } of members) {
    const open = new Map<string, Interval>();
    for (const event of events) {
      if (event.event === "assigned") {
        for (const [topic, partition] of event.partitions) {
          const place = placeName(topic, partition);
          const interval: Interval = {
            member: name,
            identity,
            place,
            from: event.at,
            generation: event.generation,
            to: Number.POSITIVE_INFINITY,
            closedBy: "open",
            reads: [],
          };
          open.set(place, interval);
          told.intervals.push(interval);
        }
      } else if (event.event === "revoked" || event.event === "lost") {
        for (const [topic, partition] of event.partitions) {
          const interval = open.get(placeName(topic, partition));
          if (interval === undefined) continue;
          interval.to = event.at;
          interval.closedBy = event.event;
          open.delete(interval.place);
        }
      } else if (event.event === "read") {
        const place = placeName(event.topic, event.partition);
        const interval = open.get(place);
        if (interval !== undefined) interval.generation ??= event.generation;
        for (const offset of event.offsets) {
          if (interval === undefined)
            told.strays.push({
              member: name,
              identity,
              place,
              offset,
              generation: event.generation,
            });
          else interval.reads.push({ offset, generation: event.generation });
        }
      } else if (event.event === "committed") {
        for (const [topic, partition, next] of event.offsets)
          told.acknowledged.push({
            member: name,
            place: placeName(topic, partition),
            at: event.at,
            next,
          });
      }
    }
    for (const interval of open.values()) {
      if (end === null) continue;
      interval.to = end.at;
      interval.closedBy = end.isKilled ? "killed" : "left";
    }
  }
  told.intervals.sort((left, right) => left.from - right.from);
  return told;
}

function checkComplete(told: Told, ends: ReadonlyMap<string, number>): string[] {
  const read = new Map<string, Set<number>>();
  for (const { place, reads } of told.intervals) {
    const offsets = read.get(place) ?? new Set();
    for (const { offset } of reads) offsets.add(offset);
    read.set(place, offsets);
  }
  for (const { place, offset } of told.strays) read.get(place)?.add(offset);
  return [...ends].flatMap(([place, end]) => {
    const missing = Array.from({ length: end }, (_, at) => at).filter(
      (offset) => read.get(place)?.has(offset) !== true,
    );
    return missing.length === 0
      ? []
      : [`complete: ${place}: ${missing.length} of ${end} records never read, first ${missing[0]}`];
  });
}

function checkOwners(told: Told, limits: CheckLimits): string[] {
  const problems: string[] = [];
  for (const [at, one] of told.intervals.entries()) {
    for (const other of told.intervals.slice(at + 1)) {
      if (one.place !== other.place || one.identity === other.identity || other.from >= one.to)
        continue;
      const isKnown = one.generation !== null && other.generation !== null;
      const isZombie = one.closedBy === "lost" || one.closedBy === "killed";
      if (isKnown && one.generation !== other.generation && (isZombie || limits.noLost === true))
        continue;
      problems.push(
        `one owner: ${one.place}: ${other.member} (generation ${other.generation}) got it while ${one.member} (generation ${one.generation}) held it for ${(one.to - other.from).toFixed(1)} ms more, until ${one.closedBy}`,
      );
    }
  }
  return problems;
}

function checkReaders(told: Told, limits: CheckLimits): string[] {
  const problems: string[] = [];
  const readers = new Map<string, string>();
  const reads = [
    ...told.intervals.flatMap(({ identity, place, generation, reads: all }) =>
      all.map((one) => ({
        identity,
        place,
        offset: one.offset,
        generation: one.generation ?? generation,
      })),
    ),
    // Who hands out late calls its new generation what it fetched in the old one.
    ...(limits.isLoose === true ? [] : told.strays),
  ];
  for (const { identity, place, offset, generation } of reads) {
    if (generation === null) continue;
    const key = `${place}@${offset} generation ${generation}`;
    const first = readers.get(key);
    if (first !== undefined && first !== identity)
      problems.push(`one reader: ${key}: read by ${first} and ${identity}`);
    readers.set(key, identity);
  }
  return problems;
}

function checkResumes(told: Told): string[] {
  return told.intervals.flatMap(({ member, place, from, reads }) => {
    const [first] = reads;
    if (first === undefined) return [];
    const before = told.acknowledged.filter((ack) => ack.place === place && ack.at < from);
    const latest = before.toSorted((left, right) => right.next - left.next)[0];
    return latest === undefined || first.offset >= latest.next
      ? []
      : [
          `resumes: ${place}: ${member} began at ${first.offset}, though ${latest.member} had ${latest.next} acknowledged ${(from - latest.at).toFixed(1)} ms before`,
        ];
  });
}

function checkOrder(told: Told, limits: CheckLimits): string[] {
  const problems = told.intervals.flatMap(({ member, place, reads }) =>
    reads.flatMap(({ offset }, at) => {
      const before = reads[at - 1];
      return before === undefined || before.offset + 1 === offset
        ? []
        : [`in order: ${place}: ${member} read ${offset} after ${before.offset}`];
    }),
  );
  if (limits.readsAfterRevoke === true) return problems;
  for (const { member, place, offset } of told.strays)
    problems.push(`in order: ${place}: ${member} read ${offset} without holding the partition`);
  return problems;
}

function checkFenced(told: Told): string[] {
  return told.acknowledged.flatMap(({ member, place, at, next }) => {
    const held = told.intervals.filter((one) => one.place === place && one.from <= at);
    const current = held.at(-1);
    const own = held.findLast((one) => one.member === member);
    if (current === undefined || own === undefined || current.member === member) return [];
    if (current.generation === null || own.generation === null) return [];
    return [
      `fenced: ${place}: ${member} (generation ${own.generation}) had ${next} acknowledged ${(at - current.from).toFixed(1)} ms after ${current.member} (generation ${current.generation}) got it`,
    ];
  });
}

function checkKept(told: Told, committed: ReadonlyMap<string, number>): string[] {
  const last = new Map<string, Acknowledged>();
  for (const one of told.acknowledged)
    if (one.next > (last.get(one.place)?.next ?? -1)) last.set(one.place, one);
  return [...last.values()].flatMap(({ place, next, member }) =>
    (committed.get(place) ?? -1) >= next
      ? []
      : [
          `kept: ${place}: the coordinator has ${committed.get(place) ?? "nothing"}, ${member} had ${next} acknowledged`,
        ],
  );
}

/** Everything that is wrong with a group's history; nothing when it is right. */
export function checkGroup(
  members: readonly MemberHistory[],
  end: GroupEnd,
  limits: CheckLimits = {},
): string[] {
  const told = tell(members);
  return [
    ...checkComplete(told, end.ends),
    ...checkOwners(told, limits),
    ...checkReaders(told, limits),
    ...(limits.isLoose === true
      ? []
      : [...checkResumes(told), ...checkOrder(told, limits), ...checkFenced(told)]),
    ...checkKept(told, end.committed),
  ];
}

/** Records read more than once, whoever read them: for what must happen exactly once. */
export function repeatedReads(members: readonly MemberHistory[]): string[] {
  const counts = new Map<string, number>();
  for (const { events } of members)
    for (const event of events)
      if (event.event === "read")
        for (const offset of event.offsets) {
          const key = `${placeName(event.topic, event.partition)}@${offset}`;
          counts.set(key, (counts.get(key) ?? 0) + 1);
        }
  const repeated = [...counts].filter(([, count]) => count > 1);
  return repeated.length === 0
    ? []
    : [
        `exactly once: ${repeated.length} of ${counts.size} records read more than once, ${repeated
          .slice(0, 5)
          .map(([key, count]) => `${key} ${count} times`)
          .join(", ")}`,
      ];
}

/** Acknowledged commits that the coordinator no longer has, for a look in the middle of a history. */
export function lostCommits(
  members: readonly MemberHistory[],
  committed: ReadonlyMap<string, number>,
): string[] {
  return checkKept(tell(members), committed);
}
