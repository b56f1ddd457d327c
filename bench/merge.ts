/**
 * Several runs as one record: halves of a long comparison, or what was measured again. Only runs of the same options on the same machine can
 * stand beside each other; that they were several, and of which commit each was, stays in the record (`parts`).
 */
import { judgeCurves } from "./judge.ts";
import type {
  BenchRecord,
  CaseRecord,
  LifecycleRecord,
  RecordPart,
  SystemRecord,
} from "./record.ts";
import { workloads } from "./workloads/index.ts";

/** The runs that a record is of. */
export function partsOf(record: BenchRecord): readonly RecordPart[] {
  if (record.parts !== undefined) return record.parts;
  const { command, commit, startedAt, finishedAt } = record;
  const measured = [
    ...record.cases.map(({ workload }) => workload.name),
    ...record.lifecycles.map(({ name }) => name),
  ];
  return [{ command, commit, startedAt, finishedAt, measured }];
}

/** Whether a case has nothing that another run could mend. */
export function isCleanCase({ systems, goals, failure }: CaseRecord): boolean {
  const sides = Object.values(systems);
  return (
    failure === undefined &&
    sides.length > 0 &&
    sides.every(({ runs }) => runs.length > 0 && runs.every((run) => run.isValid)) &&
    goals.every(({ verdict }) => verdict !== "no score")
  );
}

/** The same of a lifecycle. */
export const isCleanLifecycle = ({ systems }: LifecycleRecord): boolean =>
  Object.values(systems).every((runs) => runs.every(({ error }) => error === null));

/** In the order of the workloads, curves judged anew. */
export function inOrder(cases: readonly CaseRecord[]): CaseRecord[] {
  const order = workloads.map(({ name }) => name);
  const place = ({ workload }: CaseRecord): number => order.indexOf(workload.name);
  return judgeCurves(cases.toSorted((left, right) => place(left) - place(right)));
}

/** What must be the same for figures to stand beside each other. */
function conditionsOf({ schema, options, machine }: BenchRecord): string {
  const { mode, runs, secondsPerRun, seed } = options;
  const { processor, cores, memoryMib, kernel } = machine;
  return JSON.stringify({
    schema,
    mode,
    runs,
    secondsPerRun,
    seed,
    processor,
    cores,
    memoryMib,
    kernel,
  });
}

function mergedSystem(earlier: SystemRecord | undefined, later: SystemRecord): SystemRecord {
  if (earlier === undefined) return later;
  return {
    ...later,
    startUpMs: later.startUpMs.length > 0 ? later.startUpMs : earlier.startUpMs,
    peakResidentMib: Math.max(earlier.peakResidentMib, later.peakResidentMib),
  };
}

/** Later ones take the place of earlier ones of that name, unless only the earlier one is clean. */
function mergedBy<Each>(
  all: readonly Each[],
  nameOf: (each: Each) => string,
  isClean: (each: Each) => boolean,
): Each[] {
  const merged = new Map<string, Each>();
  for (const each of all) {
    const before = merged.get(nameOf(each));
    if (before === undefined || isClean(each) || !isClean(before)) merged.set(nameOf(each), each);
  }
  return [...merged.values()];
}

/**
 * One record of several.
 *
 * @throws Error when they were not measured under the same conditions, or there is none.
 */
export function mergeRecords(records: readonly BenchRecord[]): BenchRecord {
  const sorted = records.toSorted((left, right) => left.startedAt.localeCompare(right.startedAt));
  const [first, last] = [sorted[0], sorted.at(-1)];
  if (first === undefined || last === undefined) throw new Error("there is no record");
  const wanted = conditionsOf(first);
  const other = sorted.map(conditionsOf).find((conditions) => conditions !== wanted);
  if (other !== undefined)
    throw new Error(`the records are of different conditions:\n  ${wanted}\n  ${other}`);
  const systems: Record<string, SystemRecord> = {};
  for (const record of sorted)
    for (const [name, system] of Object.entries(record.systems))
      systems[name] = mergedSystem(systems[name], system);
  return {
    ...last,
    startedAt: first.startedAt,
    hasUncommittedChanges: sorted.some((record) => record.hasUncommittedChanges),
    systems,
    cases: inOrder(
      mergedBy(
        sorted.flatMap(({ cases }) => cases),
        ({ workload }) => workload.name,
        isCleanCase,
      ),
    ),
    lifecycles: mergedBy(
      sorted.flatMap(({ lifecycles }) => lifecycles),
      ({ name }) => name,
      isCleanLifecycle,
    ),
    parts: mergedBy(
      sorted.flatMap(partsOf),
      ({ startedAt }) => startedAt,
      () => true,
    ),
  };
}
