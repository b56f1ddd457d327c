/** Which colour, dash and mark a system has, the same in every plot. Blue, orange and grey stay apart for colour-blind eyes. */
import { limitName, subject } from "../record.ts";

/** How a system is drawn. */
export interface Look {
  /** Class of the style sheet that sets its colour. */
  readonly name: string;
  /** SVG dash pattern of its lines; empty for a solid one. */
  readonly dash: string;
  readonly mark: "circle" | "square" | "diamond";
}

const others: readonly Look[] = [
  { name: "second", dash: "", mark: "square" },
  { name: "third", dash: "7 3", mark: "diamond" },
  { name: "fourth", dash: "2 3", mark: "circle" },
];

/** By system. */
export type Looks = ReadonlyMap<string, Look>;

/** The look of a system; one of its own for those that the record does not describe. */
export const lookIn = (looks: Looks, name: string): Look =>
  looks.get(name) ?? { name: "fourth", dash: "", mark: "circle" };

/** The look of each system of a record. */
export function looksOf(systems: readonly string[]): Looks {
  const looks = new Map<string, Look>();
  let next = 0;
  for (const name of systems) {
    if (name === limitName) looks.set(name, { name: "limit", dash: "3 3", mark: "diamond" });
    else if (name === subject || (next === 0 && !systems.includes(subject) && looks.size === 0))
      looks.set(name, { name: "first", dash: "", mark: "circle" });
    else
      looks.set(
        name,
        others[next++ % others.length] ?? { name: "second", dash: "", mark: "square" },
      );
  }
  return looks;
}

/** The legend of plots. */
export function legend(looks: Looks, about: ReadonlyMap<string, string>): string {
  const items = [...looks].map(
    ([name, look]) =>
      `<span class="key"><i class="fill-${look.name}"></i>${about.get(name) ?? name}</span>`,
  );
  return `<p class="legend">${items.join("")}</p>`;
}
