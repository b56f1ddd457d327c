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

  /** How often, by reason, only those that happened; together with what another part counted, under its prefix. */
  with(prefix: string, others: object): ReadonlyMap<string, number> {
    const all = new Map(this.#counts);
    for (const [reason, count] of Object.entries(others))
      if (typeof count === "number" && count > 0) all.set(`${prefix}${reason}`, count);
    return all;
  }
}
