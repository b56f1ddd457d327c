import { expect, test } from "bun:test";
import { fuzzBroker } from "./broker-run.ts";

// The small form of the million frames: every pair of API and version some dozen times, with one broker thread and with two.
for (const [threads, frames] of [
  [1, 15_000],
  [2, 5_000],
] as const) {
  test(`${frames} hostile frames break nothing with ${threads} broker threads`, async () => {
    const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 0x7fffffff));
    const report = await fuzzBroker({
      frames,
      seed,
      connections: 16,
      deadlineMs: 10_000,
      growthMib: 1024,
      threads,
      kafkaLibraries: null,
      progress: () => {},
    });
    expect({ seed, findings: report.findings }).toEqual({ seed, findings: [] });
    expect(report.frames).toBe(frames);
    expect(report.outcomes.answered).toBeGreaterThan(frames / 4);
  });
}
