/**
 * Turns a record into a page: `report.ts RECORD.json [OUT.md]` writes Markdown, and beside it an SVG with one bar a
 * system for the cost of each case. Both hold nothing that is not in the JSON.
 */
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { costOf, spreadOfRuns, type BenchRecord, type CaseRecord } from "./record.ts";
import { formatNumber } from "./statistics.ts";
import { caseColumns, caseRows, wholeRows } from "./table.ts";

export const markdownTable = (
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

export const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

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
    "Ratio: broker CPU of the first system over the second's, by GiB of record values or by request as the case is about.",
    `![broker CPU by case](${plot})`,
    markdownTable(caseColumns, record.cases.flatMap(caseRows)),
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
    if (each.workload.target !== undefined && rival !== undefined && highest > 0) {
      const x = labelWidth + ((each.workload.target * rival) / highest) * barWidth;
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
  const [source, target] = process.argv.slice(2);
  if (source === undefined) {
    console.error("usage: report.ts RECORD.json [OUT.md]");
    process.exit(2);
  }
  const record: BenchRecord = await Bun.file(source).json();
  const page = target ?? source.replace(/\.json$/, ".md");
  const plot = page.replace(/\.md$/, ".svg");
  writeFileSync(plot, renderPlot(record));
  writeFileSync(page, renderMarkdown(record, basename(plot)));
  console.log(`${page}\n${plot}`);
}
