/**
 * The simulation is only worth what it finds: each safety rule of the design is switched off, and a seed that was found by chance must notice. The
 * same run breaks nothing while the rule is on.
 *
 * When a seed notices no more, the runs have changed (any draw more or less does that): look for another one with
 * `bun test/simulation/main.ts --without RULE --seeds 3000`, which takes seconds, and write it down here. Finding none is a finding.
 */
import { expect, test } from "bun:test";
import { runPlan } from "./cluster.ts";
import { SAFETY_RULES, type SafetyRule } from "./faults.ts";
import { mutationPlan } from "./mutations.ts";

/** A seed that misses the rule, and what it sees. */
const FOUND: Readonly<Partial<Record<SafetyRule, readonly [number, string]>>> = {
  "maximal-isr": [4, "I2"],
  "fetch-epochs": [11, "I2"],
  "broker-epochs": [8, "I2"],
  "raft-sync": [12, "I10"],
  "truncate-by-epoch": [3, "I2"],
  "unclean-registration": [5, "I4"],
  "catch-up-first": [1, "I5"],
  "suspect-guard": [1, "S1"],
  "min-isr": [1, "I8"],
  "clean-elections": [29, "I6"],
};

/** Behind these stands another rule in every run that chance has drawn so far: `scenarios.test.ts` has them. */
const BY_SCENARIO: readonly SafetyRule[] = ["alter-epochs"];

test("every rule is missed by a seed or by a scenario", () => {
  const found = SAFETY_RULES.filter((rule) => FOUND[rule] !== undefined);
  expect([...found, ...BY_SCENARIO].sort()).toEqual([...SAFETY_RULES].sort());
});

test.each(Object.entries(FOUND))("without %s seed %j breaks a rule", (name, [seed, broken]) => {
  const plan = mutationPlan(name as SafetyRule, seed);
  expect(runPlan(plan).violation?.rule).toBe(broken);
  expect(runPlan({ ...plan, switchedOff: [] }).violation).toBe(null);
});
