/**
 * Rows of committed offsets by partition in one array of 32-bit words, 24 bytes a row, rows in order of partition. Hundreds of
 * thousands of them are a few megabytes, in which the garbage collector has nothing to follow.
 *
 * ```
 * partition · leader epoch · offset high · offset low · commit timestamp high · low      words of a row
 * ```
 */

const STRIDE = 6;
const TWO_POW_32 = 0x100000000;
const NO_WORDS: Int32Array = new Int32Array(0);

/** See the head of the file. Rows are known by their index. */
export class OffsetTable {
  #words: Int32Array = NO_WORDS;
  #count = 0;

  /** Number of rows. */
  get count(): number {
    return this.#count;
  }

  /** Index of a partition's row; where it would have to go, as -1 - index, when there is none. */
  find(partition: number): number {
    const words = this.#words;
    const last = this.#count - 1;
    // Most rows are read and written in order.
    if (last < 0 || (words[last * STRIDE] as number) < partition) return -1 - this.#count;
    let low = 0;
    let high = last;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const found = words[middle * STRIDE] as number;
      if (found === partition) return middle;
      if (found < partition) low = middle + 1;
      else high = middle - 1;
    }
    return -1 - low;
  }

  partition(index: number): number {
    return this.#words[index * STRIDE] as number;
  }

  leaderEpoch(index: number): number {
    return this.#words[index * STRIDE + 1] as number;
  }

  offset(index: number): number {
    return this.#wide(index * STRIDE + 2);
  }

  commitTimestampMs(index: number): number {
    return this.#wide(index * STRIDE + 4);
  }

  /**
   * Writes a row.
   *
   * @param found - what `find` says of the partition.
   */
  put(
    found: number,
    partition: number,
    offset: number,
    commitTimestampMs: number,
    leaderEpoch: number,
  ): void {
    const index = found >= 0 ? found : -1 - found;
    if (found < 0) this.#insert(index);
    const words = this.#words;
    const at = index * STRIDE;
    words[at] = partition;
    words[at + 1] = leaderEpoch;
    this.#putWide(at + 2, offset);
    this.#putWide(at + 4, commitTimestampMs);
  }

  delete(index: number): void {
    this.#words.copyWithin(index * STRIDE, (index + 1) * STRIDE, this.#count * STRIDE);
    this.#count -= 1;
    if (this.#count === 0) this.#words = NO_WORDS;
  }

  /** Makes room for `rows` in all, so that they are written without growing again and again. */
  reserve(rows: number): void {
    if (rows * STRIDE > this.#words.length) this.#grow(rows);
  }

  #insert(index: number): void {
    const end = this.#count * STRIDE;
    if (end === this.#words.length) this.#grow(this.#count + 1 + (this.#count >> 1));
    if (index < this.#count) this.#words.copyWithin((index + 1) * STRIDE, index * STRIDE, end);
    this.#count += 1;
  }

  #grow(rows: number): void {
    const grown = new Int32Array(rows * STRIDE);
    grown.set(this.#words);
    this.#words = grown;
  }

  #wide(at: number): number {
    const words = this.#words;
    return (words[at] as number) * TWO_POW_32 + ((words[at + 1] as number) >>> 0);
  }

  #putWide(at: number, value: number): void {
    const high = Math.floor(value / TWO_POW_32);
    this.#words[at] = high;
    this.#words[at + 1] = value - high * TWO_POW_32;
  }
}
