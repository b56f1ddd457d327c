/**
 * Failing system calls in small: a failed fsync poisons its directory and no other, a full disk is overcome, a kill at a write loses nothing. Needs
 * strace and the right to trace; where they are missing the tests say so. `bun test/power/faults.ts` is the long form.
 */
import { expect, test } from "bun:test";
import { runFault, whyNoStrace } from "./fault-harness.ts";
import { FAULTS } from "./faults.ts";

const why = await whyNoStrace();
if (why !== null) console.log(`failing system calls are not tested here: ${why}`);

for (const [name, when] of [
  ["fsync fails once", "1"],
  ["fsync fails once", "4"],
  ["disk full on write", "2"],
  ["killed at a write", "3"],
  ["killed in recovery at fdatasync", "2"],
] as const)
  test.skipIf(why !== null)(
    `${name}, call ${when}`,
    async () => {
      const fault = FAULTS.find((one) => one.name === name);
      if (fault === undefined) throw new Error(`no fault ${name}`);
      const report = await runFault({ ...fault, when });
      expect(report.findings).toEqual([]);
      expect(report.acknowledged).toBeGreaterThan(0);
    },
    60_000,
  );
