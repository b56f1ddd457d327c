/** `sluice cluster` and what changes a topic, against a broker of ours or any other; see `test/support/cluster-under-test.ts`. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { clusterUnderTest, type ClusterUnderTest } from "../support/cluster-under-test.ts";
import { sluice, type SluiceRun } from "../support/run-sluice.ts";

let cluster: ClusterUnderTest;
let at: readonly string[];
let name: string;

const topic = (...args: readonly string[]): Promise<SluiceRun> => sluice(["topic", ...args, ...at]);

beforeAll(async () => {
  cluster = await clusterUnderTest();
  ({ at } = cluster);
  name = cluster.name("changed");
  // Records of 1970 are past every broker's retention.
  await topic("create", name, "--partitions", "2", "--config", "retention.ms=-1");
  const rows = ["0", "0", "0", "1"].map((partition, index) =>
    JSON.stringify({ value: `v${index}`, partition: Number(partition), timestamp: 1000 * index }),
  );
  await sluice(["produce", name, "--json", ...at], { stdin: `${rows.join("\n")}\n` });
});
afterAll(async () => {
  await topic("delete", name);
  await cluster[Symbol.asyncDispose]();
});

describe("sluice cluster", () => {
  test("tells of brokers, directories and features", async () => {
    const [shown, json] = await Promise.all([
      sluice(["cluster", ...at]),
      sluice(["cluster", "--json", ...at]),
    ]);
    const report = JSON.parse(json.out) as {
      clusterId: string;
      controllerId: number;
      brokers: { id: number; port: number; isFenced: boolean; listeners: string[] }[];
      features: { name: string; level: number }[];
      quorum: { leaderId: number } | null;
      logDirs: { broker: number; partitions: number; error: string | null }[];
    };
    const port = Number(cluster.bootstrapServers.split(":")[1]);
    const [broker] = report.brokers;
    expect({
      port: broker?.port,
      isFenced: broker?.isFenced,
      // A broker of a test was told port 0, and says so.
      isListening: broker?.listeners.some((listener) => /:\/\/[^:]*:(\d+)$/.test(listener)),
      hasDirectory: report.logDirs.some(
        (directory) =>
          directory.broker === broker?.id && directory.error === null && directory.partitions > 0,
      ),
      hasMetadataVersion: report.features.some(
        (feature) => feature.name === "metadata.version" && feature.level > 0,
      ),
      isLed: report.quorum === null || report.quorum.leaderId === report.controllerId,
    }).toEqual({
      port,
      isFenced: false,
      isListening: true,
      hasDirectory: true,
      hasMetadataVersion: true,
      isLed: true,
    });
    expect(shown.out.split("\n")[0]).toBe(
      `${report.clusterId}  ${report.brokers.length} broker${report.brokers.length === 1 ? "" : "s"}, controller ${report.controllerId}`,
    );
  });
});

describe("sluice topic alter", () => {
  test("adds partitions and changes keys, all or nothing", async () => {
    const refused = await topic("alter", name, "--partitions", "2", "--config", "retention.ms=7");
    expect([refused.exitCode, refused.err.includes("(INVALID_PARTITIONS)")]).toEqual([1, true]);
    const tried = await topic("alter", name, "--partitions", "3", "--dry-run");
    expect(tried).toEqual({
      exitCode: 0,
      out: `Would alter topic ${name}: 3 partitions instead of 2.\n`,
      err: "Nothing was changed.\n",
    });
    const done = await topic(
      "alter",
      name,
      "-p",
      "3",
      "-c",
      "retention.ms=-1",
      "--unset",
      "segment.ms",
    );
    expect(done).toEqual({
      exitCode: 0,
      out: `Altered topic ${name}: retention.ms set to -1, segment.ms unset, 3 partitions instead of 2.\n`,
      err: "",
    });
    const described = await topic("describe", name, "--json");
    const [row] = JSON.parse(described.out) as { partitions: unknown[]; configs: object[] }[];
    expect([row?.partitions.length, row?.configs]).toEqual([
      3,
      expect.arrayContaining([{ name: "retention.ms", value: "-1", isDefault: false }]),
    ] as never);
  });

  test("a key that is none, and nothing to do", async () => {
    const [typo, nothing] = await Promise.all([
      topic("alter", name, "--config", "retention.m=1"),
      topic("alter", name),
    ]);
    expect([typo.exitCode, typo.err.includes("Did you mean 'retention.ms'?")]).toEqual([2, true]);
    expect([nothing.exitCode, nothing.err]).toEqual([
      2,
      "sluice: say what to change: --partitions, --config or --unset\n",
    ]);
  });
});

describe("sluice topic delete-records", () => {
  test("shows how much, then deletes up to a date, an offset, the end", async () => {
    const starts = async (...args: readonly string[]): Promise<unknown[]> => {
      const { out } = await topic("delete-records", name, "--json", ...args);
      const { partitions } = JSON.parse(out) as {
        partitions: { partition: number; deletedRecords: number; startOffset: number }[];
      };
      return partitions
        .filter(({ partition }) => partition < 2)
        .map(({ deletedRecords, startOffset }) => [deletedRecords, startOffset]);
    };
    expect(await starts("--before", "1970-01-01T00:00:01", "--dry-run")).toEqual([
      [1, 1],
      [0, 0],
    ]);
    expect(await starts("--before", "1970-01-01T00:00:01")).toEqual([
      [1, 1],
      [0, 0],
    ]);
    expect(await starts("--before", "2", "--partition", "0")).toEqual([[1, 2]]);
    const last = await topic("delete-records", name, "--before", "end");
    expect(last.out.split("\n").slice(0, 3)).toEqual([
      "PARTITION  DELETED  START  END",
      "        0        1      3    3",
      "        1        1      1    1",
    ]);
  });

  test("what is not understood", async () => {
    const { exitCode, err } = await topic("delete-records", name, "--before", "soon");
    expect([exitCode, err.startsWith("sluice: --before wants an offset, end, or a date")]).toEqual([
      2,
      true,
    ]);
  });
});
