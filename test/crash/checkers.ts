/**
 * The judges of the crash tests, apart from the load and from any broker, so that they can be shown to catch what they are for. They
 * are told what was sent, acknowledged, seen and committed, and later what the log and the group hold; they answer with findings.
 *
 * A record is named by its producer, its partition and its number: each producer counts its records of a partition from 0.
 */

/** One record of a partition's log. */
export interface LoggedRecord {
  readonly offset: number;
  readonly producer: string;
  readonly number: number;
}

/** What was promised about one partition at a moment. */
export interface LogPromises {
  /** By producer: how many of its records, counted from the first, are acknowledged. */
  readonly acknowledged: ReadonlyMap<string, number>;
  /** By offset: the record that a consumer was given. */
  readonly seen: ReadonlyMap<number, string>;
}

interface Stream {
  /** Records 0 … sent - 1 were handed to the broker at least once. */
  sent: number;
  /** Records 0 … acknowledged - 1 were acknowledged. */
  acknowledged: number;
}

/** Checks that a log holds every acknowledged record once, in order, where it was said to be, and nothing that was never sent. */
export class LogChecker {
  readonly #streams = new Map<string, Stream>();
  readonly #offsets = new Map<string, number>();
  readonly #seen = new Map<number, Map<number, string>>();

  /** Records up to `number` are about to be sent. */
  sending(producer: string, partition: number, number: number): void {
    const stream = this.#stream(producer, partition);
    stream.sent = Math.max(stream.sent, number + 1);
  }

  /** Records `first` to `last` are acknowledged; `offset` is the first one's, or null where the broker did not say. */
  acknowledged(
    producer: string,
    partition: number,
    first: number,
    last: number,
    offset: number | null,
  ): void {
    const stream = this.#stream(producer, partition);
    stream.acknowledged = Math.max(stream.acknowledged, last + 1);
    if (offset === null) return;
    for (let at = first; at <= last; at += 1)
      this.#offsets.set(`${producer}/${partition}/${at}`, offset + at - first);
  }

  /** A consumer was given this record. */
  seen(partition: number, record: LoggedRecord): void {
    const offsets = this.#seen.get(partition) ?? new Map<number, string>();
    this.#seen.set(partition, offsets);
    offsets.set(record.offset, `${record.producer}/${partition}/${record.number}`);
  }

  /** How many records are acknowledged so far. */
  get acknowledgedCount(): number {
    let count = 0;
    for (const { acknowledged } of this.#streams.values()) count += acknowledged;
    return count;
  }

  /** How many different records a consumer was given so far. */
  get seenCount(): number {
    let count = 0;
    for (const offsets of this.#seen.values()) count += offsets.size;
    return count;
  }

  /** Whether a consumer was given as many records as are acknowledged. */
  get isAllSeen(): boolean {
    return this.seenCount >= this.acknowledgedCount;
  }

  /** What the log of `partition` must hold as of now; taken before a reading that runs while the load goes on. */
  promises(partition: number): LogPromises {
    const acknowledged = new Map<string, number>();
    for (const [key, stream] of this.#streams) {
      const [producer = "", of] = key.split("/");
      if (Number(of) === partition) acknowledged.set(producer, stream.acknowledged);
    }
    return { acknowledged, seen: new Map(this.#seen.get(partition)) };
  }

  /** Findings about the whole log of one partition, from its first offset on; at most 20. */
  check(
    partition: number,
    log: readonly LoggedRecord[],
    promised: LogPromises = this.promises(partition),
  ): string[] {
    const findings: string[] = [];
    const next = new Map<string, number>();
    const at = new Map<number, string>();
    let lastOffset = -1;
    for (const { offset, producer, number } of log) {
      const name = `${producer}/${partition}/${number}`;
      const wanted = next.get(producer) ?? 0;
      if (offset !== lastOffset + 1)
        findings.push(`offset ${offset} follows ${lastOffset} in partition ${partition}`);
      lastOffset = offset;
      at.set(offset, name);
      if (number < wanted)
        findings.push(`doubled or out of order: ${name} at ${offset}, ${wanted - 1} came before`);
      if (number > wanted) findings.push(`hole: ${name} at ${offset}, wanted ${wanted}`);
      if (number >= this.#stream(producer, partition).sent)
        findings.push(`never sent: ${name} at ${offset}`);
      const said = this.#offsets.get(name);
      if (said !== undefined && said !== offset)
        findings.push(`moved: ${name} was acknowledged at ${said}, is at ${offset}`);
      next.set(producer, Math.max(wanted, number + 1));
    }
    for (const [producer, acknowledged] of promised.acknowledged) {
      const found = next.get(producer) ?? 0;
      if (found < acknowledged)
        findings.push(
          `lost: ${producer}/${partition}/${found} to ${acknowledged - 1} were acknowledged`,
        );
    }
    for (const [offset, name] of promised.seen) {
      if (at.get(offset) !== name)
        findings.push(
          `a consumer saw ${name} at ${offset}, there is ${at.get(offset) ?? "nothing"} now`,
        );
    }
    return findings.slice(0, 20);
  }

  #stream(producer: string, partition: number): Stream {
    const key = `${producer}/${partition}`;
    const stream = this.#streams.get(key) ?? { sent: 0, acknowledged: 0 };
    this.#streams.set(key, stream);
    return stream;
  }
}

/** Checks that a group's committed offset is never below the last acknowledged commit nor above the last attempted one. */
export class CommitChecker {
  readonly #attempted = new Map<number, number>();
  readonly #acknowledged = new Map<number, number>();

  /** A commit of `offset` is about to be sent. */
  sending(partition: number, offset: number): void {
    this.#attempted.set(partition, Math.max(offset, this.#attempted.get(partition) ?? -1));
  }

  /** The broker acknowledged the commit of `offset`. */
  acknowledged(partition: number, offset: number): void {
    this.#acknowledged.set(partition, Math.max(offset, this.#acknowledged.get(partition) ?? -1));
  }

  /** How many partitions have an acknowledged commit. */
  get partitionCount(): number {
    return this.#acknowledged.size;
  }

  /** The acknowledged offsets as of now; taken before asking while commits go on. */
  promises(): ReadonlyMap<number, number> {
    return new Map(this.#acknowledged);
  }

  /** Findings about what the group holds for `partition`; -1 means nothing. */
  check(
    partition: number,
    offset: number,
    promised: ReadonlyMap<number, number> = this.#acknowledged,
  ): string[] {
    const acknowledged = promised.get(partition) ?? -1;
    const attempted = this.#attempted.get(partition) ?? -1;
    if (offset < acknowledged)
      return [
        `partition ${partition}: commit of ${acknowledged} was acknowledged, the group holds ${offset}`,
      ];
    if (offset > attempted)
      return [
        `partition ${partition}: the group holds ${offset}, nothing above ${attempted} was committed`,
      ];
    return [];
  }
}

/** What is promised about one record of a trimmed log. */
type Offsets = ReadonlyMap<number, number>;

/**
 * Checks a log whose beginning is being deleted: everything acknowledged from its start on is where it was acknowledged, in order, and the
 * start is not beyond what was asked to go. Whether a deletion survives a crash is not promised, neither here nor by Kafka: the start may go back.
 */
export class TrimChecker {
  readonly #acknowledged = new Map<number, number>();
  #sent = 0;
  #isTrimmedFreely: boolean;
  #trimmedTo = 0;

  /** @param isTrimmedFreely - retention deletes as well, so that the start may be anywhere up to the end. */
  constructor(isTrimmedFreely: boolean) {
    this.#isTrimmedFreely = isTrimmedFreely;
  }

  /** The number for the next record, which is about to be sent. */
  sending(): number {
    this.#sent += 1;
    return this.#sent - 1;
  }

  /** Record `number` is acknowledged at `offset`. */
  acknowledged(number: number, offset: number): void {
    this.#acknowledged.set(offset, number);
  }

  /** Records below `offset` are about to be deleted. */
  trimming(offset: number): void {
    this.#trimmedTo = Math.max(this.#trimmedTo, offset);
  }

  get acknowledgedCount(): number {
    return this.#acknowledged.size;
  }

  /** The acknowledged records as of now. */
  promises(): Offsets {
    return new Map(this.#acknowledged);
  }

  /** Findings about a log that begins at `start`; at most 10. */
  check(
    start: number,
    log: readonly LoggedRecord[],
    promised: Offsets = this.promises(),
  ): string[] {
    const findings: string[] = [];
    const at = new Map(log.map(({ offset, number }) => [offset, number]));
    let last = -1;
    for (const { offset, number } of log) {
      if (number <= last) findings.push(`out of order: ${number} at ${offset} after ${last}`);
      if (number >= this.#sent) findings.push(`never sent: ${number} at ${offset}`);
      last = number;
    }
    if (!this.#isTrimmedFreely && start > this.#trimmedTo)
      findings.push(`the log starts at ${start}, only up to ${this.#trimmedTo} was to go`);
    for (const [offset, number] of promised)
      if (offset >= start && at.get(offset) !== number)
        findings.push(
          `lost: ${number} was acknowledged at ${offset}, there is ${at.get(offset) ?? "nothing"}`,
        );
    const highest = Math.max(-1, ...promised.keys());
    if (start > highest + 1 && highest >= 0 && log.length === 0)
      findings.push(`the log starts at ${start}, its last acknowledged record is ${highest}`);
    return findings.slice(0, 10);
  }
}

/** Checks that topics are there once their creation was acknowledged, and gone once their deletion was. */
export class TopicChecker {
  readonly #known = new Map<string, boolean>();

  /** The fate of `name` is open from here on. */
  changing(name: string): void {
    this.#known.delete(name);
  }

  /** The broker acknowledged that `name` is there, or that it is gone. */
  acknowledged(name: string, isThere: boolean): void {
    this.#known.set(name, isThere);
  }

  get acknowledgedCount(): number {
    return this.#known.size;
  }

  /** What is certain as of now. */
  promises(): ReadonlyMap<string, boolean> {
    return new Map(this.#known);
  }

  /**
   * Findings about the topics that are there.
   *
   * @param promised - taken before asking; a topic that changed since is passed over.
   */
  check(
    topics: ReadonlySet<string>,
    promised: ReadonlyMap<string, boolean> = this.promises(),
  ): string[] {
    return [...promised].flatMap(([name, isThere]) =>
      this.#known.get(name) !== isThere || topics.has(name) === isThere
        ? []
        : [`topic ${name} was ${isThere ? "created, is not there" : "deleted, is there"}`],
    );
  }
}
