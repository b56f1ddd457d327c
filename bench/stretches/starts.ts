/** Starts, idleness with 2,000 partitions, and restarts, clean and after kill -9. After every restart all end offsets are compared. */
import { cpuSecondsOf } from "../groups/usage.ts";
import { createTopic, deleteTopic, endOffsets, fillTopic, runLoad } from "../load-generator.ts";
import { diskMib, residentMib } from "../machine.ts";
import { workload } from "../workloads/workload.ts";
import type { Bench, Found, LifecycleOptions, Stretch } from "./stretch.ts";

/** Starts again; ms to the first answer, and until all partitions answer with the ends that they had. */
async function comeBack(
  bench: Bench,
  topic: string,
  before: readonly number[],
): Promise<Record<string, number>> {
  const startedMs = performance.now();
  const firstAnswerMs = await bench.restart();
  const after = await endOffsets(bench.running.bootstrap, topic, before.length);
  const allAnswerMs = performance.now() - startedMs;
  const wrong = after.findIndex((end, index) => end !== before[index]);
  if (wrong !== -1)
    throw new Error(`partition ${wrong} ended at ${before[wrong]}, now at ${after[wrong]}`);
  return { firstAnswerMs, allAnswerMs };
}

async function manyPartitions(
  bench: Bench,
  options: LifecycleOptions,
  wanted: ReadonlySet<string>,
): Promise<Found> {
  const topic = "many";
  const { partitions } = options;
  const beganMs = performance.now();
  const load = workload({
    name: "fill",
    about: "",
    verb: "produce",
    cost: "cpuSecondsPer100kRequests",
    connections: 64,
    partitions,
  });
  const { bootstrap } = bench.running;
  const made = await createTopic(bootstrap, "made", partitions, {});
  if (!made.isValid) throw new Error(made.firstError ?? "the topic was not made");
  const createMs = performance.now() - beganMs;
  await deleteTopic(bootstrap, "made");
  const given = { bootstrap, seed: options.seed, topicConfig: {}, topic };
  const written = await runLoad(load, { ...given, seconds: 2, warmSeconds: 0 });
  if (!written.isValid) throw new Error(written.firstError ?? "nothing was written");
  await Bun.sleep(options.idleSeconds * 1000);
  const [cpuBefore, timeBefore] = [cpuSecondsOf(bench.running.pid), performance.now()];
  await Bun.sleep(options.idleSeconds * 1000);
  const seconds = (performance.now() - timeBefore) / 1000;
  const idleCores = (cpuSecondsOf(bench.running.pid) - cpuBefore) / seconds;
  const memory = residentMib([bench.running.pid]);
  const { dataDirectory } = bench.running;
  const idle = {
    createMs,
    idleCores,
    residentMib: memory.now,
    peakResidentMib: memory.peak,
    ...(dataDirectory === null ? {} : { diskMib: diskMib(dataDirectory) }),
  };
  const ends = await endOffsets(bootstrap, topic, partitions);
  await bench.running.stop();
  const clean = await comeBack(bench, topic, ends);
  const found = { "idle-2000-partitions": idle, "start-2000-partitions": clean };
  if (!wanted.has("start-2000-partitions-after-kill")) return found;
  await bench.running.kill();
  return { ...found, "start-2000-partitions-after-kill": await comeBack(bench, topic, ends) };
}

async function killed(bench: Bench, options: LifecycleOptions): Promise<Found> {
  const topic = "killed";
  const shape = workload({
    name: "fill",
    about: "",
    verb: "produce",
    cost: "cpuSecondsPerValueGib",
    records: 1200,
  });
  const filled = await fillTopic(shape, {
    bootstrap: bench.running.bootstrap,
    seed: options.seed,
    seconds: 60,
    warmSeconds: 0,
    topicConfig: {},
    topic,
    fillMib: options.killedMib,
  });
  if (!filled.isValid) throw new Error(filled.firstError ?? "the topic was not filled");
  const ends = await endOffsets(bench.running.bootstrap, topic, 1);
  await bench.running.kill();
  return { "restart-after-kill": await comeBack(bench, topic, ends) };
}

/** In the order in which they run. */
export const starts: readonly Stretch[] = [
  {
    names: ["start-empty"],
    seconds: () => 2.5,
    runs: ({ startUps }) => startUps,
    live: (bench) => {
      const firstAnswerMs = bench.running.startUpMs;
      return Promise.resolve({ "start-empty": { firstAnswerMs } });
    },
  },
  {
    names: ["idle-2000-partitions", "start-2000-partitions", "start-2000-partitions-after-kill"],
    seconds: ({ idleSeconds }) => 2 * idleSeconds + 25,
    runs: ({ runs }) => runs,
    live: manyPartitions,
  },
  { names: ["restart-after-kill"], seconds: () => 15, runs: ({ runs }) => runs, live: killed },
];
