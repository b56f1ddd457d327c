/** The judges are judged: each planted fault must be found, and a faultless history must not be. */
import { describe, expect, test } from "bun:test";
import {
  CommitChecker,
  LogChecker,
  type LoggedRecord,
  TopicChecker,
  TrimChecker,
} from "./checkers.ts";

/** Producer "a" sent ten records to partition 0; the first eight are acknowledged at their offsets. */
function history(): { checker: LogChecker; log: LoggedRecord[] } {
  const checker = new LogChecker();
  checker.sending("a", 0, 9);
  checker.acknowledged("a", 0, 0, 3, 0);
  checker.acknowledged("a", 0, 4, 7, null);
  const log = Array.from({ length: 10 }, (_, number) => ({
    offset: number,
    producer: "a",
    number,
  }));
  return { checker, log };
}

const renumbered = (log: readonly LoggedRecord[]): LoggedRecord[] =>
  log.map((record, offset) => ({ ...record, offset }));

describe("LogChecker", () => {
  test("accepts a log with all acknowledged records, with or without those of unknown fate", () => {
    const { checker, log } = history();
    expect(checker.check(0, log)).toEqual([]);
    expect(checker.check(0, log.slice(0, 8))).toEqual([]);
  });

  test("finds a lost record at the end", () => {
    const { checker, log } = history();
    expect(checker.check(0, log.slice(0, 7))).toEqual(["lost: a/0/7 to 7 were acknowledged"]);
  });

  test("finds a lost record in the middle", () => {
    const { checker, log } = history();
    const findings = checker.check(0, renumbered(log.filter(({ number }) => number !== 5)));
    expect(findings).toEqual(["hole: a/0/6 at 5, wanted 5"]);
  });

  test("finds an empty log", () => {
    expect(history().checker.check(0, [])).toEqual(["lost: a/0/0 to 7 were acknowledged"]);
  });

  test("finds a doubled record", () => {
    const { checker, log } = history();
    const doubled = renumbered([...log.slice(0, 6), ...log.slice(5)]);
    expect(checker.check(0, doubled)[0]).toBe("doubled or out of order: a/0/5 at 6, 5 came before");
  });

  test("finds two records out of order", () => {
    const { checker, log } = history();
    const swapped = [...log];
    [swapped[5], swapped[6]] = [
      { offset: 5, producer: "a", number: 6 },
      { offset: 6, producer: "a", number: 5 },
    ];
    expect(checker.check(0, swapped)).toEqual([
      "hole: a/0/6 at 5, wanted 5",
      "doubled or out of order: a/0/5 at 6, 6 came before",
    ]);
  });

  test("finds a record that moved from its acknowledged offset", () => {
    const { checker, log } = history();
    const moved = [
      { offset: 0, producer: "b", number: 0 },
      ...log.map((record) => ({ ...record, offset: record.offset + 1 })),
    ];
    checker.sending("b", 0, 0);
    expect(checker.check(0, moved)[0]).toBe("moved: a/0/0 was acknowledged at 0, is at 1");
  });

  test("finds a record that was never sent", () => {
    const { checker, log } = history();
    expect(checker.check(0, [...log, { offset: 10, producer: "a", number: 10 }])).toEqual([
      "never sent: a/0/10 at 10",
    ]);
  });

  test("finds that what a consumer saw is gone", () => {
    const { checker, log } = history();
    checker.seen(0, { offset: 8, producer: "a", number: 8 });
    expect(checker.check(0, log)).toEqual([]);
    expect(checker.check(0, log.slice(0, 8))).toEqual([
      "a consumer saw a/0/8 at 8, there is nothing now",
    ]);
  });

  test("finds a hole in the offsets", () => {
    const { checker, log } = history();
    const shifted = log.map((record) =>
      record.number < 8 ? record : { ...record, offset: record.offset + 1 },
    );
    expect(checker.check(0, shifted)).toEqual(["offset 9 follows 7 in partition 0"]);
  });
});

describe("CommitChecker", () => {
  test("accepts the acknowledged commit and a later one of unknown fate", () => {
    const checker = new CommitChecker();
    checker.sending(0, 5);
    checker.acknowledged(0, 5);
    checker.sending(0, 9);
    expect([5, 9].map((offset) => checker.check(0, offset))).toEqual([[], []]);
  });

  test("finds a lost commit, a commit gone back, and one nobody made", () => {
    const checker = new CommitChecker();
    checker.sending(0, 5);
    checker.acknowledged(0, 5);
    expect([-1, 4, 6].map((offset) => checker.check(0, offset).length)).toEqual([1, 1, 1]);
  });
});

describe("TrimChecker", () => {
  /** Ten records, the last two of unknown fate; deletion up to 4 was asked for. */
  function trimmed(): { checker: TrimChecker; log: LoggedRecord[] } {
    const checker = new TrimChecker(false);
    for (let number = 0; number < 10; number += 1) {
      checker.sending();
      if (number < 8) checker.acknowledged(number, number);
    }
    checker.trimming(4);
    const log = Array.from({ length: 10 }, (_, number) => ({
      offset: number,
      producer: "t",
      number,
    }));
    return { checker, log };
  }

  test("accepts any start up to the deletion, with or without records of unknown fate", () => {
    const { checker, log } = trimmed();
    expect(checker.check(0, log)).toEqual([]);
    expect(checker.check(4, log.slice(4, 8))).toEqual([]);
  });

  test("finds a start beyond the deletion", () => {
    const { checker, log } = trimmed();
    expect(checker.check(5, log.slice(5))).toEqual(["the log starts at 5, only up to 4 was to go"]);
  });

  test("finds a lost record, one out of order, and one never sent", () => {
    const { checker, log } = trimmed();
    expect(checker.check(4, log.slice(4, 7))).toEqual([
      "lost: 7 was acknowledged at 7, there is nothing",
    ]);
    const [a, b] = [log[8] as LoggedRecord, log[9] as LoggedRecord];
    const swapped = [...log.slice(0, 8), { ...b, offset: 8 }, { ...a, offset: 9 }];
    expect(checker.check(0, swapped)).toEqual(["out of order: 8 at 9 after 9"]);
    expect(checker.check(0, [...log, { offset: 10, producer: "t", number: 10 }])).toEqual([
      "never sent: 10 at 10",
    ]);
  });

  test("finds a log that retention left empty beyond its end", () => {
    const checker = new TrimChecker(true);
    checker.acknowledged(checker.sending(), 0);
    expect(checker.check(1, [])).toEqual([]);
    expect(checker.check(7, []).length).toBe(1);
  });
});

describe("TopicChecker", () => {
  test("finds a topic that is gone, and one that came back; not one whose fate is open", () => {
    const checker = new TopicChecker();
    for (const name of ["there", "gone", "open"]) checker.acknowledged(name, name !== "gone");
    checker.changing("open");
    expect(checker.check(new Set(["there"]))).toEqual([]);
    expect(checker.check(new Set(["gone"]))).toEqual([
      "topic there was created, is not there",
      "topic gone was deleted, is there",
    ]);
  });
});
