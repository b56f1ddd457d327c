/**
 * What clients saw, and what that forbids. Every value is written once, so that a log tells by itself whether one was lost, doubled, moved
 * before another of its producer, or never written by anybody.
 *
 * A record may be lost by right in one way: so many disks lost it that no more of it had to be safe. Each crash that takes a copy is counted
 * against the record; an acknowledged one (`acks=all`) has to survive fewer than `min.insync.replicas` of them.
 */

/** A broken promise. The run ends with it. */
export class Violation extends Error {
  override readonly name = "Violation";
  /** `I1` to `I11`, or what a client saw: `lost`, `duplicated`, `reordered`, `phantom`, `reassigned`. */
  readonly rule: string;

  constructor(rule: string, message: string) {
    super(`${rule}: ${message}`);
    this.rule = rule;
  }
}

interface Written {
  readonly value: string;
  readonly producer: string;
  readonly number: number;
  readonly partition: number;
  readonly acks: number;
  /** -1 until it is acknowledged. */
  offset: number;
  /** Of a coordinator's work, which has no offset: it was done. */
  isAnswered: boolean;
  /** Replicas that lost it in a crash, or could not have got it because of one. */
  lostCopies: number;
}

/** What a log holds at an offset. */
export interface HistoryRecord {
  readonly offset: number;
  readonly value: string;
}

/** See the head of the file. */
export class History {
  readonly #minIsr: number;
  readonly #written: Map<string, Written> = new Map();
  /** What consumers saw, by partition and offset. */
  readonly #seen: Map<number, Map<number, string>> = new Map();
  readonly #ackedByOffset: Map<number, Map<number, Written>> = new Map();
  ackedCount = 0;
  consumedCount = 0;

  constructor(minIsr: number) {
    this.#minIsr = minIsr;
  }

  get writtenCount(): number {
    return this.#written.size;
  }

  /** A producer is about to send a value; `number` grows with each of its values for the partition. */
  onWrite(value: string, producer: string, number: number, partition: number, acks: number): void {
    this.#written.set(value, {
      value,
      producer,
      number,
      partition,
      acks,
      offset: -1,
      isAnswered: false,
      lostCopies: 0,
    });
  }

  onAck(value: string, offset: number): void {
    const written = this.#known(value);
    const { partition } = written;
    written.offset = offset;
    this.ackedCount += 1;
    const acked = mapOf(this.#ackedByOffset, partition);
    const other = acked.get(offset);
    if (other !== undefined && other !== written && written.acks === -1 && other.acks === -1) {
      if (!this.isForgiven(other.value)) {
        throw new Violation(
          "lost",
          `${value} was acknowledged at ${partition}@${offset}, as was ${other.value} before`,
        );
      }
    }
    acked.set(offset, written);
  }

  /** A consumer read a record below the high watermark. */
  onConsume(partition: number, { offset, value }: HistoryRecord): void {
    this.consumedCount += 1;
    const written = this.#written.get(value);
    if (written === undefined || written.partition !== partition) {
      throw new Violation("phantom", `${value} at ${partition}@${offset} was never written there`);
    }
    const seen = mapOf(this.#seen, partition);
    const before = seen.get(offset);
    if (before !== undefined && before !== value && !this.isForgiven(before)) {
      throw new Violation("reassigned", `${partition}@${offset} was ${before} and is ${value} now`);
    }
    seen.set(offset, value);
  }

  /**
   * A crash took what a replica had from this offset on. It counts against everything written so far that is, or may be, there: also what
   * was acknowledged while the replica still counted as in sync, and never got.
   */
  onDiskLost(partition: number, fromOffset: number): void {
    for (const written of this.#written.values()) {
      if (written.partition !== partition) continue;
      if (written.offset < 0 || written.offset >= fromOffset) written.lostCopies += 1;
    }
  }

  /**
   * A partition goes on with what one replica has: an unclean election, or the last leader where as many members as had to be safe went
   * down without closing their logs (KIP-966). What it does not have may be gone, be it that it has the value elsewhere, from an attempt in
   * an older epoch; of what it has it is the only copy that counts.
   *
   * @param has - offsets by the values it has.
   */
  onUncleanElection(partition: number, has: ReadonlyMap<string, number>): void {
    for (const written of this.#written.values()) {
      if (written.partition !== partition) continue;
      const at = has.get(written.value);
      const isThere = at !== undefined && (written.offset < 0 || written.offset === at);
      if (!isThere) written.lostCopies = Number.POSITIVE_INFINITY;
      else written.lostCopies = Math.max(written.lostCopies, this.#minIsr - 1);
    }
  }

  /** Who wrote it was told that it is done. */
  onAnswered(value: string): void {
    this.#known(value).isAnswered = true;
  }

  /**
   * A leader that has not heard of an unclean election yet took it: nobody else ever will, whatever is said to those who wrote and read it. A
   * coordinator's record does not say whose it is: it may be for any who wait for an answer.
   */
  onWrittenForNothing(partition: number, value: string): void {
    const known = this.#written.get(value);
    const open = [...this.#written.values()].filter(
      (each) => each.partition === partition && each.offset < 0 && !each.isAnswered,
    );
    for (const written of known === undefined ? open : [known]) {
      written.lostCopies = Number.POSITIVE_INFINITY;
    }
  }

  /** Whether so many copies were lost that the record may be gone. */
  isForgiven(value: string): boolean {
    return this.#known(value).lostCopies >= this.#minIsr;
  }

  /** The acknowledged value at an offset that must be there in every later leader's log, or null. */
  ackedAt(partition: number, offset: number): string | null {
    const written = this.#ackedByOffset.get(partition)?.get(offset);
    if (written === undefined || written.acks !== -1) return null;
    return written.lostCopies < this.#minIsr ? written.value : null;
  }

  /** Offsets of a partition that were acknowledged with acks=all. */
  *ackedOffsets(partition: number): Iterable<number> {
    for (const [offset, { acks }] of this.#ackedByOffset.get(partition) ?? []) {
      if (acks === -1) yield offset;
    }
  }

  /** Checks a whole log, from its start to its high watermark, when everything has healed. */
  checkLog(partition: number, records: readonly HistoryRecord[], what: string): void {
    const at = new Map<string, number>();
    const lastNumbers = new Map<string, number>();
    for (const { offset, value } of records) {
      const written = this.#written.get(value);
      if (written === undefined || written.partition !== partition) {
        throw new Violation("phantom", `${what} holds ${value} at ${offset}, which nobody wrote`);
      }
      const before = at.get(value);
      if (before !== undefined) {
        throw new Violation("duplicated", `${what} holds ${value} at ${before} and at ${offset}`);
      }
      at.set(value, offset);
      const last = lastNumbers.get(written.producer) ?? -1;
      if (last > written.number) {
        throw new Violation(
          "reordered",
          `${what} holds number ${last} of ${written.producer} before ${value}`,
        );
      }
      lastNumbers.set(written.producer, written.number);
    }
    for (const written of this.#written.values()) {
      if (written.partition !== partition || written.offset < 0 || written.acks !== -1) continue;
      if (at.get(written.value) === written.offset || this.isForgiven(written.value)) continue;
      const where = at.get(written.value);
      throw new Violation(
        "lost",
        `${what} holds ${written.value}, acknowledged at ${written.offset}, ${where === undefined ? "nowhere" : `at ${where}`}`,
      );
    }
    for (const [offset, value] of this.#seen.get(partition) ?? []) {
      if (at.get(value) !== offset && !this.isForgiven(value)) {
        throw new Violation(
          "lost",
          `${what} does not hold ${value} at ${offset}, where a consumer read it`,
        );
      }
    }
  }

  #known(value: string): Written {
    const written = this.#written.get(value);
    if (written === undefined) throw new Violation("phantom", `nobody wrote ${value}`);
    return written;
  }
}

function mapOf<K, V>(maps: Map<number, Map<K, V>>, key: number): Map<K, V> {
  const found = maps.get(key);
  if (found !== undefined) return found;
  const made = new Map<K, V>();
  maps.set(key, made);
  return made;
}
