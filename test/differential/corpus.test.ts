/**
 * The corpus in the gate: Sluice from this checkout against Apache Kafka from its published jars, both started here. Where Java or
 * Maven is missing, Kafka's recorded answers take its place. `SLUICE_REFERENCE=host:port` names a Kafka that runs already.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { java, Unavailable } from "../conformance/support/toolchains.ts";
import { type BrokerProcess, kafkaBroker, sluiceBroker } from "../support/broker-process.ts";
import { temporaryDirectory } from "../support/process.ts";
import { type Case, one, subjectOf } from "./corpus/case.ts";
import { raw } from "./corpus/bytes.ts";
import { CASES } from "./corpus/cases/index.ts";
import { DECISIONS } from "./corpus/differences.ts";
import { abridged, readRecorded } from "./corpus/recorded.ts";
import { compareOutcomes, type Report } from "./corpus/report.ts";
import { advertisedRanges, type Outcome, runCases } from "./corpus/run.ts";

/** Long, since a cold machine may be slow; only cases that are never answered take it all. */
const PATIENCE_MS = 8000;
const CONCURRENCY = 12;
const TIMEOUT_MS = 600_000;
const SETTINGS = { "offsets.topic.num.partitions": "3" };
const KAFKA_SETTINGS = { ...SETTINGS, "transaction.state.log.num.partitions": "3" };

/** Ranges that begin lower than Kafka's, by key: OffsetCommit, OffsetFetch, CreateTopics, DeleteTopics, DescribeConfigs. */
const OLDER_VERSIONS: ReadonlyMap<number, string> = new Map([
  [8, "0-10"],
  [9, "0-10"],
  [19, "0-7"],
  [20, "0-6"],
  [32, "0-4"],
]);

/** Served and advertised here; Kafka does so only with a plug-in that receives metrics: GetTelemetrySubscriptions, PushTelemetry. */
const OUR_OWN: ReadonlyMap<number, string> = new Map([
  [71, "0-0"],
  [72, "0-0"],
]);

const cases = CASES.filter(({ cost }) => cost !== "heavy");
const subjects = [...new Set(cases.map(({ name }) => subjectOf(name)))];

/** Prints how long each stage took. */
function stopwatch(): (what: string) => void {
  let last = performance.now();
  return (what) => {
    const now = performance.now();
    console.log(`${what}: ${((now - last) / 1000).toFixed(1)} s`);
    last = now;
  };
}

describe("the corpus", () => {
  const directory = temporaryDirectory("differential");
  const started: BrokerProcess[] = [];
  let live: Map<string, Outcome> | null = null;
  let report: Report | null = null;
  let advertised: ReadonlyMap<number, string> = new Map();
  let kafkaRanges: ReadonlyMap<number, string> = readRecorded().ranges;

  const start = async (broker: BrokerProcess): Promise<string> => {
    started.push(broker);
    await broker.start();
    return broker.bootstrap;
  };

  /** The address of a Kafka, or null where there is none. */
  const reference = async (): Promise<string | null> => {
    const given = process.env["SLUICE_REFERENCE"];
    if (given !== undefined) return given;
    try {
      const { broker } = await java();
      const place = join(directory.path, "kafka");
      return await start(
        await kafkaBroker(broker, { directory: place, overrides: KAFKA_SETTINGS }),
      );
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      console.log(
        `no live Kafka: ${error.message}; comparing with recorded answers of ${readRecorded().kafka}`,
      );
      return null;
    }
  };

  beforeAll(async () => {
    const lap = stopwatch();
    const kafka = await reference();
    lap("Kafka is up");
    const place = join(directory.path, "sluice");
    const sluice = await start(await sluiceBroker({ directory: place, overrides: SETTINGS }));
    const run = Math.random().toString(36).slice(2, 10).padEnd(8, "0");
    advertised = await advertisedRanges(sluice);
    const options = { run, patienceMs: PATIENCE_MS, concurrency: CONCURRENCY };
    lap("Sluice is up");
    const ours = await runCases(sluice, cases, options);
    lap("Sluice has answered");
    if (kafka !== null) {
      kafkaRanges = await advertisedRanges(kafka);
      live = await runCases(kafka, cases, options);
    }
    lap("Kafka has answered");
    report = compareOutcomes(cases, ours, live ?? readRecorded().outcomes, live === null);
    for (const { name, ms } of report.slow) console.log(`slow: ${name}, ${ms.toFixed(0)} ms`);
  }, TIMEOUT_MS);

  afterAll(async () => {
    for (const broker of started) await broker.stop("SIGTERM");
    directory.remove();
  }, TIMEOUT_MS);

  test.each(subjects)("%s is answered as Kafka does, or differs as listed", (subject) => {
    expect(report?.problems.filter(({ name }) => subjectOf(name) === subject)).toEqual([]);
  });

  test("what is advertised is served in Kafka's versions, and others where listed", () => {
    const differing = [...advertised].filter(([key, range]) => kafkaRanges.get(key) !== range);
    expect(new Map(differing)).toEqual(new Map([...OLDER_VERSIONS, ...OUR_OWN]));
  });

  test("the recorded answers are those of the live Kafka", () => {
    const { outcomes, ranges } = readRecorded();
    expect(ranges).toEqual(kafkaRanges);
    const stale = [...(live ?? [])].filter(
      ([name, { text }]) => abridged(text) !== outcomes.get(name)?.text,
    );
    expect(stale.map(([name]) => name)).toEqual([]);
  });
});

describe("its own rules", () => {
  test("no two cases have one name", () => {
    expect(CASES.length).toBe(new Set(CASES.map(({ name }) => name)).size);
  });

  test("every listed difference is a case and has a reason", () => {
    const names = new Set(CASES.map(({ name }) => name));
    expect(DECISIONS.flatMap((each) => each.cases).filter((name) => !names.has(name))).toEqual([]);
    expect(DECISIONS.filter(({ reason }) => reason.length < 20)).toEqual([]);
  });

  const outcome = (text: string, socket: Outcome["socket"] = "open"): Outcome => ({
    text: `${text} ${socket}`,
    socket,
    slowestMs: 1,
  });
  const listed = DECISIONS[0]?.cases[0] ?? "";
  const problemsOf = (name: string, ours: Outcome, theirs: Outcome): string[] => {
    const sole: Case[] = [one(name, raw(new Uint8Array(0)))];
    return compareOutcomes(
      sole,
      new Map([[name, ours]]),
      new Map([[name, theirs]]),
      false,
    ).problems.map(({ what }) => what);
  };

  test("a difference that is not listed is a problem", () => {
    expect(problemsOf("x/y", outcome("a"), outcome("b"))).toEqual(["different"]);
    expect(problemsOf("x/y", outcome("a"), outcome("a"))).toEqual([]);
  });

  test("a listed difference that is none any more is a problem", () => {
    expect(problemsOf(listed, outcome("a"), outcome("b"))).toEqual([]);
    expect(problemsOf(listed, outcome("a"), outcome("a"))).toEqual(["listed but equal"]);
  });

  test("silence of ours is a problem, whatever Kafka does", () => {
    const silent = outcome("", "silent");
    expect(problemsOf("x/y", silent, silent)).toEqual(["silent"]);
  });
});
