/**
 * Turns a record of groups into a page: `report.ts RECORD.json [OUT.md]` writes Markdown, and beside it an SVG with a bar for
 * each figure: our cost as a share of Kafka's, and the goal. Both hold nothing that is not in the JSON.
 */
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { markdownTable } from "../markdown.ts";
import { escaped } from "../page/markup.ts";
import { formatNumber } from "../statistics.ts";
import type { GroupBenchRecord } from "./record.ts";
import { groupColumns, groupErrors, groupRows, ratioLegend } from "./table.ts";

/** The whole page. `plot` is the name of the SVG beside it. */
export function renderGroupPage(record: GroupBenchRecord, plot: string): string {
  const { machine, options, systems } = record;
  const settings = Object.entries(systems).flatMap(([name, { version, config }]) => [
    `**${name}** ${version}`,
    "```properties",
    ...Object.entries(config).map(([key, value]) => `${key}=${value}`),
    "```",
  ]);
  const others = record.cases.flatMap(({ workload, systems: sides }) =>
    Object.entries(sides).flatMap(([name, runs]) =>
      runs.map((run, index) => [
        workload.name,
        `${name} ${index + 1}`,
        Object.entries(run.figures)
          .map(([key, value]) => `${key} ${formatNumber(value)}`)
          .join(", "),
        formatNumber(run.brokerCpuSeconds),
        formatNumber(run.clientCpuSeconds),
        formatNumber(run.foreignCores),
      ]),
    ),
  );
  return `${[
    `# Groups and offsets: ${Object.keys(systems).join(" against ")}`,
    `Commit \`${record.commit.slice(0, 12)}\`${record.hasUncommittedChanges ? " with uncommitted changes" : ""}, ${record.startedAt} to ${record.finishedAt}, \`${record.command}\`.`,
    `${machine["processor"]}, ${machine["cores"]} cores, ${machine["memoryMib"]} MiB, ${machine["kernel"]}, load before ${machine["loadBefore"]}. Median (min–max) of ${options["runs"]} runs; ${options["secondsPerRun"]} s of commits or heartbeats, or ${options["rebalancesPerRun"]} rebalances, a run; heartbeat interval ${options["heartbeatMs"]} ms.`,
    `In the table, ${ratioLegend}.`,
    `![ratio by figure](${plot})`,
    markdownTable(
      groupColumns(record),
      record.cases.flatMap(groupRows).map(({ cells }) => cells),
    ),
    ...groupErrors(record),
    "Every run, CPU in seconds:",
    markdownTable(
      ["workload", "run", "figures", "broker CPU", "client CPU", "foreign cores"],
      others,
    ),
    "Settings:",
    settings.join("\n"),
  ].join("\n\n")}\n`;
}

const barColours = {
  met: "#2f7d5b",
  missed: "#b5643c",
  "no goal": "#8a8a8a",
  "no score": "#8a8a8a",
};

/** One bar a figure, as long as the ratio; Kafka is 1, the dashed line is the goal. */
export function renderGroupPlot(record: GroupBenchRecord): string {
  const [labelWidth, unitWidth, most, lineHeight] = [430, 360, 1.5, 20];
  const rows = record.cases.flatMap(({ workload, comparisons }) =>
    comparisons.flatMap(({ ratio, verdict }, index) => {
      const figure = workload.figures[index];
      return ratio === null || figure === undefined
        ? []
        : [{ name: `${workload.name}: ${figure.label}`, ratio, verdict, goal: figure.goal }];
    }),
  );
  const bars = rows.flatMap(({ name, ratio, verdict, goal }, index) => {
    const top = 30 + index * lineHeight;
    const width = Math.min(ratio, most) * unitWidth;
    const parts = [
      `<text x="${labelWidth - 8}" y="${top + 14}" text-anchor="end">${escaped(name)}</text>`,
      `<rect x="${labelWidth}" y="${top + 3}" width="${width.toFixed(1)}" height="${lineHeight - 6}" fill="${barColours[verdict]}"/>`,
      `<text x="${(labelWidth + width + 6).toFixed(1)}" y="${top + 14}">${formatNumber(ratio)}</text>`,
    ];
    if (goal !== undefined) {
      const x = (labelWidth + goal * unitWidth).toFixed(1);
      parts.push(
        `<line x1="${x}" x2="${x}" y1="${top}" y2="${top + lineHeight}" stroke="#222" stroke-dasharray="3 2"/>`,
      );
    }
    return parts;
  });
  const height = 50 + rows.length * lineHeight;
  const width = labelWidth + unitWidth * most + 70;
  const one = labelWidth + unitWidth;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="${labelWidth}" y="18" font-weight="bold">our cost, Kafka's is 1 (shorter is better; dashed: goal)</text>`,
    `<line x1="${one}" x2="${one}" y1="26" y2="${height - 16}" stroke="#999"/>`,
    ...bars,
    "</svg>",
    "",
  ].join("\n");
}

/** Writes the page, and the plot beside it. */
export function writeReport(
  record: GroupBenchRecord,
  page: string,
): { page: string; plot: string } {
  const plot = page.replace(/\.md$/, ".svg");
  writeFileSync(plot, renderGroupPlot(record));
  writeFileSync(page, renderGroupPage(record, basename(plot)));
  return { page, plot };
}

if (import.meta.main) {
  const [source, target] = process.argv.slice(2);
  if (source === undefined) {
    console.error("usage: report.ts RECORD.json [OUT.md]");
    process.exit(2);
  }
  const record: GroupBenchRecord = await Bun.file(source).json();
  const { page, plot } = writeReport(record, target ?? source.replace(/\.json$/, ".md"));
  console.log(`${page}\n${plot}`);
}
