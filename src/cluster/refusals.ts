/**
 * What this node refused because it came from somebody who is not of the cluster, or said so wrongly: counted by reason, for the metrics.
 * The reasons are named by the program, never by what was sent, so that there are only so many.
 */
export class Refusals {
  readonly #counts: Map<string, number> = new Map();

  /** One more, or `by` more. */
  count(reason: string, by: number = 1): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + by);
  }

  /** How often, by reason, only those that happened; together with what other parts counted, each under its prefix. */
  with(others: Readonly<Record<string, object>>): ReadonlyMap<string, number> {
    const all = new Map(this.#counts);
    for (const [prefix, counts] of Object.entries(others)) {
      for (const [reason, count] of Object.entries(counts)) {
        if (typeof count !== "number" || count === 0) continue;
        all.set(`${prefix}${nameOf(reason)}`, count);
      }
    }
    return all;
  }
}

/** Constants are named as everything else here is. */
function nameOf(reason: string): string {
  return /^[A-Z_]+$/.test(reason) ? reason.toLowerCase().replaceAll("_", "-") : reason;
}
