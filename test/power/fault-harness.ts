/**
 * Failing system calls on a real broker process, by `strace --inject`: the broker has two log directories, is under load, and from a moment on its
 * Nth call of a kind fails, is slow or kills it. A failed fsync must poison its directory, that one alone, and never be followed by an acknowledgement;
 * a full disk must refuse and go on; whatever happens, everything acknowledged is there after the next start.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { insist } from "../crash/load.ts";
import { sluiceBroker, type BrokerProcess } from "../support/broker-process.ts";
import { runCommand, temporaryDirectory, until } from "../support/process.ts";
import { FaultLoad } from "./fault-load.ts";
import { createTopic } from "./load.ts";

const PARTITIONS = 4;
const TOPIC = "faults";
/** An acknowledgement may be under way to us when the call fails. */
const UNDER_WAY_MS = 150;
const PATIENCE_MS = 5_000;

/** What a fault is to bring about. */
export type Expectation =
  /** One log directory refuses all writes until the next start; the others serve. */
  | "poisons"
  /** Requests may be refused while it lasts; all partitions take records again after it. */
  | "refuses"
  /** Nothing but slowness. */
  | "slows"
  /** The process is gone. */
  | "kills"
  /** It stays alive and loses nothing; what it refuses is its own affair. */
  | "survives";

/** One fault. */
export interface Fault {
  readonly name: string;
  /** Strace's words after `inject=`, without `when`. */
  readonly inject: string;
  /** Strace's `when`: `N` once, `N+` from the Nth on, `A..B`. */
  readonly when: string;
  /** The threads that suffer: one directory's sync thread, all threads, or all from the start of a broker that has to recover. */
  readonly where: "sync thread" | "all threads" | "recovery";
  readonly expectation: Expectation;
  /** The fault need not come about: what it waits for is rare. */
  readonly isRare?: boolean;
}

/** What came of it. */
export interface FaultReport {
  readonly name: string;
  readonly when: string;
  readonly injected: number;
  readonly acknowledged: number;
  readonly refused: number;
  readonly codes: readonly number[];
  readonly findings: readonly string[];
}

/** Why faults cannot be injected here, or null. Installs strace where that is possible. */
export async function whyNoStrace(): Promise<string | null> {
  if (process.platform !== "linux") return "needs Linux";
  if (Bun.which("strace") !== null) return null;
  if (process.getuid?.() !== 0 || Bun.which("apt-get") === null) return "needs strace";
  const environment = { DEBIAN_FRONTEND: "noninteractive" };
  for (const words of [
    ["update", "-q"],
    ["install", "-q", "-y", "--no-install-recommends", "strace"],
  ])
    await runCommand(["apt-get", ...words], { environment, timeoutMs: 120_000 });
  return Bun.which("strace") === null ? "needs strace, which apt-get cannot install" : null;
}

/** Calls that strace made fail or wait so far. */
function injectedIn(file: string): number {
  if (!existsSync(file)) return 0;
  return readFileSync(file, "utf8").match(/\(INJECTED\)|\(DELAYED\)/g)?.length ?? 0;
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

function syncThread(pid: number): number {
  for (const thread of readdirSync(`/proc/${pid}/task`))
    if (readFileSync(`/proc/${pid}/task/${thread}/comm`, "utf8").trim() === "log-sync")
      return Number(thread);
  throw new Error("the broker has no thread log-sync");
}

/** Injects one fault into a broker of its own and judges what comes of it. */
export async function runFault(fault: Fault, port?: number): Promise<FaultReport> {
  const directory = temporaryDirectory("fault");
  const findings: string[] = [];
  const trace = join(directory.path, "strace.txt");
  const dirs = ["first", "second"].map((name) => join(directory.path, name));
  const options = {
    directory: directory.path,
    ...(port === undefined ? {} : { port }),
    overrides: {
      "log.dirs": dirs.join(","),
      "log.flush.offset.checkpoint.interval.ms": "100",
      "log.retention.check.interval.ms": "200",
    },
  };
  const inject = ["-e", `inject=${fault.inject}:when=${fault.when}`, "-o", trace];
  const calls = ["-e", `trace=${fault.inject.split(":")[0] ?? ""}`];
  let broker: BrokerProcess = await sluiceBroker(options);
  let endedBySelf = 0;
  let tracer: Bun.Subprocess | null = null;
  const load = new FaultLoad(broker.bootstrap, TOPIC, PARTITIONS);
  try {
    await broker.start();
    await insist(broker.bootstrap, 30_000, (wire) => createTopic(wire, TOPIC, PARTITIONS));
    await load.start();
    await until(
      () => load.acknowledged > 40,
      30_000,
      () => `the load does not run\n${broker.log()}`,
    );
    const pid = broker.pid ?? -1;
    if (fault.where === "recovery") {
      load.stop();
      await broker.stop("SIGKILL");
      const address = broker.bootstrap.split(":");
      broker = await sluiceBroker({
        ...options,
        port: Number(address[1]),
        wrapper: ["strace", "-f", "-D", "-qq", ...calls, ...inject],
      });
      // It may refuse to start, or be killed: both are fine as long as the next start finds everything. The port opens before the
      // logs are recovered: only an answered write, or the end of the process, says that recovery is over.
      await broker.start().catch(() => {});
      const recovering = broker.pid ?? -1;
      const again = new FaultLoad(broker.bootstrap, TOPIC, PARTITIONS, load);
      const before = again.answers();
      await again.start().catch(() => {});
      await until(
        () =>
          recovering < 0 ||
          isGone(recovering) ||
          again.answers().every((count, at) => count > (before[at] ?? 0)),
        15_000,
        () => `it neither serves nor ends\n${broker.log()}`,
      );
      again.stop();
      if (recovering < 0 || isGone(recovering)) endedBySelf = 1;
    } else {
      const target = fault.where === "sync thread" ? [`${syncThread(pid)}`] : [`${pid}`, "-f"];
      tracer = Bun.spawn(["strace", "-qq", ...calls, ...inject, "-p", ...target], {
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore",
      });
      const patience = performance.now() + (fault.isRare === true ? 1_500 : 15_000);
      await until(
        () => injectedIn(trace) > 0 || isGone(pid) || performance.now() > patience,
        20_000,
        () => "strace",
      );
      const failedAtMs = performance.now();
      const before = load.acknowledged;
      // Long enough for a wrong acknowledgement; then patience for what must come about, on a machine that may be busy.
      await Bun.sleep(UNDER_WAY_MS + 250);
      // A metadata log that cannot be trusted ends the broker on purpose, with its reason: what counts then is the next start.
      const hasEndedOnPurpose = (): boolean =>
        isGone(pid) &&
        /the metadata log failed/.test(readFileSync(join(directory.path, "broker.log"), "utf8"));
      const judgeNow = (): string[] =>
        hasEndedOnPurpose() ? [] : judgeLive(fault, load, failedAtMs, dirs, before);
      const patienceEnds = performance.now() + PATIENCE_MS;
      while (judgeNow().length > 0 && performance.now() < patienceEnds) await Bun.sleep(100);
      findings.push(...judgeNow());
      if (isGone(pid)) {
        endedBySelf = 1;
        if (fault.expectation !== "kills" && !hasEndedOnPurpose())
          findings.push(`the broker is gone\n${broker.log()}`);
      }
    }
    const injected = injectedIn(trace) + endedBySelf;
    if (injected === 0 && fault.isRare !== true && fault.where !== "recovery")
      findings.push("the fault did not come about");
    load.stop();
    await broker.stop("SIGKILL");
    tracer?.kill();
    const address = broker.bootstrap.split(":");
    broker = await sluiceBroker({ ...options, port: Number(address[1]) });
    await broker.start();
    findings.push(...(await load.judge()).map((finding) => `after the next start: ${finding}`));
  } catch (error) {
    findings.push(`${error instanceof Error ? error.message : String(error)}\n${broker.log()}`);
  } finally {
    load.stop();
    tracer?.kill();
    await broker.stop("SIGKILL");
  }
  const refusals = load.partitions.flatMap((one) => one.refusals);
  const report = {
    name: fault.name,
    when: fault.when,
    injected: injectedIn(trace) + endedBySelf,
    acknowledged: load.acknowledged,
    refused: refusals.length,
    codes: [...new Set(refusals.map(({ code }) => code))],
    findings,
  };
  if (findings.length === 0) directory.remove();
  else findings.push(`kept: ${directory.path}`);
  return report;
}

/** What the load saw while the broker lives on with its fault. */
function judgeLive(
  fault: Fault,
  load: FaultLoad,
  failedAtMs: number,
  dirs: readonly string[],
  before: number,
): string[] {
  const findings: string[] = [];
  const isLate = (atMs: number): boolean => atMs > failedAtMs + UNDER_WAY_MS;
  const refusing = load.partitions.map((one) => one.refusals.some(({ atMs }) => isLate(atMs)));
  const writing = load.partitions.map((one) => one.acknowledgedAtMs.some(isLate));
  const home = load.partitions.map((_, partition) =>
    dirs.findIndex((dir) => existsSync(join(dir, `${TOPIC}-${partition}`))),
  );
  if (fault.expectation === "poisons") {
    const poisoned = new Set(home.filter((_, partition) => refusing[partition] === true));
    if (poisoned.size !== 1)
      findings.push(`${poisoned.size} directories refuse writes, not one alone`);
    for (const [partition, dir] of home.entries()) {
      if (poisoned.has(dir) && writing[partition] === true)
        findings.push(`partition ${partition} was acknowledged after the failed fsync`);
      if (poisoned.has(dir) && refusing[partition] !== true)
        findings.push(`partition ${partition} of the failed directory does not refuse`);
      if (!poisoned.has(dir) && writing[partition] !== true)
        findings.push(`partition ${partition} of the other directory stands still`);
    }
  }
  if (fault.expectation === "refuses" || fault.expectation === "slows")
    for (const [partition, isWriting] of writing.entries())
      if (!isWriting) findings.push(`partition ${partition} takes no records any more`);
  if (fault.expectation === "slows" && refusing.includes(true))
    findings.push("a slow disk made it refuse");
  if (fault.expectation === "survives" && load.acknowledged === before && !refusing.includes(true))
    findings.push("it neither acknowledges nor refuses");
  return findings;
}
