/** `sluice config` as a process, against a broker of ours or any other; see `test/support/cluster-under-test.ts`. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { clusterUnderTest, type ClusterUnderTest } from "../support/cluster-under-test.ts";
import { sluice, type SluiceRun } from "../support/run-sluice.ts";

let cluster: ClusterUnderTest;
let at: readonly string[];
let orders: string;
let brokerId: string;

const config = (...args: readonly string[]): Promise<SluiceRun> =>
  sluice(["config", ...args, ...at]);

interface Entry {
  readonly name: string;
  readonly value: string | null;
  readonly source: string;
  readonly default: string | null;
  readonly documentation: string | null;
}

async function entries(...args: readonly string[]): Promise<readonly Entry[]> {
  const { out, err } = await config("describe", ...args, "--json");
  expect(err).toBe("");
  return JSON.parse(out) as Entry[];
}

beforeAll(async () => {
  cluster = await clusterUnderTest();
  ({ at } = cluster);
  orders = cluster.name("configured");
  const { out } = await sluice(["topic", "create", orders, "--json", ...at]);
  expect(out).toContain("created");
  const described = await sluice(["topic", "describe", orders, "--json", ...at]);
  const [topic] = JSON.parse(described.out) as { partitions: { leader: number }[] }[];
  brokerId = String(topic?.partitions[0]?.leader);
});
afterAll(async () => {
  await sluice(["topic", "delete", orders, ...at]);
  await cluster[Symbol.asyncDispose]();
});

describe("sluice config of a topic", () => {
  test("sets, appends, subtracts, describes and unsets", async () => {
    expect(
      await config("set", "topic", orders, "retention.ms=1000000", "segment.bytes=2000000"),
    ).toEqual({
      exitCode: 0,
      out: `Set retention.ms of topic '${orders}' to 1000000.\nSet segment.bytes of topic '${orders}' to 2000000.\n`,
      err: "",
    });
    const appended = await config("append", "topic", orders, "cleanup.policy=compact");
    expect(appended.out).toBe(`Appended compact to cleanup.policy of topic '${orders}'.\n`);
    const shown = await config("describe", "topic", orders);
    expect(shown.out.split("\n").map((line) => line.split(/ +/).slice(0, 3).join(" "))).toEqual([
      "KEY VALUE SOURCE",
      "cleanup.policy delete,compact topic",
      "retention.ms 1000000 topic",
      "segment.bytes 2000000 topic",
      "",
    ]);
    const [segment] = await entries("topic", orders, "segment.bytes");
    expect([segment?.value, segment?.default]).toEqual(["2000000", "1073741824"]);
    await config("subtract", "topic", orders, "cleanup.policy=compact");
    const [policy] = await entries("topic", orders, "cleanup.policy");
    expect(policy?.value).toBe("delete");
    await config("unset", "topic", orders, "cleanup.policy", "retention.ms", "segment.bytes");
    expect(await config("describe", "topic", orders)).toEqual({
      exitCode: 0,
      out: "",
      err: `No key is set for topic '${orders}'; --all shows the values in force.\n`,
    });
  });

  test("--all has every key, --doc says what a key is for", async () => {
    const all = await entries("topic", orders, "--all");
    expect(all.length).toBeGreaterThan(25);
    const { out } = await config("describe", "topic", orders, "retention.ms", "--doc");
    expect(out).toMatch(/^retention\.ms = 604800000 {2}\(long, default\)\n {4}\S/);
  });

  test("a dry run asks, and changes nothing", async () => {
    const would = await config("set", "topic", orders, "retention.ms=5", "--dry-run");
    expect(would).toEqual({
      exitCode: 0,
      out: `Would set retention.ms of topic '${orders}' to 5.\n`,
      err: "Nothing was changed.\n",
    });
    const refused = await config("set", "topic", orders, "retention.ms=soon", "--dry-run");
    expect([refused.exitCode, refused.err.includes("(INVALID_CONFIG)")]).toEqual([1, true]);
    expect((await entries("topic", orders)).length).toBe(0);
  });
});

describe("sluice config of a broker", () => {
  test("shows what it was started with, and refuses a typo before it is sent", async () => {
    const set = await entries("broker", brokerId);
    expect(set.find(({ name }) => name === "log.dirs")?.source).toBe("static");
    expect(await config("set", "broker", brokerId, "log.retention.m=1")).toEqual({
      exitCode: 2,
      out: "",
      err: `sluice: a broker has no key 'log.retention.m'\n        Did you mean 'log.retention.ms'?\n        'sluice config describe broker ${brokerId} --all' shows every key.\n`,
    });
  });
});

describe("sluice config of groups and client metrics", () => {
  test.each([
    ["group", "consumer.heartbeat.interval.ms", "6000"],
    ["client-metrics", "interval.ms", "60000"],
  ])("%s: set, listed, described, unset", async (type, key, value) => {
    const name = cluster.name(`own-${type}`);
    expect((await config("set", type, name, `${key}=${value}`)).err).toBe("");
    const listed = await config("list", type, "--json");
    expect(JSON.parse(listed.out)).toContainEqual({ type, name });
    const shown = await entries(type, name);
    expect(shown.map((entry) => [entry.name, entry.value, entry.source])).toEqual([
      [key, value, type],
    ]);
    await config("unset", type, name, key);
    expect(await entries(type, name)).toEqual([]);
    const typo = await config("set", type, name, `${key}x=1`);
    expect([typo.exitCode, typo.err.split("\n")[1]?.trim()]).toEqual([2, `Did you mean '${key}'?`]);
  });
});

describe("what is not understood, or not there", () => {
  test.each([
    [["describe", "brokr", "1"], 2, "there is no configuration of 'brokr'"],
    [["describe", "broker"], 2, "say which broker, by its id"],
    [["describe", "topic"], 2, "say which topic, before the keys"],
    [["set", "topic", "retention.ms=1"], 2, "say which topic, before the keys"],
    [["set", "topic", "t"], 2, "say what to set, as KEY=VALUE"],
    [["set", "topic", "t", "retention.ms"], 2, "config set wants KEY=VALUE, not 'retention.ms'"],
    [["describe", "broker", "31999"], 1, "no broker of the cluster has node id 31999"],
  ])("%j", async (args, exitCode, sentence) => {
    const run = await config(...args);
    expect([
      run.exitCode,
      run.out,
      run.err.split("\n")[0]?.startsWith(`sluice: ${sentence}`),
    ]).toEqual([exitCode, "", true]);
  });

  test("a mistyped key, an absent topic", async () => {
    const typo = await config("describe", "topic", orders, "retention.mz");
    expect([typo.exitCode, typo.err.split("\n")[1]?.trim()]).toEqual([
      2,
      "Did you mean 'retention.ms'?",
    ]);
    const absent = await config("set", "topic", cluster.name("absent"), "retention.ms=1");
    expect([absent.exitCode, absent.err.includes("(UNKNOWN_TOPIC_OR_PARTITION)")]).toEqual([
      1,
      true,
    ]);
  });
});
