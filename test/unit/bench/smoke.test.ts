/**
 * Keeps the benches alive: every micro-benchmark runs a few times, every workload turns into arguments, and a record turns
 * into a table, a page and a plot. Nothing is timed here.
 */
import { describe, expect, test } from "bun:test";
import { build, encodeIntoCompressedBase64 } from "hdr-histogram-js";
import { perfMap, readJitDump } from "../../../bench/jit-dump.ts";
import { mergeLatency } from "../../../bench/latency.ts";
import { loadArguments } from "../../../bench/load-generator.ts";
import { measure, smoke } from "../../../bench/micro/harness.ts";
import { suites } from "../../../bench/micro/index.ts";
import { judge } from "../../../bench/judge.ts";
import type { BenchRecord } from "../../../bench/record.ts";
import { renderPage } from "../../../bench/page/page.ts";
import { renderMarkdown, renderPlot, renderReadmeTable } from "../../../bench/report.ts";
import { formatSpread, spreadOf } from "../../../bench/statistics.ts";
import { formatRecord, paintFor } from "../../../bench/table.ts";
import { selectWorkloads, workloads } from "../../../bench/workloads/index.ts";
import { emptyRecord, runOf, runsOf, small } from "./records.ts";

describe("micro-benchmarks", () => {
  test("every task runs and gives a number", async () => {
    const checks = await smoke(suites);
    expect(checks.size).toBeGreaterThan(10);
    expect([...checks].filter(([, check]) => !Number.isFinite(check))).toEqual([]);
  });

  test("a measurement has the samples asked for and keeps the last result", () => {
    let calls = 0;
    const result = measure("suite", { name: "count", samples: 20, run: () => (calls += 1) });
    expect({ operations: result.operations, check: result.check }).toEqual({
      operations: 20,
      check: calls,
    });
    expect(result.p99Ns).toBeGreaterThanOrEqual(result.p50Ns);
  });
});

describe("workloads", () => {
  test("names are unique and every one becomes arguments of the generator", () => {
    expect(new Set(workloads.map((each) => each.name)).size).toBe(workloads.length);
    for (const each of workloads) {
      const options = { bootstrap: "h:1", seed: 1, seconds: 1, warmSeconds: 0, topicConfig: {} };
      const [verb, ...pairs] = loadArguments(each, options);
      expect(verb).toBe(each.verb);
      expect((each.verb === "client") === (each.client !== undefined)).toBe(true);
      expect(pairs.length % 2).toBe(0);
      expect(each.verb === "fetch" && each.inflight !== 1).toBe(false);
    }
  });

  test("arguments carry what the workload says", () => {
    const options = {
      bootstrap: "h:1",
      pids: [7],
      seed: 3,
      seconds: 2,
      warmSeconds: 1,
      topicConfig: { a: "b" },
    };
    expect(loadArguments({ ...small, acks: -1, ratePerSecond: 10 }, options).join(" ")).toBe(
      "produce --bootstrap h:1 --connections 1 --partitions 1 --inflight 1 --records 1 --value-bytes 100 --codec none --consumers 1 --acks -1" +
        " --rate 10 --seed 3 --warm-seconds 1 --seconds 2 --replication 1 --pid 7 --topic-config a=b",
    );
  });

  test("a selection takes names and beginnings, and refuses what is not there", () => {
    expect(selectWorkloads(["produce-100B-64conn"]).map((each) => each.name)).toEqual([
      "produce-100B-64conn",
    ]);
    expect(selectWorkloads(["fetch-1MiB"]).length).toBeGreaterThan(1);
    expect(() => selectWorkloads(["dance"])).toThrow("no case dance");
  });
});

describe("figures", () => {
  test("a spread is median, minimum and maximum", () => {
    expect(spreadOf([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
    expect(spreadOf([4, 1, 2, 3])).toEqual({ median: 2.5, min: 1, max: 4 });
    expect([
      formatSpread(spreadOf([])),
      formatSpread(spreadOf([1234])),
      formatSpread(spreadOf([0.5, 12])),
    ]).toEqual(["–", "1,234", "6.25 (0.500–12.0)"]);
  });

  test("latencies of runs merge into one histogram, failed runs left out", () => {
    const encoded = (valueNs: number): string => {
      const histogram = build({ highestTrackableValue: 1e11, numberOfSignificantValueDigits: 3 });
      for (let index = 0; index < 100; index++) histogram.recordValue(valueNs);
      return encodeIntoCompressedBase64(histogram);
    };
    const merged = mergeLatency([
      runOf(1, { latencyHistogram: encoded(1_000_000) }),
      runOf(1, { latencyHistogram: encoded(3_000_000) }),
      runOf(1, { latencyHistogram: encoded(9_000_000), isValid: false }),
    ]);
    expect(merged?.latencyMs.count).toBe(200);
    expect(merged?.latencyMs.p50).toBeCloseTo(1, 2);
    expect(merged?.latencyMs.p99).toBeCloseTo(3, 2);
    expect(mergeLatency([])).toBeNull();
  });

  test("a record becomes a table, a page and a plot", () => {
    const sides = { sluice: runsOf(runOf(4)), kafka: runsOf(runOf(10)) };
    const broken = {
      sluice: runsOf(runOf(4, { isValid: false, errors: 2, firstError: "a <lost> record" })),
      kafka: runsOf(runOf(10)),
    };
    const record: BenchRecord = {
      ...emptyRecord,
      cases: [
        { workload: small, systems: sides, leftOut: {}, ...judge(small, sides) },
        {
          workload: { ...small, name: "broken" },
          systems: broken,
          leftOut: { limit: "no <reason>" },
          ...judge(small, broken),
        },
      ],
      lifecycles: [
        {
          name: "start-empty",
          about: "",
          systems: {
            sluice: [{ figures: { firstAnswerMs: 100 }, error: null }],
            kafka: [{ figures: {}, error: "it <fell>" }],
          },
        },
      ],
    };
    const plain = formatRecord(record, paintFor({}));
    expect(plain).not.toContain("\u001b");
    expect(plain).toMatch(/small +CPU\/request ≤ 0.5 × kafka +0.400 +met/);
    expect(plain).toContain("it <fell>");
    expect(plain).toContain("3 goals: 2 met, 1 no score");
    expect(plain).toContain("no score");
    expect(plain).toContain("broken on sluice: 2 errors, first: a <lost> record");
    expect(plain).toMatch(/empty start to first answer, ms +sluice +200 +≤ 150 missed/);
    expect(plain).toMatch(/RSS after the load, MiB +sluice +250 +≤ 200 missed/);
    const page = renderMarkdown(record, "plot.svg");
    expect(page).toContain("| small | sluice | 1,000 |");
    expect(page).toContain("![broker CPU by case](plot.svg)");
    const plot = renderPlot(record);
    expect(plot.match(/<rect x=/g)?.length).toBe(4);
    expect(plot).toContain("sluice no score");
    const readme = renderReadmeTable(record);
    expect(readme).toContain(
      "| small | 1,000/s | 1,000/s | 4.00 s/100k | 10.0 s/100k | 0.400 | – |",
    );
    const html = renderPage(record);
    expect(html).toContain("Goals: 2 of 3 met");
    expect(html).toContain("no &lt;reason&gt;");
    expect(html).not.toMatch(/<(script|link|img)|https?:|url\(/);
  });
});

describe("names for compiled code", () => {
  test("a jitdump becomes a map, newest code first, and a cut record is left out", () => {
    const header = new Uint8Array(40);
    const view = new DataView(header.buffer);
    view.setUint32(0, 0x4a695444, true);
    view.setUint32(8, 40, true);
    const loaded = (address: bigint, name: string): Uint8Array => {
      const text = new TextEncoder().encode(`${name}\0`);
      const record = new Uint8Array(56 + text.length + 4);
      const fields = new DataView(record.buffer);
      fields.setUint32(4, record.length, true);
      fields.setBigUint64(32, address, true);
      fields.setBigUint64(40, 4n, true);
      record.set(text, 56);
      return record;
    };
    const whole = Buffer.concat([
      header,
      loaded(16n, "old"),
      loaded(32n, "b c"),
      loaded(16n, "new"),
    ]);
    const functions = readJitDump(Buffer.concat([whole, loaded(64n, "cut").subarray(0, 50)]));
    expect(functions.map(({ name }) => name)).toEqual(["old", "b c", "new"]);
    expect(perfMap(functions)).toBe("10 4 JS new\n20 4 JS b c\n");
    expect(readJitDump(new Uint8Array(3))).toEqual([]);
  });
});
