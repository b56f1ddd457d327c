/**
 * The simulation is only worth what it finds: safety rules of the design are switched off, and some seed of a bounded run must notice. The same
 * seed breaks nothing while the rule is on. Rules that stand behind another one, so that it takes more than chance to get past both, are in
 * `scenarios.test.ts`.
 */
import { expect, test } from "bun:test";
import { runPlan } from "./cluster.ts";
import { type Fault, type Plan, planOf, type SafetyRule } from "./faults.ts";
import { SeededRandom } from "./random.ts";

/** Most seeds that a rule's absence may take to be noticed. */
const SEEDS_MAX = 60;

const RULES: readonly SafetyRule[] = [
  "raft-sync",
  "truncate-by-epoch",
  "unclean-registration",
  "catch-up-first",
];

/** All lose their power at once, soon after something was committed. */
function darkness(seed: number): Plan {
  const random = new SeededRandom(seed).split("darkness");
  const faults: Fault[] = [];
  for (let atMs = 500; atMs < 4500; atMs += 800) {
    const about = random.integer(0, 3);
    for (const at of [0, 1, 2]) {
      if (at === about) continue;
      faults.push({ kind: "verdict", atMs, forMs: 0, at, about, verdict: "down" });
    }
    const crashMs = atMs + random.integer(2, 60);
    for (const node of [0, 1, 2]) {
      faults.push({ kind: "crash", atMs: crashMs, forMs: 20, node, mode: "unsynced", seed });
    }
  }
  const network = { ...planOf(seed).network, delayMs: [0.1, 0.5] as const, lossChance: 0 };
  const shape = { nodeCount: 3, voterCount: 3, replicationFactor: 3, minIsr: 2 };
  return planOf(seed, { ...shape, network, flushDelayMs: 30, busyMs: 5000, faults });
}

/** One loses its logs, and the others only their processes, one after another. */
function relay(seed: number): Plan {
  const random = new SeededRandom(seed).split("relay");
  const loser = random.integer(0, 3);
  const faults: Fault[] = [];
  for (let atMs = 500; atMs < 14_000; atMs += random.integer(300, 2500)) {
    const node = random.integer(0, 3);
    const mode = node === loser ? "unsynced" : "process";
    const forMs = random.pick([50, 1000, 3500]);
    faults.push({ kind: "crash", atMs, forMs, node, mode, seed });
  }
  const shape = { nodeCount: 3, voterCount: 3, replicationFactor: 3, minIsr: 2 };
  return planOf(seed, { ...shape, flushDelayMs: 30, busyMs: 15_000, faults });
}

const PLANS: Readonly<Partial<Record<SafetyRule, (seed: number) => Plan>>> = {
  "raft-sync": darkness,
  "unclean-registration": relay,
};

test.each(RULES.map((rule) => [rule] as const))(
  "without %s a rule breaks",
  (rule) => {
    for (let seed = 1; seed <= SEEDS_MAX; seed += 1) {
      const plan = { ...(PLANS[rule] ?? planOf)(seed), switchedOff: [rule] };
      const { violation } = runPlan(plan);
      // That it does not get well again may have many reasons.
      if (violation === null || violation.rule === "I11") continue;
      expect(violation.rule).not.toBe("error");
      expect(runPlan({ ...plan, switchedOff: [] }).violation).toBe(null);
      return;
    }
    throw new Error(`${SEEDS_MAX} seeds did not notice that ${rule} is missing`);
  },
  300_000,
);
