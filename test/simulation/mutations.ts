/** Runs that do without one safety rule, drawn so that it is soon missed: which faults a rule stands against is no secret. */
import { type Outcome, runPlan } from "./cluster.ts";
import { type Plan, planOf, type SafetyRule } from "./faults.ts";

/** A random run without a rule. */
export function mutationPlan(rule: SafetyRule, seed: number): Plan {
  return planOf(seed, { switchedOff: [rule], ...shapeFor(rule) });
}

/** What of a run's shape is not left to chance, because the rule could not be missed otherwise. */
function shapeFor(rule: SafetyRule): Partial<Plan> {
  switch (rule) {
    case "suspect-guard":
      return { hasRandomVerdicts: false };
    case "clean-elections":
      return { allowsUnclean: false };
    default:
      return {};
  }
}

/** The first seed of a range whose run misses the rule, and breaks nothing while it is on; null when there is none. */
export function findSeed(
  rule: SafetyRule,
  from: number,
  count: number,
  onOutcome: (seed: number, outcome: Outcome) => void = () => {},
): { readonly seed: number; readonly message: string } | null {
  for (let seed = from; seed < from + count; seed += 1) {
    const plan = mutationPlan(rule, seed);
    const outcome = runPlan(plan);
    onOutcome(seed, outcome);
    const { violation } = outcome;
    // That it does not get well again may have many reasons.
    if (violation === null || violation.rule === "I11" || violation.rule === "error") continue;
    if (runPlan({ ...plan, switchedOff: [] }).violation === null)
      return { seed, message: violation.message };
  }
  return null;
}
