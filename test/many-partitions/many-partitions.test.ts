/**
 * A few hundred partitions under few descriptors: less than one for each; main.ts runs 2,000, and prints its times.
 */
import { expect, test } from "bun:test";
import { sluiceBroker } from "../support/broker-process.ts";
import { temporaryDirectory } from "../support/process.ts";
import { runManyPartitions } from "./harness.ts";

test("400 partitions are written, read and recovered with 192 descriptors", async () => {
  const directory = temporaryDirectory("many-partitions");
  const broker = await sluiceBroker({
    directory: directory.path,
    wrapper: ["prlimit", "--nofile=192:192"],
  });
  const report = await runManyPartitions(broker, 400, (line) => console.log(line));
  expect(report.findings).toEqual([]);
  expect(report.usage.every(({ descriptors }) => descriptors < 192)).toBe(true);
  expect(broker.log()).not.toContain("failed");
  directory.remove();
}, 300_000);
