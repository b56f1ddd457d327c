/**
 * A small line chart as SVG: 380 by 260 units, drawn at about its own size on a phone and side by side on a wide screen, so that text
 * keeps its size. Scales are logarithmic where asked for, ticks are round numbers, and every axis carries its unit.
 */
import { formatNumber } from "../statistics.ts";
import type { Look } from "./colors.ts";
import { escaped } from "./markup.ts";

/** One line. Points are in data units, sorted by x. */
export interface Line {
  readonly name: string;
  readonly look: Look;
  readonly points: readonly (readonly [number, number])[];
}

/** An axis: its title with the unit, its scale, and its ticks where they are not to be found by themselves. */
export interface Axis {
  readonly title: string;
  readonly isLogarithmic: boolean;
  readonly ticks?: readonly { readonly at: number; readonly label: string }[];
}

/** A chart. */
export interface LineChart {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly lines: readonly Line[];
  /** Whether each point is marked. */
  readonly hasMarks: boolean;
  /** A line from the origin where y equals x. */
  readonly hasIdeal?: boolean;
}

const size = { width: 380, height: 260, left: 58, right: 22, top: 12, bottom: 44 } as const;

type Tick = { readonly at: number; readonly label: string };

/** A number short enough for an axis: `0.01`, `5`, `20k`, `1M`. */
export function shortNumber(value: number): string {
  if (value >= 1e6) return `${trimmed(value / 1e6)}M`;
  if (value >= 1e4) return `${trimmed(value / 1e3)}k`;
  if (value >= 1000) return value.toLocaleString("en-US");
  return trimmed(value);
}

const trimmed = (value: number): string => String(Number(value.toPrecision(3)));

/** Round ticks that cover a range: 1, 2 or 5 times a power of ten, about five of them; powers of ten on a logarithmic scale. */
export function ticksOf(low: number, high: number, isLogarithmic: boolean): Tick[] {
  if (isLogarithmic) {
    const first = Math.floor(Math.log10(low) + 1e-9);
    const last = Math.ceil(Math.log10(high) - 1e-9);
    const count = Math.max(1, last - first);
    const every = Math.ceil(count / 6);
    const factors = count <= 2 ? [1, 2, 5] : [1];
    const ticks: Tick[] = [];
    for (let power = first; power <= last; power += every)
      for (const factor of factors) {
        const at = factor * 10 ** power;
        if (power === last && factor > 1) break;
        ticks.push({ at, label: shortNumber(at) });
      }
    // The ticks next to the data are enough.
    const from = ticks.findLastIndex(({ at }) => at <= low * (1 + 1e-9));
    const to = ticks.findIndex(({ at }) => at >= high * (1 - 1e-9));
    return ticks.slice(Math.max(0, from), to < 0 ? undefined : to + 1);
  }
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough) ?? rough;
  const ticks: Tick[] = [];
  for (let index = Math.floor(low / step); index * step < high + step * 0.999; index++)
    ticks.push({ at: index * step, label: shortNumber(Number((index * step).toPrecision(6))) });
  return ticks;
}

interface Scale {
  readonly ticks: readonly Tick[];
  place(value: number): number;
}

function scaleOf(axis: Axis, values: readonly number[], from: number, to: number): Scale {
  const usable = values.filter((value) => (axis.isLogarithmic ? value > 0 : true));
  const given = axis.ticks;
  const low = given?.[0]?.at ?? (axis.isLogarithmic ? Math.min(...usable) : 0);
  const high = given?.at(-1)?.at ?? Math.max(...usable);
  const ticks = given ?? ticksOf(low, high > low ? high : low * 2 + 1e-9, axis.isLogarithmic);
  const map = (value: number): number => (axis.isLogarithmic ? Math.log10(value) : value);
  const [start, end] = [map(ticks[0]?.at ?? low), map(ticks.at(-1)?.at ?? high)];
  const span = end - start === 0 ? 1 : end - start;
  return {
    ticks,
    place: (value) => {
      const share = (map(value) - start) / span;
      return from + Math.min(1, Math.max(0, share)) * (to - from);
    },
  };
}

function markOf(look: Look, x: number, y: number, title: string): string {
  const hint = `<title>${escaped(title)}</title>`;
  const kind = `class="fill-${look.name}"`;
  const at = (value: number): string => value.toFixed(1);
  if (look.mark === "circle")
    return `<circle ${kind} cx="${at(x)}" cy="${at(y)}" r="3.4">${hint}</circle>`;
  const turn = look.mark === "diamond" ? ` transform="rotate(45 ${at(x)} ${at(y)})"` : "";
  return `<rect ${kind} x="${at(x - 3)}" y="${at(y - 3)}" width="6" height="6"${turn}>${hint}</rect>`;
}

/** The chart as an SVG element in a figure with its title. */
export function lineChart(chart: LineChart): string {
  const { left, top } = size;
  const [right, bottom] = [size.width - size.right, size.height - size.bottom];
  const all = chart.lines.flatMap((line) => line.points);
  const x = scaleOf(
    chart.x,
    all.map(([value]) => value),
    left,
    right,
  );
  const y = scaleOf(
    chart.y,
    // What was offered is drawn on both axes.
    all.flatMap(([offered, value]) => (chart.hasIdeal === true ? [offered, value] : [value])),
    bottom,
    top,
  );
  const grid = [
    ...y.ticks.map(({ at, label }) => {
      const place = y.place(at).toFixed(1);
      return `<line class="grid" x1="${left}" x2="${right}" y1="${place}" y2="${place}"/><text x="${left - 6}" y="${place}" dy="0.35em" text-anchor="end">${label}</text>`;
    }),
    ...x.ticks.map(({ at, label }) => {
      const place = x.place(at).toFixed(1);
      return `<line class="grid" x1="${place}" x2="${place}" y1="${top}" y2="${bottom}"/><text x="${place}" y="${bottom + 17}" text-anchor="middle">${label}</text>`;
    }),
  ];
  const drawn = chart.lines.map(({ name, look, points }) => {
    const places = points.map(([px, py]) => `${x.place(px).toFixed(1)},${y.place(py).toFixed(1)}`);
    const marks = chart.hasMarks
      ? points.map(([px, py]) =>
          markOf(
            look,
            x.place(px),
            y.place(py),
            `${name}: ${formatNumber(px)}, ${formatNumber(py)}`,
          ),
        )
      : [];
    const dash = look.dash === "" ? "" : ` stroke-dasharray="${look.dash}"`;
    return `<polyline class="line-${look.name}"${dash} points="${places.join(" ")}"><title>${escaped(name)}</title></polyline>${marks.join("")}`;
  });
  const ideal =
    chart.hasIdeal === true
      ? [...new Set(all.map(([value]) => value))]
          .sort((one, two) => one - two)
          .map((value) => `${x.place(value).toFixed(1)},${y.place(value).toFixed(1)}`)
      : [];
  return `<figure><figcaption>${escaped(chart.title)}</figcaption>
<svg viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="${escaped(chart.title)}">
${grid.join("\n")}
${ideal.length > 0 ? `<polyline class="ideal" points="${ideal.join(" ")}"/>` : ""}
${drawn.join("\n")}
<text class="axis" x="${(left + right) / 2}" y="${size.height - 8}" text-anchor="middle">${escaped(chart.x.title)}</text>
<text class="axis" x="${-(top + bottom) / 2}" y="13" transform="rotate(-90)" text-anchor="middle">${escaped(chart.y.title)}</text>
</svg></figure>`;
}
