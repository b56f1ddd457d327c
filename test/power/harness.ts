/**
 * Cuts the power under a broker, again and again: load, cut, kill, remount what survived, start, compare, and on with the next topic. Every
 * choice comes from the seed. In half of the cuts the broker lives on for a while on the dead disk, where it must not acknowledge; every
 * fifth time the power fails once more while the broker recovers; every second time pages reach the disk early and out of order.
 */
import { join } from "node:path";
import type { BrokerProcess } from "../support/broker-process.ts";
import { insist } from "../crash/load.ts";
import { seededRandom } from "../crash/harness.ts";
import { PowerDevice, type ControlReport } from "./device.ts";
import { judge, judgeKept, type Judgement, type Losses } from "./judge.ts";
import { deleteTopic, PowerLoad } from "./load.ts";
import type { FlushPolicy } from "./policies.ts";

const PARTITIONS = 3;
const DISK_MEGABYTES = 1024;
const KEEP_PERCENT = [0, 50, 100] as const;

/** How often and with what. */
export interface PowerOptions {
  readonly directory: string;
  readonly policy: FlushPolicy;
  readonly cuts: number;
  readonly seed: number;
  /** The longest time between the start of the load and the cut; 1,500 unless given. */
  readonly loadMs?: number;
  /** Makes the broker on a data directory. */
  readonly makeBroker: (
    dataDirectory: string,
    overrides: Readonly<Record<string, string>>,
  ) => Promise<BrokerProcess>;
  readonly say?: (line: string) => void;
}

/** What a run showed; no findings means that the policy's promises were kept and the simulator is honest. */
export interface PowerReport {
  readonly policy: string;
  readonly seed: number;
  readonly findings: readonly string[];
  readonly cuts: number;
  readonly cutsInRecovery: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly cutsWithLoss: number;
  /** Oldest lost acknowledgement over all cuts. */
  readonly worstWindowMs: number;
  readonly topicsLost: number;
  readonly commitsLost: number;
  readonly pendingBytes: number;
  readonly torn: number;
  readonly controls: ControlReport;
  readonly restartMs: readonly number[];
}

/** Cuts the power `cuts` times under one policy. */
export async function runPowerCuts(options: PowerOptions): Promise<PowerReport> {
  const { policy, cuts, seed, directory } = options;
  const say = options.say ?? ((): void => {});
  const random = seededRandom(seed);
  const findings: string[] = [];
  const losses: Losses[] = [];
  const restartMs: number[] = [];
  const controls = { synced: 0, syncedLost: 0, lazy: 0, lazyLost: 0 };
  const drawn = new Set<bigint>();
  let cutsInRecovery = 0;
  let pendingBytes = 0;
  let torn = 0;
  let madeCuts = 0;
  let load: PowerLoad | null = null;
  let writers: ReturnType<PowerDevice["controls"]> | null = null;
  let kept: { topic: string; logs: Judgement["logs"] } | null = null;
  const device = await PowerDevice.create(join(directory, "device"), DISK_MEGABYTES);
  const broker = await options.makeBroker(join(device.mountpoint, "data"), policy.overrides);
  const address = broker.bootstrap;
  const fail = async (keep: number): Promise<string> => {
    const cut = await device.cut(Math.floor(random() * 2 ** 31), keep);
    pendingBytes += cut.pendingBytes;
    torn += cut.torn;
    return `${(cut.pendingBytes / 1024).toFixed(0)} KiB not flushed, ${cut.kept} of ${cut.blocks} blocks kept, ${cut.torn} torn`;
  };
  // An interrupted run must not leave mounts and loop devices behind.
  const onSignal = (): void => {
    load?.stop();
    void (async (): Promise<void> => {
      await writers?.stop();
      await broker.stop("SIGKILL");
      await device.detach();
      process.exit(130);
    })();
  };
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  try {
    await broker.start();
    for (let round = 1; round <= cuts && findings.length === 0; round += 1) {
      const topic = `power-${round}`;
      const group = `power-group-${round}`;
      // Without early writeback the kernel keeps for half a minute what nobody syncs: only then the loss of lazy policies shows.
      const isStirred = round % 2 === 0;
      const keep = KEEP_PERCENT[round % KEEP_PERCENT.length] ?? 0;
      load = new PowerLoad({
        address,
        topic,
        group,
        partitions: PARTITIONS,
        producers: 3,
        acks: policy.acks,
        segmentBytes: isStirred ? 1 << 20 : 1 << 30,
        random: seededRandom(seed * 1_000 + round),
      });
      writers = device.controls(isStirred);
      await load.start();
      await Bun.sleep((0.2 + 0.8 * random()) * (options.loadMs ?? 1_500));
      const cutMs = performance.now();
      const said = await fail(keep);
      madeCuts += 1;
      if (random() < 0.5) await Bun.sleep(random() * 300);
      await broker.stop("SIGKILL");
      load.stop();
      const wrote = await writers.stop();
      await device.detach();
      await device.restore();
      const control = device.judgeControls(wrote);
      controls.synced += control.synced;
      controls.syncedLost += control.syncedLost;
      controls.lazy += control.lazy;
      controls.lazyLost += control.lazyLost;
      let again = "";
      if (round % 5 === 0) {
        broker.launch();
        await Bun.sleep(50 + random() * 350);
        again = `; again in recovery: ${await fail(KEEP_PERCENT[(round / 5) % KEEP_PERCENT.length] ?? 0)}`;
        cutsInRecovery += 1;
        await broker.stop("SIGKILL");
        await device.detach();
        await device.restore();
      }
      const when = `cut ${round} (${policy.name}, keep ${keep} %${isStirred ? ", early writeback" : ""}${again})`;
      const startMs = await broker.start();
      restartMs.push(startMs);
      const judgement = await judge(address, policy, load, {
        topic,
        group,
        partitions: PARTITIONS,
        cutMs,
      });
      findings.push(...judgement.findings.map((finding) => `${when}: ${finding}`));
      losses.push(judgement.losses);
      for (const id of load.producerIds) {
        if (drawn.has(id) && policy.isMetadataStrict)
          findings.push(`${when}: producer id ${id} was given out twice`);
        drawn.add(id);
      }
      if (kept !== null && policy.isMetadataStrict) {
        const gone = await judgeKept(address, kept.topic, kept.logs);
        findings.push(...gone.map((finding) => `${when}: ${finding}`));
        const old = kept.topic;
        await insist(address, 30_000, (wire) => deleteTopic(wire, old));
      }
      kept = { topic, logs: judgement.logs };
      const { lost, acknowledged, windowMs } = judgement.losses;
      say(
        `${when}: ${said}; lost ${lost} of ${acknowledged} records (window ${windowMs.toFixed(0)} ms), ` +
          `control lost ${control.syncedLost}/${control.synced} synced ${control.lazyLost}/${control.lazy} lazy, started in ${startMs.toFixed(0)} ms`,
      );
    }
  } catch (error) {
    findings.push(
      `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n${broker.log()}`,
    );
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    load?.stop();
    await writers?.stop();
    await broker.stop("SIGKILL");
    await device.detach().catch((error: unknown) => findings.push(String(error)));
  }
  if (controls.syncedLost > 0)
    findings.push(
      `the simulator lies: ${controls.syncedLost} of ${controls.synced} synced control records are gone`,
    );
  if (controls.lazyLost * 2 < controls.lazy || controls.synced === 0 || controls.lazy === 0)
    findings.push(
      `the simulator proves nothing: only ${controls.lazyLost} of ${controls.lazy} records that nobody synced are gone`,
    );
  const sum = (pick: (one: Losses) => number): number =>
    losses.reduce((total, one) => total + pick(one), 0);
  return {
    policy: policy.name,
    seed,
    findings,
    cuts: madeCuts,
    cutsInRecovery,
    acknowledged: sum((one) => one.acknowledged),
    lost: sum((one) => one.lost),
    cutsWithLoss: losses.filter((one) => one.lost > 0).length,
    worstWindowMs: Math.max(0, ...losses.map((one) => one.windowMs)),
    topicsLost: sum((one) => one.topicsLost),
    commitsLost: sum((one) => one.commitsLost),
    pendingBytes,
    torn,
    controls,
    restartMs,
  };
}
