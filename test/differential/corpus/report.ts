/**
 * The verdict: each case is equal, different by intent, or a problem. A listed difference that is none any more is a problem as
 * well, so that the list never holds more than what is true.
 */
import { type Case, subjectOf } from "./case.ts";
import { intendedDifferences } from "./differences.ts";
import { abridged } from "./recorded.ts";
import type { Outcome } from "./run.ts";

/** Time after which an answer of ours is called slow, ms. */
const SLOW_MS = 1000;

/** What happened to one case. */
export interface Problem {
  readonly name: string;
  readonly what: "different" | "listed but equal" | "silent" | "not recorded";
  readonly kafka: string;
  readonly ours: string;
}

/** Cases of a subject, counted. */
export interface SubjectCount {
  cases: number;
  equal: number;
  intended: number;
}

/** Everything a run came to. */
export interface Report {
  readonly subjects: ReadonlyMap<string, SubjectCount>;
  readonly problems: readonly Problem[];
  /** Cases that took us more than a second to answer or close. */
  readonly slow: readonly { name: string; ms: number }[];
  readonly answers: readonly { name: string; kafka: string; ours: string }[];
}

/** Compares what was answered. Recorded answers may be abridged, so ours are abridged likewise. */
export function compareOutcomes(
  cases: readonly Case[],
  ours: ReadonlyMap<string, Outcome>,
  theirs: ReadonlyMap<string, Pick<Outcome, "text">>,
  isRecorded: boolean,
): Report {
  const intended = intendedDifferences();
  const subjects = new Map<string, SubjectCount>();
  const problems: Problem[] = [];
  const slow: { name: string; ms: number }[] = [];
  const answers: { name: string; kafka: string; ours: string }[] = [];
  for (const { name } of cases) {
    const subject = subjects.get(subjectOf(name)) ?? { cases: 0, equal: 0, intended: 0 };
    subjects.set(subjectOf(name), subject);
    subject.cases += 1;
    const outcome = ours.get(name);
    const kafka = theirs.get(name)?.text;
    const text = isRecorded ? abridged(outcome?.text ?? "") : (outcome?.text ?? "");
    answers.push({ name, kafka: kafka ?? "", ours: text });
    const note = (what: Problem["what"]): void => {
      problems.push({ name, what, kafka: kafka ?? "", ours: text });
    };
    if ((outcome?.slowestMs ?? 0) > SLOW_MS) slow.push({ name, ms: outcome?.slowestMs ?? 0 });
    if (outcome?.socket === "silent") note("silent");
    if (kafka === undefined) note("not recorded");
    else if (kafka === text) {
      subject.equal += 1;
      if (intended.has(name)) note("listed but equal");
    } else if (intended.has(name)) subject.intended += 1;
    else note("different");
  }
  return { subjects, problems, slow, answers };
}

/** Prints the report as text, or as one JSON object. */
export function printReport(
  report: Report,
  options: { readonly asJson: boolean; readonly printsAll: boolean; readonly elapsedMs: number },
): void {
  if (options.asJson) {
    const subjects = Object.fromEntries(report.subjects);
    console.log(JSON.stringify({ ...report, subjects, elapsedMs: options.elapsedMs }, null, 2));
    return;
  }
  if (options.printsAll) {
    for (const { name, kafka, ours } of report.answers) {
      console.log(`${name}\n  Kafka ${kafka}\n  ours  ${ours}`);
    }
  }
  for (const { name, what, kafka, ours } of report.problems) {
    console.log(`${what.toUpperCase()}: ${name}\n  Kafka ${kafka}\n  ours  ${ours}`);
  }
  for (const { name, ms } of report.slow) console.log(`slow: ${name}, ${ms.toFixed(0)} ms`);
  const total: SubjectCount = { cases: 0, equal: 0, intended: 0 };
  for (const [subject, count] of report.subjects) {
    console.log(line(subject, count));
    total.cases += count.cases;
    total.equal += count.equal;
    total.intended += count.intended;
  }
  console.log(line("all", total));
  const seconds = (options.elapsedMs / 1000).toFixed(1);
  console.log(`${report.problems.length} problems in ${seconds} s`);
}

function line(subject: string, { cases, equal, intended }: SubjectCount): string {
  return `${subject.padEnd(14)} ${cases} cases, ${equal} equal, ${intended} different by intent`;
}
