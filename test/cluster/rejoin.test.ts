/**
 * A node comes back while producers run at full speed: they go on. Little data here, so that the bound is generous; rejoin.ts does it with any amount.
 */
import { expect, test } from "bun:test";
import { sluiceCluster } from "../support/cluster-process.ts";
import { temporaryDirectory } from "../support/process.ts";
import { runRejoin } from "./rejoin.ts";

test("no partition is silent for long while a node catches up", async () => {
  const directory = temporaryDirectory("rejoin");
  const cluster = await sluiceCluster({
    directory: directory.path,
    overrides: { "min.insync.replicas": "2", "sluice.admin.listener": "" },
  });
  const load = { mebibytes: 64, warmMs: 1_000 };
  const phases = await runRejoin(cluster, load, (line) => console.log(line));
  expect(phases.map(({ name }) => name)).toEqual([
    "all in sync",
    "one node down",
    "catching up",
    "all in sync again",
  ]);
  expect(Math.max(...phases.map(({ longestGapMs }) => longestGapMs))).toBeLessThan(5_000);
  directory.remove();
}, 300_000);
