/** `sluice group` as a process, against a broker of ours or any other; see `test/support/cluster-under-test.ts`. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { clusterUnderTest, type ClusterUnderTest } from "../support/cluster-under-test.ts";
import { until } from "../support/process.ts";
import { sluice, spawnSluice } from "../support/run-sluice.ts";
import { temporaryDirectory } from "../support/start-broker.ts";

let cluster: ClusterUnderTest;
let at: readonly string[];
let orders: string;

beforeAll(async () => {
  cluster = await clusterUnderTest();
  ({ at } = cluster);
  orders = cluster.name("orders");
  // Records of 1970 are past every broker's retention.
  const kept = ["--partitions", "2", "--config", "retention.ms=-1"];
  await sluice(["topic", "create", orders, ...kept, ...at]);
  const rows = ["0", "0", "0", "1", "1"].map((partition, index) =>
    JSON.stringify({ value: `v${index}`, partition: Number(partition), timestamp: 1000 * index }),
  );
  await sluice(["produce", orders, "--json", ...at], { stdin: `${rows.join("\n")}\n` });
});
afterAll(async () => {
  await sluice(["topic", "delete", orders, "--if-exists", ...at]);
  await cluster[Symbol.asyncDispose]();
});

/** A group that has read all of the topic and left. */
async function groupThatRead(word: string): Promise<string> {
  const group = cluster.name(word);
  const { exitCode, err } = await sluice(["consume", orders, "--group", group, ...at]);
  expect([exitCode, err]).toEqual([0, ""]);
  return group;
}

interface DescribedGroup {
  readonly group: string;
  readonly type: string;
  readonly state: string;
  readonly assignor: string;
  readonly totalLag: number;
  readonly members: readonly { readonly clientId: string; readonly assignment: object }[];
  readonly offsets: readonly Readonly<Record<string, unknown>>[];
}

async function described(group: string): Promise<DescribedGroup> {
  const { out, err } = await sluice(["group", "describe", group, "--json", ...at]);
  expect(err).toBe("");
  return (JSON.parse(out) as DescribedGroup[])[0] as DescribedGroup;
}

/** Where the group reads on, by partition. */
async function committed(group: string): Promise<unknown[]> {
  return (await described(group)).offsets.map(({ committedOffset }) => committedOffset);
}

describe("sluice group describe and list", () => {
  test("a group that read and left", async () => {
    const group = await groupThatRead("left");
    const { out, exitCode } = await sluice(["group", "describe", group, ...at]);
    const lines = out.split("\n");
    expect([exitCode, lines[0], lines.slice(2)]).toEqual([
      0,
      `${group}  Empty, classic protocol`,
      [
        "",
        `${"TOPIC".padEnd(orders.length)}  PARTITION  COMMITTED  END  LAG`,
        `${orders}          0          3    3    0`,
        `${orders}          1          2    2    0`,
        "",
      ],
    ]);
    const listed = await sluice(["group", "list", "--json", "--state", "empty", ...at]);
    const rows = JSON.parse(listed.out) as { readonly group: string }[];
    expect(rows.find((row) => row.group === group)).toEqual({
      group,
      state: "Empty",
      type: expect.stringMatching(/^classic$/i),
      protocolType: "consumer",
      coordinator: expect.any(Number),
    } as never);
  });

  test("a group with a member: who reads what, the state, and why nothing can be reset", async () => {
    const group = cluster.name("active");
    const member = spawnSluice(["consume", orders, "--group", group, "--follow", ...at]);
    try {
      await until(
        async () => {
          const { out } = await sluice(["group", "list", "--names", "--state", "stable", ...at]);
          return out.split("\n").includes(group);
        },
        30_000,
        () => "the group did not become stable",
      );
      const report = await described(group);
      expect({
        ...report,
        members: report.members.map(({ clientId, assignment }) => ({ clientId, assignment })),
        offsets: report.offsets.map(({ partition, clientId }) => ({ partition, clientId })),
      } as object).toMatchObject({
        state: "Stable",
        type: "classic",
        assignor: "range",
        members: [{ clientId: "sluice-cli", assignment: { [orders]: [0, 1] } }],
        offsets: [
          { partition: 0, clientId: "sluice-cli" },
          { partition: 1, clientId: "sluice-cli" },
        ],
      });
      const [states, members, reset, deleted] = await Promise.all([
        sluice(["group", "describe", group, "--state", ...at]),
        sluice(["group", "describe", group, "--members", ...at]),
        sluice(["group", "reset-offsets", group, "--all-topics", "--to-earliest", ...at]),
        sluice(["group", "delete", group, ...at]),
      ]);
      expect(states.out.split("\n")[1]).toMatch(
        new RegExp(`^${group} +Stable +classic +range +\\d+ \\(.+:\\d+\\) +1 +- +-$`),
      );
      expect(members.out).toMatch(new RegExp(`${orders} +${orders}:0-1\n$`));
      expect([reset.exitCode, reset.out, reset.err.split("\n")[0]]).toEqual([
        1,
        "",
        `sluice: group '${group}' is active (Stable, 1 member): its offsets can only be reset while nobody reads`,
      ]);
      expect([deleted.exitCode, deleted.err.includes("NON_EMPTY_GROUP")]).toEqual([1, true]);
      const subscribed = await sluice([
        "group",
        "delete-offsets",
        group,
        "-t",
        `${orders}:0`,
        ...at,
      ]);
      expect([subscribed.exitCode, subscribed.err.includes("GROUP_SUBSCRIBED_TO_TOPIC")]).toEqual([
        1,
        true,
      ]);
    } finally {
      member.kill("SIGINT");
      await member.exited;
    }
  });

  test("offsets in a topic that is gone stay in sight while the broker keeps them", async () => {
    const gone = cluster.name("gone");
    const group = await groupThatRead("gone");
    await sluice(["topic", "create", gone, ...at]);
    const plan = `${gone},0,0\n`;
    await sluice(["group", "reset-offsets", group, "--from-file", "-", "--execute", ...at], {
      stdin: plan,
    });
    expect(await committed(group)).toEqual([0, 3, 2]);
    await sluice(["topic", "delete", gone, ...at]);
    // Whether they outlive the topic is the broker's choice; the other topic's must be told in any case.
    const { out, exitCode } = await sluice(["group", "describe", group, ...at]);
    expect([exitCode, out.includes(`${orders}          0          3    3    0`)]).toEqual([
      0,
      true,
    ]);
    if (out.includes(`\n${gone} `)) expect(out).toContain("the topic is gone");
  });

  test("a group that does not exist", async () => {
    const { exitCode, out, err } = await sluice(["group", "describe", cluster.name("none"), ...at]);
    expect([exitCode, out, err.includes("(GROUP_ID_NOT_FOUND)")]).toEqual([1, "", true]);
  });
});

describe("sluice group reset-offsets", () => {
  const reset = (group: string, ...args: readonly string[]): ReturnType<typeof sluice> =>
    sluice(["group", "reset-offsets", group, ...args, ...at]);

  test("shows a plan, and changes nothing until it is told to", async () => {
    const group = await groupThatRead("plan");
    const { exitCode, out, err } = await reset(group, "--topic", `${orders}:0`, "--shift-by", "-7");
    expect({ exitCode, out, err }).toEqual({
      exitCode: 0,
      out: [
        `${"TOPIC".padEnd(orders.length)}  PARTITION  COMMITTED  NEW  CHANGE  LAG`,
        `${orders}          0          3    0      -3    3`,
        "",
      ].join("\n"),
      err: `warning: ${orders} partition 0: -4 lies before the start, 0\nNothing was changed; --execute commits this.\n`,
    });
    expect(await committed(group)).toEqual([3, 2]);
  });

  test("every way to say where to", async () => {
    const group = await groupThatRead("ways");
    for (const [args, expected] of [
      [
        ["--all-topics", "--to-earliest"],
        [0, 0],
      ],
      [
        ["--topic", orders, "--to-offset", "1"],
        [1, 1],
      ],
      [
        ["--topic", `${orders}:1`, "--to-offset", "99"],
        [1, 2],
      ],
      [
        ["--all-topics", "--shift-by", "1"],
        [2, 2],
      ],
      [
        ["--topic", orders, "--to-datetime", "1970-01-01T00:00:01"],
        [1, 0],
      ],
      [
        ["--topic", orders, "--by-duration", "PT1M"],
        [3, 2],
      ],
      [
        ["--topic", `${orders}:0`, "--to-earliest"],
        [0, 2],
      ],
      [
        ["--all-topics", "--to-current"],
        [0, 2],
      ],
      [
        ["--all-topics", "--to-latest"],
        [3, 2],
      ],
    ] as const) {
      const done = await reset(group, ...args, "--execute");
      expect([args, done.exitCode, await committed(group)]).toEqual([args, 0, [...expected]]);
    }
  });

  test("to a file and back, also for a group that does not exist yet", async () => {
    await using directory = await temporaryDirectory();
    const group = await groupThatRead("export");
    const exported = await reset(group, "--all-topics", "--to-current", "--export");
    expect(exported.out).toBe(`${orders},0,3\n${orders},1,2\n`);
    const file = join(directory.path, "offsets.csv");
    await Bun.write(file, exported.out);
    const other = cluster.name("imported");
    expect((await reset(other, "--from-file", file, "--execute")).exitCode).toBe(0);
    expect(await committed(other)).toEqual([3, 2]);
  });

  test.each([
    [["--to-latest"], "say in which topics, with --topic or --all-topics"],
    [["--all-topics"], "say where to, with one of "],
    [["--all-topics", "--to-latest", "--to-earliest"], "say where to, with one of "],
    [["--topic", "t:x", "--to-latest"], "--topic wants TOPIC or TOPIC:PARTITIONS"],
    [["--topic", "t", "--by-duration", "soon"], "--by-duration wants a time span"],
    [["--topic", "t", "--to-datetime", "now"], "--to-datetime wants a date"],
  ])("%j is not understood", async (args, sentence) => {
    const { exitCode, out, err } = await reset("any", ...args);
    expect([exitCode, out, err.startsWith(`sluice: ${sentence}`)]).toEqual([2, "", true]);
  });

  test("topics, partitions and offsets that are not there", async () => {
    const group = cluster.name("nothing");
    const absent = cluster.name("absent");
    const [noTopic, noPartition, noOffset, nothing] = await Promise.all([
      reset(group, "--topic", absent, "--to-latest"),
      reset(group, "--topic", `${orders}:9`, "--to-latest"),
      reset(group, "--topic", orders, "--shift-by", "1"),
      reset(group, "--all-topics", "--to-latest"),
    ]);
    expect(
      [noTopic, noPartition, noOffset, nothing].map(({ exitCode, err }) => [
        exitCode,
        err.split("\n")[0],
      ]),
    ).toEqual([
      [1, `sluice: topic '${absent}': does not exist, or has no leader that answers`],
      [1, `sluice: topic '${orders}', partition 9: does not exist, or has no leader that answers`],
      [2, `sluice: nothing is committed in ${orders}:0 ${orders}:1: there is no offset to shift`],
      [1, `sluice: group '${group}' has committed nothing: --all-topics means no topic`],
    ]);
  });
});

describe("sluice group delete", () => {
  test("deletes offsets, then groups, and tells of those that are not there", async () => {
    const group = await groupThatRead("doomed");
    const some = await sluice(["group", "delete-offsets", group, "--topic", `${orders}:0`, ...at]);
    expect([some.exitCode, some.out.split("\n")[1]]).toEqual([0, `${orders}          0  deleted`]);
    const left = (await described(group)).offsets.map(({ partition }) => partition);
    expect(left).toEqual([1]);
    const absent = cluster.name("never");
    const deleted = await sluice(["group", "delete", group, absent, ...at]);
    expect([deleted.exitCode, deleted.out, deleted.err.includes("GROUP_ID_NOT_FOUND")]).toEqual([
      1,
      `Deleted group ${group}.\n`,
      true,
    ]);
    expect(await sluice(["group", "delete", absent, "--if-exists", ...at])).toEqual({
      exitCode: 0,
      out: `There is no group ${absent}.\n`,
      err: "",
    });
  });
});
