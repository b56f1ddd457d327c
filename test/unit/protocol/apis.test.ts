import { expect, test } from "bun:test";
import { join } from "node:path";
import { API_VERSIONS, apiByKey } from "#protocol/apis.ts";

test("all 91 live APIs are there, and their codecs agree with the table", () => {
  expect(API_VERSIONS.size).toBe(91);
  for (const [key, info] of API_VERSIONS) {
    expect(apiByKey(key)).toMatchObject({
      key,
      name: info.name,
      minVersion: info.minVersion,
      maxVersion: info.maxVersion,
      firstFlexibleVersion: info.firstFlexibleVersion,
      isLatestVersionUnstable: info.isLatestVersionUnstable,
    });
  }
});

test("versions that Kafka 4.4 dropped and clients still send have codecs", () => {
  const reach = (name: string): unknown => {
    const info = [...API_VERSIONS.values()].find((candidate) => candidate.name === name);
    return [info?.minVersion, info?.kafkaMinVersion, info?.maxVersion];
  };
  expect(
    Object.fromEntries(
      ["Produce", "Fetch", "ListOffsets", "OffsetCommit", "CreateTopics"].map((name) => [
        name,
        reach(name),
      ]),
    ),
  ).toEqual({
    Produce: [0, 3, 13],
    Fetch: [0, 4, 18],
    ListOffsets: [0, 1, 11],
    OffsetCommit: [0, 2, 10],
    CreateTopics: [0, 2, 7],
  });
  // Not for clients, or never stable.
  expect(reach("AlterPartition")).toEqual([2, 2, 3]);
  expect(reach("ShareFetch")).toEqual([1, 1, 2]);
});

test("an unknown or removed key has none", () => {
  expect([4, 7, 95, -1, 0.5].map((key) => apiByKey(key))).toEqual(Array(5).fill(undefined));
});

test("importing the table and the headers loads no codec", () => {
  const root = join(import.meta.dirname, "../../..");
  const script = `
    import { API_VERSIONS, apiByKey } from "#protocol/apis.ts";
    import "#protocol/headers.ts";
    const loaded = () => Object.keys(require.cache).filter((path) => /generated\\/(?!api-table)/.test(path)).length;
    const before = loaded();
    apiByKey(1);
    console.log(JSON.stringify([API_VERSIONS.size, before, loaded()]));
  `;
  const run = Bun.spawnSync([process.execPath, "-e", script], { cwd: root });
  expect(run.stdout.toString().trim()).toBe("[91,0,1]");
});
