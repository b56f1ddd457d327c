/**
 * Turns a record into Markdown: `report.ts RECORD.json [OUT.md]` writes all of it, and beside it an SVG with one bar a system for the
 * cost of each case; `report.ts --readme RECORD.json [README.md]` prints the short table of the README, or puts it there between its marks;
 * `report.ts --merge OUT.json RECORD.json…` makes one record of several, and its page. Nothing is in them that is not in the JSON. The page with
 * plots is made by `page/page.ts`.
 */
import { readFileSync, writeFileSync } from "node:fs";
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
import { markdownTable, putBetweenMarks } from "./markdown.ts";
import { lifecycleFigure, lifecycleRows } from "./lifecycle-figures.ts";
import { mergeRecords, partsOf } from "./merge.ts";
import { escaped } from "./page/markup.ts";
import { renderPage } from "./page/page.ts";
import { writeRecord } from "./run-directory.ts";
import { formatNumber, spreadOf } from "./statistics.ts";
import { caseColumns, caseRows, formatErrors, goalColumns, goalRows, wholeRows } from "./table.ts";
import type { Figure } from "./workloads/workload.ts";

/** Cases that the README shows: those that goals are about, or all where there are none. */
function shownCases({ cases }: BenchRecord): readonly CaseRecord[] {
  const judged = cases.filter(({ goals }) => goals.length > 0);
  return judged.length > 0 ? judged : cases;
}

/** How many goals were met, and which were not. */
function goalSummary(record: BenchRecord): string {
  const rows = goalRows(record);
  const open = rows.filter(({ verdict }) => verdict !== "met");
  const list = open.map(
    ({ cells: [name, goal, measured, verdict, note] }) =>
      `- \`${name}\`${goal === "" ? "" : `: ${goal}`}, ${verdict}${measured === "–" ? "" : ` at ${measured}`}${(note ?? "") === "" ? "" : ` (${note})`}`,
  );
  if (rows.length === 0) return "";
  return [`Goals: ${rows.length - open.length} of ${rows.length} met.`, ...list].join("\n");
}

/** The short tables: for each case our rate and CPU, the rival's, and both ratios; latency where it is judged; start and idleness; the goals. */
export function renderReadmeTable(record: BenchRecord): string {
  const own = subjectOf(record.systems) ?? "";
  const rival = rivalOf(record.systems);
  const cell = (
    each: CaseRecord,
    name: string | undefined,
    figure: Figure,
    suffix: string,
  ): string => {
    const runs = name === undefined ? undefined : each.systems[name];
    const spread = spreadOfRuns(runs, (run) => figureOf(run, figure));
    return spread === null ? "–" : `${formatNumber(spread.median)}${suffix}`;
  };
  const ratio = (value: number | null): string => (value === null ? "–" : formatNumber(value));
  const shown = shownCases(record);
  const isLatency = (each: CaseRecord): boolean => each.workload.series !== undefined;
  const rows = shown
    .filter((each) => !isLatency(each))
    .map((each) => {
      const { cost } = each.workload;
      const unit = cost === "cpuSecondsPerValueGib" ? "s/GiB" : "s/100k";
      const rate: Figure =
        cost === "cpuSecondsPerValueGib" ? "recordsPerSecond" : "requestsPerSecond";
      return [
        each.workload.name,
        cell(each, own, rate, "/s"),
        cell(each, rival, rate, "/s"),
        cell(each, own, cost, ` ${unit}`),
        cell(each, rival, cost, ` ${unit}`),
        ratio(each.ratio),
        ratio(each.limitRatio),
      ];
    });
  const latencies = shown
    .filter(isLatency)
    .map((each) => [
      each.workload.name,
      ...(["p99Ms", "p999Ms"] as const).flatMap((figure) => [
        cell(each, own, figure, " ms"),
        cell(each, rival, figure, " ms"),
      ]),
    ]);
  const lives = record.lifecycles
    .filter(({ name }) => /^(start|idle|restart)-/.test(name))
    .flatMap(({ name, systems }) => {
      const figures = new Set(
        Object.values(systems).flatMap((runs) => runs.flatMap((run) => Object.keys(run.figures))),
      );
      return [...figures].map((figure) => {
        const { title, unit } = lifecycleFigure(figure);
        const of = (system: string | undefined): string => {
          const spread = spreadOf(
            (systems[system ?? ""] ?? []).flatMap((run) => run.figures[figure] ?? []),
          );
          return spread === null ? "–" : `${formatNumber(spread.median)} ${unit}`;
        };
        return [`${name}: ${title}`, of(own), of(rival)];
      });
    });
  const other = rival ?? "–";
  const { machine, options } = record;
  const commits = new Set(partsOf(record).map(({ commit }) => commit.slice(0, 12)));
  const commands = new Set(partsOf(record).map(({ command }) => command));
  const code = (texts: Iterable<string>): string =>
    [...texts].map((text) => `\`${text}\``).join(", ");
  const whole = [
    `${machine["processor"]}, ${machine["cores"]} cores; medians of ${options.runs} runs of ${options.secondsPerRun} s; commit ${code(commits)}; ${code(commands)}`,
    rows.length === 0
      ? ""
      : markdownTable(
          ["case", own, other, `CPU ${own}`, `CPU ${other}`, "CPU ratio", "× limit"],
          rows,
        ),
    latencies.length === 0
      ? ""
      : markdownTable(
          ["end to end", `p99 ${own}`, `p99 ${other}`, `p99.9 ${own}`, `p99.9 ${other}`],
          latencies,
        ),
    lives.length === 0 ? "" : markdownTable(["start and idle", own, other], lives),
    goalSummary(record),
  ].filter((part) => part !== "");
  return `${whole.join("\n\n")}\n`;
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

function lifecyclePart({ lifecycles }: BenchRecord): string[] {
  const rows = lifecycleRows(lifecycles);
  return rows.length === 0 ? [] : [markdownTable(["lifecycle", "system", "figure", "value"], rows)];
}

/** What could not be run, and which runs the record was put together from. */
function remarks(record: BenchRecord): string[] {
  const errors = formatErrors(record.cases, (_colour, text) => text);
  const parts = record.parts ?? [];
  return [
    ...(errors === ""
      ? []
      : [
          errors
            .split("\n")
            .map((line) => `- ${line}`)
            .join("\n"),
        ]),
    ...(parts.length < 2
      ? []
      : [
          parts
            .map(
              ({ command, commit, startedAt, measured }) =>
                `- \`${command}\`, commit \`${commit.slice(0, 12)}\`, ${startedAt}: ${measured.length} measured`,
            )
            .join("\n"),
        ]),
  ];
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
    ...remarks(record),
    `![broker CPU by case](${plot})`,
    markdownTable(caseColumns, record.cases.flatMap(caseRows)),
    markdownTable(
      goalColumns,
      goalRows(record).map((row) => row.cells),
    ),
    markdownTable(
      ["figure", "system", "value", "goal"],
      wholeRows(record).map((row) => row.cells),
    ),
    ...lifecyclePart(record),
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

const usage = `usage: report.ts RECORD.json [OUT.md]
       report.ts --readme RECORD.json [README.md]
       report.ts --merge OUT.json RECORD.json RECORD.json …`;

async function readRecord(path: string): Promise<BenchRecord> {
  const record: BenchRecord = await Bun.file(path).json();
  return record;
}

async function main(words: readonly string[]): Promise<string> {
  const [first, second, ...rest] = words;
  if (first === undefined) throw new Error(usage);
  if (first === "--merge") {
    if (second === undefined || rest.length === 0) throw new Error(usage);
    const written = writeRecord(mergeRecords(await Promise.all(rest.map(readRecord))), second);
    const page = second.replace(/(\.json)?$/, ".html");
    writeFileSync(page, renderPage(written));
    return `${second}\n${page}`;
  }
  if (first === "--readme") {
    if (second === undefined) throw new Error(usage);
    const text = renderReadmeTable(await readRecord(second));
    const [target] = rest;
    if (target === undefined) return text;
    writeFileSync(target, putBetweenMarks(readFileSync(target, "utf8"), "bench", text));
    return target;
  }
  const record = await readRecord(first);
  const page = second ?? first.replace(/\.json$/, ".md");
  const plot = page.replace(/\.md$/, ".svg");
  writeFileSync(plot, renderPlot(record));
  writeFileSync(page, renderMarkdown(record, basename(plot)));
  return `${page}\n${plot}`;
}

if (import.meta.main) {
  try {
    console.log(await main(process.argv.slice(2)));
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exit(2);
  }
}
