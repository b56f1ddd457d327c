/**
 * From what was counted with one and two broker threads to what limits more of them: `scaling.ts RECORD.json [docs/internals/scaling.md]` prints
 * the measured part of the scaling model, or puts it there between its marks. The record is one of `bun run bench --workload cores`.
 *
 * The model: a thread that holds a lock for a share s of its time is met by each other thread's attempt with probability s, as long as that is
 * small. So the waits an attempt, divided by the other threads, are s; with T threads (T - 1) s of the attempts wait, and at 1/s threads the
 * lock is held all the time. It takes as many partitions for more threads as there are in the loads; with more of them the locks of
 * partitions are met less often.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { markdownTable, putBetweenMarks } from "./markdown.ts";
import { subject, type BenchRecord, type LifecycleRun } from "./record.ts";
import { formatNumber, spreadOf } from "./statistics.ts";

/** How often a request takes a lock, where it is not once. */
const takes: Readonly<Record<string, number>> = { "fetch1MiB.plans": 2 };

/** Threads that really run side by side. */
const threads = 2;
const more = [16, 64] as const;

/** A lock under a load, from waits with two threads. */
export interface LockShare {
  readonly load: string;
  readonly lock: string;
  /** Waits a request. */
  readonly waits: number;
  /** Share of its time that a thread holds it. */
  readonly share: number;
}

const ending = "ContentionsPer100k";

/** Medians of the figures of one shape, by name. */
function mediansOf(runs: readonly LifecycleRun[]): ReadonlyMap<string, number> {
  const names = new Set(runs.flatMap(({ figures }) => Object.keys(figures)));
  return new Map(
    [...names].flatMap((name) => {
      const spread = spreadOf(runs.flatMap(({ figures }) => figures[name] ?? []));
      return spread === null ? [] : [[name, spread.median]];
    }),
  );
}

/**
 * From figures of our broker with two threads on two processors, less what one thread waits for others than broker threads (flushes, the
 * sender); locks that nobody waited for are left out.
 */
export function lockShares(
  figures: ReadonlyMap<string, number>,
  ofOneThread: ReadonlyMap<string, number> = new Map(),
): LockShare[] {
  return [...figures]
    .flatMap(([name, counted]) => {
      const value = counted - (ofOneThread.get(name) ?? 0);
      if (!name.endsWith(ending) || value <= 0) return [];
      const key = name.slice(0, -ending.length);
      const [load = "", lock = ""] = key.split(".");
      const waits = value / 1e5;
      return [{ load, lock, waits, share: waits / (takes[key] ?? 1) / (threads - 1) }];
    })
    .sort((left, right) => right.share - left.share);
}

/** Share of attempts that wait with so many threads. */
export const waitingAt = ({ share }: LockShare, count: number): number =>
  Math.min(1, share * (count - 1));

const percent = (share: number): string => `${formatNumber(share * 100)} %`;

function verdictAt(shares: readonly LockShare[], count: number): string {
  // Held for half of the time, a lock makes who comes wait as long again as it is held.
  const found = shares.filter((each) => waitingAt(each, count) >= 0.5);
  if (found.length === 0) return `No lock is held for half of the time at ${count} threads.`;
  const named = found.map(({ load, lock }) => `\`${lock}\` under ${load}`);
  return `At ${count} threads these are held for half of the time or more: ${named.join(", ")}.`;
}

/** What no wait at all says: a lock that is held for more than three parts of n is met in n attempts, 95 times of 100. */
function unmet(figures: ReadonlyMap<string, number>, shares: readonly LockShare[]): string {
  const lines = [...figures].flatMap(([name, requests]) => {
    if (!name.endsWith("RequestsCounted") || requests <= 0) return [];
    const load = name.slice(0, -"RequestsCounted".length);
    const locks = [...figures.keys()].flatMap((each) =>
      each.startsWith(`${load}.`) && each.endsWith(ending)
        ? [each.slice(load.length + 1, -ending.length)]
        : [],
    );
    const free = locks.filter(
      (lock) =>
        (figures.get(`${load}.${lock}${ending}`) ?? 0) === 0 &&
        !shares.some((share) => share.load === load && share.lock === lock),
    );
    if (free.length === 0) return [];
    const named = free.map((lock) => `\`${lock}\``).join(", ");
    return [
      `- ${load}: no wait for ${named} in ${formatNumber(requests)} requests: where a request takes it, it is held for less than ${percent(3 / requests)} of a thread's time.`,
    ];
  });
  return lines.join("\n");
}

/**
 * The measured part of the model, as Markdown.
 *
 * @throws Error when the record has no `cores` of ours.
 */
export function renderScaling(record: BenchRecord): string {
  const shapes = Object.entries(
    record.lifecycles.find(({ name }) => name === "cores")?.systems ?? {},
  ).filter(([name]) => name.startsWith(`${subject} `));
  const medians = shapes.map(([name, runs]) => ({
    name: name.slice(subject.length + 1),
    figures: mediansOf(runs),
  }));
  const two = medians.find(({ name }) => name === "2 threads on 2 processors");
  if (two === undefined)
    throw new Error(
      "the record has no `cores` of ours with two threads: bun run bench --workload cores",
    );
  const loads = [...two.figures.keys()].flatMap((name) =>
    name.endsWith("RequestsPerSecond") ? [name.slice(0, -"RequestsPerSecond".length)] : [],
  );
  const cell = (figures: ReadonlyMap<string, number>, name: string): string => {
    const value = figures.get(name);
    return value === undefined ? "–" : formatNumber(value);
  };
  const costs = markdownTable(
    ["CPU s/100k requests", ...medians.map(({ name }) => name)],
    loads.map((load) => [
      load,
      ...medians.map(({ figures }) => cell(figures, `${load}CpuSecondsPer100k`)),
    ]),
  );
  const one = medians.find(({ name }) => name === "1 thread on 1 processor");
  const shares = lockShares(two.figures, one?.figures);
  const locks = markdownTable(
    [
      "load, lock",
      "waits/100k requests, 2 threads",
      "share of a thread's time",
      ...more.map((count) => `attempts that wait at ${count}`),
      "always held at, threads",
    ],
    shares.map((each) => [
      `${each.load}, \`${each.lock}\``,
      formatNumber(each.waits * 1e5),
      percent(each.share),
      ...more.map((count) => percent(waitingAt(each, count))),
      formatNumber(Math.round(1 / each.share)),
    ]),
  );
  const { machine, options, commit } = record;
  return [
    `${machine["processor"]}, ${machine["cores"]} cores, load before ${machine["loadBefore"]}; medians of ${shapes[0]?.[1].length ?? 0} runs; commit \`${commit.slice(0, 12)}\`; \`${record.command}\`, mode ${options.mode ?? "full"}.`,
    costs,
    shares.length === 0 ? "Nobody waited for any lock with two threads." : locks,
    unmet(two.figures, shares),
    more.map((count) => verdictAt(shares, count)).join(" "),
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}

if (import.meta.main) {
  const [source, target] = process.argv.slice(2);
  if (source === undefined) {
    console.error("usage: scaling.ts RECORD.json [docs/internals/scaling.md]");
    process.exit(2);
  }
  const record: BenchRecord = await Bun.file(source).json();
  const text = renderScaling(record);
  if (target === undefined) console.log(text);
  else writeFileSync(target, putBetweenMarks(readFileSync(target, "utf8"), "cores", text));
}
