/** `sluice consume --group` in both protocols, against a broker of ours or any other; see `test/support/cluster-under-test.ts`. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { clusterUnderTest, type ClusterUnderTest } from "../support/cluster-under-test.ts";
import { collectedLines } from "../support/collected-lines.ts";
import { until } from "../support/process.ts";
import { sluice, spawnSluice } from "../support/run-sluice.ts";

const PARTITIONS = 4;
const PATIENCE_MS = 60_000;

let cluster: ClusterUnderTest;
let at: readonly string[];

beforeAll(async () => {
  cluster = await clusterUnderTest();
  ({ at } = cluster);
});
afterAll(() => cluster[Symbol.asyncDispose]());

interface Described {
  readonly state: string;
  readonly type: string;
  readonly totalLag: number;
  readonly members: readonly { readonly assignment: Readonly<Record<string, readonly number[]>> }[];
}

async function describeGroup(group: string): Promise<Described | null> {
  const { out, exitCode } = await sluice(["group", "describe", group, "--json", ...at]);
  return exitCode === 0 ? ((JSON.parse(out) as Described[])[0] ?? null) : null;
}

/** Waits until members read so many partitions each. */
function untilShared(group: string, topic: string, loads: readonly number[]): Promise<void> {
  let last = "";
  return until(
    async () => {
      const described = await describeGroup(group);
      const found = (described?.members ?? []).map(
        ({ assignment }) => assignment[topic]?.length ?? 0,
      );
      last = JSON.stringify(described);
      return (
        described?.state === "Stable" &&
        JSON.stringify(found.sort((a, b) => a - b)) === JSON.stringify(loads)
      );
    },
    PATIENCE_MS,
    () => `the group did not share its partitions as ${loads.join(" and ")}: ${last}`,
  );
}

/** Writes records to every partition in turn. */
async function produce(topic: string, from: number, to: number): Promise<void> {
  const rows = Array.from({ length: to - from }, (_, index) =>
    JSON.stringify({ value: `v${from + index}`, partition: index % PARTITIONS }),
  );
  const { exitCode } = await sluice(["produce", topic, "--json", ...at], {
    stdin: `${rows.join("\n")}\n`,
  });
  expect(exitCode).toBe(0);
}

const values = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `v${from + index}`).sort();

describe.each(["classic", "consumer"] as const)("a group of the %s protocol", (protocol) => {
  test("divides the partitions, and who stays takes over", async () => {
    const topic = cluster.name(`shared-${protocol}`);
    const group = cluster.name(`sharing-${protocol}`);
    await sluice(["topic", "create", topic, "--partitions", String(PARTITIONS), ...at]);
    const args = ["consume", topic, "--group", group, "--group-protocol", protocol, ...at];
    const members = [0, 1].map(() => spawnSluice([...args, "--follow"]));
    const read = members.map((child) => collectedLines(child.stdout));
    const [first, second] = members;
    try {
      await untilShared(group, topic, [2, 2]);
      await produce(topic, 0, 40);
      const all = (): string[] => read.flat().sort();
      await until(
        () => all().length >= 40,
        PATIENCE_MS,
        () => `read ${all().length} of 40`,
      );
      expect(all()).toEqual(values(0, 40));
      expect(read.map((lines) => lines.length)).toEqual([20, 20]);
      first?.kill("SIGINT");
      expect(await first?.exited).toBe(0);
      await untilShared(group, topic, [PARTITIONS]);
      await produce(topic, 40, 60);
      await until(
        () => all().length >= 60,
        PATIENCE_MS,
        () => `read ${all().length} of 60`,
      );
      expect(all()).toEqual(values(0, 60));
    } finally {
      for (const child of members) child.kill("SIGINT");
      await Promise.all(members.map((child) => child.exited));
    }
    expect(await second?.exited).toBe(0);
    const left = await describeGroup(group);
    expect([left?.state, left?.type, left?.totalLag]).toEqual(["Empty", protocol, 0]);
    // Whoever comes later begins where these ended.
    await produce(topic, 60, 64);
    const { out, err } = await sluice(args);
    expect([err, out.split("\n").slice(0, -1).sort()]).toEqual(["", values(60, 64)]);
    await sluice(["topic", "delete", topic, ...at]);
  });

  test("a group of the other protocol", async () => {
    const topic = cluster.name(`other-${protocol}`);
    const group = cluster.name(`others-${protocol}`);
    const other = protocol === "classic" ? "consumer" : "classic";
    await sluice(["topic", "create", topic, "--partitions", String(PARTITIONS), ...at]);
    await produce(topic, 0, 8);
    // Empty groups change their type, and keep their offsets.
    const before = await sluice([
      "consume",
      topic,
      "--group",
      group,
      "--group-protocol",
      other,
      ...at,
    ]);
    expect(before.out.split("\n").length - 1).toBe(8);
    await produce(topic, 8, 12);
    const after = await sluice([
      "consume",
      topic,
      "--group",
      group,
      "--group-protocol",
      protocol,
      ...at,
    ]);
    expect([after.err, after.out.split("\n").slice(0, -1).sort()]).toEqual(["", values(8, 12)]);
    await sluice(["topic", "delete", topic, ...at]);
  });
});

test("--group-protocol is understood, and goes with --group", async () => {
  const [wrong, alone] = await Promise.all([
    sluice(["consume", "t", "--group", "g", "--group-protocol", "newest", ...at]),
    sluice(["consume", "t", "--group-protocol", "consumer", ...at]),
  ]);
  expect([wrong, alone]).toEqual([
    {
      exitCode: 2,
      out: "",
      err: "sluice: --group-protocol wants classic or consumer, not 'newest'\n",
    },
    { exitCode: 2, out: "", err: "sluice: --group-protocol goes with --group\n" },
  ]);
});
