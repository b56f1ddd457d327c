/**
 * A failover record as text for a terminal, as a Markdown page and as an SVG: a dot for each run on a logarithmic scale of milliseconds, so
 * that what takes 300 ms and what takes 10 s can stand on one line. All of it comes from the JSON: `report.ts RECORD.json [OUT.md]`.
 */
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { markdownTable } from "../markdown.ts";
import { escaped } from "../page/markup.ts";
import { formatNumber, formatSpread } from "../statistics.ts";
import type { Paint } from "../table.ts";
import { type FailoverCase, type FailoverRecord, summarize } from "./record.ts";

const columns = [
  "fault",
  "system",
  "runs",
  "p50 ms",
  "p99 ms",
  "goal ms",
  "in sync again, s",
  "verdict",
];
const colours = { met: "green", missed: "red", "no score": "yellow", "no goal": "dim" } as const;
const fills: Readonly<Record<string, string>> = {
  sluice: "#2f7d5b",
  "sluice-fast": "#4a6fa5",
  kafka: "#b5643c",
  "kafka-tuned": "#8a6d3b",
};

function cellsOf(each: FailoverCase): string[] {
  const { count, p50Ms, p99Ms, inSync, failedCount, lostCount, verdict } = summarize(each);
  const number = (value: number | null): string => (value === null ? "–" : formatNumber(value));
  const seconds =
    inSync === null
      ? null
      : { median: inSync.median / 1000, min: inSync.min / 1000, max: inSync.max / 1000 };
  const faults = [
    failedCount > 0 ? `${failedCount} failed` : "",
    lostCount > 0 ? `${lostCount} lost` : "",
  ].filter((text) => text !== "");
  return [
    each.fault,
    each.system,
    String(count),
    number(p50Ms),
    number(p99Ms),
    each.goalMs === null ? "" : each.goalMs.join(" / "),
    formatSpread(seconds),
    [verdict, ...faults].join(", "),
  ];
}

/** The table for a terminal. */
export function formatFailover(record: FailoverRecord, paint: Paint): string {
  const rows = record.cases.map((each) => ({ cells: cellsOf(each), each }));
  const widths = columns.map((title, column) =>
    Math.max(title.length, ...rows.map(({ cells }) => cells[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  const errors = record.cases.flatMap(({ fault, system, runs }) =>
    runs.flatMap(({ error }) =>
      error === null ? [] : [`${fault}, ${system}: ${error.split("\n")[0]}`],
    ),
  );
  return [
    paint("bold", line(columns)),
    ...rows.map(({ cells, each }) => paint(colours[summarize(each).verdict], line(cells))),
    ...errors.map((text) => paint("red", text)),
  ].join("\n");
}

/** The whole page; `plot` is the name of the SVG beside it. */
export function renderFailoverPage(record: FailoverRecord, plot: string): string {
  const { machine } = record;
  const settings = Object.entries(record.systems).map(
    ([name, overrides]) =>
      `- **${name}**: ${
        Object.entries(overrides)
          .map(([key, value]) => `\`${key}=${value}\``)
          .join(", ") || "its defaults"
      }`,
  );
  return `${[
    "# Failover",
    `Commit \`${record.commit.slice(0, 12)}\`${record.hasUncommittedChanges ? " with uncommitted changes" : ""}, ${record.startedAt} to ${record.finishedAt}, \`${record.command}\`.`,
    `${machine["processor"]}, ${machine["cores"]} cores, ${machine["kernel"]}, load before ${machine["loadBefore"]}; three nodes and the client share them. Replication factor 3, min.insync.replicas 2, acks=all, an attempt every 10 ms.`,
    "Outage: from the fault to the first acknowledgement of a write that began after it; for a controlled shutdown the longest gap between two acknowledgements. p99 of fewer than a hundred runs is their longest.",
    `![outage by fault](${plot})`,
    markdownTable(columns, record.cases.map(cellsOf)),
    "Settings beside those of every cluster:",
    settings.join("\n"),
  ].join("\n\n")}\n`;
}

/** One line a fault and system, one dot a run. */
export function renderFailoverPlot(record: FailoverRecord): string {
  const [left, wide, lineHeight, least, most] = [330, 560, 20, 10, 30_000];
  const x = (ms: number): string => {
    const share = Math.log(Math.min(most, Math.max(least, ms)) / least) / Math.log(most / least);
    return (left + share * wide).toFixed(1);
  };
  const height = 60 + record.cases.length * lineHeight;
  const ticks = [10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000].flatMap((ms) => [
    `<line x1="${x(ms)}" x2="${x(ms)}" y1="30" y2="${height - 24}" stroke="#ddd"/>`,
    `<text x="${x(ms)}" y="${height - 8}" text-anchor="middle">${ms < 1000 ? `${ms} ms` : `${ms / 1000} s`}</text>`,
  ]);
  const lines = record.cases.flatMap((each, index) => {
    const y = 40 + index * lineHeight;
    const fill = fills[each.system] ?? "#555";
    const { p50Ms } = summarize(each);
    return [
      `<text x="${left - 8}" y="${y + 4}" text-anchor="end">${escaped(`${each.fault}: ${each.system}`)}</text>`,
      ...each.runs.flatMap(({ outageMs }) =>
        outageMs === null
          ? []
          : [`<circle cx="${x(outageMs)}" cy="${y}" r="3.5" fill="${fill}" fill-opacity="0.55"/>`],
      ),
      ...(p50Ms === null
        ? []
        : [
            `<line x1="${x(p50Ms)}" x2="${x(p50Ms)}" y1="${y - 7}" y2="${y + 7}" stroke="${fill}" stroke-width="2"/>`,
          ]),
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${left + wide + 40}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="${left}" y="18" font-weight="bold">time without acknowledgements (line: median; shorter is better)</text>`,
    ...ticks,
    ...lines,
    "</svg>",
    "",
  ].join("\n");
}

/** Writes the page and the plot beside it. */
export function writeFailoverReport(
  record: FailoverRecord,
  page: string,
): { page: string; plot: string } {
  const plot = page.replace(/\.md$/, ".svg");
  writeFileSync(plot, renderFailoverPlot(record));
  writeFileSync(page, renderFailoverPage(record, basename(plot)));
  return { page, plot };
}

if (import.meta.main) {
  const [source, target] = process.argv.slice(2);
  if (source === undefined) {
    console.error("usage: report.ts RECORD.json [OUT.md]");
    process.exit(2);
  }
  const record: FailoverRecord = await Bun.file(source).json();
  console.log(
    Object.values(writeFailoverReport(record, target ?? source.replace(/\.json$/, ".md"))).join(
      "\n",
    ),
  );
}
