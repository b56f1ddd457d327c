/**
 * How long a cluster is out when one of its three nodes fails: ours beside real Kafka, as it comes and tuned, one after another on the same
 * machine with the same client.
 *
 *     bun bench/failover/run.ts [--system sluice,kafka] [--fault "kill -9 of the leader"] [--runs 30] [--rounds 3] [--json PATH] [--resume]
 *
 * Runs come in rounds, so that no system has the quiet hour for itself. A run that loses an acknowledged record has no score. `--resume` takes
 * the rounds that a record at PATH lacks, of the same brokers: nothing below `src` and `native` may have changed.
 */
import { loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { $ } from "bun";
import type { BrokerCluster, ClusterNode } from "../../test/support/cluster-process.ts";
import { makeNetwork, whyNoNamespaces } from "../../test/support/namespaces.ts";
import { describeCheckout, describeMachine } from "../machine.ts";
import { inRunDirectory, writeRecord } from "../run-directory.ts";
import { root } from "../systems/system.ts";
import { paintFor } from "../table.ts";
import { addressesOf, controllerOf, makeTopic, restoreLeaders, viewsOf } from "./cluster-view.ts";
import { type Fault, faults as allFaults } from "./faults.ts";
import { Probe } from "./probe.ts";
import type { FailoverCase, FailoverRecord, FailoverRun } from "./record.ts";
import { formatFailover, writeFailoverReport } from "./report.ts";
import { type FailoverSystem, failoverSystems } from "./systems.ts";

const TOPIC = "failover";
/** Writes before the fault, so that connections and producers are warm. */
const BEFORE_MS = 1_000;
const OUTAGE_TIMEOUT_MS = 90_000;

const say = (line: string): void => console.error(line);

function chosen<T extends { readonly name: string }>(
  all: readonly T[],
  names: string,
): readonly T[] {
  const wanted = names.split(",").map((name) => name.trim());
  const unknown = wanted.filter((name) => name !== "all" && !all.some((one) => one.name === name));
  if (unknown.length > 0)
    throw new Error(
      `no such one: ${unknown.join(", ")}; there are: ${all.map(({ name }) => name).join(", ")}`,
    );
  return wanted.includes("all") ? all : all.filter(({ name }) => wanted.includes(name));
}

/** The record at a path, to be gone on with. */
async function unfinished(path: string): Promise<FailoverRecord> {
  const record = (await Bun.file(path).json()) as FailoverRecord;
  const brokers = ["src", "native", "package-lock.json"];
  const changed = await $`git diff --quiet ${record.commit} -- ${brokers}`.cwd(root).nothrow();
  if (changed.exitCode !== 0)
    throw new Error(`${path} was measured on other brokers: those of ${record.commit}`);
  return record;
}

/** Whom the fault strikes, and the partition that is written to. */
async function choose(
  cluster: BrokerCluster,
  fault: Fault,
): Promise<{ readonly victim: ClusterNode; readonly partition: number }> {
  const controllerId = await controllerOf(cluster);
  const [partitions = []] = await viewsOf(cluster, TOPIC);
  const victim = cluster.nodes.find(({ id }) => (id === controllerId) === fault.controls);
  const partition = partitions.findIndex(({ leader }) =>
    victim === undefined ? false : (leader === victim.id) === fault.leads,
  );
  if (victim === undefined || partition === -1)
    throw new Error(
      `nobody for ${fault.name}: controller ${controllerId}, ${JSON.stringify(partitions)}`,
    );
  return { victim, partition };
}

async function runOnce(cluster: BrokerCluster, fault: Fault, mark: string): Promise<FailoverRun> {
  const chosenPair = await choose(cluster, fault).catch((error: unknown) => String(error));
  const load = loadavg()[0] ?? 0;
  if (typeof chosenPair === "string")
    return { outageMs: null, inSyncMs: null, lostCount: 0, error: chosenPair, load };
  const { victim, partition } = chosenPair;
  const probe = new Probe(addressesOf(cluster), TOPIC, partition, mark);
  probe.start();
  let hasBegun = false;
  try {
    await probe.acknowledgedAfter(performance.now(), OUTAGE_TIMEOUT_MS);
    await Bun.sleep(BEFORE_MS);
    probe.resetGap();
    hasBegun = true;
    if (fault.measure === "first acknowledgement") probe.avoided = new Set([victim.bootstrap]);
    const beganMs = performance.now();
    await fault.begin(victim);
    const sinceMs = fault.measure === "first acknowledgement" ? beganMs : performance.now();
    const acknowledgedMs = await probe.acknowledgedAfter(sinceMs, OUTAGE_TIMEOUT_MS);
    const outageMs =
      fault.measure === "first acknowledgement" ? acknowledgedMs - beganMs : probe.longestGapMs;
    await fault.end(victim);
    hasBegun = false;
    probe.avoided = new Set();
    const inSyncMs = await restoreLeaders(cluster, TOPIC);
    await probe.acknowledgedAfter(performance.now(), OUTAGE_TIMEOUT_MS);
    await probe.stop();
    const lost = await probe.lost();
    return { outageMs, inSyncMs, lostCount: lost.length, error: null, load };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return {
      outageMs: null,
      inSyncMs: null,
      lostCount: 0,
      error: `${text} (last failed attempt: ${probe.lastFailure})`,
      load,
    };
  } finally {
    await probe.stop();
    if (hasBegun) await fault.end(victim).catch(() => {});
  }
}

async function runRound(
  system: FailoverSystem,
  chosenFaults: readonly Fault[],
  directory: string,
  count: number,
  onRun: (fault: Fault, run: FailoverRun) => void,
): Promise<void> {
  const needsNetwork = chosenFaults.some((fault) => fault.needsNetwork);
  const network = needsNetwork ? await makeNetwork(3) : null;
  const cluster = await system.make({
    directory,
    overrides: system.overrides,
    ...(network === null ? {} : { network }),
  });
  const end = async (): Promise<void> => {
    await cluster.stop("SIGKILL");
    await network?.remove();
  };
  const onSignal = (): void => void end().finally(() => process.exit(130));
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  try {
    await cluster.start();
    await makeTopic(cluster, TOPIC);
    for (const fault of chosenFaults) {
      for (let at = 0; at < count; at += 1)
        onRun(fault, await runOnce(cluster, fault, `${fault.name}-${at}-${performance.now()}`));
    }
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    await end();
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      system: { type: "string", default: "all" },
      fault: { type: "string", default: "all" },
      runs: { type: "string", default: "30" },
      rounds: { type: "string", default: "3" },
      json: { type: "string", default: join(root, "bench/out/failover.json") },
      resume: { type: "boolean", default: false },
    },
  });
  const systems = chosen(failoverSystems, values.system);
  const noNetwork = await whyNoNamespaces();
  const wanted = chosen(allFaults, values.fault);
  const chosenFaults = wanted.filter(({ needsNetwork }) => !needsNetwork || noNetwork === null);
  if (chosenFaults.length < wanted.length) say(`left out what needs a network: ${noNetwork}`);
  const rounds = Number(values.rounds);
  const runsPerRound = Math.ceil(Number(values.runs) / rounds);
  const before = values.resume ? await unfinished(values.json) : null;
  const startedAt = before?.startedAt ?? new Date().toISOString();
  const machine = await describeMachine();
  const checkout = await describeCheckout();
  const runs = new Map<string, FailoverRun[]>(
    before?.cases.map(({ fault, system, runs: taken }) => [`${fault}\n${system}`, [...taken]]),
  );
  const takenOf = (system: FailoverSystem): number =>
    Math.min(...chosenFaults.map(({ name }) => runs.get(`${name}\n${system.name}`)?.length ?? 0));
  // Written after every system's turn, so that a run of hours that is cut short leaves what it measured.
  const recordSoFar = (): FailoverRecord => {
    const cases: FailoverCase[] = chosenFaults.flatMap((fault) =>
      systems.map((system) => ({
        fault: fault.name,
        system: system.name,
        goalMs: system.profile === null ? null : fault.goalMs[system.profile],
        runs: runs.get(`${fault.name}\n${system.name}`) ?? [],
      })),
    );
    return writeRecord(
      {
        schema: 1,
        startedAt,
        finishedAt: new Date().toISOString(),
        command: ["bun", "bench/failover/run.ts", ...process.argv.slice(2)].join(" "),
        ...checkout,
        machine,
        systems: Object.fromEntries(systems.map(({ name, overrides }) => [name, overrides])),
        cases,
      },
      values.json,
    );
  };
  await inRunDirectory("failover", async (directory) => {
    for (let round = 1; round <= rounds; round += 1) {
      for (const system of systems) {
        if (takenOf(system) >= round * runsPerRound) continue;
        const place = join(directory, `${system.name}-${round}`);
        await runRound(system, chosenFaults, place, runsPerRound, (fault, run) => {
          const key = `${fault.name}\n${system.name}`;
          runs.set(key, [...(runs.get(key) ?? []), run]);
          const outcome =
            run.outageMs === null ? `failed: ${run.error}` : `${Math.round(run.outageMs)} ms`;
          const lost = run.lostCount === 0 ? "" : `, ${run.lostCount} LOST`;
          say(`round ${round}/${rounds} ${system.name}: ${fault.name}: ${outcome}${lost}`);
        });
        recordSoFar();
      }
    }
  });
  const record = recordSoFar();
  console.log(formatFailover(record, paintFor(process.stdout)));
  const { page, plot } = writeFailoverReport(record, values.json.replace(/(\.json)?$/, ".md"));
  say(`\nrecord: ${values.json}\npage: ${page}\nplot: ${plot}`);
  return record.cases.some((each) =>
    each.runs.some(({ error, lostCount }) => error !== null || lostCount > 0),
  )
    ? 1
    : 0;
}

process.exit(await main());
