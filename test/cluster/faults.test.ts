/**
 * A few faults of each kind on three real processes, under verifying load: nothing acknowledged is lost, doubled or out of order, no commit goes
 * back, the replicas' files are the same at the end. main.ts does this for as long as one likes.
 */
import { expect, test } from "bun:test";
import { whyNoNamespaces } from "../support/namespaces.ts";
import { temporaryDirectory } from "../support/process.ts";
import { FAULTS } from "./faults.ts";
import { runFaults } from "./harness.ts";

const reason = await whyNoNamespaces();
if (reason !== null) console.log(`skipped: faults of the network: ${reason}`);
/** In this order, one cycle each. */
const NAMES = ["kill", ...(reason === null ? ["one-way-out"] : ["pause"]), "kill-all"];

test(`${NAMES.join(", ")}: every promise is kept`, async () => {
  const directory = temporaryDirectory("faults");
  const seed = Number(process.env["SLUICE_FAULTS_SEED"] ?? String(Date.now() % 100_000));
  const report = await runFaults({
    directory: directory.path,
    nodeCount: 3,
    cycles: NAMES.length,
    seed,
    faults: NAMES.flatMap((name) => FAULTS.filter((fault) => fault.name === name)),
    isInOrder: true,
    hasNetwork: reason === null,
    say: (line) => console.log(line),
  });
  expect({ seed, findings: report.findings }).toEqual({ seed, findings: [] });
  expect(report.acknowledged).toBeGreaterThan(500);
  expect(report.copiesCompared).toBe(9 + 12);
  directory.remove();
}, 300_000);
