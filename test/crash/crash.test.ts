/**
 * The broker is stopped (SIGTERM, `kill -9`, in turn) and started again under load: no acknowledged record may be lost, doubled or out of order, no
 * committed offset may go back. Ten cycles here; main.ts runs any number. A failure prints its seed.
 */
import { expect, test } from "bun:test";
import { sluiceBroker } from "../support/broker-process.ts";
import { temporaryDirectory } from "../support/process.ts";
import { CRASH_SETTINGS, runCrashes } from "./harness.ts";

const CYCLES = Number(process.env["SLUICE_CRASH_CYCLES"] ?? "10");

test(`${CYCLES} stops under load lose, double and reorder nothing`, async () => {
  const directory = temporaryDirectory("crash");
  const seed = Number(process.env["SLUICE_CRASH_SEED"] ?? String(Date.now() % 100_000));
  const broker = await sluiceBroker({ directory: directory.path, overrides: CRASH_SETTINGS });
  const report = await runCrashes(broker, {
    cycles: CYCLES,
    seed,
    say: (line) => console.log(line),
  });
  expect({ seed, findings: report.findings }).toEqual({ seed, findings: [] });
  expect(report.strikes.inRecovery).toBeGreaterThan(0);
  expect(report.acknowledged).toBeGreaterThan(CYCLES * 100);
  directory.remove();
}, 600_000);
