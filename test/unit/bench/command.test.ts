/** The benchmark's command, its progress, what clients say, and the scales of its plots: everything that reads or computes. */
import { describe, expect, test } from "bun:test";
import { isNeeded, reasonToLeaveOut } from "../../../bench/cases.ts";
import { brokerCost, readProducerPerformance } from "../../../bench/clients/client-program.ts";
import { BenchUsageError, readCases, readSystems } from "../../../bench/command.ts";
import { lineChart, shortNumber, ticksOf } from "../../../bench/page/line-chart.ts";
import { formatDuration, Progress } from "../../../bench/progress.ts";
import type { BenchRecord } from "../../../bench/record.ts";
import { keptOf } from "../../../bench/run.ts";
import { workloads } from "../../../bench/workloads/index.ts";
import { workload, type Workload } from "../../../bench/workloads/workload.ts";

const names = (systems: readonly { readonly name: string }[]): string[] =>
  systems.map(({ name }) => name);

describe("targets", () => {
  test("ours comes first and the limit last, whatever the order; a running cluster stands for itself", () => {
    expect(names(readSystems({}, 1))).toEqual(["sluice", "kafka", "limit"]);
    expect(names(readSystems({ target: ["limit", "kafka", "sluice"] }, 1))).toEqual([
      "sluice",
      "kafka",
      "limit",
    ]);
    expect(names(readSystems({ target: ["limit", "kafka"] }, 3))).toEqual(["kafka"]);
    const given = { bootstrap: ["old=h:9092"], pid: [`old=${process.pid}`] };
    const [running] = readSystems(given, 1);
    expect([running?.name, running?.isOurs]).toEqual(["old", false]);
  });

  test("a running cluster has the processes that were named, and no directory", async () => {
    const given = { bootstrap: ["old=h:9092"], pid: [`old=${process.pid}`] };
    const running = await readSystems(given, 1)[0]?.start({ directory: "", port: 0 });
    expect(running?.pids).toEqual([process.pid]);
    expect(running?.dataDirectory).toBeNull();
  });

  test("what is wrong is said", () => {
    const wrong: [Parameters<typeof readSystems>[0], string][] = [
      [{ target: ["mystery"] }, "there are sluice, kafka, limit"],
      [{ bootstrap: ["h:9092"] }, "NAME=VALUE"],
      [{ bootstrap: ["a=h"] }, "NAME=HOST:PORT"],
      [{ bootstrap: ["kafka=h:1"], target: ["kafka"] }, "given twice"],
      [{ bootstrap: ["a=h:1"], pid: [`b=${process.pid}`] }, "no --bootstrap of that name"],
      [{ bootstrap: ["a=h:1"], pid: ["a=999999999"] }, "no such process"],
    ];
    for (const [given, message] of wrong) {
      expect(() => readSystems(given, 1)).toThrow(message);
      expect(() => readSystems(given, 1)).toThrow(BenchUsageError);
    }
  });
});

describe("cases", () => {
  test("all, the quick ones, replicated ones on a cluster, or those named", () => {
    const all = readCases({}, 1);
    expect(all.workloads.length).toBe(workloads.filter((each) => each.replication === 1).length);
    expect(all.lifecycles.has("restart-after-kill")).toBe(true);
    const quick = readCases({ quick: true }, 1);
    expect(quick.workloads.every((each) => each.isQuick === true)).toBe(true);
    expect([...quick.lifecycles]).toEqual(["start-empty"]);
    const replicated = readCases({}, 3);
    expect(replicated.workloads.every((each) => each.replication === 3)).toBe(true);
    const some = readCases({ workload: ["produce-100B-1conn,start-2000", "fan-out"] }, 1);
    expect(names(some.workloads)).toEqual([
      "produce-100B-1conn",
      ...names(workloads).filter((name) => name.startsWith("fan-out")),
    ]);
    expect([...some.lifecycles]).toEqual([
      "start-2000-partitions",
      "start-2000-partitions-after-kill",
    ]);
    expect(readCases({ workload: ["start-empty"] }, 1).workloads).toEqual([]);
    expect(() => readCases({ workload: ["dance"] }, 1)).toThrow(BenchUsageError);
  });

  test("the workloads cover what was asked for", () => {
    const has = (accepts: (each: (typeof workloads)[number]) => boolean): boolean =>
      workloads.some(accepts);
    const sizes = [100, 1024, 64 << 10, 1 << 20];
    expect(sizes.filter((size) => !has((each) => each.valueBytes === size))).toEqual([]);
    expect([1, 6, 100, 2000].filter((count) => !has((each) => each.partitions === count))).toEqual(
      [],
    );
    expect([1, 64, 1000].filter((count) => !has((each) => each.connections === count))).toEqual([]);
    expect(["none", "lz4", "zstd"].filter((codec) => !has((each) => each.codec === codec))).toEqual(
      [],
    );
    expect(has((each) => each.consumers === 5) && has((each) => each.isCold === true)).toBe(true);
  });

  test("a system is left out with its reason", () => {
    const cold = workloads.find((each) => each.isCold === true);
    const client = workloads.find((each) => each.client === "java");
    const broker = { isBroker: true };
    const none = new Map();
    const somewhere = { dataDirectory: "d" };
    const load = workload({ name: "x", about: "", verb: "produce", cost: "cpuSecondsPerValueGib" });
    expect(reasonToLeaveOut(load, { isBroker: false }, { dataDirectory: null }, none)).toBeNull();
    expect(reasonToLeaveOut(cold ?? load, broker, somewhere, none)).toBeNull();
    expect(reasonToLeaveOut(cold ?? load, broker, { dataDirectory: null }, none)).toContain(
      "not known here",
    );
    expect(reasonToLeaveOut(client ?? load, { isBroker: false }, somewhere, none)).not.toBeNull();
    const missing = new Map([["java", "no Java"] as const]);
    expect(reasonToLeaveOut(client ?? load, broker, somewhere, missing)).toBe("no Java");
  });
});

describe("clients", () => {
  test("the last line of ProducerPerformance is read, and nothing else is taken for it", () => {
    const output = [
      "400 records sent, 80.0 records/sec (0.01 MB/sec), 9.0 ms avg latency, 20.0 ms max latency.",
      "1000 records sent, 250.5 records/sec (0.02 MB/sec), 3.10 ms avg latency, 40.00 ms max latency, 2 ms 50th, 8 ms 95th, 12 ms 99th, 30 ms 99.9th.",
    ].join("\n");
    const figures = readProducerPerformance(output);
    expect(figures?.elapsedSeconds).toBeCloseTo(1000 / 250.5, 6);
    expect(figures?.latencyMs).toEqual({
      count: 1000,
      mean: 3.1,
      p50: 2,
      p90: 8,
      p99: 12,
      p999: 30,
      max: 40,
    });
    expect(readProducerPerformance("org.apache.kafka.common.KafkaException")).toBeNull();
  });

  test("cost is by what went through", () => {
    const load = { elapsedSeconds: 4, records: 200_000, valueBytes: 2 ** 29 };
    const cost = brokerCost(2, load, { now: 10, peak: 20 });
    expect(cost).toMatchObject({
      cores: 0.5,
      cpuSecondsPerValueGib: 4,
      cpuSecondsPer100kRequests: 1,
      cpuSecondsPerMillionRecords: 10,
    });
  });
});

describe("progress", () => {
  test("durations", () => {
    expect([3, 65, 3725, -1].map(formatDuration)).toEqual([
      "3 s",
      "1 min 05 s",
      "1 h 02 min",
      "0 s",
    ]);
  });

  test("a terminal sees the step and the time left, a pipe only what stays", () => {
    for (const isTerminal of [true, false]) {
      let written = "";
      let nowMs = 0;
      const stream = { isTerminal, write: (text: string): void => void (written += text) };
      const progress = new Progress(stream, () => nowMs);
      progress.say("begin");
      progress.begin(90);
      progress.step("one", 30);
      nowMs = 60_000;
      progress.step("two", 60);
      progress.say("stays");
      progress.end();
      const moving =
        "  one, 0 s passed, about 1 min 30 s left\r\u001b[2K  two, 1 min 00 s passed, about 2 min 00 s left\r\u001b[2K";
      expect(written).toBe(`begin\n${isTerminal ? moving : ""}stays\n`);
    }
  });
});

describe("going on", () => {
  const run = { isValid: true };
  const side = (...runs: readonly { readonly isValid: boolean }[]): unknown => ({ runs });
  const record = {
    cases: [
      { workload: { name: "clean" }, systems: { sluice: side(run), kafka: side(run) }, goals: [] },
      {
        workload: { name: "failed" },
        systems: { sluice: side(run, { isValid: false }) },
        goals: [],
      },
      { workload: { name: "empty" }, systems: {}, goals: [] },
      {
        workload: { name: "open" },
        systems: { sluice: side(run) },
        goals: [{ verdict: "no score" }],
      },
      {
        workload: { name: "other" },
        systems: { sluice: side(run, { isValid: false }) },
        goals: [],
      },
    ],
    lifecycles: [
      { name: "start-empty", systems: { sluice: [{ error: null }] } },
      { name: "cores", systems: { sluice: [{ error: "no" }] } },
    ],
  } as unknown as BenchRecord;

  test("what was clean or is not asked for is kept, the rest is run again", () => {
    const wanted = ["clean", "failed", "empty", "open"].map((name) => ({ name }) as Workload);
    const given = {
      earlier: record,
      workloads: wanted,
      lifecycles: new Set(["start-empty", "cores"]),
      systems: readSystems({}, 1),
    };
    const kept = keptOf(given);
    expect(kept.cases.map(({ workload: { name } }) => name)).toEqual(["clean", "other"]);
    expect(kept.lifecycles.map(({ name }) => name)).toEqual(["start-empty"]);
    const alone = keptOf({ ...given, systems: readSystems({ target: ["sluice"] }, 1) });
    expect(alone.cases.map(({ workload: { name } }) => name)).toEqual(["other"]);
    expect(keptOf({ ...given, earlier: null }).cases).toEqual([]);
  });

  test("the goals alone: every goal of one node has its case, and the limit comes where a goal is about it", () => {
    const { workloads: chosen } = readCases({ goals: true }, 1);
    const goalsOf = (cases: readonly Workload[]): Set<string> =>
      new Set(cases.flatMap(({ goals }) => goals.map((goal) => JSON.stringify(goal))));
    expect(goalsOf(chosen)).toEqual(goalsOf(workloads.filter((each) => each.replication === 1)));
    expect(readCases({ goals: true, workload: ["produce"] }, 1).workloads).toEqual(
      chosen.filter(({ name }) => name.startsWith("produce")),
    );
    expect(names(readCases({ goals: true, workload: ["fan-out-1KiB"] }, 1).workloads)).toEqual([
      "fan-out-1KiB-5consumers-1000-per-second",
    ]);
    const cold = chosen.find(({ isMemoryCold }) => isMemoryCold === true);
    const large = chosen.find(({ name }) => name === "produce-128KiB-1200x100B-1conn");
    const needed = [cold, large].map((each) =>
      each === undefined ? null : isNeeded({ isBroker: false }, each, "goals"),
    );
    expect(needed).toEqual([false, true]);
    expect(() => readCases({ goals: true, quick: true }, 1)).toThrow(BenchUsageError);
  });
});

describe("plots", () => {
  test("ticks are round and cover the range", () => {
    const labels = (...given: Parameters<typeof ticksOf>): string[] =>
      ticksOf(...given).map(({ label }) => label);
    expect(labels(0, 97, false)).toEqual(["0", "20", "40", "60", "80", "100"]);
    expect(labels(0, 0.03, false)).toEqual(["0", "0.01", "0.02", "0.03"]);
    expect(labels(0.05, 300, true)).toEqual(["0.01", "0.1", "1", "10", "100", "1,000"]);
    expect(labels(2, 60, true)).toEqual(["2", "5", "10", "20", "50", "100"]);
    expect([1234, 64_000, 2_500_000].map(shortNumber)).toEqual(["1,234", "64k", "2.5M"]);
  });

  test("a line goes where its points are", () => {
    const look = { name: "first", dash: "", mark: "circle" } as const;
    const points: [number, number][] = [
      [1, 1],
      [100, 10],
    ];
    const chart = lineChart({
      title: "a <title>",
      x: { title: "x", isLogarithmic: true },
      y: { title: "y, ms", isLogarithmic: true },
      lines: [{ name: "ours", look, points }],
      hasMarks: true,
    });
    expect(chart).toContain("a &lt;title&gt;");
    expect(chart).toContain('points="58.0,216.0 358.0,12.0"');
    expect(chart.match(/<circle/g)?.length).toBe(2);
  });
});
