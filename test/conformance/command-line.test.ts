/**
 * `sluice consume --group` beside members of the Java client, in each way that both speak: every record is read by one of them, and what
 * the one leaves the other takes over. By hand against another cluster with SLUICE_TEST_BOOTSTRAP.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { clusterUnderTest, type ClusterUnderTest } from "../support/cluster-under-test.ts";
import { collectedLines } from "../support/collected-lines.ts";
import { until } from "../support/process.ts";
import { sluice, spawnSluice } from "../support/run-sluice.ts";
import { javaCommand } from "./java/console.ts";
import { java, type JavaLibraries, Unavailable } from "./support/toolchains.ts";

const PARTITIONS = 4;
const PATIENCE_MS = 120_000;
const ASSIGNORS = "org.apache.kafka.clients.consumer";

let libraries: JavaLibraries | null = null;
try {
  libraries = await java();
} catch (error) {
  if (!(error instanceof Unavailable)) throw error;
  console.log(`skipped: command line beside Java: ${error.message}`);
}

let cluster: ClusterUnderTest;
let at: readonly string[];

beforeAll(async () => {
  cluster = await clusterUnderTest();
  ({ at } = cluster);
});
afterAll(() => cluster[Symbol.asyncDispose]());

/** Waits until the group is stable and its clients read so many partitions each. */
function untilShared(
  group: string,
  topic: string,
  wanted: Readonly<Record<string, number>>,
): Promise<void> {
  let last = "";
  return until(
    async () => {
      const { out, err } = await sluice(["group", "describe", group, "--json", ...at]);
      last = out + err;
      if (out === "") return false;
      const [described] = JSON.parse(out) as {
        state: string;
        members: { clientId: string; assignment: Record<string, number[]> }[];
      }[];
      const found = (described?.members ?? []).map(
        ({ clientId, assignment }) => [clientId, assignment[topic]?.length ?? 0] as const,
      );
      return (
        described?.state === "Stable" &&
        found.length === Object.keys(wanted).length &&
        found.every(([clientId, count]) => wanted[clientId] === count)
      );
    },
    PATIENCE_MS,
    () => `the group did not share its partitions as ${JSON.stringify(wanted)}: ${last}`,
  );
}

async function produce(topic: string, from: number, to: number): Promise<void> {
  const rows = Array.from({ length: to - from }, (_, index) =>
    JSON.stringify({ value: `v${from + index}`, partition: index % PARTITIONS }),
  );
  await sluice(["produce", topic, "--json", ...at], { stdin: `${rows.join("\n")}\n` });
}

// Needs the Java client, which the conformance set-up fetches; without it there is nothing to run beside.
describe.skipIf(libraries === null)("sluice consume beside the Java client", () => {
  test.each([
    ["range", "classic", `partition.assignment.strategy=${ASSIGNORS}.RangeAssignor`],
    ["roundrobin", "classic", `partition.assignment.strategy=${ASSIGNORS}.RoundRobinAssignor`],
    [
      "cooperative-sticky",
      "classic",
      `partition.assignment.strategy=${ASSIGNORS}.CooperativeStickyAssignor`,
    ],
    ["uniform", "consumer", "group.protocol=consumer"],
  ])("%s, %s protocol", async (assignor, protocol, property) => {
    if (libraries === null) return;
    const topic = cluster.name(`beside-${assignor}`);
    const group = cluster.name(`besides-${assignor}`);
    await sluice(["topic", "create", topic, "--partitions", String(PARTITIONS), ...at]);
    // Ours is the first member, and so leads a classic group: its assignor says who reads what.
    const ours = spawnSluice([
      "consume",
      topic,
      "--group",
      group,
      "--group-protocol",
      protocol,
      "--follow",
      ...at,
    ]);
    const oursRead = collectedLines(ours.stdout);
    let theirs: Bun.Subprocess<"ignore", "pipe", "ignore"> | null = null;
    try {
      await untilShared(group, topic, { "sluice-cli": PARTITIONS });
      theirs = Bun.spawn(
        [
          ...javaCommand(libraries, "tools"),
          "org.apache.kafka.tools.consumer.ConsoleConsumer",
          "--bootstrap-server",
          cluster.bootstrapServers,
          "--topic",
          topic,
          "--group",
          group,
          "--consumer-property",
          property,
          "--consumer-property",
          "client.id=java",
        ],
        { stdin: "ignore", stdout: "pipe", stderr: "ignore" },
      );
      const theirsRead = collectedLines(theirs.stdout);
      const values = (): string[] =>
        [...oursRead, ...theirsRead].filter((line) => /^v\d+$/.test(line)).sort();
      const wanted = (count: number): string[] =>
        Array.from({ length: count }, (_, index) => `v${index}`).sort();
      await untilShared(group, topic, { "sluice-cli": 2, java: 2 });
      await produce(topic, 0, 40);
      await until(
        () => values().length >= 40,
        PATIENCE_MS,
        () => `read ${values().length} of 40`,
      );
      expect(values()).toEqual(wanted(40));
      expect(oursRead.length).toBe(20);
      // A clean end: it commits, and leaves.
      theirs.kill("SIGTERM");
      await theirs.exited;
      await untilShared(group, topic, { "sluice-cli": PARTITIONS });
      await produce(topic, 40, 60);
      await until(
        () => values().length >= 60,
        PATIENCE_MS,
        () => `read ${values().length} of 60`,
      );
      expect(values()).toEqual(wanted(60));
    } finally {
      theirs?.kill("SIGKILL");
      ours.kill("SIGINT");
      await Promise.all([ours.exited, theirs?.exited]);
      await sluice(["topic", "delete", topic, ...at]);
    }
  });
});
