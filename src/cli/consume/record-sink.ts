/**
 * Records on their way to standard output: gathered, written in pieces of some size, and counted as written only when the output has
 * taken them. What a group commits is what was written.
 */
import type { OutputStream } from "../command-io.ts";

const PIECE_BYTES = 65_536;

/** See the head of the file. */
export class RecordSink {
  readonly #stream: OutputStream;
  readonly #written: Map<number, number> = new Map();
  #pending: Map<number, number> = new Map();
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #records = 0;

  constructor(stream: OutputStream) {
    this.#stream = stream;
  }

  /** Records taken so far. */
  get records(): number {
    return this.#records;
  }

  /** By partition: the offset after the last one that was written. */
  get written(): ReadonlyMap<number, number> {
    return this.#written;
  }

  /**
   * Takes a record; settles when there is room for more.
   *
   * @throws ClosedOutputError when nobody reads any more; `written` then stands where it was.
   */
  async add(pieces: readonly Uint8Array[], partition: number, nextOffset: number): Promise<void> {
    for (const piece of pieces) {
      this.#pieces.push(piece);
      this.#bytes += piece.length;
    }
    this.#records += 1;
    this.#pending.set(partition, nextOffset);
    if (this.#bytes >= PIECE_BYTES) await this.flush();
  }

  /** Notes that a partition was read up to an offset, also where there was nothing to show. */
  skipTo(partition: number, nextOffset: number): void {
    this.#pending.set(partition, nextOffset);
  }

  /** Writes what was taken. */
  async flush(): Promise<void> {
    if (this.#bytes > 0) {
      const bytes = Buffer.concat(this.#pieces, this.#bytes);
      this.#pieces = [];
      this.#bytes = 0;
      await this.#stream.write(bytes);
    }
    for (const [partition, offset] of this.#pending) this.#written.set(partition, offset);
    this.#pending = new Map();
  }

  /** Forgets partitions that somebody else reads from now on. */
  forget(): void {
    this.#written.clear();
    this.#pending.clear();
  }
}
