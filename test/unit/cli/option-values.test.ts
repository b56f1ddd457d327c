/** Times and time spans as people write them. */
import { describe, expect, test } from "bun:test";
import { parseDuration, parseTime } from "#cli/option-values.ts";
import { formatPartitions } from "#cli/units.ts";

describe("values of options", () => {
  test.each([
    ["2026-01-31T12:00:00Z", Date.UTC(2026, 0, 31, 12)],
    ["2026-01-31T12:00:00", Date.UTC(2026, 0, 31, 12)],
    ["2026-01-31 12:00", Date.UTC(2026, 0, 31, 12)],
    ["2026-01-31T12:00:00.250+02:00", Date.UTC(2026, 0, 31, 10, 0, 0, 250)],
    ["2026-01-31T12:00:00+0200", Date.UTC(2026, 0, 31, 10)],
    ["2026-01-31", Date.UTC(2026, 0, 31)],
    ["2026-13-31", null],
    ["31.1.2026", null],
    ["now", null],
  ])("%s is a time", (text, expected) => {
    expect(parseTime(text)).toBe(expected);
  });

  test.each([
    ["P1DT2H30M5S", 95_405_000],
    ["PT1H", 3_600_000],
    ["pt0.5s", 500],
    ["P2D", 172_800_000],
    ["90m", 5_400_000],
    ["250ms", 250],
    ["P", null],
    ["PT", null],
    ["P1DT", null],
    ["1h30m", null],
    ["-5m", null],
  ])("%s is a time span", (text, expected) => {
    expect(parseDuration(text)).toBe(expected);
  });

  test("partitions are told as ranges", () => {
    expect([[], [3], [2, 0, 1], [5, 0, 1, 7, 6]].map(formatPartitions)).toEqual([
      "",
      "3",
      "0-2",
      "0-1,5-7",
    ]);
  });
});
