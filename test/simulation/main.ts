/**
 * Runs simulations.
 *
 *   bun test/simulation/main.ts --seeds 200 [--from 1]              many seeds, with a summary; ends with 1 when a rule was broken
 *   bun test/simulation/main.ts --seed 17 [--trace] [--minimize]    one seed: what happens, what is wrong, and which faults it takes
 *
 * A seed and a commit say all: the same two give the same run, to the last event.
 */
import { parseArgs } from "node:util";
import { type Outcome, runPlan } from "./cluster.ts";
import { describeFault, type Plan, planOf } from "./faults.ts";
import { minimize } from "./minimize.ts";

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
    trace: { type: "boolean", default: false },
    minimize: { type: "boolean", default: false },
  },
});

function describePlan(plan: Plan): string {
  const { nodeCount, voterCount, partitionCount, replicationFactor, minIsr, faults } = plan;
  const verdicts = plan.hasRandomVerdicts ? ", random verdicts" : "";
  return `${nodeCount} nodes, ${voterCount} voters, ${partitionCount} partitions of ${replicationFactor} replicas, min ISR ${minIsr}, ${faults.length} faults${verdicts}`;
}

function describeOutcome(outcome: Outcome): string {
  const { eventCount, virtualMs, writtenCount, ackedCount, consumedCount, hash } = outcome;
  return `${(virtualMs / 1000).toFixed(1)} s, ${eventCount} events, ${writtenCount} written, ${ackedCount} acknowledged, ${consumedCount} consumed, hash ${hash}`;
}

function runOne(seed: number): boolean {
  let plan = planOf(seed);
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

function runMany(from: number, count: number): boolean {
  const beganMs = performance.now();
  const failed: Outcome[] = [];
  const total = { events: 0, virtualMs: 0, acked: 0, consumed: 0 };
  for (let done = 0; done < count; done += 1) {
    const seed = from + done;
    const outcome = runPlan(planOf(seed));
    total.events += outcome.eventCount;
    total.virtualMs += outcome.virtualMs;
    total.acked += outcome.ackedCount;
    total.consumed += outcome.consumedCount;
    if (outcome.violation !== null) {
      failed.push(outcome);
      console.log(`${red(`seed ${seed}`)} ${outcome.violation.message.split("\n")[0]}`);
      console.log(`  bun test/simulation/main.ts --seed ${seed} --minimize`);
    }
    if (process.stdout.isTTY)
      process.stdout.write(`\r${done + 1} of ${count}, ${failed.length} failed `);
    else if ((done + 1) % 50 === 0)
      console.log(dim(`${done + 1} of ${count}, ${failed.length} failed`));
  }
  const seconds = (performance.now() - beganMs) / 1000;
  const verdict =
    failed.length === 0 ? green("no rule broken") : red(`${failed.length} seeds broke a rule`);
  console.log(
    `\n${count} seeds from ${from}: ${verdict}; ${(total.virtualMs / 3_600_000).toFixed(2)} hours in ${seconds.toFixed(0)} s, ${total.events} events, ${total.acked} writes acknowledged, ${total.consumed} records read`,
  );
  return failed.length === 0;
}

const isGood =
  values.seed === undefined
    ? runMany(Number(values.from), Number(values.seeds ?? "200"))
    : runOne(Number(values.seed));
process.exitCode = isGood ? 0 : 1;
