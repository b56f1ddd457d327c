/**
 * Faults on a cluster of processes under verifying load, one after another. What strikes whom and for how long comes from the seed; the timing
 * inside the nodes still varies. After each fault is mended the cluster must become whole by itself, and every promise is checked; at
 * the end all nodes are stopped and their logs compared byte by byte.
 */
import { join } from "node:path";
import { createTopic, readLog } from "../crash/load.ts";
import { seededRandom } from "../crash/harness.ts";
import { type SmallDisk, smallDisk } from "../disk-full/small-disk.ts";
import { type BrokerCluster, type ClusterNode, sluiceCluster } from "../support/cluster-process.ts";
import { makeNetwork, type TestNetwork } from "../support/namespaces.ts";
import { until } from "../support/process.ts";
import { controllerOf, viewsOf, whyNotWhole } from "./cluster-view.ts";
import type { ClusterFault, FaultScene, Victim } from "./faults.ts";
import { ClusterLoad } from "./load.ts";
import { compareReplicas } from "./replica-logs.ts";

/** Time in which a cluster must serve, become whole, or end, unless told otherwise: whoever needs more hangs. */
const PATIENCE_MS = 60_000;
/** What may still be on its way when a fault begins. */
const SETTLE_MS = 500;
/** Records of each partition that must be acknowledged to call it served; more than can be in flight. */
const SERVED_RECORDS = 60;
const OFFSETS_PARTITIONS = 4;
const DISK_MEBIBYTES = 256;

/** Silence is noticed within seconds, so that a fault need not last for half a minute to be one. */
const SETTINGS: Readonly<Record<string, string>> = {
  "min.insync.replicas": "2",
  "offsets.topic.num.partitions": String(OFFSETS_PARTITIONS),
  "sluice.admin.listener": "",
  "broker.session.timeout.ms": "4000",
  "replica.lag.time.max.ms": "4000",
};

/** What to run. */
export interface FaultRunOptions {
  readonly directory: string;
  readonly nodeCount: number;
  readonly cycles: number;
  readonly seed: number;
  readonly faults: readonly ClusterFault[];
  /** Each node on a host of its own; all on 127.0.0.1 otherwise. */
  readonly hasNetwork: boolean;
  readonly overrides?: Readonly<Record<string, string>>;
  readonly pauseMs?: number;
  /** Time to serve, to become whole and to end, and twice that to start. */
  readonly patienceMs?: number;
  /** In the order given, instead of at random. */
  readonly isInOrder?: boolean;
  readonly make?: typeof sluiceCluster;
  readonly say?: (line: string) => void;
}

/** What a run showed; no findings means that every promise was kept. */
export interface FaultReport {
  readonly findings: readonly string[];
  readonly acknowledged: number;
  readonly requestsAgain: number;
  /** Records that each group was given, repeats included. */
  readonly consumed: readonly number[];
  /** Longest time from the end of a fault until the cluster was whole, ms. */
  readonly wholeMaxMs: number;
  readonly copiesCompared: number;
  readonly bytesCompared: number;
}

class FaultRun {
  readonly #options: FaultRunOptions;
  readonly #cluster: BrokerCluster;
  readonly #disks: ReadonlyMap<number, SmallDisk>;
  readonly #topic: string;
  readonly #load: ClusterLoad;
  readonly #random: () => number;
  readonly #patienceMs: number;
  readonly findings: string[] = [];
  #wholeMaxMs = 0;

  constructor(
    options: FaultRunOptions,
    cluster: BrokerCluster,
    disks: ReadonlyMap<number, SmallDisk>,
  ) {
    const { seed, nodeCount } = options;
    this.#options = options;
    this.#cluster = cluster;
    this.#disks = disks;
    this.#topic = `faults-${seed}`;
    this.#random = seededRandom(seed);
    this.#patienceMs = options.patienceMs ?? PATIENCE_MS;
    this.#load = new ClusterLoad(cluster, {
      topic: this.#topic,
      partitions: nodeCount,
      producers: 2,
      members: 2,
      seed,
      pauseMs: options.pauseMs ?? 50,
    });
  }

  async run(): Promise<FaultReport> {
    let comparison = { findings: [] as string[], copies: 0, bytes: 0 };
    try {
      await this.#begin();
      for (let cycle = 1; cycle <= this.#options.cycles; cycle += 1) {
        await this.#cycle(cycle);
        if (this.findings.length > 0) break;
      }
      if (this.findings.length === 0) comparison = await this.#end();
    } catch (error) {
      this.findings.push(error instanceof Error ? error.message : String(error));
    } finally {
      await this.#load.stop();
      await this.#cluster.stop("SIGKILL");
    }
    this.findings.push(...comparison.findings);
    return {
      findings: this.findings,
      acknowledged: this.#load.log.acknowledgedCount,
      requestsAgain: this.#load.requestsAgain,
      consumed: this.#load.consumed,
      wholeMaxMs: this.#wholeMaxMs,
      copiesCompared: comparison.copies,
      bytesCompared: comparison.bytes,
    };
  }

  async #begin(): Promise<void> {
    await this.#cluster.start();
    await this.#whole([], "at the start");
    const where = (): string => this.#load.routes.anyAddress();
    const { nodeCount } = this.#options;
    await createTopic(where, this.#topic, nodeCount, {}, Math.min(3, nodeCount));
    this.#load.start();
    await this.#served("before any fault");
  }

  async #cycle(cycle: number): Promise<void> {
    const { faults, isInOrder, say } = this.#options;
    const at = isInOrder === true ? cycle - 1 : Math.floor(this.#random() * faults.length);
    const fault = faults[at % faults.length];
    if (fault === undefined) throw new Error("no faults were given");
    const strikes = fault.strikes[Math.floor(this.#random() * fault.strikes.length)] ?? "all";
    const victims = await this.#victims(strikes);
    const ids = victims.map(({ id }) => id).join(",");
    const lastsMs = Math.round((0.1 + 0.9 * this.#random()) * fault.lastsMaxMs);
    const scene: FaultScene = {
      cluster: this.#cluster,
      victims,
      random: this.#random,
      lastsMs,
      disks: this.#disks,
    };
    const when = `cycle ${cycle} (${fault.name} of ${strikes} ${ids}, ${lastsMs} ms)`;
    const beganMs = performance.now();
    let servedMs = 0;
    try {
      await fault.begin(scene);
      if (fault.keepsService) {
        await Bun.sleep(SETTLE_MS);
        await this.#served(`during ${when}`);
        servedMs = performance.now() - beganMs;
      }
      await Bun.sleep(Math.max(0, lastsMs - (performance.now() - beganMs)));
    } finally {
      await fault.end(scene);
    }
    const endedMs = performance.now();
    await this.#whole([this.#topic, "__consumer_offsets"], when);
    const wholeMs = performance.now() - endedMs;
    this.#wholeMaxMs = Math.max(this.#wholeMaxMs, wholeMs);
    await this.#served(`after ${when}`);
    await this.#consuming(`after ${when}`);
    await this.#judge(when);
    const sum = this.#load.log.acknowledgedCount;
    say?.(
      `${when}: ${fault.keepsService ? `served after ${Math.round(servedMs)} ms, ` : ""}whole ${Math.round(wholeMs)} ms after its end, ${sum} acknowledged, ${this.#load.consumed.join(" and ")} consumed`,
    );
  }

  async #victims(strikes: Victim): Promise<ClusterNode[]> {
    const { nodes } = this.#cluster;
    if (strikes === "all") return [...nodes];
    const partition = Math.floor(this.#random() * this.#options.nodeCount);
    const leader = await this.#load.routes.leaderOf(partition);
    const controller = await controllerOf(this.#cluster);
    const pick = this.#random();
    const followers = nodes.filter(({ id }) => id !== leader);
    const wanted = {
      leader,
      controller,
      follower: followers[Math.floor(pick * followers.length)]?.id ?? -1,
    }[strikes];
    const node = nodes.find(({ id }) => id === wanted);
    if (node === undefined) throw new Error(`nobody is the ${strikes}`);
    return [node];
  }

  /** Waits until writes to every partition are acknowledged that were sent after the call. */
  async #served(when: string): Promise<void> {
    const wanted = this.#load.acknowledged.map((count) => count + SERVED_RECORDS);
    await this.#until(() => {
      const now = this.#load.acknowledged;
      const late = wanted.flatMap((count, at) => ((now[at] ?? 0) < count ? [at] : []));
      return late.length === 0 ? null : `partitions ${late.join(",")} are not written`;
    }, when);
  }

  /** Waits until each group was given something. */
  async #consuming(when: string): Promise<void> {
    const before = this.#load.consumed;
    await this.#until(() => {
      const isStuck = this.#load.consumed.some((count, at) => count <= (before[at] ?? 0));
      return isStuck ? `a group is given nothing (${this.#load.groupState})` : null;
    }, when);
  }

  async #whole(topics: readonly string[], when: string): Promise<void> {
    await this.#until(async () => {
      return whyNotWhole(this.#cluster, topics, await viewsOf(this.#cluster, topics));
    }, `after ${when}`);
  }

  /** Waits until nothing is wrong any more; what is wrong after that is a finding and ends the run. */
  async #until(wrong: () => Promise<string | null> | string | null, when: string): Promise<void> {
    let last: string | null = null;
    await until(
      async () => {
        last = await wrong();
        if (last !== null) await Bun.sleep(50);
        return last === null || this.#load.findings.length > 0;
      },
      this.#patienceMs,
      () => `${when}: ${last} within ${this.#patienceMs / 1000} s`,
    );
    if (this.#load.findings.length > 0)
      throw new Error(`${when}: ${this.#load.findings.join("; ")}`);
  }

  /** Holds the cluster to what was promised so far, while the load goes on. */
  async #judge(when: string): Promise<void> {
    const { log, routes } = this.#load;
    for (let partition = 0; partition < this.#options.nodeCount; partition += 1) {
      const promised = log.promises(partition);
      const check = async (): Promise<string[]> => {
        const where = (): Promise<string> => routes.addressOf(partition);
        return log.check(partition, await readLog(where, this.#topic, partition), promised);
      };
      await this.#expectNothing(check, when);
    }
    await this.#expectNothing(() => this.#load.checkCommits(), when);
  }

  /** A new leader may not know yet how far its log is committed: what is found must be found again. */
  async #expectNothing(check: () => Promise<string[]>, when: string): Promise<void> {
    let found: string[] = [];
    for (let attempt = 0; attempt < 5; attempt += 1) {
      found = await check();
      if (found.length === 0) return;
      await Bun.sleep(500);
    }
    this.findings.push(...found.map((finding) => `${when}: ${finding}`));
  }

  async #end(): Promise<{ findings: string[]; copies: number; bytes: number }> {
    const waiting = await this.#load.stopProducing(this.#patienceMs);
    this.findings.push(...waiting);
    await this.#until(
      () => (this.#load.log.isAllSeen ? null : "not everything is read"),
      "at the end",
    );
    await this.#judge("at the end");
    await this.#load.stop();
    await this.#whole([this.#topic, "__consumer_offsets"], "at the end");
    await this.#cluster.stop("SIGTERM");
    const counts = [
      [this.#topic, this.#options.nodeCount],
      ["__consumer_offsets", OFFSETS_PARTITIONS],
    ] as const;
    const partitions = counts.flatMap(([name, count]) =>
      Array.from({ length: count }, (_, at) => `${name}-${at}`),
    );
    const compared = compareReplicas(this.#cluster.nodes, partitions);
    return { ...compared, findings: [...compared.findings] };
  }
}

/** Makes a cluster, strikes it and removes it. Throws where a needed network or disk cannot be had. */
export async function runFaults(options: FaultRunOptions): Promise<FaultReport> {
  const { nodeCount, directory, hasNetwork, faults, make = sluiceCluster } = options;
  const disks = new Map<number, SmallDisk>();
  let network: TestNetwork | null = null;
  try {
    if (hasNetwork) network = await makeNetwork(nodeCount);
    if (faults.some(({ needs }) => needs.includes("disk")))
      for (let id = 1; id <= nodeCount; id += 1) {
        const disk = await smallDisk(DISK_MEBIBYTES);
        if (typeof disk === "string") throw new Error(disk);
        disks.set(id, disk);
      }
    const cluster = await make({
      directory,
      nodeCount,
      overrides: { ...SETTINGS, ...options.overrides },
      ...(options.patienceMs === undefined ? {} : { readyTimeoutMs: 2 * options.patienceMs }),
      dataDirectoryOf: (id) => join(disks.get(id)?.path ?? join(directory, `node-${id}`), "data"),
      ...(network === null ? {} : { network }),
    });
    return await new FaultRun(options, cluster, disks).run();
  } finally {
    for (const disk of disks.values()) await disk.remove();
    await network?.remove();
  }
}
