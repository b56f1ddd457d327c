/** Makes a failing run smaller: leaves out faults, more at a time first, as long as the same rule is broken. */
import { runPlan, type Outcome } from "./cluster.ts";
import type { Fault, Plan } from "./faults.ts";

/** The smallest list of faults found that breaks the same rule, and the run with it. */
export function minimize(
  plan: Plan,
  outcome: Outcome,
  onProgress: (faultCount: number) => void = () => {},
): { readonly plan: Plan; readonly outcome: Outcome } {
  let best = { plan, outcome };
  for (let size = Math.ceil(plan.faults.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < best.plan.faults.length;) {
      const faults: Fault[] = best.plan.faults.toSpliced(at, size);
      const candidate = { ...best.plan, faults };
      const result = runPlan(candidate);
      if (result.violation?.rule === outcome.violation?.rule) {
        best = { plan: candidate, outcome: result };
        onProgress(faults.length);
      } else at += size;
    }
  }
  return best;
}
