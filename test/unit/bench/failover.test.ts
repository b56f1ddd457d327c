/** What is made of failover runs: quantiles, verdicts, and that no run which lost data counts. */
import { describe, expect, test } from "bun:test";
import type { FailoverCase, FailoverRun } from "../../../bench/failover/record.ts";
import { summarize } from "../../../bench/failover/record.ts";
import { formatFailover, renderFailoverPlot } from "../../../bench/failover/report.ts";

const run = (outageMs: number | null, more: Partial<FailoverRun> = {}): FailoverRun => ({
  outageMs,
  inSyncMs: outageMs === null ? null : 500,
  lostCount: 0,
  error: null,
  load: 1,
  ...more,
});

const caseOf = (runs: readonly FailoverRun[]): FailoverCase => ({
  fault: "kill -9 of the leader",
  system: "sluice",
  goalMs: [300, 800],
  runs,
});

describe("failover runs", () => {
  test("are judged by median and 99th percentile", () => {
    const quick = Array.from({ length: 199 }, (_, at) => run(100 + at));
    const summary = summarize(caseOf([...quick, run(799)]));
    expect([summary.p50Ms, summary.p99Ms, summary.verdict]).toEqual([199, 297, "met"]);
    expect(summarize(caseOf([run(100), run(801)])).verdict).toBe("missed");
    expect(summarize(caseOf([run(301), run(302)])).verdict).toBe("missed");
  });

  test("have no score when one lost data, failed, or none was made", () => {
    expect(summarize(caseOf([run(100), run(100, { lostCount: 1 })])).verdict).toBe("no score");
    expect(summarize(caseOf([run(100), run(null, { error: "late" })])).verdict).toBe("no score");
    expect(summarize(caseOf([])).verdict).toBe("no score");
  });

  test("are shown with what went wrong", () => {
    const record = {
      schema: 1 as const,
      startedAt: "",
      finishedAt: "",
      command: "",
      commit: "",
      hasUncommittedChanges: false,
      machine: {},
      systems: {},
      cases: [caseOf([run(100), run(null, { error: "no leader" }), run(90, { lostCount: 2 })])],
    };
    const text = formatFailover(record, (_, line) => line);
    expect(text).toContain("no score, 1 failed, 2 lost");
    expect(text).toContain("kill -9 of the leader, sluice: no leader");
    expect(renderFailoverPlot(record).match(/<circle/g)?.length).toBe(2);
  });
});
