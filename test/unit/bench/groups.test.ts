/**
 * Keeps the group benchmark alive: each workload runs once, tiny, against the broker of this checkout, and what runs leave
 * behind is judged, printed and drawn. Nothing is timed here, and no Kafka is needed.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiVersionsApi, makeApiVersionsRequest } from "#protocol/generated/api-versions.ts";
import { ConsumerGroupHeartbeatApi } from "#protocol/generated/consumer-group-heartbeat.ts";
import { runOffsets } from "../../../bench/groups/offsets.ts";
import { runRebalances } from "../../../bench/groups/rebalance.ts";
import {
  compareFigures,
  failedRun,
  type GroupBenchRecord,
  type GroupRun,
} from "../../../bench/groups/record.ts";
import { renderGroupPage, renderGroupPlot } from "../../../bench/groups/report.ts";
import { encodeScript } from "../../../bench/groups/script.ts";
import { runSteady } from "../../../bench/groups/steady.ts";
import { formatGroupRecord } from "../../../bench/groups/table.ts";
import { cpuSecondsOf, startUsage } from "../../../bench/groups/usage.ts";
import {
  type GroupWorkload,
  groupWorkloads,
  type Protocol,
  selectGroupWorkloads,
} from "../../../bench/groups/workloads.ts";
import { self } from "../../../bench/systems/self.ts";
import { freePort, type RunningSystem } from "../../../bench/systems/system.ts";
import { paintFor } from "../../../bench/table.ts";
import { Wire } from "../../differential/wire.ts";

const settings = {
  "group.initial.rebalance.delay.ms": "0",
  "group.consumer.assignment.interval.ms": "0",
  "group.consumer.min.heartbeat.interval.ms": "10",
  "group.consumer.heartbeat.interval.ms": "10",
};

function workloadOf<Kind extends GroupWorkload["kind"]>(
  kind: Kind,
): Extract<GroupWorkload, { kind: Kind }> {
  const found = groupWorkloads.find(
    (each): each is Extract<GroupWorkload, { kind: Kind }> => each.kind === kind,
  );
  if (found === undefined) throw new Error(`no workload of kind ${kind}`);
  return found;
}

describe("each workload, once, on our broker", () => {
  let directory = "";
  let running: RunningSystem | null = null;
  let servesConsumerGroups = false;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "group-bench-test-"));
    const port = await freePort();
    running = await self.start({ directory: join(directory, "broker"), port, settings });
    using wire = await Wire.connect(running.bootstrap);
    const { apiKeys } = await wire.send(ApiVersionsApi, 0, makeApiVersionsRequest());
    servesConsumerGroups = apiKeys.some(({ apiKey }) => apiKey === ConsumerGroupHeartbeatApi.key);
  });

  afterAll(async () => {
    await running?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  function broker(): { bootstrap: string; pid: number } {
    if (running === null) throw new Error("the broker did not start");
    return { bootstrap: running.bootstrap, pid: running.pid };
  }

  test.each<Protocol>(["classic", "consumer"])("rebalance, %s", async (protocol) => {
    // Until the broker serves the protocol there is nothing to run.
    if (protocol === "consumer" && !servesConsumerGroups) return;
    const workload = {
      ...workloadOf("rebalance"),
      protocol,
      membersBefore: 2,
      membersAfter: 5,
      partitions: 11,
    };
    const run = await runRebalances({ ...broker(), workload, repetitions: 2, heartbeatMs: 10 });
    expect({ isValid: run.isValid, firstError: run.firstError }).toEqual({
      isValid: true,
      firstError: null,
    });
    expect(run.figures["rebalanceMs"]).toBeGreaterThan(0);
  });

  test.each<Protocol>(["classic", "consumer"])("heartbeats, %s", async (protocol) => {
    if (protocol === "consumer" && !servesConsumerGroups) return;
    const workload = {
      ...workloadOf("heartbeat"),
      protocol,
      members: 6,
      membersPerGroup: 3,
      connections: 2,
    };
    const common = { system: self, seconds: 0, warmSeconds: 0, partitions: 7, smokeRounds: 3 };
    const run = await runSteady({ ...broker(), ...common, workload });
    expect(run.figures).toEqual({ heartbeats: 18 });
  });

  test.each(["page-cache", "fsync"] as const)("commits, %s", async (durability) => {
    const workload = {
      ...workloadOf("commit"),
      connections: 2,
      partitionsPerCommit: 3,
      durability,
    };
    const common = { system: self, seconds: 0, warmSeconds: 0, partitions: 7, smokeRounds: 4 };
    const run = await runSteady({ ...broker(), ...common, workload });
    expect(run.figures).toEqual({ commits: 8 });
  });

  test("offsets, with two restarts", async () => {
    const workload = { ...workloadOf("offsets"), groups: 7, partitionsPerGroup: 3 };
    const place = join(directory, "offsets");
    const run = await runOffsets({
      system: self,
      settings,
      directory: place,
      workload,
      settleMs: 1,
    });
    expect(run.isValid).toBe(true);
    expect(run.figures["startToAllGroupsMs"]).toBeGreaterThan(0);
    expect(run.figures["heapGrowthMib"]).toBeUndefined();
    // Two starts of a broker and all that is loaded: seconds on a busy machine.
  }, 60_000);
});

describe("scripts", () => {
  test("have the layout that the generator reads", () => {
    const exchange = { records: 2, request: Uint8Array.of(7, 8), answer: Uint8Array.of(9) };
    expect([...encodeScript([[exchange]])]).toEqual(
      [1, 1, 2, 2].flatMap((value) => [0, 0, 0, value]).concat([7, 8], [0, 0, 0, 1], [9]),
    );
  });
});

describe("figures", () => {
  test("this process used CPU, and a process that is gone is an error", () => {
    const end = startUsage(process.pid);
    expect(cpuSecondsOf(process.pid)).toBeGreaterThan(0);
    expect(end().elapsedSeconds).toBeGreaterThan(0);
    expect(() => cpuSecondsOf(2 ** 31 - 1)).toThrow("no process");
  });

  test("names are unique, and a selection takes names and beginnings", () => {
    expect(new Set(groupWorkloads.map(({ name }) => name)).size).toBe(groupWorkloads.length);
    expect(
      selectGroupWorkloads(["rebalance-classic", "heartbeat"]).map(({ name }) => name),
    ).toEqual(["rebalance-classic", "heartbeat-classic", "heartbeat-consumer"]);
    expect(() => selectGroupWorkloads(["dance"])).toThrow("no workload dance");
  });

  const runOf = (figures: Record<string, number>): GroupRun => ({
    ...failedRun(""),
    isValid: true,
    firstError: null,
    figures,
  });
  const commit = workloadOf("commit");
  const ours = [1000, 3000, 2000].map((rate) =>
    runOf({ commitsPerSecond: rate, cpuSecondsPer100k: 6 }),
  );
  const theirs = [runOf({ commitsPerSecond: 1000, cpuSecondsPer100k: 10 })];

  test("rates are compared as times, and one failed run leaves no score", () => {
    expect(compareFigures(commit.figures, ours, theirs)).toEqual([
      { figure: "commitsPerSecond", ratio: 0.5, verdict: "met" },
      { figure: "cpuSecondsPer100k", ratio: 0.6, verdict: "missed" },
    ]);
    const spoilt = compareFigures(commit.figures, [...ours, failedRun("lost")], theirs);
    expect(spoilt.map(({ verdict }) => verdict)).toEqual(["no score", "no score"]);
    const alone = compareFigures(commit.figures, ours, undefined);
    expect(alone.map(({ verdict }) => verdict)).toEqual(["no goal", "no goal"]);
  });

  test("a record becomes a table, a page and a plot", () => {
    const broken = [failedRun(new Error("a <lost> offset"))];
    const system = { version: "1.0", config: { "group.initial.rebalance.delay.ms": "0" } };
    const record: GroupBenchRecord = {
      schema: 1,
      startedAt: "2026-01-01T00:00:00Z",
      finishedAt: "2026-01-01T00:01:00Z",
      command: "bun bench/groups/run.ts",
      commit: "0123456789abcdef",
      hasUncommittedChanges: false,
      machine: { processor: "x", cores: 2, memoryMib: 1, kernel: "k", loadBefore: "0 0 0" },
      options: { runs: 3, secondsPerRun: 1, rebalancesPerRun: 1, heartbeatMs: 10 },
      systems: { self: system, kafka: system },
      cases: [
        {
          workload: commit,
          systems: { self: ours, kafka: theirs },
          comparisons: compareFigures(commit.figures, ours, theirs),
        },
        {
          workload: workloadOf("heartbeat"),
          systems: { self: broken, kafka: theirs },
          comparisons: compareFigures(workloadOf("heartbeat").figures, broken, theirs),
        },
      ],
    };
    const plain = formatGroupRecord(record, paintFor({}));
    expect(plain).not.toContain("\u001b");
    expect(plain).toMatch(/commits\/s +2,000 \(1,000–3,000\) +1,000 +0\.500 +≤ 0\.5 met/);
    expect(plain).toContain("≤ 0.5 missed");
    expect(plain).toContain("heartbeat-classic on self: a <lost> offset");
    const page = renderGroupPage(record, "plot.svg");
    expect(page).toContain("![ratio by figure](plot.svg)");
    expect(page).toContain("group.initial.rebalance.delay.ms=0");
    const plot = renderGroupPlot(record);
    expect(plot.match(/<rect x=/g)?.length).toBe(2);
  });
});
