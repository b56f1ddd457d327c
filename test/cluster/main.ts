/**
 * Real faults on real processes, as long as one likes:
 *
 *   bun test/cluster/main.ts [--faults kill,pause,…|all] [--cycles 20] [--nodes 3] [--seed 1] [--network] [--override key=value]…
 *     [--pause-ms 50] [--patience-seconds 60] [--kafka LIBS]
 *
 * `--network` gives each node a host of its own (network namespaces: root and `ip`), which faults of the network need. `--faults all` is all that can
 * be had here; what cannot is named. `--kafka LIBS` turns it on real Kafka, with five minutes of patience unless told otherwise. The data of a run with findings is kept, unless it was on small disks.
 */
import { parseArgs } from "node:util";
import { kafkaCluster } from "../support/cluster-process.ts";
import { whyNoLoss, whyNoNamespaces } from "../support/namespaces.ts";
import { temporaryDirectory } from "../support/process.ts";
import { type ClusterFault, FAULTS, type FaultNeed } from "./faults.ts";
import { runFaults } from "./harness.ts";

const { values } = parseArgs({
  options: {
    faults: { type: "string", default: "all" },
    cycles: { type: "string", default: "20" },
    nodes: { type: "string", default: "3" },
    seed: { type: "string", default: String(Date.now() % 100_000) },
    network: { type: "boolean", default: false },
    override: { type: "string", multiple: true, default: [] },
    "pause-ms": { type: "string", default: "50" },
    "patience-seconds": { type: "string" },
    kafka: { type: "string" },
  },
});

async function whyNot(need: FaultNeed): Promise<string | null> {
  if (need === "disk") return process.getuid?.() === 0 ? null : "small disks need root";
  if (!values.network) return "--network is not given";
  return need === "loss" ? whyNoLoss() : await whyNoNamespaces();
}

async function chosenFaults(): Promise<ClusterFault[]> {
  const names = values.faults.split(",");
  const unknown = names.filter(
    (name) => name !== "all" && !FAULTS.some((one) => one.name === name),
  );
  if (unknown.length > 0)
    throw new Error(
      `no such fault: ${unknown.join(", ")}; there are: ${FAULTS.map(({ name }) => name).join(", ")}`,
    );
  const chosen: ClusterFault[] = [];
  for (const fault of FAULTS) {
    const isNamed = names.includes(fault.name);
    if (!isNamed && !names.includes("all")) continue;
    const reasons = (await Promise.all(fault.needs.map(whyNot))).filter((why) => why !== null);
    if (reasons.length === 0) chosen.push(fault);
    else if (isNamed) throw new Error(`${fault.name}: ${reasons.join(", ")}`);
    else console.log(`left out: ${fault.name}: ${reasons.join(", ")}`);
  }
  return chosen;
}

const directory = temporaryDirectory("faults");
const seed = Number(values.seed);
const libraries = values.kafka;
/** Three Java machines on a busy one take minutes to start and to hear of each other. */
const patience = Number(values["patience-seconds"] ?? (libraries === undefined ? 60 : 300));
const report = await runFaults({
  directory: directory.path,
  nodeCount: Number(values.nodes),
  cycles: Number(values.cycles),
  seed,
  faults: await chosenFaults(),
  hasNetwork: values.network,
  pauseMs: Number(values["pause-ms"]),
  patienceMs: patience * 1_000,
  overrides: Object.fromEntries(
    values.override.map((word) => word.split("=", 2) as [string, string]),
  ),
  ...(libraries === undefined ? {} : { make: (options) => kafkaCluster(libraries, options) }),
  say: (line) => console.log(line),
});
console.log(
  `seed ${seed}: ${report.acknowledged} records acknowledged, ${report.requestsAgain} requests sent again, ${report.consumed.join(" and ")} consumed by groups; ` +
    `whole at most ${Math.round(report.wholeMaxMs)} ms after a fault; ${report.copiesCompared} copies of logs compared, ${report.bytesCompared} bytes`,
);
for (const finding of report.findings) console.log(`FOUND ${finding}`);
if (report.findings.length > 0) console.log(`the data directory is kept: ${directory.path}`);
else directory.remove();
process.exit(report.findings.length === 0 ? 0 : 1);
