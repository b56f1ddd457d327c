/** What we do with cordoned log directories, beside what Kafka 4.4.0 answered. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  DescribeLogDirsApi,
  makeDescribeLogDirsRequest,
} from "#protocol/generated/describe-log-dirs.ts";
import { freePort } from "../support/process.ts";
import { startBroker, temporaryDirectory } from "../support/start-broker.ts";
import { cordonStory } from "./cordoned-log-dirs.ts";
import { Wire } from "./wire.ts";

/** A cluster of one tells its controller with heartbeats; a node by itself is its own. */
test.each([
  ["a node by itself", false],
  ["a cluster", true],
])(
  "log directories are cordoned as in Kafka: %s",
  async (_, isCluster) => {
    await using directory = await temporaryDirectory();
    const dirs = [join(directory.path, "first"), join(directory.path, "second")] as const;
    const [port, controllerPort] = isCluster ? [await freePort(), await freePort()] : [0, 0];
    const cluster = {
      "sluice.cluster.of.one": "true",
      "controller.listener.names": "CONTROLLER",
      listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    };
    const config = { "log.dirs": dirs.join(","), ...(isCluster ? cluster : {}) };
    await using broker = await startBroker({ config });
    const golden = readFileSync(join(import.meta.dirname, "cordoned-log-dirs.txt"), "utf8");
    const { nodeId } = broker.broker;
    const story = await cordonStory({ address: broker.bootstrapServers, dirs, nodeId }, "abcdefgh");
    expect(story).toBe(golden);
  },
  60_000,
);

test("a value of the file holds from the first start on, until it is taken out", async () => {
  await using directory = await temporaryDirectory();
  const dirs = [join(directory.path, "first"), join(directory.path, "second")];
  const start = (config: Readonly<Record<string, string>>) =>
    startBroker({ dataDir: directory.path, config: { "log.dirs": dirs.join(","), ...config } });
  const cordoned = async (address: string): Promise<boolean[]> => {
    using wire = await Wire.connect(address);
    const { results } = await wire.send(DescribeLogDirsApi, 5, makeDescribeLogDirsRequest());
    return results.map(({ isCordoned }) => isCordoned);
  };
  const create = async (address: string): Promise<number> => {
    using wire = await Wire.connect(address);
    const row = makeCreatableTopic({ name: "t", numPartitions: 1, replicationFactor: 1 });
    const request = makeCreateTopicsRequest({ topics: [row], validateOnly: true });
    return (await wire.send(CreateTopicsApi, 7, request)).topics[0]?.errorCode ?? -1;
  };
  for (const [value, shown, errorCode] of [
    ["*", [true, true], 38],
    [dirs[1] ?? "", [false, true], 0],
    ["", [false, false], 0],
  ] as const) {
    await using broker = await start({ "cordoned.log.dirs": value });
    expect(await cordoned(broker.bootstrapServers)).toEqual([...shown]);
    expect(await create(broker.bootstrapServers)).toBe(errorCode);
  }
  await expect(start({ "cordoned.log.dirs": directory.path })).rejects.toThrow(
    `All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : ${directory.path}`,
  );
}, 60_000);
