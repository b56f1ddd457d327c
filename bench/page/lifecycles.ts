/** The part of the page about what no case shows. */
import { headOf, isTold, lifecycleFigure } from "../lifecycle-figures.ts";
import type { BenchRecord, LifecycleRecord } from "../record.ts";
import { formatNumber, formatSpread, spreadOf } from "../statistics.ts";
import { barGroups, type Bar, type BarGroup } from "./bars.ts";
import { lookIn, type Looks } from "./colors.ts";
import { escaped, table } from "./markup.ts";

function lifecycleGroups(record: LifecycleRecord, looks: Looks): BarGroup[] {
  const figures = new Set(
    Object.values(record.systems).flatMap((runs) =>
      runs.flatMap((run) => Object.keys(run.figures)),
    ),
  );
  return [...figures].map((figure) => {
    const { title, unit } = lifecycleFigure(figure);
    const bars = Object.entries(record.systems).map(([name, runs]): Bar => {
      const spread = spreadOf(runs.flatMap((run) => run.figures[figure] ?? []));
      const text = spread === null ? "no score" : `${formatNumber(spread.median)} ${unit}`;
      return { name, look: lookIn(looks, name), value: spread?.median ?? null, text };
    });
    return {
      title: `${record.name}: ${title}`,
      hint: record.about,
      bars,
      goal: null,
      note: "",
      isMet: null,
    };
  });
}

/** Lifecycles of many figures: tables, a row a figure. */
const isWide = ({ name }: LifecycleRecord): boolean =>
  name.startsWith("overload-") || name === "cores";

type Entries = readonly (readonly [string, LifecycleRecord["systems"][string]])[];

/** A column for each of the entries; what a figure is not told of is left out. */
function figureTable(entries: Entries): string {
  const valuesOf = (figure: string, [, runs]: Entries[number]): number[] =>
    runs.flatMap((run) => run.figures[figure] ?? []);
  const figures = new Set(
    entries.flatMap(([, runs]) => runs.flatMap((run) => Object.keys(run.figures))),
  );
  const rows = [...figures]
    .filter((figure) =>
      isTold(
        figure,
        entries.flatMap((entry) => valuesOf(figure, entry)),
      ),
    )
    .map((figure) => [
      headOf(figure),
      ...entries.map((entry) => formatSpread(spreadOf(valuesOf(figure, entry)))),
    ]);
  return rows.length === 0 ? "" : table(["", ...entries.map(([name]) => name)], rows);
}

/** A table; one for each system where it was measured in several shapes (`sluice 2 threads on 2 processors`). */
function lifecycleTable(record: LifecycleRecord): string {
  const entries = Object.entries(record.systems);
  const systems = [...new Set(entries.map(([name]) => name.split(" ")[0] ?? name))];
  const groups =
    systems.length === entries.length
      ? [entries]
      : systems.map((system) => entries.filter(([name]) => name.split(" ")[0] === system));
  const errors = entries.flatMap(([name, runs]) =>
    runs.flatMap(({ error }) => (error === null ? [] : [`${name}: ${error}`])),
  );
  const failures = errors.map((line) => `<p class="missed">${escaped(line)}</p>`).join("");
  return `<h3>${escaped(record.name)}</h3>
<p class="dim">${escaped(record.about)}.</p>
${groups.map(figureTable).join("")}${failures}`;
}

/** Start, idleness and restart as bars; overload and processors as tables. */
export function lifecycleSection(record: BenchRecord, looks: Looks): string {
  const narrow = record.lifecycles.filter((each) => !isWide(each));
  const overloads = record.lifecycles.filter((each) => each.name.startsWith("overload-"));
  const rest = record.lifecycles.filter((each) => isWide(each) && !overloads.includes(each));
  const sections = [
    narrow.length === 0
      ? ""
      : `<h2>Start, idle, restart</h2>
${barGroups(narrow.flatMap((each) => lifecycleGroups(each, looks)))}`,
    overloads.length === 0
      ? ""
      : `<h2>Overload</h2>
<p class="dim">A quiet client sends 100 records a second and reads them, with intended send times: alone, and beside the load, which runs at a lower priority. Medians of the runs.</p>
${overloads.map(lifecycleTable).join("")}`,
    rest.length === 0 ? "" : `<h2>Processors</h2>${rest.map(lifecycleTable).join("")}`,
  ];
  return sections.join("\n");
}
