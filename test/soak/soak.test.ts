import { expect, test } from "bun:test";
import { runSoak } from "./soak.ts";

// The small form: everything the long run does, once; too short to tell of growth.
test("ten seconds of coming and going lose and break nothing", async () => {
  const report = await runSoak({
    seconds: 10,
    seed: 1,
    threads: 1,
    kafkaLibraries: null,
    isGrowthJudged: false,
    progress: () => {},
  });
  expect(report.findings).toEqual([]);
  expect(report.produced).toBeGreaterThan(1000);
  expect(report.hostileFrames).toBeGreaterThan(50);
});
