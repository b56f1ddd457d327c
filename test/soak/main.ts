/**
 * A long run with everything that comes and goes: does anything grow?
 *
 * ```
 * bun test/soak/main.ts [--minutes 30] [--seed 1] [--threads 1] [--json] [--kafka LIBS]
 * ```
 * Producers and a group run all the time; group members leave and come back, connections open and close by the hundred, some in the
 * middle of a frame, and hostile frames arrive in between. Topics and retention are fixed, so what the broker holds should be flat
 * after the warm-up (the first fifth): memory, descriptors, threads, and the time a small request takes. The run fails on a gap in what
 * the group reads, on a broker that ends, and on growth: more than 32 MiB of memory or 16 descriptors or 2 threads between the medians of the first and the
 * last fifth after warm-up.
 */
import { parseArgs } from "node:util";
import { describe, runSoak } from "./soak.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    seed: { type: "string", default: "1" },
    threads: { type: "string", default: "1" },
    kafka: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const report = await runSoak({
  seconds: Number(values.minutes) * 60,
  seed: Number(values.seed),
  threads: Number(values.threads),
  kafkaLibraries: values.kafka ?? null,
  isGrowthJudged: true,
  progress: (line) => console.error(line),
});
console.log(values.json ? JSON.stringify(report) : describe(report));
process.exit(report.findings.length === 0 ? 0 : 1);
