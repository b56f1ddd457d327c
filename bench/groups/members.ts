/**
 * A light member of a group, and a group of them in one process: the same code against every broker, nothing hidden, no fetches.
 *
 * A member is a loop over one connection of its own. What it holds is data that others may look at any time; whenever that
 * changes it tells its group, which looks whether everybody is settled. Heartbeats go out as clients send them: at once after the
 * assignment changed, otherwise at the interval.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Wire } from "../../test/differential/wire.ts";

/** What a member of either protocol shows. */
export interface Member {
  readonly memberId: string;
  /** Generation of a classic group, member epoch of a consumer group; -1 before the first. */
  readonly epoch: number;
  /** Partitions it owns now. */
  readonly owned: readonly number[];
  /** True when the broker has acknowledged that it owns exactly these. */
  readonly isStable: boolean;
  /** Joins, and stays until it is paused; rejects when the broker answers what must not be. */
  run(): Promise<void>;
  /** Ends the loop after the request under way; the member stays in the group. */
  pause(): void;
  /** Leaves the group, over any connection; after `pause`. */
  leave(wire: Wire): Promise<void>;
}

/** What a member needs. */
export interface MemberOptions {
  readonly wire: Wire;
  readonly groupId: string;
  readonly topic: string;
  readonly topicId: string;
  readonly partitions: number;
  readonly heartbeatMs: number;
  readonly onChange: () => void;
}

/** Session and rebalance timeouts: longer than any pause between two measured runs. */
export const SESSION_TIMEOUT_MS = 300_000;
export const CLIENT_ID = "group-bench";

/** Sleeps that can be cut short, so that ending fifty members takes no interval. */
export class Pauser {
  readonly #abort = new AbortController();

  get isPaused(): boolean {
    return this.#abort.signal.aborted;
  }

  pause(): void {
    this.#abort.abort();
  }

  async sleep(delayMs: number): Promise<void> {
    await sleep(delayMs, undefined, { signal: this.#abort.signal }).catch(() => {});
  }
}

/** Members of one group, and the moment at which they have settled. */
export class MemberGroup {
  readonly #partitions: number;
  readonly #members: Member[] = [];
  readonly #loops: Promise<void>[] = [];
  #expected = 0;
  #onSettled: (() => void) | null = null;
  #onFailed: ((error: unknown) => void) | null = null;

  constructor(partitions: number) {
    this.#partitions = partitions;
  }

  get members(): readonly Member[] {
    return this.#members;
  }

  /** To be given to members as `onChange`. */
  readonly look = (): void => {
    if (this.#onSettled !== null && this.#isSettled()) this.#onSettled();
  };

  /**
   * Starts members, all at once.
   *
   * @returns when the whole group is stable: one epoch, every partition owned once, shares that differ by one at most.
   */
  async start(members: readonly Member[], timeoutMs = 60_000): Promise<void> {
    this.#members.push(...members);
    this.#expected = this.#members.length;
    const settled = new Promise<void>((resolve, reject) => {
      this.#onSettled = resolve;
      this.#onFailed = reject;
    });
    const timer = setTimeout(
      () => this.#onFailed?.(new Error(`not settled after ${timeoutMs} ms: ${this.#describe()}`)),
      timeoutMs,
    );
    for (const member of members) {
      this.#loops.push(member.run().catch((error: unknown) => this.#onFailed?.(error)));
    }
    try {
      await settled;
    } finally {
      clearTimeout(timer);
      this.#onSettled = null;
    }
  }

  /** Ends all loops; the members stay in the group. */
  async pause(): Promise<void> {
    for (const member of this.#members) member.pause();
    await Promise.all(this.#loops);
  }

  /** Lets all members leave. */
  async leave(wire: Wire): Promise<void> {
    await this.pause();
    await Promise.all(this.#members.map((member) => member.leave(wire)));
  }

  #isSettled(): boolean {
    const [first] = this.#members;
    if (first === undefined || this.#members.length !== this.#expected) return false;
    if (this.#members.some((member) => !member.isStable || member.epoch !== first.epoch))
      return false;
    const least = Math.floor(this.#partitions / this.#expected);
    if (this.#members.some(({ owned }) => owned.length < least || owned.length > least + 1))
      return false;
    const all = this.#members.flatMap(({ owned }) => owned);
    return all.length === this.#partitions && new Set(all).size === all.length;
  }

  #describe(): string {
    const stable = this.#members.filter(({ isStable }) => isStable).length;
    const owned = this.#members.reduce((sum, member) => sum + member.owned.length, 0);
    const epochs = new Set(this.#members.map(({ epoch }) => epoch));
    return `${stable} of ${this.#expected} stable, ${owned} partitions owned, epochs ${[...epochs].join(" ")}`;
  }
}
