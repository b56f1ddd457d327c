/**
 * What two brokers printed, side by side: equal, different as decided (`differences.ts`), or a problem. A decision that no difference needs any
 * more is a problem as well.
 */
import type { Transcript } from "./broker-run.ts";
import { DECISIONS, type Decision } from "./differences.ts";

/** Outcome of a section. */
export interface Comparison {
  readonly equal: number;
  readonly intended: number;
  readonly problems: readonly string[];
}

/** Lines that only the one or the other has, in order: a diff in the plainest sense. */
function differingLines(kafka: readonly string[], ours: readonly string[]): string[] {
  const left = [...kafka];
  const added: string[] = [];
  for (const line of ours) {
    const at = left.indexOf(line);
    if (at < 0) added.push(line);
    else left.splice(at, 1);
  }
  if (left.length === 0 && added.length === 0) return ["the same lines in another order"];
  return [...left.map((line) => `  kafka | ${line}`), ...added.map((line) => `  ours  | ${line}`)];
}

const isAbout = (decision: Decision, section: string, line: string): boolean =>
  decision.section === section && (decision.command?.test(line) ?? true);

/** Without the lines that decisions let differ. */
const without = (text: string, decisions: readonly Decision[]): string[] =>
  text
    .split("\n")
    .filter((line) => !decisions.some(({ lines }) => lines === undefined || lines.test(line)));

/**
 * Compares a section.
 *
 * @param decisions - those that may be used; defaults to all.
 */
export function compareSection(
  section: string,
  kafka: Transcript,
  ours: Transcript,
  decisions: readonly Decision[] = DECISIONS,
): Comparison {
  let equal = 0;
  let intended = 0;
  const problems: string[] = [];
  const used = new Set<Decision>();
  if (kafka.map(({ line }) => line).join("\n") !== ours.map(({ line }) => line).join("\n"))
    problems.push("other commands were run: record Kafka's answers anew");
  kafka.forEach(({ line, text }, index) => {
    const our = ours[index];
    if (our === undefined || our.line !== line) return;
    if (text === our.text) {
      equal += 1;
      return;
    }
    const fitting = decisions.filter((decision) => isAbout(decision, section, line));
    for (const decision of fitting) {
      const about = (each: string): string =>
        each
          .split("\n")
          .filter((one) => decision.lines?.test(one) ?? true)
          .join("\n");
      if (about(text) !== about(our.text)) used.add(decision);
    }
    const [left, right] = [without(text, fitting), without(our.text, fitting)];
    if (left.join("\n") === right.join("\n")) intended += 1;
    else problems.push(`$ ${line}\n${differingLines(left, right).join("\n")}`);
  });
  for (const decision of decisions) {
    if (decision.section === section && !used.has(decision))
      problems.push(`no difference any more: ${decision.reason}`);
  }
  return { equal, intended, problems };
}
