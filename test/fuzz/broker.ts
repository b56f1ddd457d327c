/**
 * The whole broker against hostile frames: every API it advertises, in every version, over many connections at once.
 *
 * ```
 * bun test/fuzz/broker.ts --frames 1000000 [--seed 1] [--connections 32] [--json]
 * bun test/fuzz/broker.ts --kafka LIBS --frames 20000      the same on real Kafka, for comparison
 * bun test/fuzz/broker.ts --replay HEX                     one frame again, with the answer
 * ```
 * A connection has one frame under way, so that whatever goes wrong is known by its bytes. Broken rules are: the broker ends; a
 * frame is neither answered nor its connection closed within `--deadline` ms (waits that the frame asked for aside); a client
 * that behaves is not served meanwhile; an exception in the broker's log; memory that grows beyond `--growth` MiB after warm-up;
 * a broker that does not stop or start again on what is left.
 */
import { parseArgs } from "node:util";
import { type FuzzOptions, type FuzzReport, fuzzBroker, replay } from "./broker-run.ts";

const { values } = parseArgs({
  options: {
    frames: { type: "string", default: "1000000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    connections: { type: "string", default: "32" },
    deadline: { type: "string", default: "1000" },
    growth: { type: "string", default: "64" },
    threads: { type: "string", default: "1" },
    kafka: { type: "string" },
    replay: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

if (values.replay !== undefined) {
  console.log(await replay(values.replay, values.kafka ?? null));
  process.exit(0);
}

const isTerminal = process.stderr.isTTY;
const options: FuzzOptions = {
  frames: Number(values.frames),
  seed: Number(values.seed),
  connections: Number(values.connections),
  deadlineMs: Number(values.deadline),
  growthMib: Number(values.growth),
  threads: Number(values.threads),
  kafkaLibraries: values.kafka ?? null,
  progress: (line) => {
    if (isTerminal) process.stderr.write(`\r\u001b[K${line}`);
    else console.error(line);
  },
};
const report = await fuzzBroker(options);
if (isTerminal) process.stderr.write("\r\u001b[K");
console.log(values.json ? JSON.stringify(report) : describe(report));
process.exit(report.findings.length === 0 ? 0 : 1);

function describe(result: FuzzReport): string {
  const { outcomes } = result;
  const lines = [
    `${result.frames} frames of seed ${result.seed} in ${result.seconds.toFixed(0)} s over ${result.pairs} pairs of API and version`,
    `answered ${outcomes.answered}, closed ${outcomes.closed}, waiting as asked ${outcomes.waited}, wanting no answer ${outcomes.unanswered}`,
    `slowest answer ${result.slowestMs.toFixed(0)} ms; a healthy client: ${result.probes} requests, slowest ${result.probeSlowestMs.toFixed(0)} ms`,
    `memory ${result.residentMib.warm.toFixed(0)} MiB after warm-up, ${result.residentMib.end.toFixed(0)} MiB at the end, ${result.residentMib.peak.toFixed(0)} MiB at most`,
    `descriptors ${result.descriptors.warm} after warm-up, ${result.descriptors.end} at the end`,
    `UNKNOWN_SERVER_ERROR answers: ${
      Object.entries(result.unknownErrors)
        .map(([api, count]) => `${api} ${count}`)
        .join(", ") || "none"
    }`,
    ...result.findings.map((finding) => `FOUND ${finding}`),
    result.findings.length === 0 ? "nothing found" : `${result.findings.length} found`,
  ];
  return lines.join("\n");
}
