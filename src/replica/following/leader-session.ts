/**
 * A follower's side of a fetch session (KIP-227): the leader remembers what is read, so a request names only what changed. This keeps
 * what the leader knows, as far as the follower can tell, and whenever that is in doubt starts over with a request that names everything.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  type FetchPartition,
  type FetchRequest,
  makeFetchPartition,
  makeFetchTopic,
  makeForgottenTopic,
} from "#protocol/generated/fetch.ts";
import type { FollowerPartition } from "./follower-partition.ts";

/** The part of a request that a session decides. */
export type SessionRequest = Pick<
  FetchRequest,
  "sessionId" | "sessionEpoch" | "topics" | "forgottenTopicsData"
>;

/** What the leader was last told of a partition. */
interface Told {
  readonly partition: FollowerPartition;
  readonly fetchOffset: number;
  readonly lastFetchedEpoch: number;
  readonly logStartOffset: number;
  /** Number of the last request that wanted it. */
  requestCount: number;
}

const NO_SESSION_ID = 0;
const INITIAL_EPOCH = 0;

/** See the head of the file. */
export class LeaderSession {
  readonly #maxBytes: number;
  readonly #told: Map<string, Told> = new Map();
  #id = NO_SESSION_ID;
  #epoch = INITIAL_EPOCH;
  #requestCount = 0;

  /** @param maxBytes - of each partition in one answer. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** True when the next request names everything. */
  get isFull(): boolean {
    return this.#epoch === INITIAL_EPOCH;
  }

  /** The next request, for exactly these partitions. */
  request(partitions: readonly FollowerPartition[]): SessionRequest {
    const topics = new Map<string, FetchPartition[]>();
    const forgotten = new Map<string, number[]>();
    if (this.isFull) this.#told.clear();
    const requestCount = ++this.#requestCount;
    for (const partition of partitions) {
      const told = this.#told.get(partition.key);
      if (told !== undefined && isUpToDate(told, partition)) {
        told.requestCount = requestCount;
        continue;
      }
      const { fetchOffset, lastFetchedEpoch, logStartOffset, assignment } = partition;
      this.#told.set(partition.key, {
        partition,
        fetchOffset,
        lastFetchedEpoch,
        logStartOffset,
        requestCount,
      });
      listOf(topics, assignment.topicId).push(
        makeFetchPartition({
          partition: assignment.partition,
          currentLeaderEpoch: assignment.leaderEpoch,
          fetchOffset,
          lastFetchedEpoch,
          logStartOffset,
          partitionMaxBytes: this.#maxBytes,
        }),
      );
    }
    if (this.#told.size > partitions.length) {
      for (const [key, { partition, requestCount: wantedBy }] of this.#told) {
        if (wantedBy === requestCount) continue;
        this.#told.delete(key);
        listOf(forgotten, partition.assignment.topicId).push(partition.assignment.partition);
      }
    }
    return {
      sessionId: this.#id,
      sessionEpoch: this.#epoch,
      topics: [...topics].map(([topicId, listed]) =>
        makeFetchTopic({ topicId, partitions: listed }),
      ),
      forgottenTopicsData: [...forgotten].map(([topicId, indexes]) =>
        makeForgottenTopic({ topicId, partitions: indexes }),
      ),
    };
  }

  /** True when an answer to the last request is about this partition, in this epoch and from where it is now. */
  isAnswerFor(partition: FollowerPartition): boolean {
    const told = this.#told.get(partition.key);
    return told?.partition === partition && told.fetchOffset === partition.fetchOffset;
  }

  /**
   * Takes the session part of an answer.
   *
   * @returns false when the answer is about the session only: nothing was read, and the next request names everything.
   */
  onAnswer(errorCode: number, sessionId: number): boolean {
    switch (errorCode) {
      case ErrorCode.NONE:
        break;
      case ErrorCode.FETCH_SESSION_ID_NOT_FOUND:
        this.#id = NO_SESSION_ID;
        this.#epoch = INITIAL_EPOCH;
        return false;
      default:
        this.restart();
        return false;
    }
    if (sessionId === NO_SESSION_ID) {
      // No room for a session, or the leader ended it with this answer.
      this.#id = NO_SESSION_ID;
      this.#epoch = INITIAL_EPOCH;
    } else if (this.isFull) {
      this.#id = sessionId;
      this.#epoch = 1;
    } else {
      this.#epoch = this.#epoch === 0x7fffffff ? 1 : this.#epoch + 1;
    }
    return true;
  }

  /** Whether the leader got the last request is unknown: the next one ends the session, if there is one, and names everything. */
  restart(): void {
    this.#epoch = INITIAL_EPOCH;
  }
}

function isUpToDate(told: Told, partition: FollowerPartition): boolean {
  return (
    told.partition === partition &&
    told.fetchOffset === partition.fetchOffset &&
    told.lastFetchedEpoch === partition.lastFetchedEpoch &&
    told.logStartOffset === partition.logStartOffset
  );
}

function listOf<T>(lists: Map<string, T[]>, key: string): T[] {
  let list = lists.get(key);
  if (list === undefined) {
    list = [];
    lists.set(key, list);
  }
  return list;
}
