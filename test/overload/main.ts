/**
 * Overload by one command: `bun test/overload/main.ts [--scenario announce,drip] [--share 0.1] [--kafka LIBS]`.
 *
 * Each scenario starts a broker of its own, measures a healthy client before and during the attack, and is held against the limits.
 * `--override key=value` gives the broker a setting (`num.network.threads=2`).
 * With `--kafka` the same is done to real Kafka from the jars in that directory (heap 512 MiB), for comparison. The limit of open
 * files of this shell must allow some 12,000; `--share` makes the crowds smaller.
 */
import { parseArgs } from "node:util";
import type { Window } from "./broker.ts";
import { type Outcome, SCENARIOS } from "./scenarios.ts";

const { values } = parseArgs({
  options: {
    scenario: { type: "string", default: Object.keys(SCENARIOS).join(",") },
    share: { type: "string", default: "1" },
    seconds: { type: "string", default: "8" },
    kafka: { type: "string" },
    override: { type: "string", multiple: true, default: [] },
  },
});
const scale = {
  share: Number(values.share),
  beforeMs: 5000,
  duringMs: Number(values.seconds) * 1000,
};
const target = {
  kafkaLibraries: values.kafka ?? null,
  overrides: Object.fromEntries(values.override.map((pair) => pair.split("=", 2))) as Record<
    string,
    string
  >,
};

function ms(value: number): string {
  return Number.isFinite(value) ? value.toFixed(1) : "no answer";
}

function row(name: string, { before, coming, during, grownMib }: Outcome): string {
  const cells = [
    name,
    `${ms(before.p50Ms)} / ${ms(before.p99Ms)}`,
    coming.rounds === 0 ? "" : `${ms(coming.p50Ms)} / ${ms(coming.p99Ms)} / ${ms(coming.maxMs)}`,
    `${ms(during.p50Ms)} / ${ms(during.p99Ms)} / ${ms(during.maxMs)}`,
    `${during.rounds}`,
    during.cpu.toFixed(2),
    `${grownMib >= 0 ? "+" : ""}${grownMib.toFixed(1)} MiB`,
  ];
  return `| ${cells.join(" | ")} |`;
}

/** The healthy client may take twice as long, and a few milliseconds are noise of a shared machine. */
function isHealthy(before: Window, during: Window): boolean {
  return during.p99Ms <= Math.max(2 * before.p99Ms, 10);
}

let areAllGood = true;
const rows: string[] = [];
for (const name of values.scenario.split(",")) {
  const scenario = SCENARIOS[name];
  if (scenario === undefined) {
    console.error(`no scenario ${name}; there are ${Object.keys(SCENARIOS).join(", ")}`);
    process.exit(2);
  }
  try {
    const outcome = await scenario(target, scale);
    rows.push(row(name, outcome));
    const isUnmoved = isHealthy(outcome.before, outcome.during);
    console.log(`${name}: healthy client ${isUnmoved ? "ok" : "MOVED"}`);
    for (const { what, saw, limit, holds } of outcome.checks) {
      console.log(`  ${holds ? "ok  " : "FAIL"} ${what}: ${saw} (${limit})`);
      areAllGood &&= holds;
    }
    areAllGood &&= isUnmoved;
  } catch (error) {
    areAllGood = false;
    const message = error instanceof Error ? error.message : String(error);
    console.log(`${name}: FAIL ${message}`);
    rows.push(`| ${name} | ${message.split("\n")[0]} | | | | | |`);
  }
}
console.log(
  [
    "",
    "| scenario | before p50 / p99 ms | coming p50 / p99 / max ms | during p50 / p99 / max ms | rounds | processors | memory |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n"),
);
process.exit(areAllGood ? 0 : 1);
