/**
 * Fetch sessions (KIP-227): the broker remembers which partitions a consumer reads and from where, so that a request
 * names only what changed and a response only what is new.
 *
 * A session is a list of partitions and an epoch that every request must continue by one. The cache is bounded: a new
 * session gets in when there is room, when another has been unused for the eviction time, or when a smaller one has been
 * there that long; otherwise the consumer goes on without a session, which costs bytes and nothing else.
 */
import type { PartitionEntry } from "#replica/partition-directory.ts";
import type { Random } from "#common/time.ts";

export const INVALID_SESSION_ID = 0;
/** Epoch of a request that wants a new session. */
export const INITIAL_EPOCH = 0;
/** Epoch of a request that wants none. */
export const FINAL_EPOCH = -1;

/** What a consumer reads of one partition, and what it was last told. */
export interface SessionPartition {
  /** Empty when the request named the topic by an id we do not know. */
  topic: string;
  topicId: string;
  readonly index: number;
  fetchOffset: number;
  maxBytes: number;
  currentLeaderEpoch: number;
  lastFetchedEpoch: number;
  /** Log start offset of a follower; -1 from consumers. */
  followerLogStartOffset: number;
  /** What a follower knows of the high watermark, where it wants to hear of a higher one at once (KIP-1166); else null. */
  knownHighWatermark: number | null;
  /** Last answered; -1 when an error was, or nothing yet. */
  highWatermark: number;
  logStartOffset: number;
  /** What the directory said at `generation`. */
  entry: PartitionEntry | undefined;
  generation: number;
}

/** Identity of a partition within a session. */
export function partitionKey(
  topic: string,
  topicId: string,
  index: number,
  usesIds: boolean,
): string {
  return usesIds ? `${topicId}-${index}` : `${topic}-${index}`;
}

/** One consumer's session. */
export interface FetchSession {
  readonly id: number;
  readonly usesTopicIds: boolean;
  readonly createdMs: number;
  lastUsedMs: number;
  /** Epoch that the next request must have. */
  epoch: number;
  /** In the order in which they are read; one that returned records goes to the end, so that all get their turn. */
  readonly partitions: Map<string, SessionPartition>;
}

/** The epoch after `epoch`: it wraps around to 1. */
export function nextEpoch(epoch: number): number {
  return epoch < 0 ? FINAL_EPOCH : epoch === 0x7fffffff ? 1 : epoch + 1;
}

/** Sessions of one thread. */
export class FetchSessionCache {
  readonly #maxEntries: number;
  readonly #evictionMs: number;
  readonly #random: Random;
  /** Least recently used first. */
  readonly #sessions: Map<number, FetchSession> = new Map();

  /**
   * @param maxEntries - `max.incremental.fetch.session.cache.slots`; 0 for no sessions at all.
   * @param evictionMs - time after which an unused session, or a smaller one, may make room.
   */
  constructor(maxEntries: number, evictionMs: number, random: Random) {
    this.#maxEntries = maxEntries;
    this.#evictionMs = evictionMs;
    this.#random = random;
  }

  /** Sessions in the cache. */
  get size(): number {
    return this.#sessions.size;
  }

  get(id: number): FetchSession | undefined {
    return this.#sessions.get(id);
  }

  remove(id: number): void {
    this.#sessions.delete(id);
  }

  /** Notes that a session was used now. */
  touch(session: FetchSession, nowMs: number): void {
    session.lastUsedMs = nowMs;
    this.#sessions.delete(session.id);
    this.#sessions.set(session.id, session);
  }

  /** Creates a session with these partitions, or returns null when there is no room for it. */
  create(
    partitions: Map<string, SessionPartition>,
    usesTopicIds: boolean,
    nowMs: number,
  ): FetchSession | null {
    if (this.#sessions.size >= this.#maxEntries && !this.#evict(partitions.size, nowMs)) {
      return null;
    }
    const session: FetchSession = {
      id: this.#newId(),
      usesTopicIds,
      createdMs: nowMs,
      lastUsedMs: nowMs,
      epoch: nextEpoch(INITIAL_EPOCH),
      partitions,
    };
    this.#sessions.set(session.id, session);
    return session;
  }

  #evict(partitionCount: number, nowMs: number): boolean {
    let victim: FetchSession | null = null;
    for (const session of this.#sessions.values()) {
      if (nowMs - session.lastUsedMs > this.#evictionMs) {
        victim = session;
        break;
      }
      if (
        nowMs - session.createdMs > this.#evictionMs &&
        session.partitions.size < (victim?.partitions.size ?? partitionCount)
      ) {
        victim = session;
      }
    }
    if (victim === null) return false;
    this.#sessions.delete(victim.id);
    return true;
  }

  #newId(): number {
    for (;;) {
      const id = 1 + Math.floor(this.#random.next() * 0x7ffffffe);
      if (!this.#sessions.has(id)) return id;
    }
  }
}
