/**
 * Bars as plain markup, so that they fit any width: a case with its systems below, each bar scaled within its group. A mark shows
 * where the goal is.
 */
import type { Look } from "./colors.ts";
import { escaped } from "./markup.ts";

/** One bar; `null` where there is no figure, with the reason in `text`. */
export interface Bar {
  readonly name: string;
  readonly look: Look;
  readonly value: number | null;
  readonly text: string;
}

/** The bars of one case. */
export interface BarGroup {
  readonly title: string;
  readonly hint: string;
  readonly bars: readonly Bar[];
  /** Where the goal's mark is, in the unit of the bars. */
  readonly goal: number | null;
  readonly note: string;
  /** Whether the goal was met, where there is one. */
  readonly isMet: boolean | null;
}

/** Groups under each other. Each group is scaled to its longest bar. */
export function barGroups(groups: readonly BarGroup[]): string {
  return `<div class="bars">${groups.map(barGroup).join("")}</div>`;
}

function barGroup(group: BarGroup): string {
  const highest = Math.max(...group.bars.map((bar) => bar.value ?? 0), group.goal ?? 0);
  const percent = (value: number): string => ((value / highest) * 100).toFixed(2);
  const goal =
    group.goal === null || highest === 0
      ? ""
      : `<i class="goal" style="left:${percent(group.goal)}%" title="goal"></i>`;
  const bars = group.bars.map(({ name, look, value, text }) => {
    const width = value === null || highest === 0 ? "0" : percent(value);
    return `<div class="bar"><span class="who">${escaped(name)}</span><span class="track"><i class="fill-${look.name}" style="width:${width}%"></i>${goal}</span><span class="value">${escaped(text)}</span></div>`;
  });
  const verdict = group.isMet === null ? "" : group.isMet ? " met" : " missed";
  const note =
    group.note === "" ? "" : `<span class="note${verdict}">${escaped(group.note)}</span>`;
  return `<section class="group"><h4 title="${escaped(group.hint)}">${escaped(group.title)}${note}</h4>${bars.join("")}</section>`;
}
