/**
 * Power cuts in small: the default policy loses nothing, and a broker that is told not to sync is caught. Needs root, FUSE and loop devices;
 * where those are missing the tests say so and do nothing. `bun test/power/main.ts` is the long form.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { sluiceBroker } from "../support/broker-process.ts";
import { temporaryDirectory } from "../support/process.ts";
import { whyNoDevice } from "./device.ts";
import { runPowerCuts, type PowerReport } from "./harness.ts";
import { POLICIES, type FlushPolicy } from "./policies.ts";
import { replayCuts } from "./replay.ts";

const why = whyNoDevice();
if (why !== null) console.log(`power cuts are not tested here: ${why}`);

async function cut(policy: FlushPolicy, cuts: number): Promise<PowerReport> {
  const directory = temporaryDirectory("power");
  try {
    return await runPowerCuts({
      directory: directory.path,
      policy,
      cuts,
      seed: Number(process.env["SLUICE_POWER_SEED"] ?? String(Date.now() % 100_000)),
      loadMs: 800,
      say: (line) => console.log(line),
      makeBroker: (dataDirectory, overrides) =>
        sluiceBroker({ directory: join(directory.path, "broker"), dataDirectory, overrides }),
    });
  } finally {
    directory.remove();
  }
}

const named = (name: string): FlushPolicy => {
  const found = POLICIES.find((policy) => policy.name === name);
  if (found === undefined) throw new Error(`no policy ${name}`);
  return found;
};

test.skipIf(why !== null)(
  "five power cuts lose nothing that the default acknowledged",
  async () => {
    const report = await cut(named("all"), 5);
    expect({ seed: report.seed, findings: report.findings }).toEqual({
      seed: report.seed,
      findings: [],
    });
    expect(report.acknowledged).toBeGreaterThan(500);
  },
  300_000,
);

test.skipIf(why !== null)(
  "a broker that acknowledges before it syncs is caught",
  async () => {
    const planted = {
      ...named("all"),
      name: "planted",
      overrides: { "sluice.acks.all.fsync": "false" },
    };
    const report = await cut(planted, 1);
    expect(report.findings.filter((finding) => finding.includes("lost: ")).length).toBeGreaterThan(
      0,
    );
    expect(report.findings.filter((finding) => finding.includes("simulator"))).toEqual([]);
  },
  300_000,
);

test.skipIf(why !== null)(
  "twelve crash states of one recorded run hold what was acknowledged before them",
  async () => {
    const directory = temporaryDirectory("replay");
    try {
      const report = await replayCuts({
        directory: directory.path,
        policy: named("all"),
        states: 12,
        seed: Number(process.env["SLUICE_POWER_SEED"] ?? String(Date.now() % 100_000)),
        loadMs: 1_000,
      });
      expect({ seed: report.seed, findings: report.findings }).toEqual({
        seed: report.seed,
        findings: [],
      });
      expect(report.states).toBe(12);
    } finally {
      directory.remove();
    }
  },
  300_000,
);

test.skipIf(why !== null)(
  "a replayed run of a broker that acknowledges before it syncs is caught",
  async () => {
    const directory = temporaryDirectory("replay");
    try {
      const report = await replayCuts({
        directory: directory.path,
        policy: { ...named("all"), overrides: { "sluice.acks.all.fsync": "false" } },
        states: 5,
        seed: 1,
        loadMs: 500,
      });
      expect(
        report.findings.filter((finding) => finding.includes("lost: ")).length,
      ).toBeGreaterThan(0);
    } finally {
      directory.remove();
    }
  },
  300_000,
);
