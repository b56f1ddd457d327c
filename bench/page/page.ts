/**
 * A comparison as one HTML page that stands alone: no script, no font, no picture from elsewhere; plots are SVG and plain markup made
 * here, light or dark as the reader's system is. `page.ts RECORD.json [OUT.html]` writes it. It holds nothing that is not in the record.
 */
import { writeFileSync } from "node:fs";
import { decodeFromCompressedBase64 } from "hdr-histogram-js";
import { curvesOf, ratioOf, saturationOf } from "../judge.ts";
import {
  costOf,
  limitName,
  spreadOfRuns,
  type BenchRecord,
  type CaseRecord,
  type SystemRuns,
} from "../record.ts";
import { formatNumber, formatSpread, spreadOf } from "../statistics.ts";
import { caseColumns, caseRows, formatErrors, goalColumns, goalRows, goalText } from "../table.ts";
import type { Cost } from "../workloads/workload.ts";
import { barGroups, type Bar, type BarGroup } from "./bars.ts";
import { legend, lookIn, looksOf, type Looks } from "./colors.ts";
import { lineChart, type Axis, type Line } from "./line-chart.ts";
import { lifecycleSection } from "./lifecycles.ts";
import { escaped, table } from "./markup.ts";
import { style } from "./style.ts";

const units: Readonly<Record<Cost, string>> = {
  cpuSecondsPerValueGib: "s/GiB",
  cpuSecondsPer100kRequests: "s/100k",
};

// ---- latency by percentile ----

const percentiles = [0, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.98, 99.99];
const percentileAxis: Axis = {
  title: "percentile",
  isLogarithmic: true,
  ticks: [
    { at: 1, label: "0" },
    { at: 10, label: "90" },
    { at: 100, label: "99" },
    { at: 1000, label: "99.9" },
    { at: 10_000, label: "99.99" },
  ],
};

/** Points of a latency curve: one over what lies above the percentile, and ms. Percentiles finer than the samples are left out. */
export function latencyPoints(histogram: string): [number, number][] {
  const decoded = decodeFromCompressedBase64(histogram);
  return percentiles
    .map((percentile): [number, number] => [
      100 / (100 - percentile),
      decoded.getValueAtPercentile(percentile) / 1e6,
    ])
    .filter(([beyond, ms]) => beyond <= Math.max(2, decoded.totalCount) && ms > 0);
}

function latencyPlot(record: CaseRecord, looks: Looks): string {
  const lines: Line[] = Object.entries(record.systems).flatMap(([name, runs]) =>
    runs.mergedHistogram === null
      ? []
      : [{ name, look: lookIn(looks, name), points: latencyPoints(runs.mergedHistogram) }],
  );
  if (lines.every((line) => line.points.length === 0)) return "";
  return lineChart({
    title: record.workload.name,
    x: percentileAxis,
    y: { title: "latency, ms", isLogarithmic: true },
    lines,
    hasMarks: false,
  });
}

function latencySection(record: BenchRecord, looks: Looks): string {
  if (
    record.cases.every(({ systems }) =>
      Object.values(systems).every((runs) => runs.mergedHistogram === null),
    )
  )
    return "";
  const isFirst = (each: CaseRecord): boolean =>
    each.workload.isQuick === true || each.workload.series !== undefined;
  const plots = (cases: readonly CaseRecord[]): string =>
    `<div class="plots">${cases.map((each) => latencyPlot(each, looks)).join("")}</div>`;
  const rest = record.cases.filter((each) => !isFirst(each));
  return `<h2>Latency by percentile</h2>
<p class="dim">All runs of a case together. Open loop (<code>per-second</code> in the name): from the intended send time, so a stall counts for every request that it delayed. Closed loop: at saturation.</p>
${plots(record.cases.filter(isFirst))}
${rest.length > 0 ? `<details><summary>The other ${rest.length} cases</summary>${plots(rest)}</details>` : ""}`;
}

// ---- throughput against offered load ----

function curveSection(record: BenchRecord, looks: Looks): string {
  const curves = [...curvesOf(record.cases)].filter(([, points]) => points.length > 1);
  if (curves.length === 0) return "";
  const plots = curves.flatMap(([name, points]) => {
    const systems = Object.keys(points[0]?.systems ?? {});
    const along = (figure: (runs: SystemRuns) => number | undefined): Line[] =>
      systems.map((system) => ({
        name: system,
        look: lookIn(looks, system),
        points: points.flatMap((point): [number, number][] => {
          const runs = point.systems[system];
          const value = runs === undefined ? undefined : figure(runs);
          return value === undefined || value <= 0
            ? []
            : [[point.workload.ratePerSecond ?? 0, value]];
        }),
      }));
    const offered: Axis = { title: "offered, records/s", isLogarithmic: true };
    const chart = { x: offered, hasMarks: true };
    return [
      lineChart({
        ...chart,
        title: `${name}: throughput`,
        y: { title: "arrived, records/s", isLogarithmic: true },
        lines: along((runs) => spreadOfRuns(runs, (run) => run.requestsPerSecond)?.median),
        hasIdeal: true,
      }),
      ...(
        [
          ["p50", "median"],
          ["p99", "p99"],
          ["p999", "p99.9"],
        ] as const
      ).map(([key, label]) =>
        lineChart({
          ...chart,
          title: `${name}: ${label}`,
          y: { title: `${label} end to end, ms`, isLogarithmic: true },
          lines: along((runs) => runs.mergedLatencyMs?.[key]),
        }),
      ),
    ];
  });
  const held = curves.map(([name, points]) => {
    const rates = Object.keys(points[0]?.systems ?? {}).map((system) => {
      const rate = saturationOf(points, system);
      return `${system} ${rate === 0 ? "none" : rate.toLocaleString("en-US")}`;
    });
    return `${name}: highest offered rate held, records/s: ${rates.join(", ")}.`;
  });
  return `<h2>Throughput against offered load</h2>
<p class="dim">${escaped(held.join(" "))} The dotted line is what was offered.</p>
<div class="plots">${plots.join("")}</div>`;
}

// ---- bars ----

function costGroup(each: CaseRecord, cost: Cost, looks: Looks): BarGroup {
  const bars = Object.entries(each.systems).map(([name, runs]): Bar => {
    const isFailed = runs.runs.some((run) => !run.isValid) || runs.runs.length === 0;
    const spread = isFailed ? null : spreadOfRuns(runs, (run) => costOf(run, cost));
    const text = spread === null ? "no score" : `${formatNumber(spread.median)} ${units[cost]}`;
    return { name, look: lookIn(looks, name), value: spread?.median ?? null, text };
  });
  const result = each.goals.find(({ goal }) => goal.figure === cost && goal.against === "kafka");
  const rival = bars.find((bar) => bar.look.name === "second")?.value ?? null;
  const goal = result?.goal.atMost;
  return {
    title: each.workload.name,
    hint: each.workload.about,
    bars,
    goal: goal === undefined || rival === null ? null : goal * rival,
    note: each.ratio === null ? "" : `${formatNumber(each.ratio)} ×`,
    isMet: result === undefined || result.verdict === "no score" ? null : result.verdict === "met",
  };
}

function costSection(record: BenchRecord, cost: Cost, title: string, looks: Looks): string {
  const cases = record.cases.filter(
    (each) =>
      each.workload.cost === cost &&
      Object.values(each.systems).some((runs) =>
        runs.runs.some((run) => run.broker !== undefined || !run.isValid),
      ),
  );
  if (cases.length === 0) return "";
  return `<h2>${title}</h2>
<p class="dim">Median of the runs; shorter is better; each case has a scale of its own. Beside the name: ours over the rival's. The black or white mark is the goal.</p>
${barGroups(cases.map((each) => costGroup(each, cost, looks)))}`;
}

function limitSection(record: BenchRecord, looks: Looks): string {
  const groups = record.cases.flatMap((each): BarGroup[] => {
    const limit = each.systems[limitName];
    const rated = Object.entries(each.systems).filter(([name]) => name !== limitName);
    const { cost } = each.workload;
    const bars = rated.map(([name, runs]): Bar => {
      const value = ratioOf(runs, limit, cost);
      const text = value === null ? "no score" : `${formatNumber(value)} ×`;
      return { name, look: lookIn(looks, name), value, text };
    });
    if (bars.every((bar) => bar.value === null)) return [];
    const result = each.goals.find(({ goal }) => goal.against === "limit");
    return [
      {
        title: each.workload.name,
        hint: each.workload.about,
        bars: [{ name: limitName, look: lookIn(looks, limitName), value: 1, text: "1" }, ...bars],
        goal: result?.goal.figure === cost ? (result.goal.atMost ?? null) : null,
        note: result === undefined ? "" : goalText(result),
        isMet:
          result === undefined || result.verdict === "no score" ? null : result.verdict === "met",
      },
    ];
  });
  if (groups.length === 0) return "";
  return `<h2>Distance from the physical limit</h2>
<p class="dim">Broker CPU over that of a native server that only receives, writes and sends files, under the same load in the same run.</p>
${barGroups(groups)}`;
}

// ---- the rest ----

function settingsSection(record: BenchRecord): string {
  const blocks = Object.entries(record.systems).map(([name, system]) => {
    const lines = [
      ...Object.entries(system.config).map(([key, value]) => `${key}=${value}`),
      ...Object.entries(system.topicConfig).flatMap(([when, config]) =>
        Object.entries(config).map(([key, value]) => `# topics, ${when}: ${key}=${value}`),
      ),
    ];
    return `<h3>${escaped(name)}: ${escaped(system.version)}</h3><pre>${escaped(lines.join("\n"))}</pre>`;
  });
  const leftOut = record.cases.flatMap((each) =>
    Object.entries(each.leftOut).map(
      ([name, reason]) => `${each.workload.name} on ${name}: ${reason}`,
    ),
  );
  const list = leftOut.map((line) => `<li>${escaped(line)}</li>`).join("");
  return `<h2>Settings</h2>${blocks.join("")}${list === "" ? "" : `<h3>Left out</h3><ul>${list}</ul>`}`;
}

function goalSection(record: BenchRecord): string {
  const rows = goalRows(record);
  if (rows.length === 0) return "";
  const met = rows.filter((row) => row.verdict === "met").length;
  const isNoted = rows.some(({ cells }) => (cells[4] ?? "") !== "");
  const shown = isNoted ? goalColumns.length : goalColumns.length - 1;
  const coloured = table(
    goalColumns.slice(0, shown),
    rows.map((row) => row.cells.slice(0, shown)),
    2,
  ).replaceAll(
    /<td>(met|missed|limited|no score|not measured)<\/td>/g,
    (_cell, verdict: string) =>
      `<td class="${verdict === "met" || verdict === "missed" ? verdict : "open"}">${verdict}</td>`,
  );
  return `<h2>Goals: ${met} of ${rows.length} met</h2>
<div class="goals">${coloured}</div>`;
}

/** What could not be run, and first errors of runs without a score. */
function failureSection(record: BenchRecord): string {
  const errors = formatErrors(record.cases, (_colour, text) => text);
  if (errors === "") return "";
  const items = errors.split("\n").map((line) => `<li class="missed">${escaped(line)}</li>`);
  return `<h2>Without a score</h2><ul>${items.join("")}</ul>`;
}

/** The runs that the record was put together from, where they are several. */
function partsText({ parts }: BenchRecord): string {
  if (parts === undefined || parts.length < 2) return "";
  const items = parts.map(
    ({ command, commit, startedAt, measured }) =>
      `<code>${escaped(command)}</code> at ${escaped(startedAt.slice(0, 16).replace("T", " "))}, commit <code>${escaped(commit.slice(0, 12))}</code>, ${measured.length} measured`,
  );
  return `<p class="dim">Put together from ${parts.length} runs: ${items.join("; ")}.</p>`;
}

/** All figures of all cases: what went through and when, and what it took. */
function figureTables(record: BenchRecord): string {
  const rows = record.cases.flatMap(caseRows);
  const costs = caseColumns.indexOf("CPU s/GiB");
  const part = (title: string, from: number, to: number): string => {
    const pick = (cells: readonly string[]): string[] => [
      ...cells.slice(0, 2),
      ...cells.slice(from, to),
    ];
    return `<h3>${title}</h3>\n${table(pick(caseColumns), rows.map(pick), 2)}`;
  };
  return `<h2>All figures</h2>
${part("Rates and latency", 2, costs)}
${part("Processor, memory, disk", costs, caseColumns.length)}
<p class="dim">Disk B/B: bytes given to the file system for each byte of record values, indexes and all.</p>`;
}

/** The page. */
export function renderPage(record: BenchRecord): string {
  const names = Object.keys(record.systems);
  const looks = looksOf(names);
  const about = new Map(
    names.map((name) => [
      name,
      `<b>${escaped(name)}</b> ${escaped((record.systems[name]?.version ?? "").replace(`${name} `, "").replace(/^sluice-limit: /, ""))}`,
    ]),
  );
  const { machine, options } = record;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(names.join(", "))}: benchmark of ${escaped(record.startedAt.slice(0, 10))}</title>
<style>${style}</style>
</head>
<body>
<h1>${escaped(names.filter((name) => name !== limitName).join(" and "))} under the same load</h1>
<p class="dim">${escaped(`${machine["processor"]}, ${machine["cores"]} cores, ${machine["memoryMib"]} MiB, ${machine["kernel"]}, governor ${machine["governor"]}, load before ${machine["loadBefore"]}.`)}
Commit <code>${escaped(record.commit.slice(0, 12))}</code>${record.hasUncommittedChanges ? " with uncommitted changes" : ""}, ${escaped(record.startedAt.slice(0, 16).replace("T", " "))} UTC, <code>${escaped(record.command)}</code>.
Medians of ${options.runs} runs of ${options.secondsPerRun} s in turns, seed ${options.seed}${options.isQuick ? ": a quick look, for the order of magnitude" : ""}. Every answer was checked; a case with an error has no score.</p>
${partsText(record)}
${legend(looks, about)}
${goalSection(record)}
${failureSection(record)}
${costSection(record, "cpuSecondsPerValueGib", "Broker CPU per GiB of record values", looks)}
${costSection(record, "cpuSecondsPer100kRequests", "Broker CPU per 100,000 requests", looks)}
${limitSection(record, looks)}
${curveSection(record, looks)}
${latencySection(record, looks)}
${lifecycleSection(record, looks)}
${record.cases.length === 0 ? "" : figureTables(record)}
<h3>Memory</h3>
${table(
  ["system", "RSS idle, MiB", "after the load", "highest", "empty start, ms"],
  Object.entries(record.systems).map(([name, system]) => [
    name,
    formatNumber(system.residentIdleMib),
    formatNumber(system.residentAfterLoadMib),
    formatNumber(system.peakResidentMib),
    formatSpread(spreadOf(system.startUpMs)),
  ]),
)}
${settingsSection(record)}
</body>
</html>
`;
}

if (import.meta.main) {
  const [source, target] = process.argv.slice(2);
  if (source === undefined) {
    console.error("usage: page.ts RECORD.json [OUT.html]");
    process.exit(2);
  }
  const record: BenchRecord = await Bun.file(source).json();
  const page = target ?? source.replace(/(\.json)?$/, ".html");
  writeFileSync(page, renderPage(record));
  console.log(page);
}
