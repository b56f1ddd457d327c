/** When followers are answered at once, and when a moment later. */
import { beforeEach, expect, test } from "bun:test";
import { type FetchParameters, FetchRows } from "#replica/fetch-rows.ts";
import { FETCH_RESULT_COLUMNS, FetchColumn } from "#replica/log-port.ts";
import { FollowerAnswers } from "#server/follower-answers.ts";
import type { ConnectionInfo } from "#server/handler.ts";

const MAX_WAIT_MS = 500;

interface Wait {
  readonly minBytes: number;
  readonly ms: number;
  /** Ends the wait with this much found, or with an error. */
  end(bytes: number, errorCode?: number): void;
}

let nowMs: number;
let waits: Wait[];
let dropped: number[];
let answered: { readonly bytes: number; readonly plan: number }[];
let answers: FollowerAnswers<void>;

/** A connection is known by itself alone. */
const connections = [1, 2].map((id) => ({ id }) as ConnectionInfo);

beforeEach(() => {
  nowMs = 1_000;
  waits = [];
  dropped = [];
  answered = [];
  answers = new FollowerAnswers<void>({
    get monotonicMs() {
      return nowMs;
    },
    drop: (plan) => void dropped.push(plan),
    awaitReadable: (rows, { minBytes }, ms) =>
      new Promise((resolve) => {
        const end = (bytes: number, errorCode = 0): void => {
          set(rows, bytes, errorCode);
          resolve(7);
        };
        waits.push({ minBytes, ms, end });
      }),
  });
});

function set(rows: FetchRows, bytes: number, errorCode = 0): void {
  rows.results[FetchColumn.BYTES] = bytes;
  rows.results[FetchColumn.ERROR] = errorCode;
  rows.results[FetchColumn.DIVERGING_EPOCH] = -1;
  rows.results[FetchColumn.PREFERRED_REPLICA] = -1;
  expect(rows.results.length).toBeGreaterThanOrEqual(FETCH_RESULT_COLUMNS);
}

/** A fetch comes and finds this. */
function fetch(bytes: number, { connection = 0, errorCode = 0 } = {}): void {
  const rows = new FetchRows();
  rows.add(1, 0, 1 << 20, 0, 0, 0);
  set(rows, bytes, errorCode);
  const parameters: FetchParameters = {
    minBytes: 1,
    maxBytes: 10 << 20,
    hasMinOneMessage: true,
    isolation: 0,
  };
  const from = {
    connection: connections[connection] as ConnectionInfo,
    receivedMonotonicMs: nowMs,
  };
  void answers.answer({ rows, plan: 3, parameters, maxWaitMs: MAX_WAIT_MS }, from, (read, plan) => {
    answered.push({ bytes: read.result(0, FetchColumn.BYTES), plan });
  });
}

test("where nothing went on before, whatever is there or comes first is the answer", async () => {
  fetch(100);
  expect(answered).toEqual([{ bytes: 100, plan: 3 }]);
  nowMs += 1_000;
  fetch(0);
  expect([waits.map(({ minBytes, ms }) => [minBytes, ms]), dropped]).toEqual([
    [[1, MAX_WAIT_MS]],
    [3],
  ]);
  waits[0]?.end(50);
  await Bun.sleep(0);
  expect(answered.at(-1)).toEqual({ bytes: 50, plan: 7 });
});

test("one request under way at a time is never held up", async () => {
  fetch(128_000);
  for (let turn = 0; turn < 3; turn += 1) {
    nowMs += 1;
    fetch(0);
    waits.at(-1)?.end(128_000);
    await Bun.sleep(0);
  }
  expect(answered.length).toBe(4);
  expect(waits.map(({ minBytes }) => minBytes)).toEqual([1, 1, 1]);
});

test("several under way: what was just acknowledged is expected beside what is there", async () => {
  fetch(200_000);
  nowMs += 1;
  fetch(100_000);
  expect(waits.map(({ minBytes, ms }) => [minBytes, ms])).toEqual([[250_000, 1]]);
  waits[0]?.end(300_000);
  await Bun.sleep(0);
  expect(answered.map(({ bytes }) => bytes)).toEqual([200_000, 300_000]);
  // Nothing is there yet; what comes first is not all.
  nowMs += 1;
  fetch(0);
  waits[1]?.end(100_000);
  await Bun.sleep(0);
  expect(waits.slice(1).map(({ minBytes, ms }) => [minBytes, ms])).toEqual([
    [1, MAX_WAIT_MS],
    [225_000, 1],
  ]);
  // The moment is over: less will do, and less is expected then.
  waits[2]?.end(110_000);
  await Bun.sleep(0);
  expect(answered.at(-1)?.bytes).toBe(110_000);
  nowMs += 1;
  fetch(90_000);
  expect(waits.at(-1)?.minBytes).toBe(90_000 + 0.75 * 110_000);
});

test("a mebibyte is enough, an error is told at once, a wait without anything ends as it is", async () => {
  fetch(3 << 20);
  fetch(1 << 20);
  expect(answered.length).toBe(2);
  fetch(10, { errorCode: 6 });
  expect(answered.length).toBe(3);
  fetch(0);
  waits.at(-1)?.end(0);
  await Bun.sleep(0);
  fetch(1_000);
  fetch(0);
  waits.at(-1)?.end(0, 6);
  await Bun.sleep(0);
  expect([answered.length, waits.length]).toEqual([6, 2]);
});

test("small answers are not held back, however many are under way", () => {
  fetch(65_000);
  fetch(10_000);
  fetch(20_000);
  expect([answered.length, waits.length]).toEqual([3, 0]);
});

test("what went on some time ago, or with another follower, says nothing", () => {
  fetch(200_000);
  fetch(100, { connection: 1 });
  nowMs += 21;
  fetch(100);
  expect([answered.length, waits.length]).toEqual([3, 0]);
});
