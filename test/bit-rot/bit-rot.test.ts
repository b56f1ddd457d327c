/** Flipped bits in every kind of file: all damage to records is found, none is served, nothing else suffers. main.ts runs any number. */
import { expect, test } from "bun:test";
import { temporaryDirectory } from "../support/process.ts";
import { formatRows, runBitRot } from "./harness.ts";
import { formatOwnTopics, runOwnTopics } from "./own-topics.ts";

const FLIPS = Number(process.env["SLUICE_BIT_ROT_FLIPS"] ?? "40");

test(`${FLIPS} flips are found, and harm nothing else`, async () => {
  const directory = temporaryDirectory("bit-rot");
  const seed = Number(process.env["SLUICE_BIT_ROT_SEED"] ?? String(Date.now() % 100_000));
  const report = await runBitRot({
    flips: FLIPS,
    seed,
    partitions: 10,
    directory: directory.path,
    say: (line) => console.log(line),
  });
  console.log(formatRows(report.rows));
  expect({ seed, failures: report.failures }).toEqual({ seed, failures: [] });
  directory.remove();
}, 300_000);

test("flips in committed offsets and in the cluster's metadata lose nothing silently", async () => {
  const directory = temporaryDirectory("bit-rot-own");
  const seed = Number(process.env["SLUICE_BIT_ROT_SEED"] ?? String(Date.now() % 100_000));
  const report = await runOwnTopics({ flips: 8, seed, directory: directory.path });
  console.log(formatOwnTopics(report));
  expect({ seed, failures: report.failures }).toEqual({ seed, failures: [] });
  directory.remove();
}, 300_000);
