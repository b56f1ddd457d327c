/**
 * Where our answer differs from Kafka's on purpose: the cases, and why. Reviewed by hand; the runner fails on a difference that is
 * not here and on a case here that no longer differs.
 */

/** One decision. */
export interface Decision {
  readonly reason: string;
  readonly cases: readonly string[];
}

/** All decisions. */
export const DECISIONS: readonly Decision[] = [];

/** Reasons by case. @throws Error when a case is listed twice. */
export function intendedDifferences(): ReadonlyMap<string, string> {
  const reasons = new Map<string, string>();
  for (const { reason, cases } of DECISIONS) {
    for (const name of cases) {
      if (reasons.has(name)) throw new Error(`${name} is listed twice`);
      reasons.set(name, reason);
    }
  }
  return reasons;
}
