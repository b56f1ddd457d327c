/** Names and units of what lifecycles tell, and all of it as rows. */
import type { LifecycleRecord } from "./record.ts";
import { formatSpread, spreadOf } from "./statistics.ts";

const figures: Readonly<Record<string, readonly [title: string, unit: string]>> = {
  firstAnswerMs: ["spawn to first answer", "ms"],
  allAnswerMs: ["spawn until every partition answers", "ms"],
  createMs: ["topic created and usable", "ms"],
  idleCores: ["CPU while idle", "cores"],
  residentMib: ["RSS while idle", "MiB"],
  peakResidentMib: ["highest RSS", "MiB"],
  diskMib: ["disk", "MiB"],
  aloneP50Ms: ["quiet client alone, median", "ms"],
  aloneP99Ms: ["quiet client alone, p99", "ms"],
  besideP50Ms: ["quiet client beside the load, median", "ms"],
  besideP99Ms: ["quiet client beside the load, p99", "ms"],
  p99Ratio: ["quiet client's p99, beside over alone", "×"],
  comeMs: ["until the load's connections are there", "ms"],
  residentBeforeMib: ["RSS before the load", "MiB"],
  residentPeakMib: ["highest RSS under the load", "MiB"],
  residentAfterMib: ["RSS after the load", "MiB"],
  loadRequestsPerSecond: ["the load: requests", "/s"],
  loadMibPerSecond: ["the load: record values", "MiB/s"],
};

/** Endings of figures of which there is one for each load (`produce100B…`). */
const endings: Readonly<Record<string, readonly [title: string, unit: string]>> = {
  RequestsPerSecond: ["requests", "/s"],
  CpuSecondsPer100k: ["broker CPU", "s/100k requests"],
  CpuSecondsPerGib: ["broker CPU", "s/GiB"],
  RequestsCounted: ["requests that waits are counted over", ""],
  ContentionsPer100k: ["waits for the lock", "/100k requests"],
};

/** Title and unit of a figure; its own name where nothing is known of it. */
export function lifecycleFigure(name: string): { readonly title: string; readonly unit: string } {
  const known = figures[name];
  if (known !== undefined) return { title: known[0], unit: known[1] };
  const ending = Object.entries(endings).find(([end]) => name.endsWith(end));
  if (ending === undefined) return { title: name, unit: "" };
  const [end, [title, unit]] = ending;
  const [load, lock] = name.slice(0, -end.length).split(".");
  return { title: `${load}, ${title}${lock === undefined ? "" : ` ${lock}`}`, unit };
}

/** Whether a figure is worth a line: locks that nobody waited for are not. */
export const isTold = (name: string, values: readonly number[]): boolean =>
  !name.endsWith("ContentionsPer100k") || values.some((value) => value > 0);

/** `CPU while idle, cores`. */
export function headOf(name: string): string {
  const { title, unit } = lifecycleFigure(name);
  return unit === "" ? title : `${title}, ${unit}`;
}

/** A row for each figure and system: lifecycle, system, figure with its unit, spread over the runs; failures too. */
export function lifecycleRows(records: readonly LifecycleRecord[]): string[][] {
  return records.flatMap(({ name, systems }) =>
    Object.entries(systems).flatMap(([system, runs]) => {
      const all = new Set(runs.flatMap((run) => Object.keys(run.figures)));
      const rows = [...all].flatMap((figure) => {
        const values = runs.flatMap((run) => run.figures[figure] ?? []);
        return isTold(figure, values)
          ? [[name, system, headOf(figure), formatSpread(spreadOf(values))]]
          : [];
      });
      const error = runs.find((run) => run.error !== null)?.error ?? null;
      return error === null ? rows : [...rows, [name, system, "failed", error]];
    }),
  );
}
