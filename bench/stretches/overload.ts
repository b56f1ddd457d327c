/**
 * Overload: more connections, readers that do not read, more fetches or more fsyncs than a broker can serve, and beside it a quiet client that
 * must not notice: 100 records a second from a producer to a consumer that long-polls, with intended send times. What it sees alone and beside
 * the load, the broker's memory before, at its highest and after, and what went through of the load. The load has a lower priority than
 * broker and quiet client, so that what is measured is the broker's fairness and not the scheduler's.
 */
import { readdirSync } from "node:fs";
import { fillTopic, runLoad, stallReaders, type LoadOptions } from "../load-generator.ts";
import { residentMib } from "../machine.ts";
import type { LoadResult } from "../record.ts";
import { workload, type Workload } from "../workloads/workload.ts";
import type { Bench, LifecycleOptions, Stretch } from "./stretch.ts";

const mebibyte = 1 << 20;
const shared = { name: "", about: "", cost: "cpuSecondsPerValueGib" } as const;

const quiet = workload({ ...shared, verb: "end-to-end", ratePerSecond: 100, inflight: 5 });
const log = workload({
  ...shared,
  verb: "fetch",
  records: 1200,
  fillMib: 64,
  fetchBytes: mebibyte,
});

/** What a broker is loaded with before anything counts. */
const mixture: readonly Workload[] = [
  workload({ ...shared, verb: "produce", connections: 64 }),
  workload({ ...shared, verb: "end-to-end", ratePerSecond: 2000, inflight: 5 }),
  workload({ ...shared, verb: "fetch", connections: 8, records: 150, fillMib: 8 }),
];

/** Loads for so long; ends by itself. It is given the topic that was filled, to read. */
type Attack = (bench: Bench, load: LoadOptions) => Promise<LoadResult>;

/** A load that writes makes its own topic, and deletes it. */
function onOwnTopic({ topic: _filled, ...load }: LoadOptions): LoadOptions {
  return load;
}

interface Overload {
  readonly name: string;
  readonly about: string;
  /** Connections that must be there before the quiet client is measured beside them. */
  readonly connections: number;
  readonly attack: Attack;
}

const idle = 9000;
const active = 1000;
const stalled = 500;
const storming = 500;

const attacks: readonly Overload[] = [
  {
    name: "overload-10000-connections",
    about: "10,000 connections, a tenth of which produce once a second (open loop)",
    connections: idle + active,
    attack: (_bench, load) =>
      runLoad(
        workload({ ...shared, verb: "produce", connections: active, ratePerSecond: active }),
        { ...onOwnTopic(load), idleConnections: idle },
      ),
  },
  {
    name: "overload-slow-consumers",
    about: "500 consumers that ask for 1 MiB three times over and never read",
    connections: stalled,
    attack: (_bench, load) => stallReaders({ ...log, connections: stalled }, load),
  },
  {
    name: "overload-fetch-storm",
    about: "500 connections that fetch 1 MiB as fast as they are served",
    connections: storming,
    attack: (_bench, load) => runLoad({ ...log, connections: storming }, load),
  },
  {
    name: "overload-fast-producer-fsync",
    about:
      "64 connections with five batches of 128 KiB in flight each, acknowledged after an fsync",
    connections: 64,
    attack: (bench, load) => {
      const topicConfig = bench.system.topicConfig("fsync", -1);
      const batches = { records: 125, valueBytes: 1024, acks: -1, inflight: 5 } as const;
      return runLoad(
        workload({ ...shared, ...batches, verb: "produce", connections: 64, partitions: 6 }),
        { ...onOwnTopic(load), topicConfig },
      );
    },
  },
];

/** After it has come and before the quiet client is measured, ms; and after it went. */
const settleMs = 2000;
/** Kafka's accept queue holds 50 by default: connections beyond it come again after a second or more. */
const comingMs = 180_000;
/** Share of its connections that must have come: descriptors of earlier loads go meanwhile, and are counted with them. */
const comeShare = 0.9;
/** How much longer than the quiet client the load lasts: it comes before it, and must not end before it. */
const slackSeconds = 14;
const stepMs = 50;

async function clean(running: Promise<LoadResult>): Promise<LoadResult> {
  const result = await running;
  if (!result.isValid) throw new Error(result.firstError ?? "nothing went through");
  return result;
}

function descriptorsOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    try {
      return sum + readdirSync(`/proc/${pid}/fd`).length;
    } catch {
      return sum;
    }
  }, 0);
}

async function beside(
  bench: Bench,
  options: LifecycleOptions,
  { connections, attack }: Overload,
): Promise<Record<string, number>> {
  const { bootstrap, pids } = bench.running;
  const seconds = 2 * options.idleSeconds;
  const load: LoadOptions = {
    bootstrap,
    pids,
    seed: options.seed,
    seconds,
    warmSeconds: 0.5,
    topicConfig: {},
  };
  for (const part of mixture)
    await clean(runLoad(part, { ...load, seconds: bench.system.warmUpSeconds / 6 }));
  await clean(fillTopic(log, { ...load, topic: "filled" }));
  const alone = await clean(runLoad(quiet, load));
  const residentBeforeMib = residentMib(pids).now;
  let residentPeakMib = residentBeforeMib;
  const watcher = setInterval(() => {
    residentPeakMib = Math.max(residentPeakMib, residentMib(pids).now);
  }, stepMs);
  try {
    const idleDescriptors = descriptorsOf(pids);
    const attackSeconds = seconds + slackSeconds;
    const over = { is: false };
    const attacking = attack(bench, {
      ...load,
      seconds: attackSeconds,
      topic: "filled",
      niceness: 19,
    }).finally(() => {
      over.is = true;
    });
    const attackedMs = performance.now();
    const passedMs = (): number => performance.now() - attackedMs;
    while (descriptorsOf(pids) - idleDescriptors < connections * comeShare && !over.is) {
      if (passedMs() > comingMs) throw new Error(`${connections} connections did not come`);
      await Bun.sleep(stepMs);
    }
    const comeMs = passedMs();
    await Bun.sleep(settleMs);
    // A load that failed ends at once: its own reason is the one to tell.
    if (over.is) await clean(attacking);
    const crowded = await clean(runLoad(quiet, load));
    const isBeside = !over.is;
    const result = await clean(attacking);
    if (!isBeside) throw new Error("the load ended before the quiet client was measured beside it");
    await Bun.sleep(settleMs);
    return {
      aloneP50Ms: alone.latencyMs.p50,
      aloneP99Ms: alone.latencyMs.p99,
      besideP50Ms: crowded.latencyMs.p50,
      besideP99Ms: crowded.latencyMs.p99,
      p99Ratio: crowded.latencyMs.p99 / alone.latencyMs.p99,
      comeMs,
      residentBeforeMib,
      residentPeakMib,
      residentAfterMib: residentMib(pids).now,
      loadRequestsPerSecond: result.requestsPerSecond,
      loadMibPerSecond: result.valueMibPerSecond,
    };
  } finally {
    clearInterval(watcher);
  }
}

/** By name; each with the stretch that measures it. */
export const overloads: readonly { name: string; about: string; stretch: Stretch }[] = attacks.map(
  (overload) => ({
    name: overload.name,
    about: overload.about,
    stretch: {
      names: [overload.name],
      isOursAlone: true,
      seconds: ({ idleSeconds }) => 4 * idleSeconds + 28,
      // What is asked is a bound, and they are minutes each.
      runs: ({ runs, isForGoals }) => (isForGoals === true ? Math.min(runs, 3) : runs),
      live: async (bench, options) => ({
        [overload.name]: await beside(bench, options, overload),
      }),
    },
  }),
);
