/**
 * Failing system calls by hand; needs strace:
 *
 *   bun test/power/faults.ts [--upto 20] [--only NAME] [--when N] [--json]
 *
 * Each fault at its 1st to `--upto`th call. A failure prints the command that repeats it and keeps its directory.
 */
import { parseArgs } from "node:util";
import { runFault, whyNoStrace, type Fault, type FaultReport } from "./fault-harness.ts";

/** All faults, without `when`. */
export const FAULTS: readonly Omit<Fault, "when">[] = [
  {
    name: "fsync fails once",
    inject: "fdatasync,fsync:error=EIO",
    where: "sync thread",
    expectation: "poisons",
  },
  {
    name: "every thread's fsync fails once",
    inject: "fdatasync,fsync:error=EIO",
    where: "all threads",
    expectation: "survives",
  },
  {
    name: "fsync is slow",
    inject: "fdatasync,fsync:delay_enter=200000",
    where: "sync thread",
    expectation: "slows",
  },
  {
    name: "disk full on write",
    inject: "pwrite64,write:error=ENOSPC",
    where: "all threads",
    expectation: "refuses",
  },
  {
    name: "write fails",
    inject: "pwrite64:error=EIO",
    where: "all threads",
    expectation: "survives",
  },
  {
    name: "truncate fails",
    inject: "ftruncate:error=EIO",
    where: "all threads",
    expectation: "survives",
    isRare: true,
  },
  {
    name: "rename fails",
    inject: "rename,renameat,renameat2:error=EIO",
    where: "all threads",
    expectation: "survives",
    isRare: true,
  },
  {
    name: "open fails",
    inject: "openat:error=EIO",
    where: "all threads",
    expectation: "survives",
    isRare: true,
  },
  {
    name: "out of descriptors",
    inject: "openat:error=EMFILE",
    where: "all threads",
    expectation: "survives",
    isRare: true,
  },
  {
    name: "killed at a write",
    inject: "pwrite64:signal=KILL",
    where: "all threads",
    expectation: "kills",
  },
  {
    name: "killed at an fsync",
    inject: "fdatasync,fsync:signal=KILL",
    where: "all threads",
    expectation: "kills",
  },
  {
    name: "killed at a rename",
    inject: "rename,renameat,renameat2:signal=KILL",
    where: "all threads",
    expectation: "kills",
    isRare: true,
  },
  ...[
    "fdatasync,fsync",
    "pwrite64",
    "ftruncate",
    "rename,renameat,renameat2",
    "unlink,unlinkat",
  ].flatMap(
    (calls) =>
      [
        {
          name: `killed in recovery at ${calls.split(",")[0]}`,
          inject: `${calls}:signal=KILL`,
          where: "recovery",
          expectation: "kills",
          isRare: true,
        },
        {
          name: `${calls.split(",")[0]} fails in recovery`,
          inject: `${calls}:error=EIO`,
          where: "recovery",
          expectation: "survives",
          isRare: true,
        },
      ] as const,
  ),
];

/** Runs each of `faults` at its calls 1 to `upto`. */
export async function runFaults(
  faults: readonly Omit<Fault, "when">[],
  whens: readonly string[],
  say: (line: string) => void,
): Promise<FaultReport[]> {
  const reports: FaultReport[] = [];
  for (const fault of faults)
    for (const when of whens) {
      const report = await runFault({ ...fault, when });
      reports.push(report);
      say(
        `${fault.name}, call ${when}: ${report.injected} injected, ${report.acknowledged} acknowledged, ${report.refused} refused${report.codes.length > 0 ? ` (${report.codes.join(", ")})` : ""}, ${report.findings.length} findings`,
      );
      for (const finding of report.findings) say(`FOUND ${finding}`);
      if (report.findings.length > 0)
        say(`again: bun test/power/faults.ts --only "${fault.name}" --when ${when}`);
    }
  return reports;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      upto: { type: "string", default: "20" },
      only: { type: "string" },
      when: { type: "string" },
      json: { type: "boolean", default: false },
    },
  });
  const why = await whyNoStrace();
  if (why !== null) {
    console.error(`system calls cannot be made to fail here: ${why}`);
    process.exit(2);
  }
  const whens =
    values.when === undefined
      ? Array.from({ length: Number(values.upto) }, (_, at) => String(at + 1))
      : [values.when];
  const faults = FAULTS.filter(({ name }) => values.only === undefined || name === values.only);
  const say = (line: string): void => (values.json ? console.error(line) : console.log(line));
  const reports = await runFaults(faults, whens, say);
  if (values.json) console.log(JSON.stringify(reports, null, 2));
  else {
    console.log("| fault | runs | injected | acknowledged | refused | codes | findings |");
    console.log("| --- | --- | --- | --- | --- | --- | --- |");
    for (const { name } of faults) {
      const of = reports.filter((report) => report.name === name);
      const sum = (pick: (report: FaultReport) => number): number =>
        of.reduce((total, report) => total + pick(report), 0);
      const codes = [...new Set(of.flatMap((report) => report.codes))].join(", ");
      console.log(
        `| ${name} | ${of.length} | ${of.filter((report) => report.injected > 0).length} | ${sum((report) => report.acknowledged)} | ${sum((report) => report.refused)} | ${codes} | ${sum((report) => report.findings.length)} |`,
      );
    }
  }
  process.exit(reports.some((report) => report.findings.length > 0) ? 1 : 0);
}
