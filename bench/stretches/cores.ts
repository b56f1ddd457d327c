/**
 * One processor and two: the same loads on a broker that is held on so many, with as many broker threads or twice as many, and the generator on
 * the others where there are others. Kafka keeps the threads that it comes with. On a machine of two the second variant shares its processors with the generator: it shows what a request costs when
 * two threads share the log, not how much more goes through. What our broker counted of contended locks is part of it.
 */
import { cpus } from "node:os";
import { fillTopic, runLoad, type LoadOptions } from "../load-generator.ts";
import { subject, type LoadResult } from "../record.ts";
import { workload, type Workload } from "../workloads/workload.ts";
import type { Bench, Found, LifecycleOptions, Stretch, Variant } from "./stretch.ts";

const shared = { about: "" } as const;
const perRequest = {
  ...shared,
  cost: "cpuSecondsPer100kRequests",
  connections: 64,
  partitions: 100,
} as const;

const loads: readonly Workload[] = [
  workload({ ...perRequest, name: "produce100B", verb: "produce" }),
  workload({
    ...shared,
    name: "produce16KiB",
    verb: "produce",
    cost: "cpuSecondsPerValueGib",
    connections: 16,
    partitions: 16,
    inflight: 5,
    records: 150,
    maxMib: 1024,
  }),
  workload({ ...perRequest, name: "fetch1record", verb: "fetch", fillMib: 0.1 }),
  // Fewer partitions than connections: what threads share is partitions too.
  workload({ ...perRequest, name: "produce100BShared", verb: "produce", partitions: 6 }),
  workload({ ...perRequest, name: "fetch1recordShared", verb: "fetch", partitions: 6, fillMib: 1 }),
  workload({
    ...shared,
    name: "fetch1MiB",
    verb: "fetch",
    cost: "cpuSecondsPerValueGib",
    connections: 8,
    partitions: 8,
    records: 1200,
    fillMib: 32,
    fetchBytes: 1 << 20,
  }),
];

/** Broker threads, and processors that they have: the last is over-subscribed, so that threads are stopped while they hold locks. */
const shapes = [
  { threads: 1, processors: 1 },
  { threads: 2, processors: 2 },
  { threads: 4, processors: 2 },
];

function variantOf({ threads, processors }: (typeof shapes)[number]): Variant {
  const all = cpus().map((_cpu, index) => index);
  const others = all.slice(processors);
  const plural = (count: number, what: string): string =>
    `${count} ${what}${count === 1 ? "" : "s"}`;
  return {
    label: `${plural(threads, "thread")} on ${plural(processors, "processor")}`,
    settings: { "num.network.threads": String(threads) },
    cpus: all.slice(0, processors),
    loadCpus: others.length > 0 ? others : all,
  };
}

/** Samples of a counter family by their only label. */
function readCounters(exposition: string, family: string): Map<string, number> {
  const counters = new Map<string, number>();
  for (const line of exposition.split("\n")) {
    const found = new RegExp(`^${family}\\{[a-z]+="([^"]+)"\\} (\\S+)$`).exec(line);
    if (found !== null) counters.set(found[1] ?? "", Number(found[2]));
  }
  return counters;
}

/** What our broker counted until now; nothing of others. */
async function contentions(bench: Bench): Promise<Map<string, number>> {
  if (bench.system.name !== subject || bench.metricsUrl === null) return new Map();
  // The broker reads its store's counters again after half a second at the earliest.
  await Bun.sleep(1000);
  const answer = await fetch(bench.metricsUrl);
  return readCounters(await answer.text(), "sluice_lock_contentions_total");
}

/** A load with what was waited for locks during it, warm-up included; topics are filled before. */
async function measured(
  bench: Bench,
  load: Workload,
  options: LoadOptions,
): Promise<{ readonly result: LoadResult; readonly waits: ReadonlyMap<string, number> }> {
  const clean = (result: LoadResult): LoadResult => {
    if (result.isValid) return result;
    const reason = result.firstError ?? "nothing went through";
    throw new Error(`${bench.system.name}, ${load.name}: ${reason}`);
  };
  const topic = `cores-${load.name}`;
  const isFilled = load.verb === "fetch";
  if (isFilled) clean(await fillTopic(load, { ...options, topic }));
  const before = await contentions(bench);
  const result = clean(await runLoad(load, isFilled ? { ...options, topic } : options));
  const after = await contentions(bench);
  const since = [...after].map(([lock, count]) => [lock, count - (before.get(lock) ?? 0)] as const);
  return { result, waits: new Map(since) };
}

async function live(bench: Bench, options: LifecycleOptions): Promise<Found> {
  const { bootstrap, pids } = bench.running;
  const { loadCpus } = bench.variant;
  const load: LoadOptions = {
    bootstrap,
    pids,
    seed: options.seed,
    seconds: options.idleSeconds,
    warmSeconds: Math.max(1, bench.system.warmUpSeconds / 8),
    isMemoryHeld: true,
    topicConfig: {},
    ...(loadCpus === undefined ? {} : { cpus: loadCpus }),
  };
  const figures: Record<string, number> = {};
  for (const each of loads) {
    const { result, waits } = await measured(bench, each, load);
    figures[`${each.name}RequestsPerSecond`] = result.requestsPerSecond;
    const perRequestCost = result.broker?.cpuSecondsPer100kRequests ?? 0;
    const perGib = result.broker?.cpuSecondsPerValueGib ?? 0;
    if (each.cost === "cpuSecondsPerValueGib") figures[`${each.name}CpuSecondsPerGib`] = perGib;
    figures[`${each.name}CpuSecondsPer100k`] = perRequestCost;
    // Waits were counted from the warm-up on, requests from after it: as many a second.
    const requests = result.requestsPerSecond * (load.warmSeconds + result.elapsedSeconds);
    if (waits.size > 0) figures[`${each.name}RequestsCounted`] = Math.round(requests);
    for (const [lock, count] of waits)
      figures[`${each.name}.${lock}ContentionsPer100k`] = (count / requests) * 1e5;
  }
  return { cores: figures };
}

/** See the head of the file. */
export const cores: Stretch = {
  names: ["cores"],
  hasLimit: true,
  seconds: ({ idleSeconds }) => loads.length * idleSeconds + 32,
  runs: ({ runs }) => runs,
  variants: () => shapes.filter(({ processors }) => processors <= cpus().length).map(variantOf),
  live,
};
