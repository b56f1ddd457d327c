/**
 * All micro-benchmarks: `bun bench/micro/index.ts [part of a name]`. Figures are of one process on one machine: they show
 * whether a change made a piece dearer, not what the broker does.
 */
import { codecSuite } from "./codec.ts";
import { measure, type SuiteFactory } from "./harness.ts";
import { nativeSuite } from "./native.ts";
import { recordsSuite } from "./records.ts";

export const suites: readonly SuiteFactory[] = [codecSuite, recordsSuite, nativeSuite];

if (import.meta.main) {
  const wanted = process.argv[2] ?? "";
  console.log(
    `${"operation".padEnd(58)} ${"mean ns".padStart(12)} ${"p50 ns".padStart(12)} ${"p99 ns".padStart(12)} ${"check".padStart(12)}`,
  );
  for (const factory of suites) {
    const suite = await factory();
    if (suite.skipped !== undefined) console.log(`${suite.name}: left out, ${suite.skipped}`);
    for (const task of suite.tasks) {
      const name = `${suite.name}: ${task.name}`;
      if (!name.includes(wanted)) continue;
      const { meanNs, p50Ns, p99Ns, check } = measure(suite.name, task);
      const figures = [meanNs, p50Ns, p99Ns].map((value) =>
        value.toFixed(value < 100 ? 1 : 0).padStart(12),
      );
      console.log(`${name.padEnd(58)} ${figures.join(" ")} ${String(check).padStart(12)}`);
    }
    await suite.close?.();
  }
}
