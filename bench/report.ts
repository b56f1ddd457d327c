/**
 * Turns a record into Markdown: `report.ts RECORD.json [OUT.md]` writes all of it, and beside it an SVG with one bar a system for the
 * cost of each case; `report.ts --readme RECORD.json` prints the short table of the README. Nothing is in them that is not in the
 * JSON. The page with plots is made by `page/page.ts`.
 */
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import {
  costOf,
  figureOf,
  rivalOf,
  spreadOfRuns,
  subjectOf,
  type BenchRecord,
  type CaseRecord,
} from "./record.ts";
import { formatNumber } from "./statistics.ts";
import { caseColumns, caseRows, goalRows, wholeRows } from "./table.ts";
import type { Figure } from "./workloads/workload.ts";

export const markdownTable = (
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

export const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** The short table: for each case our rate and CPU, the rival's, and both ratios. */
export function renderReadmeTable(record: BenchRecord): string {
  const own = subjectOf(record.systems) ?? "";
  const rival = rivalOf(record.systems);
  const rows = record.cases.map((each) => {
    const { cost } = each.workload;
    const unit = cost === "cpuSecondsPerValueGib" ? "s/GiB" : "s/100k";
    const rate: Figure =
      cost === "cpuSecondsPerValueGib" ? "recordsPerSecond" : "requestsPerSecond";
    const cell = (name: string | undefined, figure: Figure, suffix: string): string => {
      const runs = name === undefined ? undefined : each.systems[name];
      const spread = spreadOfRuns(runs, (run) => figureOf(run, figure));
      return spread === null ? "–" : `${formatNumber(spread.median)}${suffix}`;
    };
    const ratio = (value: number | null): string => (value === null ? "–" : formatNumber(value));
    return [
      each.workload.name,
      cell(own, rate, "/s"),
      cell(rival, rate, "/s"),
      cell(own, cost, ` ${unit}`),
      cell(rival, cost, ` ${unit}`),
      ratio(each.ratio),
      ratio(each.limitRatio),
    ];
  });
  const head = ["case", own, rival ?? "–", `CPU ${own}`, `CPU ${rival ?? "–"}`, "ratio", "× limit"];
  const { machine, options } = record;
  return `${machine["processor"]}, ${machine["cores"]} cores; medians of ${options.runs} runs of ${options.secondsPerRun} s; commit \`${record.commit.slice(0, 12)}\`; \`${record.command}\`

${markdownTable(head, rows)}
`;
}

function latencyRows(cases: readonly CaseRecord[]): string[][] {
  return cases.flatMap((record) =>
    Object.entries(record.systems).map(([name, runs]) => {
      const merged = runs.mergedLatencyMs;
      const cells =
        merged === null ? [] : [merged.p50, merged.p90, merged.p99, merged.p999, merged.max];
      const texts = cells.length > 0 ? cells.map(formatNumber) : ["–", "–", "–", "–", "–"];
      return [record.workload.name, name].concat(texts);
    }),
  );
}

/** The whole page. `plot` is the name of the SVG beside it. */
export function renderMarkdown(record: BenchRecord, plot: string): string {
  const { machine, options } = record;
  const systems = Object.entries(record.systems);
  const settings = systems.flatMap(([name, system]) => [
    `**${name}** ${system.version}`,
    "```properties",
    ...Object.entries(system.config).map(([key, value]) => `${key}=${value}`),
    ...Object.entries(system.topicConfig).flatMap(([when, config]) =>
      Object.entries(config).map(([key, value]) => `# topics, ${when}: ${key}=${value}`),
    ),
    "```",
  ]);
  return `${[
    `# ${systems.map(([name]) => name).join(" against ")}`,
    `Commit \`${record.commit.slice(0, 12)}\`${record.hasUncommittedChanges ? " with uncommitted changes" : ""}, ${record.startedAt} to ${record.finishedAt}, \`${record.command}\`.`,
    `${machine["processor"]}, ${machine["cores"]} cores, ${machine["memoryMib"]} MiB, ${machine["kernel"]}, governor ${machine["governor"]}, load before ${machine["loadBefore"]}. Median (min–max) of ${options.runs} runs of ${options.secondsPerRun} s, seed ${options.seed}.`,
    "Ratio: our broker CPU over the rival's, by GiB of record values or by request as the case is about; × limit: the same over the physical limit's.",
    `![broker CPU by case](${plot})`,
    markdownTable(caseColumns, record.cases.flatMap(caseRows)),
    markdownTable(
      ["case", "goal", "measured", "verdict"],
      goalRows(record).map((row) => row.cells),
    ),
    markdownTable(
      ["figure", "system", "value", "goal"],
      wholeRows(record).map((row) => row.cells),
    ),
    "Latency of all runs together, ms (open loop: from the intended send time):",
    markdownTable(
      ["case", "system", "p50", "p90", "p99", "p99.9", "max"],
      latencyRows(record.cases),
    ),
    "Settings:",
    settings.join("\n"),
  ].join("\n\n")}\n`;
}

const colours = ["#2f7d5b", "#b5643c", "#4a6fa5", "#8a6d3b"];

/**
 * Bars by case, each scaled so that the dearest system of the case fills the width: what can be compared is the length
 * within a case, and the figure stands beside it. A line marks the goal.
 */
export function renderPlot(record: BenchRecord): string {
  const [labelWidth, barWidth, lineHeight, gap] = [380, 420, 18, 12];
  const parts: string[] = [];
  let y = 30;
  for (const each of record.cases) {
    const sides = Object.entries(each.systems).map(([name, runs]) => ({
      name,
      spread: spreadOfRuns(runs, (run) => costOf(run, each.workload.cost)),
    }));
    const highest = Math.max(...sides.map((side) => side.spread?.median ?? 0));
    const unit = each.workload.cost === "cpuSecondsPerValueGib" ? "s/GiB" : "s/100k requests";
    parts.push(
      `<text x="${labelWidth - 8}" y="${y + 13}" text-anchor="end">${escaped(each.workload.name)}</text>`,
    );
    for (const [index, side] of sides.entries()) {
      const top = y + index * lineHeight;
      const width =
        side.spread === null || highest === 0 ? 0 : (side.spread.median / highest) * barWidth;
      const label =
        side.spread === null ? "no score" : `${formatNumber(side.spread.median)} ${unit}`;
      parts.push(
        `<rect x="${labelWidth}" y="${top + 2}" width="${width.toFixed(1)}" height="${lineHeight - 4}" fill="${colours[index % colours.length]}"/>`,
        `<text x="${(labelWidth + width + 6).toFixed(1)}" y="${top + 13}">${escaped(`${side.name} ${label}`)}</text>`,
      );
    }
    const rival = sides[1]?.spread?.median;
    const target = each.workload.goals.find(
      ({ figure, against }) => figure === each.workload.cost && against === "kafka",
    )?.atMost;
    if (target !== undefined && rival !== undefined && highest > 0) {
      const x = labelWidth + ((target * rival) / highest) * barWidth;
      const end = y + sides.length * lineHeight;
      parts.push(
        `<line x1="${x.toFixed(1)}" x2="${x.toFixed(1)}" y1="${y}" y2="${end}" stroke="#222" stroke-dasharray="3 2"/>`,
      );
    }
    y += sides.length * lineHeight + gap;
  }
  const width = labelWidth + barWidth + 220;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y + 10}" viewBox="0 0 ${width} ${y + 10}" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="${labelWidth}" y="18" font-weight="bold">broker CPU (shorter is better; dashed: goal)</text>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

if (import.meta.main) {
  const isReadme = process.argv[2] === "--readme";
  const [source, target] = process.argv.slice(isReadme ? 3 : 2);
  if (source === undefined) {
    console.error("usage: report.ts [--readme] RECORD.json [OUT.md]");
    process.exit(2);
  }
  const record: BenchRecord = await Bun.file(source).json();
  if (isReadme) {
    console.log(renderReadmeTable(record));
    process.exit(0);
  }
  const page = target ?? source.replace(/\.json$/, ".md");
  const plot = page.replace(/\.md$/, ".svg");
  writeFileSync(plot, renderPlot(record));
  writeFileSync(page, renderMarkdown(record, basename(plot)));
  console.log(`${page}\n${plot}`);
}
