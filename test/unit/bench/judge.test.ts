/** What became of goals, records put together from several, and the README's part of it. */
import { describe, expect, test } from "bun:test";
import { judge, judgeCurves, saturationOf } from "../../../bench/judge.ts";
import { headOf } from "../../../bench/lifecycle-figures.ts";
import { putBetweenMarks } from "../../../bench/markdown.ts";
import { inOrder, mergeRecords, partsOf } from "../../../bench/merge.ts";
import {
  rivalOf,
  subjectOf,
  type BenchRecord,
  type CaseRecord,
  type SystemRuns,
} from "../../../bench/record.ts";
import { renderReadmeTable } from "../../../bench/report.ts";
import { lockShares, renderScaling, waitingAt } from "../../../bench/scaling.ts";
import { goalRows } from "../../../bench/table.ts";
import { lifecycleGoals } from "../../../bench/workloads/goals.ts";
import { caseOf, emptyRecord, latencyMs, runOf, runsOf, small } from "./records.ts";

describe("goals", () => {
  test("a case is met, missed, or has no score when any run failed", () => {
    const kafka = runsOf(runOf(10), runOf(12), runOf(11));
    const failed = runOf(1, { isValid: false, errors: 1, firstError: "lost" });
    const judged = (ours: SystemRuns, theirs?: SystemRuns): unknown[] => {
      const sides = theirs === undefined ? { sluice: ours } : { kafka: theirs, sluice: ours };
      const { ratio, goals } = judge(small, sides);
      return [ratio, ...goals.map(({ verdict }) => verdict)];
    };
    expect(judged(runsOf(runOf(5.5)), kafka)).toEqual([0.5, "met"]);
    expect(judged(runsOf(runOf(6)), kafka)[1]).toBe("missed");
    expect(judged(runsOf(runOf(1), failed), kafka)).toEqual([null, "no score"]);
    expect(judged(runsOf(), kafka)).toEqual([null, "no score"]);
    expect(judged(runsOf(runOf(1)))).toEqual([null]);
  });

  test("the limit is nobody's rival, and a goal against it is judged by it", () => {
    const goals = [{ figure: "requestsPerSecond", against: "limit", atLeast: 0.7 }] as const;
    const sides = {
      limit: runsOf(runOf(2, { requestsPerSecond: 2000 })),
      staging: runsOf(runOf(8)),
      sluice: runsOf(runOf(4, { requestsPerSecond: 1500 })),
    };
    expect(judge({ ...small, goals }, sides)).toEqual({
      ratio: 0.5,
      limitRatio: 2,
      goals: [{ goal: goals[0], ratio: 0.75, verdict: "met" }],
    });
    expect(subjectOf({ limit: 1, staging: 1 })).toBe("staging");
    expect(rivalOf({ limit: 1, staging: 1 })).toBeUndefined();
  });

  test("a curve is judged at its point nearest to half of the rival's saturation", () => {
    const point = (rate: number, ours: number, theirs: number): CaseRecord => {
      const at = (p99: number, requestsPerSecond: number): SystemRuns =>
        runsOf(runOf(1, { requestsPerSecond, latencyMs: { ...latencyMs, p99 } }));
      const load = {
        ...small,
        name: `at ${rate}`,
        series: "curve",
        ratePerSecond: rate,
        goals: [{ figure: "p99Ms", against: "kafka", atMost: 1 / 3 }] as const,
      };
      const systems = { sluice: at(ours, rate), kafka: at(theirs, Math.min(rate, 4100)) };
      return { workload: load, systems, leftOut: {}, ...judge(load, systems) };
    };
    const points = [point(1000, 1, 4), point(2000, 2, 5), point(4000, 3, 90), point(8000, 4, 900)];
    expect(points.flatMap(({ goals }) => goals)).toEqual([]);
    expect([saturationOf(points, "kafka"), saturationOf(points, "sluice")]).toEqual([4000, 8000]);
    const judged = judgeCurves(points);
    expect(judged.map(({ goals }) => goals.map(({ ratio, verdict }) => [ratio, verdict]))).toEqual([
      [],
      [[0.4, "missed"]],
      [],
      [],
    ]);
  });

  test("a side that was asked for and did not come is no score; one that was not asked for is no goal", () => {
    const ours = { sluice: runsOf(runOf(1)) };
    const verdicts = (asked: readonly string[]): string[] =>
      judge(small, ours, asked).goals.map(({ verdict }) => verdict);
    expect(verdicts(["kafka"])).toEqual(["no score"]);
    expect(verdicts(["limit"])).toEqual([]);
    expect(judge(small, {}, ["sluice", "kafka"]).goals.map(({ verdict }) => verdict)).toEqual([
      "no score",
    ]);
  });

  test("a throughput is limited where the generator is full, or the limit is no further ahead; else it is missed", () => {
    const goals = [{ figure: "recordsPerSecond", against: "kafka", atLeast: 2 }] as const;
    const at = (recordsPerSecond: number, generatorCpuSeconds: number): SystemRuns =>
      runsOf(runOf(1, { recordsPerSecond, generatorCpuSeconds }));
    const verdictOf = (systems: Record<string, SystemRuns>): unknown[] =>
      judge({ ...small, goals }, systems).goals.map(({ verdict, note }) => [verdict, note ?? ""]);
    const kafka = at(100, 0.2);
    expect(verdictOf({ sluice: at(150, 0.95), kafka })).toEqual([
      ["limited", "the generator used 0.95 of its one core"],
    ]);
    expect(verdictOf({ sluice: at(150, 0.5), kafka })).toEqual([["missed", ""]]);
    expect(verdictOf({ sluice: at(150, 0.5), kafka, limit: at(300, 0.5) })[0]).toEqual([
      "missed",
      "",
    ]);
    expect(String(verdictOf({ sluice: at(150, 0.5), kafka, limit: at(180, 0.5) }))).toContain(
      "limited,the physical limit reaches 1.80 × kafka",
    );
    expect(verdictOf({ sluice: at(120, 0.5), kafka, limit: at(180, 0.5) })[0]).toEqual([
      "missed",
      "",
    ]);
    expect(verdictOf({ sluice: at(210, 0.99), kafka })).toEqual([["met", ""]]);
  });

  test("a curve whose rival held nothing has no score, one whose rival held all says so", () => {
    const goals = [{ figure: "p99Ms", against: "kafka", atMost: 1 / 3 }] as const;
    const point = (rate: number, theirs: number): CaseRecord =>
      caseOf(
        {
          sluice: runsOf(runOf(1, { requestsPerSecond: rate })),
          kafka: runsOf(runOf(1, { requestsPerSecond: theirs })),
        },
        { name: `at ${rate}`, series: "curve", ratePerSecond: rate, goals },
      );
    const verdicts = (points: CaseRecord[]): unknown[] =>
      judgeCurves(points).flatMap(({ goals: judged }) =>
        judged.map(({ verdict, note }) => [verdict, note ?? ""]),
      );
    expect(verdicts([point(1000, 10), point(2000, 10)])).toEqual([["no score", ""]]);
    expect(verdicts([point(1000, 1000), point(2000, 2000)])).toEqual([
      ["missed", "kafka held every rate, up to 2000 a second"],
    ]);
    // Judged once more, with a point that came later: the earlier verdict goes.
    const first = judgeCurves([point(1000, 1000), point(2000, 2000)]);
    expect(judgeCurves([...first, point(4000, 4000)]).map(({ goals: all }) => all.length)).toEqual([
      0, 1, 0,
    ]);
  });

  test("every goal that was asked for has a line, measured or not", () => {
    const record: BenchRecord = {
      ...emptyRecord,
      options: { ...emptyRecord.options, mode: "goals" },
    };
    const rows = goalRows(record);
    expect(new Set(rows.map(({ verdict }) => verdict))).toEqual(new Set(["not measured"]));
    const names = rows.map(({ cells }) => cells[0]);
    for (const { lifecycle } of lifecycleGoals) expect(names).toContain(lifecycle);
    expect(names).toContain("produce-128KiB-1200x100B-1conn");
    expect(goalRows(emptyRecord)).toEqual([]);
  });
});

describe("several runs as one record", () => {
  const failedRun = runOf(1, { isValid: false, firstError: "lost" });
  const sides = { sluice: runsOf(runOf(4)), kafka: runsOf(runOf(10)) };
  const broken = { sluice: runsOf(failedRun), kafka: runsOf(runOf(10)) };
  const first: BenchRecord = {
    ...emptyRecord,
    command: "first half",
    cases: [caseOf(sides, { name: "fetch-1record-64conn" }), caseOf(sides, { name: "twice" })],
    lifecycles: [{ name: "start-empty", about: "", systems: { sluice: [] } }],
  };
  const second: BenchRecord = {
    ...emptyRecord,
    startedAt: "2026-01-02T00:00:00Z",
    commit: "fedcba",
    command: "second half",
    cases: [caseOf(broken, { name: "twice" }), caseOf(sides, { name: "produce-100B-1conn" })],
  };

  test("all cases in their order, a clean one before a failed one, each run told", () => {
    const merged = mergeRecords([second, first]);
    expect(merged.cases.map(({ workload: { name }, ratio }) => [name, ratio])).toEqual([
      ["twice", 0.4],
      ["produce-100B-1conn", 0.4],
      ["fetch-1record-64conn", 0.4],
    ]);
    expect(merged.lifecycles.map(({ name }) => name)).toEqual(["start-empty"]);
    expect(merged.startedAt).toBe(first.startedAt);
    expect(partsOf(merged).map(({ command, measured }) => [command, measured.length])).toEqual([
      ["first half", 3],
      ["second half", 2],
    ]);
    expect(partsOf(mergeRecords([merged])).length).toBe(2);
    expect(inOrder(merged.cases)).toEqual([...merged.cases]);
  });

  test("runs of other options or another machine do not stand beside each other", () => {
    const longer = { ...second, options: { ...second.options, secondsPerRun: 5 } };
    expect(() => mergeRecords([first, longer])).toThrow("different conditions");
    const elsewhere = { ...second, machine: { ...second.machine, cores: 64 } };
    expect(() => mergeRecords([first, elsewhere])).toThrow("different conditions");
    expect(() => mergeRecords([])).toThrow("no record");
  });

  test("the README's part: cases with goals, starts, goals that were not met; put between its marks", () => {
    const record: BenchRecord = {
      ...first,
      cases: [...first.cases, caseOf(sides, { name: "no-goal", goals: [] })],
      lifecycles: [
        {
          name: "start-empty",
          about: "",
          systems: {
            sluice: [{ figures: { firstAnswerMs: 160 }, error: null }],
            kafka: [{ figures: { firstAnswerMs: 3000 }, error: null }],
          },
        },
      ],
    };
    const text = renderReadmeTable(record);
    expect(text).toContain("| twice | 1,000/s |");
    expect(text).not.toContain("no-goal");
    expect(text).toContain("| start-empty: spawn to first answer | 160 ms | 3,000 ms |");
    expect(text).toContain("Goals: 2 of 3 met.");
    expect(text).toContain("- `start-empty`: spawn to first answer ≤ 150 ms, missed at 160");
    const document = "a\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nb\n";
    expect(putBetweenMarks(document, "bench", "new\n")).toBe(
      "a\n<!-- bench: begin -->\n\nnew\n\n<!-- bench: end -->\nb\n",
    );
    expect(() => putBetweenMarks("a", "bench", "new")).toThrow("there is no");
  });
});

test("figures of lifecycles have titles and units", () => {
  expect(headOf("idleCores")).toBe("CPU while idle, cores");
  expect(headOf("produce100B.appendContentionsPer100k")).toBe(
    "produce100B, waits for the lock append, /100k requests",
  );
  expect(headOf("somethingElse")).toBe("somethingElse");
});

describe("the scaling model from counters", () => {
  const shape = (
    figures: Readonly<Record<string, number>>,
  ): { figures: typeof figures; error: null }[] => [{ figures, error: null }];
  const one = { fetch1MiBRequestsPerSecond: 900, fetch1MiBCpuSecondsPer100k: 30 };
  const two = {
    fetch1MiBRequestsPerSecond: 1000,
    fetch1MiBCpuSecondsPer100k: 33,
    fetch1MiBRequestsCounted: 30_000,
    "fetch1MiB.plansContentionsPer100k": 4000,
    "fetch1MiB.readContentionsPer100k": 100,
    "fetch1MiB.appendContentionsPer100k": 0,
  };

  test("waits with two threads are the share of time that one holds the lock; more threads meet it more often", () => {
    const shares = lockShares(new Map(Object.entries(two)));
    expect(shares.map(({ lock, share }) => [lock, share])).toEqual([
      ["plans", 0.02],
      ["read", 0.001],
    ]);
    const alone = new Map([["fetch1MiB.plansContentionsPer100k", 1000]]);
    expect(lockShares(new Map(Object.entries(two)), alone)[0]?.share).toBe(0.015);
    const [plans] = shares;
    expect(
      plans === undefined ? [] : [2, 16, 64, 1000].map((count) => waitingAt(plans, count)),
    ).toEqual([0.02, 0.3, 1, 1]);
  });

  test("it names what is held for half of the time, and wants a record of cores", () => {
    const record: BenchRecord = {
      ...emptyRecord,
      lifecycles: [
        {
          name: "cores",
          about: "",
          systems: {
            "sluice 1 thread on 1 processor": shape(one),
            "sluice 2 threads on 2 processors": shape(two),
            "kafka 1 thread on 1 processor": shape(one),
          },
        },
      ],
    };
    const text = renderScaling(record);
    expect(text).toContain("| fetch1MiB | 30.0 | 33.0 |");
    expect(text).toContain("| fetch1MiB, `plans` | 4,000 | 2.00 % | 30.0 % | 100 % | 50.0 |");
    expect(text).toContain("no wait for `append` in 30,000 requests");
    expect(text).toContain("No lock is held for half of the time at 16 threads.");
    expect(text).toContain(
      "At 64 threads these are held for half of the time or more: `plans` under fetch1MiB.",
    );
    expect(() => renderScaling(emptyRecord)).toThrow("no `cores`");
  });
});
