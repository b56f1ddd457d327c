import { expect, test } from "bun:test";
import { fuzz } from "./protocol.ts";

// The tiny mode: long enough to meet every target, short enough for every run of the tests.
test("a second of fuzzing finds nothing", async () => {
  const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 0x7fffffff));
  const report = await fuzz({ seconds: 1, seed });
  expect({ seed, finding: report.finding }).toEqual({ seed, finding: null });
  expect(report.runs).toBeGreaterThan(100);
  expect(report.taken).toBeGreaterThan(0);
});
