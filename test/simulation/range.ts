/**
 * Runs many seeds, on one process or several, and adds up what came of them. Each process takes a part of the range by itself and tells each
 * seed's outcome in a line; a seed's run does not depend on who runs it.
 */
import { addCoverage, type Coverage } from "./coverage.ts";
import { type Outcome, runPlan } from "./cluster.ts";
import { planOf } from "./faults.ts";

/** Seeds from one on. */
export interface SeedRange {
  readonly from: number;
  readonly count: number;
}

/** What one process tells of a seed. */
export type SeedLine = Omit<Outcome, "lines" | "hash"> & { readonly cpuMs: number };

/** A range's outcome, in one line of JSON. */
export interface RangeSummary {
  readonly from: number;
  readonly seeds: number;
  readonly violations: readonly {
    readonly seed: number;
    readonly rule: string;
    readonly message: string;
  }[];
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly virtualHours: number;
  readonly events: number;
  readonly written: number;
  readonly acknowledged: number;
  readonly consumed: number;
  readonly coverage: Coverage;
}

/** Runs a seed and measures what it took of this process. */
export function runSeed(seed: number): SeedLine {
  const before = process.cpuUsage();
  const { lines: _, hash: __, ...outcome } = runPlan(planOf(seed));
  const { user, system } = process.cpuUsage(before);
  return { ...outcome, cpuMs: (user + system) / 1000 };
}

/** Runs a range; `onSeed` hears of each seed, in no order when there are several processes. */
export async function runRange(
  { from, count }: SeedRange,
  jobs: number,
  onSeed: (line: SeedLine, done: number) => void,
): Promise<RangeSummary> {
  const beganMs = performance.now();
  const coverage = new Map<string, number>();
  const violations: { seed: number; rule: string; message: string }[] = [];
  const total = { cpuMs: 0, virtualMs: 0, events: 0, written: 0, acknowledged: 0, consumed: 0 };
  let done = 0;
  const take = (line: SeedLine): void => {
    done += 1;
    total.cpuMs += line.cpuMs;
    total.virtualMs += line.virtualMs;
    total.events += line.eventCount;
    total.written += line.writtenCount;
    total.acknowledged += line.ackedCount;
    total.consumed += line.consumedCount;
    addCoverage(coverage, line.coverage);
    if (line.violation !== null) {
      const [message = ""] = line.violation.message.split("\n");
      violations.push({ seed: line.seed, rule: line.violation.rule, message });
    }
    onSeed(line, done);
  };
  if (jobs <= 1) for (let seed = from; seed < from + count; seed += 1) take(runSeed(seed));
  else {
    const share = Math.ceil(count / jobs);
    const parts = Array.from({ length: jobs }, (_, job) => ({
      from: from + job * share,
      count: Math.min(share, count - job * share),
    }));
    await Promise.all(parts.filter((part) => part.count > 0).map((part) => runPart(part, take)));
  }
  return {
    from,
    seeds: count,
    violations: violations.sort((left, right) => left.seed - right.seed),
    seconds: Math.round(performance.now() - beganMs) / 1000,
    cpuSeconds: Math.round(total.cpuMs) / 1000,
    virtualHours: Math.round(total.virtualMs / 36) / 100_000,
    events: total.events,
    written: total.written,
    acknowledged: total.acknowledged,
    consumed: total.consumed,
    coverage: Object.fromEntries([...coverage].sort(([left], [right]) => (left < right ? -1 : 1))),
  };
}

async function runPart({ from, count }: SeedRange, take: (line: SeedLine) => void): Promise<void> {
  const script = new URL("main.ts", import.meta.url).pathname;
  const child = Bun.spawn(
    [process.execPath, script, "--worker", "--from", String(from), "--seeds", String(count)],
    { stdout: "pipe", stderr: "inherit" },
  );
  let text = "";
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) take(JSON.parse(line) as SeedLine);
  }
  const code = await child.exited;
  if (code !== 0) throw new Error(`the process with seeds from ${from} ended with ${code}`);
}
