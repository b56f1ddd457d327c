/** The text format: escapes, dialects, histograms, families. */
import { describe, expect, test } from "bun:test";
import { LatencyHistograms } from "../../../src/common/latency-histogram.ts";
import { escapeLabel, ExpositionWriter } from "../../../src/metrics/exposition.ts";

test("a family is written with its first sample, or not at all", () => {
  const writer = new ExpositionWriter("text");
  writer.gauge("empty", "Never sampled.");
  writer.gauge("one", "A gauge\nwith \\ help.").sample(1.5).sample(-2, { a: "x", b: 3 });
  expect(writer.toString()).toBe(
    '# HELP one A gauge\\nwith \\\\ help.\n# TYPE one gauge\none 1.5\none{a="x",b="3"} -2\n',
  );
  expect(writer.seriesCount).toBe(2);
});

test("the dialects differ in a counter's family and in the end", () => {
  const write = (format: "text" | "openmetrics"): string =>
    new ExpositionWriter(format).counter("things_total", "Things.").sample(3).toString();
  expect(write("text")).toBe(
    "# HELP things_total Things.\n# TYPE things_total counter\nthings_total 3\n",
  );
  expect(write("openmetrics")).toBe(
    "# HELP things Things.\n# TYPE things counter\nthings_total 3\n# EOF\n",
  );
});

test("no label value breaks the text", () => {
  expect(escapeLabel('a"b\\c\nd')).toBe('a\\"b\\\\c\\nd');
  expect(escapeLabel("\ud800")).toBe("\ufffd");
  const line = new ExpositionWriter("text")
    .gauge("g", "G.")
    .sample(1, { topic: 'x"} 7\nevil 9' })
    .toString()
    .split("\n")[2];
  expect(line).toBe('g{topic="x\\"} 7\\nevil 9"} 1');
});

test("a histogram is cumulative, with round edges, its sum in seconds", () => {
  const histograms = new LatencyHistograms(1);
  for (const milliseconds of [0.0078125, 0.015625, 1.5, 1.5, 200_000])
    histograms.record(0, milliseconds);
  const snapshot = histograms.snapshot(0);
  if (snapshot === null) throw new Error("nothing was recorded");
  const lines = new ExpositionWriter("text")
    .histogram("h", "H.")
    .latency(snapshot, { api: "Fetch" })
    .toString()
    .split("\n")
    .slice(2, -1);
  const buckets = lines.filter((line) => line.startsWith("h_bucket"));
  expect(buckets.map((line) => /le="([^"]*)"/.exec(line)?.[1])).toEqual(
    "0.00001 0.00002 0.00005 0.0001 0.0002 0.0005 0.001 0.002 0.005 0.01 0.02 0.05 0.1 0.2 0.5 1 2 5 10 20 50 +Inf".split(
      " ",
    ),
  );
  expect(buckets.map((line) => Number(line.split(" ").at(-1)))).toEqual([
    1, 2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5,
  ]);
  expect(lines.slice(-2)).toEqual(['h_sum{api="Fetch"} 200.0030234375', 'h_count{api="Fetch"} 5']);
});

describe("numbers", () => {
  test("large ones and infinities", () => {
    const writer = new ExpositionWriter("text").gauge("g", "G.");
    writer
      .sample(2 ** 53)
      .sample(Number.POSITIVE_INFINITY)
      .sample(Number.NaN);
    expect(writer.toString().split("\n").slice(2, -1)).toEqual([
      "g 9007199254740992",
      "g +Inf",
      "g NaN",
    ]);
  });
});
