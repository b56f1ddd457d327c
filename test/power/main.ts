/**
 * Simulated power cuts by hand; needs root, /dev/fuse, loop devices and a C compiler:
 *
 *   bun test/power/main.ts [--cuts 50] [--policy NAME]… [--seed 1] [--load-ms 1500] [--kafka LIBS] [--override key=value]… [--json]
 *
 * `--cuts` of the default policy; the others get a fifth each unless named. `--kafka LIBS` runs real Kafka's policies from a directory of its
 * jars. A failure prints its command and keeps its directory, with the image of the disk.
 */
import { parseArgs } from "node:util";
import { join } from "node:path";
import { kafkaBroker, sluiceBroker } from "../support/broker-process.ts";
import { freePort, temporaryDirectory } from "../support/process.ts";
import { whyNoDevice } from "./device.ts";
import { runPowerCuts, type PowerReport } from "./harness.ts";
import { KAFKA_POLICIES, POLICIES } from "./policies.ts";

const { values } = parseArgs({
  options: {
    cuts: { type: "string", default: "50" },
    policy: { type: "string", multiple: true, default: [] },
    seed: { type: "string", default: String(Date.now() % 100_000) },
    "load-ms": { type: "string", default: "1500" },
    kafka: { type: "string" },
    port: { type: "string" },
    override: { type: "string", multiple: true, default: [] },
    json: { type: "boolean", default: false },
  },
});
const why = whyNoDevice();
if (why !== null) {
  console.error(`simulated power cuts cannot be made here: ${why}`);
  process.exit(2);
}
const say = (line: string): void => (values.json ? console.error(line) : console.log(line));
const libraries = values.kafka;
const known = libraries === undefined ? POLICIES : KAFKA_POLICIES;
for (const name of values.policy)
  if (!known.some((policy) => policy.name === name)) {
    console.error(`no policy ${name}; known: ${known.map((policy) => policy.name).join(", ")}`);
    process.exit(2);
  }
const more = Object.fromEntries(
  values.override.map((text) => text.split("=", 2) as [string, string]),
);
const reports: PowerReport[] = [];
for (const [at, policy] of known.entries()) {
  if (values.policy.length > 0 && !values.policy.includes(policy.name)) continue;
  const all = Number(values.cuts);
  const cuts = at === 0 || values.policy.length > 0 ? all : Math.max(1, Math.ceil(all / 5));
  const directory = temporaryDirectory(`power-${policy.name}`);
  const seed = Number(values.seed);
  const report = await runPowerCuts({
    directory: directory.path,
    policy,
    cuts,
    seed,
    loadMs: Number(values["load-ms"]),
    say,
    makeBroker: async (dataDirectory, overrides) => {
      const options = {
        directory: join(directory.path, "broker"),
        dataDirectory,
        overrides: { ...overrides, ...more },
        port: values.port === undefined ? await freePort() : Number(values.port),
      };
      if (libraries === undefined) return await sluiceBroker(options);
      const fewer = { "offsets.topic.num.partitions": "2", ...options.overrides };
      return await kafkaBroker(libraries, { ...options, overrides: fewer });
    },
  });
  reports.push(report);
  for (const finding of report.findings) say(`FOUND ${finding}`);
  if (report.findings.length > 0)
    say(
      `kept: ${directory.path}; again: bun test/power/main.ts --policy ${policy.name} --cuts ${cuts} --seed ${seed}`,
    );
  else directory.remove();
}
if (values.json) console.log(JSON.stringify(reports, null, 2));
else {
  const rows = reports.map((report) => [
    report.policy,
    `${report.cuts} + ${report.cutsInRecovery}`,
    String(report.acknowledged),
    String(report.lost),
    String(report.cutsWithLoss),
    report.worstWindowMs.toFixed(0),
    String(report.topicsLost),
    String(report.commitsLost),
    `${report.controls.syncedLost}/${report.controls.synced}`,
    `${report.controls.lazyLost}/${report.controls.lazy}`,
    String(report.findings.length),
  ]);
  const head = [
    "policy",
    "cuts + in recovery",
    "acknowledged",
    "lost",
    "cuts with loss",
    "window ms",
    "topics lost",
    "commits lost",
    "synced control lost",
    "lazy control lost",
    "findings",
  ];
  for (const row of [head, head.map(() => "---"), ...rows]) console.log(`| ${row.join(" | ")} |`);
}
process.exit(reports.some((report) => report.findings.length > 0) ? 1 : 0);
