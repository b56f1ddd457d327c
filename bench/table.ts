/** A comparison as text: coloured columns on a terminal, the same without colour in a pipe. */
import { judgeLifecycles } from "./judge.ts";
import {
  memoryGoalMib,
  spreadOfRuns,
  startUpGoalMs,
  subject,
  subjectOf,
  type BenchRecord,
  type CaseRecord,
  type GoalResult,
  type LoadResult,
  type SystemRuns,
  type Verdict,
} from "./record.ts";
import { lifecycleFigure, lifecycleRows } from "./lifecycle-figures.ts";
import { formatNumber, formatSpread, spreadOf } from "./statistics.ts";
import { lifecycleGoals } from "./workloads/goals.ts";
import { isForGoals, workloads } from "./workloads/index.ts";
import type { Figure } from "./workloads/workload.ts";

/** Colours text; the identity where output is no terminal. */
export type Paint = (colour: "green" | "red" | "yellow" | "dim" | "bold", text: string) => string;

const codes = { green: 32, red: 31, yellow: 33, dim: 2, bold: 1 } as const;

/** Picks colours for a stream: none in a pipe or under NO_COLOR. */
export function paintFor(stream: { readonly isTTY?: boolean }): Paint {
  const isPlain = stream.isTTY !== true || (process.env["NO_COLOR"] ?? "") !== "";
  return (colour, text) => (isPlain ? text : `\u001b[${codes[colour]}m${text}\u001b[0m`);
}

const verdictColours = {
  met: "green",
  missed: "red",
  limited: "yellow",
  "no score": "yellow",
  "not measured": "yellow",
  "no goal": "dim",
} as const;

const figureNames: Readonly<Record<Figure, string>> = {
  cpuSecondsPerValueGib: "CPU/GiB",
  cpuSecondsPer100kRequests: "CPU/request",
  recordsPerSecond: "records/s",
  requestsPerSecond: "requests/s",
  p99Ms: "p99",
  p999Ms: "p99.9",
};

/** What a goal asks: `CPU/GiB ≤ 0.2 × kafka`. */
function goalAsks({ goal }: GoalResult): string {
  const [sign, bound] = goal.atMost === undefined ? ["≥", goal.atLeast ?? 0] : ["≤", goal.atMost];
  return `${figureNames[goal.figure]} ${sign} ${Number(bound.toFixed(2))} × ${goal.against}`;
}

/** A goal with its verdict. */
export function goalText(result: GoalResult): string {
  const measured = result.ratio === null ? "" : `, ${formatNumber(result.ratio)}`;
  return `${goalAsks(result)}${measured}: ${result.verdict}`;
}

/** Titles of the columns of the goals. */
export const goalColumns: readonly string[] = ["case", "goal", "measured", "verdict", "limited by"];

/** All goals of a record, a row each: case, what is asked, what was measured, verdict, what limited it. */
export function goalRows(record: BenchRecord): { cells: string[]; verdict: Verdict }[] {
  const measured = (value: number | null): string => (value === null ? "–" : formatNumber(value));
  const ofCases = record.cases.flatMap((each) =>
    each.goals.map((result) => ({
      cells: [
        each.workload.name,
        goalAsks(result),
        measured(result.ratio),
        result.verdict,
        result.note ?? "",
      ],
      verdict: result.verdict,
    })),
  );
  const ofLives = judgeLifecycles(record.lifecycles).map(({ goal, value, verdict }) => {
    const { title, unit } = lifecycleFigure(goal.figure);
    const bound = goal.against === undefined ? ` ${unit}` : ` × ${goal.against}`;
    return {
      cells: [
        goal.lifecycle,
        `${title} ≤ ${goal.atMost}${bound}`.trimEnd(),
        measured(value),
        verdict,
        "",
      ],
      verdict,
    };
  });
  const missing = unmeasured(record).map((name) => ({
    cells: [name, "", "–", "not measured", ""],
    verdict: "not measured" as const,
  }));
  return [...ofCases, ...ofLives, ...missing];
}

/** Where the goals were asked for: cases and lifecycles that have one, and are not in the record. */
function unmeasured({ options, cases, lifecycles }: BenchRecord): string[] {
  if (options.mode !== "goals") return [];
  const isReplicated = cases.some(({ workload }) => workload.replication > 1);
  const wanted = [
    ...workloads.filter((each) => isForGoals(each) && each.replication > 1 === isReplicated),
    ...(isReplicated ? [] : lifecycleGoals.map(({ lifecycle }) => ({ name: lifecycle }))),
  ];
  const there = new Set([
    ...cases.map(({ workload }) => workload.name),
    ...lifecycles.map(({ name }) => name),
  ]);
  return [...new Set(wanted.map(({ name }) => name))].filter((name) => !there.has(name));
}

/** Column titles of the case table. */
export const caseColumns: readonly string[] = [
  "case",
  "system",
  "requests/s",
  "records/s",
  "MiB/s",
  "p50 ms",
  "p99 ms",
  "p99.9 ms",
  "max ms",
  "CPU s/GiB",
  "CPU s/100k requests",
  "RSS MiB",
  "peak MiB",
  "disk B/B",
  "ratio",
  "× limit",
];

/** Columns that a terminal has no room for. */
const wideColumns: ReadonlySet<string> = new Set(["p99.9 ms", "max ms", "peak MiB", "disk B/B"]);

/** One line a system for one case, unpadded and uncoloured. */
export function caseRows(record: CaseRecord): string[][] {
  const names = Object.keys(record.systems);
  const own = subjectOf(record.systems);
  return names.map((name, index) => {
    const runs = record.systems[name];
    const figures = [
      formatSpread(spreadOfRuns(runs, (run) => run.requestsPerSecond)),
      medianOf(runs, (run) => run.recordsPerSecond),
      medianOf(runs, (run) => run.valueMibPerSecond),
      ...(["p50", "p99", "p999", "max"] as const).map((key) => medianOf(runs, latencyOf(key))),
      formatSpread(spreadOfRuns(runs, (run) => run.broker?.cpuSecondsPerValueGib)),
      formatSpread(spreadOfRuns(runs, (run) => run.broker?.cpuSecondsPer100kRequests)),
      medianOf(runs, (run) => run.broker?.residentMib),
      medianOf(runs, (run) => run.broker?.peakResidentMib),
      medianOf(runs, (run) => run.broker?.writtenPerValueByte),
    ];
    const isOwn = name === own;
    const ratioCell = (ratio: number | null): string =>
      isOwn && ratio !== null ? formatNumber(ratio) : "";
    const ratios = [ratioCell(record.ratio), ratioCell(record.limitRatio)];
    return [index === 0 ? record.workload.name : "", name].concat(figures, ratios);
  });
}

/** Latency of a run; some clients of others tell none. */
const latencyOf =
  (key: "p50" | "p99" | "p999" | "max") =>
  (run: LoadResult): number | undefined =>
    run.latencyMs.count === 0 ? undefined : run.latencyMs[key];

function medianOf(
  runs: SystemRuns | undefined,
  figure: Parameters<typeof spreadOfRuns>[1],
): string {
  const spread = spreadOfRuns(runs, figure);
  return spread === null ? "–" : formatNumber(spread.median);
}

function pad(rows: readonly (readonly string[])[]): string[][] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries())
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  return rows.map((row) =>
    row.map((cell, column) =>
      column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    ),
  );
}

/** The case table. */
export function formatCases(cases: readonly CaseRecord[], paint: Paint): string {
  const rows = cases.flatMap((record) =>
    caseRows(record).map((cells, index) => ({ cells, isFirst: index === 0 })),
  );
  const narrow = (cells: readonly string[]): string[] =>
    cells.filter((_cell, column) => !wideColumns.has(caseColumns[column] ?? ""));
  const padded = pad([caseColumns, ...rows.map((row) => row.cells)].map(narrow));
  const lines = padded.map((cells, index) => {
    const line = cells.join("  ").trimEnd();
    if (index === 0) return paint("bold", line);
    return rows[index - 1]?.isFirst === true ? line : paint("dim", line);
  });
  return lines.join("\n");
}

/** The goals, one a line, and how many of them came out how. */
function formatGoals(record: BenchRecord, paint: Paint): string {
  const rows = goalRows(record);
  if (rows.length === 0) return "";
  const lines = pad(rows.map((row) => row.cells)).map((cells, index) =>
    paint(verdictColours[rows[index]?.verdict ?? "no goal"], cells.join("  ").trimEnd()),
  );
  const verdicts = [...new Set(rows.map(({ verdict }) => verdict))];
  const counts = verdicts.map(
    (verdict) => `${rows.filter((row) => row.verdict === verdict).length} ${verdict}`,
  );
  return [...lines, paint("bold", `${rows.length} goals: ${counts.join(", ")}`)].join("\n");
}

/** Lifecycles, a line a figure and system. */
function formatLifecycles(record: BenchRecord): string {
  const rows = lifecycleRows(record.lifecycles);
  return pad(
    rows.map(([name = "", system, figure, value = ""]) => [name, `${system}: ${figure}`, value]),
  )
    .map((cells) => cells.join("  ").trimEnd())
    .join("\n");
}

/** What kept cases from being run, and first errors of runs without a score, one a line. */
export function formatErrors(cases: readonly CaseRecord[], paint: Paint): string {
  const failures = cases.flatMap(({ workload, failure }) =>
    failure === undefined ? [] : [paint("red", `${workload.name} failed: ${failure}`)],
  );
  return failures
    .concat(
      cases.flatMap((record) =>
        Object.entries(record.systems).flatMap(([name, runs]) =>
          runs.runs
            .filter((run) => !run.isValid)
            .slice(0, 1)
            .map((run) =>
              paint(
                "red",
                `${record.workload.name} on ${name}: ${run.errors} errors, first: ${run.firstError ?? "nothing went through"}`,
              ),
            ),
        ),
      ),
    )
    .join("\n");
}

/** Memory of processes that are not known here was read as none. */
const memoryText = (mib: number): string => (mib === 0 ? "–" : formatNumber(mib));

/** Start-up and memory: label, system, figure, goal text and whether it was met (only the subject has goals). */
export function wholeRows(record: BenchRecord): { cells: string[]; verdict: Verdict }[] {
  return Object.entries(record.systems).flatMap(([name, system]) => {
    const startUp = spreadOf(system.startUpMs);
    const verdictOf = (value: number | undefined, goal: number): Verdict => {
      // The bounds are those of one node.
      const isCluster = system.config["nodes"] !== undefined;
      if (name !== subject || value === undefined || isCluster) return "no goal";
      return value <= goal ? "met" : "missed";
    };
    const startVerdict = verdictOf(startUp?.median, startUpGoalMs);
    const memoryVerdict = verdictOf(system.residentAfterLoadMib, memoryGoalMib);
    const goal = (verdict: Verdict, limit: string): string =>
      verdict === "no goal" ? "" : `≤ ${limit} ${verdict}`;
    return [
      {
        cells: [
          "empty start to first answer, ms",
          name,
          formatSpread(startUp),
          goal(startVerdict, String(startUpGoalMs)),
        ],
        verdict: startVerdict,
      },
      {
        cells: ["RSS idle, MiB", name, memoryText(system.residentIdleMib), ""],
        verdict: "no goal",
      },
      {
        cells: [
          "RSS after the load, MiB",
          name,
          memoryText(system.residentAfterLoadMib),
          goal(memoryVerdict, String(memoryGoalMib)),
        ],
        verdict: memoryVerdict,
      },
    ];
  });
}

/** Everything about a comparison. */
export function formatRecord(record: BenchRecord, paint: Paint): string {
  const whole = wholeRows(record);
  const padded = pad(whole.map((row) => row.cells));
  const lines = padded.map((cells, index) => {
    const verdict = whole[index]?.verdict ?? "no goal";
    const text = cells.join("  ").trimEnd();
    return verdict === "no goal" ? text : paint(verdictColours[verdict], text);
  });
  const systems = Object.entries(record.systems).map(
    ([name, system]) => `${name}: ${system.version}`,
  );
  const machine = record.machine;
  const head = [
    ...systems,
    `${machine["processor"]}, ${machine["cores"]} cores, ${machine["kernel"]}; median (min–max) of ${record.options.runs} runs of ${record.options.secondsPerRun} s`,
    "ratio: our CPU over the rival's, by GiB of record values or by request as the case is about; × limit: the same over the physical limit's",
  ];
  const errors = formatErrors(record.cases, paint);
  const parts = [
    head.map((line) => paint("dim", line)).join("\n"),
    record.cases.length === 0 ? "" : formatCases(record.cases, paint),
    formatGoals(record, paint),
    formatLifecycles(record),
    lines.join("\n"),
  ].filter((part) => part !== "");
  if (errors !== "") parts.push(errors);
  return parts.join("\n\n");
}
