/** Runs that do without one safety rule, drawn so that it is soon missed: which faults a rule stands against is no secret. */
import { type Outcome, runPlan } from "./cluster.ts";
import type { NetworkProfile } from "./network.ts";
import { type Plan, planOf, type SafetyRule } from "./faults.ts";

/** A random run without a rule. */
export function mutationPlan(rule: SafetyRule, seed: number): Plan {
  return planOf(seed, { memberCount: 0, switchedOff: [rule], ...shapeFor(rule) });
}

/** Three nodes that all have all, and short ways between them. */
const SMALL: Partial<Plan> = {
  nodeCount: 3,
  voterCount: 3,
  replicationFactor: 3,
  minIsr: 2,
  partitionCount: 1,
  producerCount: 3,
  allowsUnclean: false,
};
const QUIET: NetworkProfile = {
  delayMs: [0.1, 0.5],
  slowChance: 0,
  slowMs: 0,
  lossChance: 0,
  duplicateChance: 0,
};

/** What of a run is not left to chance, because the rule could not be missed otherwise. */
function shapeFor(rule: SafetyRule): Partial<Plan> {
  switch (rule) {
    case "raft-sync":
      return {
        ...SMALL,
        network: QUIET,
        pattern: "blackout",
        hasRandomVerdicts: true,
        isConfirming: false,
        flushDelayMs: 30,
        busyMs: 5000,
      };
    case "unclean-registration":
      return { ...SMALL, pattern: "relay", flushDelayMs: 30, busyMs: 15_000 };
    case "maximal-isr":
      return { ...SMALL, network: QUIET, pattern: "absence", flushDelayMs: 5, busyMs: 15_000 };
    case "alter-epochs":
      return {
        ...SMALL,
        nodeCount: 4,
        network: QUIET,
        pattern: "stale-request",
        hasRandomVerdicts: true,
        flushDelayMs: 5,
        busyMs: 15_000,
      };
    case "broker-epochs":
      return { ...SMALL, network: QUIET, pattern: "other-life", flushDelayMs: 30, busyMs: 15_000 };
    case "suspect-guard":
      return { hasRandomVerdicts: false };
    case "clean-elections":
      return { allowsUnclean: false };
    case "commits-wait":
      return { ...SMALL, memberCount: 3 };
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
    if (violation === null || !/^[IS]\d+$/.test(violation.rule) || violation.rule === "I11")
      continue;
    if (runPlan({ ...plan, switchedOff: [] }).violation === null)
      return { seed, message: violation.message };
  }
  return null;
}
