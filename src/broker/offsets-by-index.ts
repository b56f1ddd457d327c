/**
 * Raft counts its own entries too, Kafka's tools count metadata records: this remembers, of the newest entries applied, which offset of
 * the metadata log an index of raft stands for.
 */

/** Entries remembered; who is further behind is told to be at the oldest of them at most. */
const ENTRIES_MAX = 8192;

/** See the head of the file. */
export class OffsetsByIndex {
  #indexes: number[] = [];
  /** End of the metadata log after that entry. */
  #ends: number[] = [];

  /** An entry was applied. */
  onApplied(index: number, endOffset: number): void {
    this.#indexes.push(index);
    this.#ends.push(endOffset);
    if (this.#indexes.length < 2 * ENTRIES_MAX) return;
    this.#indexes = this.#indexes.slice(ENTRIES_MAX);
    this.#ends = this.#ends.slice(ENTRIES_MAX);
  }

  /** End of the metadata log of who has everything up to an index; 0 where that is not known any more. */
  endAt(index: number): number {
    let low = 0;
    let high = this.#indexes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#indexes[middle] ?? 0) <= index) low = middle + 1;
      else high = middle;
    }
    return this.#ends[low - 1] ?? 0;
  }
}
