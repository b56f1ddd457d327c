/**
 * Runs simulations.
 *
 *   bun test/simulation/main.ts --seeds 200 [--from 1] [--jobs 2] [--json FILE]
 *       many seeds, with what they met; ends with 1 when a rule was broken. FILE gets one line more: the range's outcome
 *   bun test/simulation/main.ts --seed 17 [--trace] [--minimize] [--without RULE]
 *       one seed: what happens, what is wrong, and which faults it takes
 *   bun test/simulation/main.ts --without RULE [--seeds 1000] [--from 1]
 *       looks for a seed that misses a safety rule which is switched off
 *
 * A seed and a commit say all: the same two give the same run, to the last event.
 */
import { appendFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { type Outcome, runPlan } from "./cluster.ts";
import { EXPECTED } from "./coverage.ts";
import { describeFault, type Plan, planOf, SAFETY_RULES, type SafetyRule } from "./faults.ts";
import { minimize } from "./minimize.ts";
import { findSeed, mutationPlan } from "./mutations.ts";
import { runRange, runSeed } from "./range.ts";

const isColoured: boolean = process.stdout.isTTY && process.env["NO_COLOR"] === undefined;
const paint = (code: number, text: string): string =>
  isColoured ? `\u001b[${code}m${text}\u001b[0m` : text;
const red = (text: string): string => paint(31, text);
const green = (text: string): string => paint(32, text);
const dim = (text: string): string => paint(2, text);

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    from: { type: "string", default: "1" },
    jobs: { type: "string", default: "1" },
    json: { type: "string" },
    without: { type: "string" },
    trace: { type: "boolean", default: false },
    minimize: { type: "boolean", default: false },
    worker: { type: "boolean", default: false },
  },
});

/** Progress is told this often where there is no terminal. */
const PROGRESS_MS = 10_000;

function describePlan(plan: Plan): string {
  const { nodeCount, voterCount, partitionCount, replicationFactor, minIsr, faults } = plan;
  const verdicts = plan.hasRandomVerdicts ? "random verdicts" : "SWIM";
  const unclean = plan.allowsUnclean ? ", unclean elections" : "";
  return `${nodeCount} nodes, ${voterCount} voters, ${partitionCount} partitions of ${replicationFactor} replicas, min ISR ${minIsr}, ${faults.length} faults, ${verdicts}${unclean}`;
}

function describeOutcome(outcome: Outcome): string {
  const { eventCount, virtualMs, writtenCount, ackedCount, consumedCount, hash } = outcome;
  return `${(virtualMs / 1000).toFixed(1)} s, ${eventCount} events, ${writtenCount} written, ${ackedCount} acknowledged, ${consumedCount} consumed, hash ${hash}`;
}

function ruleOf(name: string): SafetyRule {
  const rule = SAFETY_RULES.find((known) => known === name);
  if (rule === undefined) throw new Error(`there is no rule ${name}: ${SAFETY_RULES.join(", ")}`);
  return rule;
}

function runOne(seed: number): boolean {
  let plan =
    values.without === undefined ? planOf(seed) : mutationPlan(ruleOf(values.without), seed);
  console.log(`seed ${seed}: ${describePlan(plan)}`);
  let outcome = runPlan(plan, values.trace);
  if (outcome.violation !== null && values.minimize) {
    ({ plan, outcome } = minimize(plan, outcome, (count) =>
      console.log(dim(`still, with ${count} faults`)),
    ));
  }
  for (const fault of plan.faults) console.log(`  ${describeFault(fault)}`);
  if (!values.trace) for (const line of outcome.lines.slice(-60)) console.log(dim(line));
  console.log(describeOutcome(outcome));
  if (outcome.violation === null) console.log(green("every rule held"));
  else console.log(red(outcome.violation.message));
  return outcome.violation === null;
}

async function runMany(from: number, count: number): Promise<boolean> {
  const beganMs = performance.now();
  let failedCount = 0;
  let toldMs = 0;
  const summary = await runRange({ from, count }, Number(values.jobs), (line, done) => {
    if (line.violation !== null) {
      failedCount += 1;
      console.log(`${red(`seed ${line.seed}`)} ${line.violation.message.split("\n")[0]}`);
      console.log(`  bun test/simulation/main.ts --seed ${line.seed} --minimize`);
    }
    const elapsedMs = performance.now() - beganMs;
    if (!process.stdout.isTTY && elapsedMs - toldMs < PROGRESS_MS) return;
    toldMs = elapsedMs;
    const rate = done / (elapsedMs / 1000);
    const leftS = (count - done) / rate;
    const progress = `${done} of ${count}, ${failedCount} failed, ${rate.toFixed(1)} seeds/s, ${leftS.toFixed(0)} s left`;
    if (process.stdout.isTTY) process.stdout.write(`\r${progress}  `);
    else console.log(dim(progress));
  });
  const { violations, seconds, cpuSeconds, virtualHours, coverage } = summary;
  const verdict =
    violations.length === 0
      ? green("no rule broken")
      : red(`${violations.length} seeds broke a rule`);
  const width = Math.max(...Object.keys(coverage).map(({ length }) => length));
  console.log("");
  for (const [name, met] of Object.entries(coverage)) console.log(`  ${name.padEnd(width)} ${met}`);
  const unmet = EXPECTED.filter((name) => !(name in coverage));
  if (unmet.length > 0) console.log(`  never met: ${unmet.join(", ")}`);
  console.log(
    `${count} seeds from ${from}: ${verdict}; ${virtualHours.toFixed(2)} hours in ${seconds.toFixed(0)} s (${(cpuSeconds / count).toFixed(3)} CPU s a seed), ${summary.events} events, ${summary.acknowledged} writes acknowledged, ${summary.consumed} records read`,
  );
  if (values.json !== undefined) appendFileSync(values.json, `${JSON.stringify(summary)}\n`);
  return violations.length === 0;
}

/** A part of a range for another process: one line of JSON for each seed. */
function work(from: number, count: number): void {
  for (let seed = from; seed < from + count; seed += 1)
    process.stdout.write(`${JSON.stringify(runSeed(seed))}\n`);
}

function search(rule: SafetyRule, from: number, count: number): boolean {
  const found = findSeed(rule, from, count, (seed, outcome) => {
    if (outcome.violation?.rule === "I11") console.log(dim(`seed ${seed} ends with I11`));
  });
  if (found === null) console.log(red(`${count} seeds from ${from} do not miss ${rule}`));
  else console.log(green(`${rule}: seed ${found.seed}, ${found.message}`));
  return found !== null;
}

async function run(): Promise<boolean> {
  const from = Number(values.from);
  if (values.seed !== undefined) return runOne(Number(values.seed));
  if (values.without !== undefined)
    return search(ruleOf(values.without), from, Number(values.seeds ?? "1000"));
  if (!values.worker) return runMany(from, Number(values.seeds ?? "200"));
  work(from, Number(values.seeds ?? "200"));
  return true;
}

process.exitCode = (await run()) ? 0 : 1;
