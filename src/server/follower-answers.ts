/**
 * When a follower's fetch is answered: once there is something, or a moment later where more is about to come. An answer costs both brokers
 * about the same whether it brings one batch or ten, and under load a fetch comes as soon as the last answer was written: it would find
 * what came in that short time, again and again.
 *
 * Each fetch also says what the follower has now, which lets producers that wait for it go on (acks=all), and their next batches come
 * within moments. So as much as was just acknowledged may be expected beside what is there already, and is waited for, briefly. A
 * single producer with one request under way is never held up: its next batch is all that was expected.
 *
 * ```
 * fetch finds   last answer   waits for
 *   0             128 KiB        96 KiB     one request under way: the next batch is enough
 * 256 KiB         256 KiB       448 KiB     four under way: two are here, two have just been acknowledged
 *   0               10 KiB        0         nothing much goes on: whatever comes first
 * ```
 */
import { type FetchParameters, type FetchRows, isReadable } from "#replica/fetch-rows.ts";
import { FetchColumn } from "#replica/log-port.ts";
import type { ReplicaManager } from "#replica/replica-manager.ts";
import type { ConnectionInfo } from "./handler.ts";

/** How long an answer may be held back, ms. */
const HOLD_MS = 1;
/** Of what was acknowledged, this share is waited for: producers are not all of one speed. */
const SHARE = 0.75;
/** Small answers are not held back: who writes little wants it soon, bytes. */
const WORTHWHILE_BYTES = 64 << 10;
/** An answer this large is not made cheaper by more, bytes. */
const ENOUGH_BYTES = 1 << 20;
/** What was answered longer ago than this says nothing of what comes, ms. */
const FRESH_MS = 20;

/** A fetch that came, and what a first read found for it. */
export interface FollowerFetch {
  /** Used by the next request as soon as `answer` returns. */
  readonly rows: FetchRows;
  readonly plan: number;
  readonly parameters: FetchParameters;
  readonly maxWaitMs: number;
}

/** What a connection of a follower was last answered with. */
interface LastAnswer {
  bytes: number;
  atMs: number;
}

/** See the head of the file. */
export class FollowerAnswers<T> {
  readonly #replicas: Pick<ReplicaManager, "awaitReadable" | "drop" | "monotonicMs">;
  readonly #last: WeakMap<ConnectionInfo, LastAnswer> = new WeakMap();

  constructor(replicas: Pick<ReplicaManager, "awaitReadable" | "drop" | "monotonicMs">) {
    this.#replicas = replicas;
  }

  /** Gives the rows and the plan to answer with to `respond`, now or later. */
  answer(
    { rows, plan, parameters, maxWaitMs }: FollowerFetch,
    {
      connection,
      receivedMonotonicMs,
    }: { readonly connection: ConnectionInfo; readonly receivedMonotonicMs: number },
    respond: (rows: FetchRows, plan: number) => T,
  ): T | Promise<T> {
    const replicas = this.#replicas;
    const { minBytes } = parameters;
    const last = this.#lastOf(connection);
    const isSomething = isReadable(rows, minBytes);
    const isTelling = last.bytes >= WORTHWHILE_BYTES && receivedMonotonicMs - last.atMs <= FRESH_MS;
    const expected = isTelling ? last.bytes * SHARE : 0;
    const foundBytes = isSomething ? bytesOf(rows) : 0;
    const wantedBytes = Math.max(minBytes, Math.min(ENOUGH_BYTES, foundBytes + expected));
    const answer = (read: FetchRows, readPlan: number): T => {
      last.bytes = bytesOf(read);
      last.atMs = replicas.monotonicMs;
      return respond(read, readPlan);
    };
    if (isReadable(rows, wantedBytes)) return answer(rows, plan);
    replicas.drop(plan);
    const own = rows.copy();
    const held: FetchParameters = { ...parameters, minBytes: wantedBytes };
    const hold = async (): Promise<T> =>
      answer(own, await replicas.awaitReadable(own, held, Math.min(HOLD_MS, maxWaitMs)));
    if (isSomething) return hold();
    return replicas.awaitReadable(own, parameters, maxWaitMs).then((readPlan) => {
      // Enough, or the time is over.
      if (isReadable(own, wantedBytes) || !isReadable(own, minBytes)) return answer(own, readPlan);
      replicas.drop(readPlan);
      return hold();
    });
  }

  #lastOf(connection: ConnectionInfo): LastAnswer {
    let last = this.#last.get(connection);
    if (last === undefined) {
      last = { bytes: 0, atMs: -Infinity };
      this.#last.set(connection, last);
    }
    return last;
  }
}

/** Bytes of records that the last read found. */
function bytesOf(rows: FetchRows): number {
  let bytes = 0;
  for (let row = 0; row < rows.count; row++) bytes += rows.result(row, FetchColumn.BYTES);
  return bytes;
}
