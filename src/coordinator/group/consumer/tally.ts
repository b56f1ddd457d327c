/** Counts of what members have in common; a count that falls to nothing is forgotten. */
export class Tally {
  readonly #counts = new Map<string, number>();

  /** Adds `change` to the count of `key`. */
  add(key: string, change: 1 | -1): void {
    const count = this.of(key) + change;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
  }

  /** How often `key` was counted. */
  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  /** What has a count, in order of first mention. */
  keys(): IterableIterator<string> {
    return this.#counts.keys();
  }

  entries(): IterableIterator<[string, number]> {
    return this.#counts.entries();
  }

  get size(): number {
    return this.#counts.size;
  }
}
