/**
 * Kafka's tools in the gate: run against Sluice from this checkout, and what they print compared with what they printed on real Kafka
 * (`recorded/`). `bun test/differential/tools/main.ts` runs both live; `--record` renews the recorded side.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { java, type JavaLibraries, Unavailable } from "../../conformance/support/toolchains.ts";
import type { BrokerProcess } from "../../support/broker-process.ts";
import { temporaryDirectory } from "../../support/process.ts";
import { runSections, type Transcript } from "./broker-run.ts";
import { startSluice } from "./brokers.ts";
import { compareSection } from "./compare.ts";
import { DECISIONS } from "./differences.ts";
import { errorLines, normalize } from "./normalize.ts";
import { formatTranscript, parseTranscript, readRecorded } from "./recorded.ts";
import { SECTIONS } from "./scenario/index.ts";
import { run } from "./steps.ts";

const TIMEOUT_MS = 600_000;

/** The tools, or why there are none. */
async function libraries(): Promise<JavaLibraries | string> {
  try {
    return await java();
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return error.message;
  }
}

const tools = await libraries();
if (typeof tools === "string") console.log(`skipped: Kafka's tools cannot run here: ${tools}`);

describe.skipIf(typeof tools === "string")("Kafka's tools print what they print on Kafka", () => {
  const directory = temporaryDirectory("tools");
  let broker: BrokerProcess | null = null;
  let ours: ReadonlyMap<string, Transcript> = new Map();

  beforeAll(async () => {
    if (typeof tools === "string") return;
    broker = await startSluice(directory.path);
    ours = await runSections(tools, broker, SECTIONS, directory.path);
  }, TIMEOUT_MS);

  afterAll(async () => {
    await broker?.stop("SIGTERM");
    directory.remove();
  }, TIMEOUT_MS);

  test.each([...SECTIONS.keys()])("%s", (section) => {
    const { problems } = compareSection(section, readRecorded(section), ours.get(section) ?? []);
    expect(problems).toEqual([]);
  });
});

describe("its own rules", () => {
  const printed = (text: string): Transcript => [{ line: "kafka-topics --list", text }];

  test("what is recorded is what is run", () => {
    for (const [section, steps] of SECTIONS) {
      const lines = steps.flatMap((step) => (step.op === "run" ? [step.name] : []));
      expect(readRecorded(section).map(({ line }) => line)).toEqual(lines);
    }
  });

  test("a difference that is not listed is a problem", () => {
    expect(compareSection("x", printed("a\nb"), printed("a\nb"))).toEqual({
      equal: 1,
      intended: 0,
      problems: [],
    });
    expect(compareSection("x", printed("a\nb"), printed("a\nc")).problems).toEqual([
      "$ kafka-topics --list\n  kafka | b\n  ours  | c",
    ]);
    expect(compareSection("x", printed("a\nb"), printed("b\na")).problems).toEqual([
      "$ kafka-topics --list\nthe same lines in another order",
    ]);
    expect(compareSection("x", printed("a"), []).problems).toHaveLength(1);
  });

  test("a listed difference is none, and a problem once it is gone", () => {
    const decision = { reason: "because", section: "x", lines: /^b/ };
    const about = (ours: string): readonly string[] =>
      compareSection("x", printed("a\nb1"), printed(ours), [decision]).problems;
    expect(about("a\nb2")).toEqual([]);
    expect(about("a\nb1")).toEqual(["no difference any more: because"]);
    expect(about("c\nb2")).toHaveLength(1);
  });

  test("every decision has a reason and a section", () => {
    expect(DECISIONS.filter(({ reason }) => reason.length < 20)).toEqual([]);
    expect(DECISIONS.filter(({ section }) => !SECTIONS.has(section))).toEqual([]);
  });

  test("transcripts read back as they were written", () => {
    const transcript = [
      { line: "kafka-topics --list", text: "" },
      { line: "kafka-configs x", text: "two\n\nparagraphs\n! and an error\n= 1" },
    ];
    expect(parseTranscript(formatTranscript(transcript))).toEqual(transcript);
  });

  test("only what says nothing is replaced", () => {
    const place = {
      bootstrap: "127.0.0.1:21345",
      dataDirectory: "/tmp/x/kafka/data",
      scratchDirectory: "/tmp/x",
    };
    const clean = (text: string): string => normalize(text, place, false);
    expect(clean("at 127.0.0.1:21345 in /tmp/x/kafka/data and /tmp/x/a.csv")).toBe(
      "at HOST:PORT in DATA and SCRATCH/a.csv",
    );
    expect(clean("rlYWhkkVTZ-G8adb2uvgSQ ConsumerGroupHeartbeat 10 1024")).toBe(
      `${"I".repeat(22)} ConsumerGroupHeartbeat 10 1024`,
    );
    expect(clean("m-0b9ba6ae-3d83-47a2-8ba4-0a3d4a0e6a34")).toBe(`m-${"U".repeat(36)}`);
    expect(errorLines("it failed\n\tat a.B.c(B.java:1)\nTools$Ended: exit 1\n")).toEqual([
      "it failed",
    ]);
  });

  test("words of a command line keep what is in quotes together", () => {
    expect(run("kafka-topics --topic 'bad name' x").words).toEqual([
      "--bootstrap-server",
      "{bootstrap}",
      "--topic",
      "bad name",
      "x",
    ]);
    expect(run("kafka-cluster cluster-id --bootstrap-server {bootstrap}").words).toEqual([
      "cluster-id",
      "--bootstrap-server",
      "{bootstrap}",
    ]);
  });
});
