/**
 * What must hold of a consumer group whose members commit ever larger offsets (I12, I13): what was acknowledged is never lost and nothing goes
 * backwards, whichever broker coordinates the group; and no partition has two owners in one generation.
 *
 * A coordinator that is one no more may answer a read with what it knew. So a member may rely on what was acknowledged in its own generation
 * and those before it, which ended before its own began; who reads at the end, when all is calm, on everything. What disks lost by right is
 * forgiven as records are (`history.ts`): each commit and each assignment counts as a record of the group's partition.
 */
import { type History, Violation } from "./history.ts";

interface Acknowledged {
  readonly generation: number;
  readonly offset: number;
  readonly name: string;
}

/** See the head of the file. One for each group. */
export class GroupRules {
  readonly #history: History;
  /** Where the history has the group's partition. */
  readonly #slot: number;
  readonly #names: Set<string> = new Set();
  /** By partition, in the order of acknowledging. */
  readonly #acknowledged: Map<number, Acknowledged[]> = new Map();
  /** By partition: the largest offset that anybody tried to commit. */
  readonly #tried: Map<number, number> = new Map();
  /** By generation and partition: who owns it, and the name of the assignment. */
  readonly #owners: Map<string, { readonly member: string; readonly name: string }> = new Map();
  ackedCount = 0;

  constructor(history: History, slot: number) {
    this.#history = history;
    this.#slot = slot;
  }

  /** A member is about to ask for its assignment. */
  onSync(generation: number, member: string): void {
    this.#note(`assignment ${generation} of ${member}`);
  }

  /** A member was told what it owns. */
  onAssigned(generation: number, member: string, partitions: Iterable<number>): void {
    for (const partition of partitions) {
      const key = `${generation}/${partition}`;
      const other = this.#owners.get(key);
      if (other !== undefined && other.member !== member && !this.#history.isForgiven(other.name)) {
        throw new Violation(
          "I13",
          `${other.member} and ${member} both own partition ${partition} in generation ${generation}`,
        );
      }
      this.#owners.set(key, { member, name: `assignment ${generation} of ${member}` });
    }
    this.#history.onAnswered(`assignment ${generation} of ${member}`);
  }

  /** A member is about to commit; again, perhaps. */
  onCommit(partition: number, generation: number, offset: number): void {
    this.#note(nameOf(partition, generation, offset));
    this.#tried.set(partition, Math.max(offset, this.#tried.get(partition) ?? 0));
  }

  onCommitted(partition: number, generation: number, offset: number): void {
    this.ackedCount += 1;
    const acknowledged = this.#acknowledged.get(partition) ?? [];
    this.#acknowledged.set(partition, acknowledged);
    const name = nameOf(partition, generation, offset);
    acknowledged.push({ generation, offset, name });
    this.#history.onAnswered(name);
  }

  /**
   * Somebody asks for a committed offset; what comes back is given to what this returns.
   *
   * @param generation - of who asks; infinite for who asks when all is calm.
   */
  onFetch(partition: number, generation: number): (offset: number) => void {
    const count = this.#acknowledged.get(partition)?.length ?? 0;
    return (offset) => {
      const tried = this.#tried.get(partition) ?? -1;
      if (offset > tried) {
        throw new Violation("I12", `${offset} of ${partition} was never committed, only ${tried}`);
      }
      for (const known of this.#acknowledged.get(partition)?.slice(0, count) ?? []) {
        if (known.offset <= offset || known.generation > generation) continue;
        if (this.#history.isForgiven(known.name)) continue;
        throw new Violation(
          "I12",
          `the committed offset of ${partition} is ${offset} in generation ${generation}, and ${known.offset} was acknowledged in ${known.generation}`,
        );
      }
    };
  }

  #note(name: string): void {
    if (this.#names.has(name)) return;
    this.#names.add(name);
    this.#history.onWrite(name, "group", this.#names.size, this.#slot, -1);
  }
}

function nameOf(partition: number, generation: number, offset: number): string {
  return `offset ${offset} of ${partition} in ${generation}`;
}
