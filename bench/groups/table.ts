/** A group comparison as text: one line a figure, our column, Kafka's, their ratio, and whether the goal is met. */
import type { PlainVerdict } from "../record.ts";
import { formatNumber, formatSpread } from "../statistics.ts";
import type { Paint } from "../table.ts";
import { type GroupBenchRecord, type GroupCase, spreadOfFigure } from "./record.ts";

const verdictColours = {
  met: "green",
  missed: "red",
  "no score": "yellow",
  "no goal": "dim",
} as const;

/** Column titles: a column for each system. */
export function groupColumns(record: GroupBenchRecord): string[] {
  return ["workload", "figure", ...Object.keys(record.systems), "ratio", "goal", "foreign cores"];
}

/** Lines of one workload, with the verdict of each. */
export function groupRows(each: GroupCase): { cells: string[]; verdict: PlainVerdict }[] {
  const sides = Object.values(each.systems);
  const foreign = Math.max(0, ...sides.flatMap((runs) => runs.map((run) => run.foreignCores)));
  return each.workload.figures.map((figure, index) => {
    const comparison = each.comparisons[index];
    const verdict = comparison?.verdict ?? "no goal";
    const ratio = comparison?.ratio;
    const values = sides.map((runs, side) =>
      formatSpread(spreadOfFigure(runs, side === 0 ? figure.key : (figure.rival ?? figure.key))),
    );
    const goal =
      verdict === "no goal" ? "" : verdict === "no score" ? verdict : `≤ ${figure.goal} ${verdict}`;
    return {
      cells: [
        index === 0 ? each.workload.name : "",
        figure.label,
        ...values,
        ratio === null || ratio === undefined ? "" : formatNumber(ratio),
        goal,
        index === 0 ? formatNumber(foreign) : "",
      ],
      verdict,
    };
  });
}

/** First errors of runs that failed. */
export function groupErrors(record: GroupBenchRecord): string[] {
  return record.cases.flatMap((each) =>
    Object.entries(each.systems).flatMap(([name, runs]) => {
      const failed = runs.find(({ isValid }) => !isValid);
      return failed === undefined
        ? []
        : [`${each.workload.name} on ${name}: ${failed.firstError ?? "no reason"}`];
    }),
  );
}

/** What the figures are, in a sentence. */
export const ratioLegend: string =
  "ratio: our cost over Kafka's; rates as the time that one takes; foreign cores: the most that other work had during a run";

/** Everything about a comparison. */
export function formatGroupRecord(record: GroupBenchRecord, paint: Paint): string {
  const rows: { cells: string[]; verdict: PlainVerdict | null }[] = [
    { cells: groupColumns(record), verdict: null },
    ...record.cases.flatMap(groupRows),
  ];
  const widths = rows.reduce<number[]>(
    (known, { cells }) => cells.map((cell, column) => Math.max(known[column] ?? 0, cell.length)),
    [],
  );
  const lines = rows.map(({ cells, verdict }) => {
    const padded = cells.map((cell, column) =>
      column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    const text = padded.join("  ").trimEnd();
    return verdict === null ? paint("bold", text) : paint(verdictColours[verdict], text);
  });
  const { machine, options } = record;
  const head = [
    ...Object.entries(record.systems).map(([name, { version }]) => `${name}: ${version}`),
    `${machine["processor"]}, ${machine["cores"]} cores, ${machine["kernel"]}; median (min–max) of ${options["runs"]} runs`,
    ratioLegend,
  ];
  const errors = groupErrors(record).map((line) => paint("red", line));
  return [head.map((line) => paint("dim", line)).join("\n"), lines.join("\n"), ...errors].join(
    "\n\n",
  );
}
