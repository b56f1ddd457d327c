/**
 * Shows where the broker's CPU goes under one case: `bun bench/profile.ts CASE [--seconds 5] [--out DIR] [--children]`. Cases of
 * commits and heartbeats (`bench/groups/workloads.ts`) are known too.
 *
 * Starts the broker of this checkout with names for compiled JavaScript, loads it until it is warm, records with perf while
 * the load goes on, and prints the top symbols: JavaScript (`JS …`), the addon, Bun, the kernel. Names inside the
 * addon need a build with symbols, given by `NAPI_RS_NATIVE_LIBRARY_PATH` (bench/README.md has the commands).
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runSteady } from "./groups/steady.ts";
import { type CommitWorkload, groupWorkloads, type HeartbeatWorkload } from "./groups/workloads.ts";
import { perfMap, readJitDump } from "./jit-dump.ts";
import { buildLoadGenerator, fillTopic, runLoad, type LoadOptions } from "./load-generator.ts";
import { self } from "./systems/self.ts";
import { freePort, root, runCommand } from "./systems/system.ts";
import { selectWorkloads } from "./workloads/index.ts";

const frequency = 997;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "5" },
    out: { type: "string", default: join(root, "bench/out/profile") },
    top: { type: "string", default: "45" },
    children: { type: "boolean", default: false },
  },
});

const caseName = positionals[0] ?? "produce-100B-64conn";
const steady = groupWorkloads
  .filter((each) => each.kind === "commit" || each.kind === "heartbeat")
  .find(({ name }) => name === caseName);
const seconds = Number(values.seconds);
mkdirSync(values.out, { recursive: true });
const directory = mkdtempSync(join(values.out, "run-"));
await buildLoadGenerator();
await self.prepare();
process.env["BUN_JSC_useJITDump"] = "1";
process.env["BUN_JSC_jitDumpDirectory"] = directory;
const running = await self.start({ directory, port: await freePort() }).catch((error: unknown) => {
  rmSync(directory, { recursive: true, force: true });
  throw error;
});

/** Fills what has to be filled and starts the load. @returns how to wait for what it says of itself. */
async function startCase(): Promise<() => Promise<string>> {
  const [workload] = selectWorkloads([caseName]);
  if (workload === undefined) throw new Error("no case");
  const options: LoadOptions = {
    bootstrap: running.bootstrap,
    pids: running.pids,
    seed: 1,
    seconds: seconds + 2,
    warmSeconds: 3,
    topicConfig: self.topicConfig(workload.durability, workload.acks),
    maxMib: 1_000_000,
    ...(workload.verb === "fetch" ? { topic: "profile" } : {}),
  };
  if (workload.verb === "fetch") await fillTopic(workload, options);
  const load = runLoad(workload, options);
  return async () => {
    const result = await load;
    return result.isValid
      ? `${result.requestsPerSecond} requests/s, ${result.valueMibPerSecond} MiB/s, ${result.broker?.cores ?? 0} cores of the broker`
      : `the load failed: ${result.firstError}`;
  };
}

async function startSteady(
  workload: CommitWorkload | HeartbeatWorkload,
): Promise<() => Promise<string>> {
  const { bootstrap, pid } = running;
  const phases = { seconds: seconds + 2, warmSeconds: 3, partitions: 200 };
  const ready = Promise.withResolvers<void>();
  const job = { bootstrap, pid, system: self, workload, ...phases, onLoad: ready.resolve };
  const load = runSteady(job);
  await Promise.race([ready.promise, load]);
  return async () => {
    const { isValid, firstError, figures } = await load;
    return isValid ? JSON.stringify(figures) : `the load failed: ${firstError}`;
  };
}

try {
  const load = steady === undefined ? await startCase() : await startSteady(steady);
  await Bun.sleep(4000);
  const data = join(values.out, "perf.data");
  const pid = String(running.pid);
  await runCommand([
    "perf",
    "record",
    "-q",
    "-k",
    "mono",
    "-F",
    String(frequency),
    "-g",
    "-p",
    pid,
    "-o",
    data,
    "--",
    "sleep",
    values.seconds,
  ]);
  console.log(`${caseName}: ${await load()}`);
  const functions = readdirSync(directory)
    .filter((name) => name.startsWith("jit-"))
    .flatMap((name) => readJitDump(readFileSync(join(directory, name))));
  writeFileSync(`/tmp/perf-${pid}.map`, perfMap(functions));
  const order = values.children ? "--children" : "--no-children";
  const report = await runCommand([
    "perf",
    "report",
    "-i",
    data,
    "--stdio",
    order,
    "-g",
    "none",
    "--sort",
    "symbol,dso",
    "--percent-limit",
    "0.2",
  ]);
  rmSync(`/tmp/perf-${pid}.map`, { force: true });
  const objects = await runCommand([
    "perf",
    "report",
    "-i",
    data,
    "--stdio",
    "--no-children",
    "-g",
    "none",
    "--sort",
    "dso",
  ]);
  const lines = (text: string): string[] =>
    text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#"));
  console.log(`\nby object\n${lines(objects).slice(0, 8).join("\n")}`);
  console.log(`\nby symbol\n${lines(report).slice(0, Number(values.top)).join("\n")}`);
  console.log(`\ncall graphs: perf report -i ${data}`);
} finally {
  await running.stop();
  rmSync(directory, { recursive: true, force: true });
}
