/**
 * Hundreds of power cuts from one run: all writes and flushes of a loaded broker are recorded once, with a mark at each acknowledgement; then the
 * disk is rebuilt as a cut at a random entry would have left it, and a broker must start there and keep what was acknowledged before the last
 * mark. Where the live cuts meet a few moments by chance, this visits as many as one likes of the same run:
 *
 *   bun test/power/replay.ts [--states 200] [--policy all] [--load-ms 3000] [--seed 1] [--json]
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { LogPromises } from "../crash/checkers.ts";
import { seededRandom } from "../crash/harness.ts";
import { readCommitted, readLog } from "../crash/load.ts";
import { sluiceBroker } from "../support/broker-process.ts";
import { mustRun, temporaryDirectory } from "../support/process.ts";
import { buildDaemon, mountImage, PowerDevice, whyNoDevice } from "./device.ts";
import { PowerLoad, readTopics } from "./load.ts";
import { POLICIES, type FlushPolicy } from "./policies.ts";

const PARTITIONS = 3;
const DISK_MEGABYTES = 256;
const TOPIC = "replayed";
const GROUP = "replayed-group";
const KEEP_PERCENT = [0, 50, 100] as const;

/** What was certain when a mark was made. */
interface Promises {
  readonly acknowledgements: number;
  readonly committed: number;
  readonly topicsCreated: number;
}

/** What a replay showed. */
export interface ReplayReport {
  readonly seed: number;
  readonly states: number;
  readonly entries: number;
  readonly acknowledged: number;
  readonly unflushedStates: number;
  readonly torn: number;
  readonly findings: readonly string[];
}

/** Records one run and checks `states` of its crash states. */
export async function replayCuts(options: {
  readonly directory: string;
  readonly policy: FlushPolicy;
  readonly states: number;
  readonly seed: number;
  readonly loadMs: number;
  readonly say?: (line: string) => void;
}): Promise<ReplayReport> {
  const { directory, policy, states, seed } = options;
  const say = options.say ?? ((): void => {});
  const random = seededRandom(seed);
  const findings: string[] = [];
  const recording = join(directory, "recording");
  const device = await PowerDevice.create(join(directory, "device"), DISK_MEGABYTES, recording);
  const mountpoint = join(directory, "replayed");
  mkdirSync(mountpoint);
  const program = await buildDaemon(directory);
  const make = (at: string): ReturnType<typeof sluiceBroker> =>
    sluiceBroker({
      directory: join(directory, "broker"),
      dataDirectory: join(at, "data"),
      overrides: policy.overrides,
    });
  const recorded = await make(device.mountpoint);
  const load = new PowerLoad({
    address: recorded.bootstrap,
    topic: TOPIC,
    group: GROUP,
    partitions: PARTITIONS,
    producers: 3,
    acks: policy.acks,
    random: seededRandom(seed + 1),
  });
  const marks: Promises[] = [];
  load.onAcknowledged = (acknowledgements) => {
    marks.push({
      acknowledgements,
      committed: Math.min(...load.commits.promises().values()),
      topicsCreated: load.sideTopics.filter(({ isCreated }) => isCreated).length,
    });
    device.mark(marks.length);
  };
  const writers = device.controls(true);
  try {
    await recorded.start();
    await load.start();
    await Bun.sleep(options.loadMs);
  } finally {
    await recorded.stop("SIGKILL");
    load.stop();
    await writers.stop();
    await device.detach();
  }

  const image = join(directory, "state");
  const replay = async (
    position: number,
    cutSeed: number,
    keep: number,
  ): Promise<{ mark: number; entries: number; pendingWrites: number; torn: number }> => {
    await mustRun(["cp", "--sparse=always", `${recording}.base`, image]);
    const words = [program, "replay", image, recording, position, cutSeed, keep];
    const [mark, entries, cut] = (await mustRun(words.map(String))).trim().split("\n");
    const { pendingWrites, torn } = JSON.parse(cut ?? "{}") as {
      pendingWrites: number;
      torn: number;
    };
    return { mark: Number(mark), entries: Number(entries), pendingWrites, torn };
  };
  const { entries } = await replay(Number.MAX_SAFE_INTEGER, 0, 0);
  say(`recorded ${entries} writes, flushes and marks; ${load.acknowledged} records acknowledged`);
  let checked = 0;
  let unflushedStates = 0;
  let torn = 0;
  while (checked < states && findings.length === 0) {
    const position = 1 + Math.floor(random() * entries);
    const cutSeed = Math.floor(random() * 2 ** 31);
    const keep = KEEP_PERCENT[checked % KEEP_PERCENT.length] ?? 0;
    const state = await replay(position, cutSeed, keep);
    const promises = marks[state.mark - 1];
    // Before the first acknowledgement nothing is promised, and the file system itself may be in the making.
    if (promises === undefined) continue;
    checked += 1;
    if (state.pendingWrites > 0) unflushedStates += 1;
    torn += state.torn;
    const what = `state ${checked} (entry ${position}, seed ${cutSeed}, keep ${keep} %)`;
    const unmount = await mountImage(image, mountpoint);
    const broker = await make(mountpoint);
    try {
      await broker.start();
      const found = await judgeState(broker.bootstrap, load, promises, policy);
      findings.push(...found.map((finding) => `${what}: ${finding}`));
    } catch (error) {
      findings.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      await broker.stop("SIGKILL");
      await unmount();
    }
    if (checked % 20 === 0)
      say(
        `${checked} states checked, ${unflushedStates} with unflushed writes, ${torn} torn blocks`,
      );
  }
  return {
    seed,
    states: checked,
    entries,
    acknowledged: load.acknowledged,
    unflushedStates,
    torn,
    findings,
  };
}

async function judgeState(
  address: string,
  load: PowerLoad,
  promises: Promises,
  policy: FlushPolicy,
): Promise<string[]> {
  const findings: string[] = [];
  const { topics } = await readTopics(address);
  for (const side of load.sideTopics
    .filter(({ isCreated }) => isCreated)
    .slice(0, promises.topicsCreated))
    if (!side.isDeleting && !topics.has(side.name))
      findings.push(`topic ${side.name} was created, is not there`);
  const acknowledged = load.acknowledgements.slice(0, promises.acknowledgements);
  for (let partition = 0; partition < PARTITIONS; partition += 1) {
    const counts = new Map<string, number>();
    for (const one of acknowledged)
      if (one.partition === partition)
        counts.set(one.producer, Math.max(counts.get(one.producer) ?? 0, one.last + 1));
    const promised: LogPromises = { acknowledged: counts, seen: new Map() };
    const found = load.log.check(partition, await readLog(address, TOPIC, partition), promised);
    findings.push(...found.filter((text) => policy.isStrict || !text.startsWith("lost:")));
  }
  for (const [partition, offset] of (
    await readCommitted(address, GROUP, TOPIC, PARTITIONS)
  ).entries())
    if (policy.isMetadataStrict && offset < promises.committed)
      findings.push(
        `partition ${partition}: commit of ${promises.committed} was acknowledged, the group holds ${offset}`,
      );
  return findings;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      states: { type: "string", default: "200" },
      policy: { type: "string", default: "all" },
      "load-ms": { type: "string", default: "3000" },
      seed: { type: "string", default: String(Date.now() % 100_000) },
      json: { type: "boolean", default: false },
    },
  });
  const why = whyNoDevice();
  const policy = POLICIES.find(({ name }) => name === values.policy);
  if (why !== null || policy === undefined) {
    console.error(why ?? `no policy ${values.policy}`);
    process.exit(2);
  }
  const directory = temporaryDirectory("replay");
  const report = await replayCuts({
    directory: directory.path,
    policy,
    states: Number(values.states),
    seed: Number(values.seed),
    loadMs: Number(values["load-ms"]),
    say: (line) => (values.json ? console.error(line) : console.log(line)),
  });
  if (values.json) console.log(JSON.stringify(report));
  else
    console.log(
      `${policy.name}, seed ${report.seed}: ${report.states} crash states of one run of ${report.entries} entries and ${report.acknowledged} acknowledged records, ` +
        `${report.unflushedStates} with unflushed writes, ${report.torn} torn blocks: ${report.findings.length} findings`,
    );
  for (const finding of report.findings) console.log(`FOUND ${finding}`);
  if (report.findings.length > 0)
    console.log(
      `kept: ${directory.path} (recording, recording.base); again: ${join(directory.path, "block-device")} replay IMAGE RECORDING ENTRY SEED KEEP`,
    );
  else directory.remove();
  process.exit(report.findings.length > 0 ? 1 : 0);
}
