/** The engine for real, in small: each kind of load once on the physical limit, and the lifecycles once on our broker. Nothing is timed. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCase, type CaseOptions, type Entrant } from "../../../bench/cases.ts";
import { runLifecycles, type LifecycleOptions } from "../../../bench/lifecycle.ts";
import { Progress } from "../../../bench/progress.ts";
import { limit } from "../../../bench/systems/limit.ts";
import { self } from "../../../bench/systems/self.ts";
import { freePort, root, runCommand, type RunningSystem } from "../../../bench/systems/system.ts";
import { workload, type Workload } from "../../../bench/workloads/workload.ts";

setDefaultTimeout(300_000);

const directory = mkdtempSync(join(tmpdir(), "sluice-bench-"));
const progress = new Progress({ isTerminal: false, write: () => {} });
let running: RunningSystem | null = null;

// Unoptimised, as `cargo test` leaves its parts.
const target = process.env["CARGO_TARGET_DIR"] ?? join(root, "bench/load/target");
const given = process.env["SLUICE_LOAD"];

beforeAll(async () => {
  const manifest = join(root, "bench/load/Cargo.toml");
  await runCommand(["cargo", "build", "--locked", "--quiet", "--manifest-path", manifest]);
  process.env["SLUICE_LOAD"] = join(target, "debug/sluice-load");
});

afterAll(async () => {
  if (given === undefined) delete process.env["SLUICE_LOAD"];
  else process.env["SLUICE_LOAD"] = given;
  await running?.kill();
  rmSync(directory, { recursive: true, force: true });
});

describe("each kind of load on the limit", () => {
  let entrant: Entrant;

  beforeAll(async () => {
    const options = { directory: join(directory, "limit"), port: await freePort() };
    mkdirSync(options.directory);
    running = await limit.start(options);
    entrant = { system: limit, options, running, startUpMs: [], residentIdleMib: 0 };
  });

  const shared = { about: "", cost: "cpuSecondsPerValueGib", fillMib: 1 } as const;
  const loads: Workload[] = [
    workload({ ...shared, name: "produce", verb: "produce", connections: 3, inflight: 5 }),
    workload({ ...shared, name: "turns", verb: "produce", connections: 3, partitions: 7 }),
    workload({
      ...shared,
      name: "many",
      verb: "produce",
      connections: 3,
      partitions: 5,
      requestPartitions: 4,
    }),
    workload({ ...shared, name: "zstd", verb: "produce", records: 100, codec: "zstd" }),
    workload({ ...shared, name: "fsync", verb: "produce", acks: -1, durability: "fsync" }),
    workload({ ...shared, name: "fetch", verb: "fetch", connections: 2, partitions: 5 }),
    workload({ ...shared, name: "lz4", verb: "fetch", records: 100, codec: "lz4" }),
    workload({ ...shared, name: "cold", verb: "fetch", isCold: true, maxMib: 1, records: 99 }),
    workload({ ...shared, name: "end", verb: "end-to-end", partitions: 2, ratePerSecond: 200 }),
    workload({ ...shared, name: "fan-out", verb: "end-to-end", consumers: 3, records: 20 }),
  ];

  for (const load of loads) {
    test(`${load.name}: every answer is right`, async () => {
      const options: CaseOptions = {
        mode: "quick",
        runs: 1,
        seconds: 0.1,
        seed: 1,
        warmUpShare: 0,
        isMemoryHeld: false,
        settleMs: 0,
        directory,
        progress,
      };
      const record = await runCase([entrant], options, { ...load, maxMib: 1 }, new Map());
      const runs = record.systems["limit"]?.runs ?? [];
      expect(runs.map((run) => [run.isValid, run.firstError])).toEqual([[true, null]]);
      expect(runs[0]?.records).toBeGreaterThan(0);
    });
  }
});

const small: LifecycleOptions = {
  runs: 1,
  startUps: 1,
  seed: 1,
  idleSeconds: 0.2,
  partitions: 12,
  killedMib: 2,
  directory,
  progress,
};

test("lifecycles: what was acknowledged is there after a stop and after kill -9", async () => {
  const names = new Set(["start-empty", "start-2000-partitions-after-kill", "restart-after-kill"]);
  const lived = await runLifecycles([limit, self], names, small);
  expect(lived.map(({ name, systems }) => [name, Object.keys(systems)])).toEqual(
    [...names].map((name) => [name, ["sluice"]]),
  );
  const runs = lived.flatMap(({ systems }) => Object.values(systems).flat());
  expect(runs.map(({ error }) => error)).toEqual([null, null, null]);
  expect(runs.every(({ figures }) => (figures["firstAnswerMs"] ?? 0) > 0)).toBe(true);
});
