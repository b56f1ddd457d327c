/** What Kafka 4.4 says to `cordoned.log.dirs` where it cannot be set, beside what the controller says. */
import { describe, expect, test } from "bun:test";
import {
  checkCordonLevel,
  checkCordonUnseen,
  cordonRecords,
  decideCordon,
} from "#controller/cordoning.ts";
import { ConfigOperation, type ResourceChange } from "#controller/config-values.ts";
import { ResourceType } from "#metadata/cluster-image.ts";
import { startCluster } from "./cluster-fixture.ts";
import { MemoryCluster } from "./memory-cluster.ts";

const { SET, DELETE, APPEND, SUBTRACT } = ConfigOperation;
const NAME = "cordoned.log.dirs";
const LEVEL =
  "The cordoned.log.dirs configuration value cannot be set because it requires metadata.version >= 4.3-IV0";
const SUBSET =
  "When updating cordoned.log.dirs via controllers,  the new value must be a subset of the current configuration value.";

function change(operation: number, value: string | null, name = NAME): ResourceChange {
  const changes = [{ name, operation, value }];
  return { resourceType: ResourceType.BROKER, resourceName: "1", changes, replacesAll: false };
}

describe("below metadata.version 4.3-IV0", () => {
  test("the value is neither set nor removed, other keys are", async () => {
    const { controller } = await startCluster();
    const at = (level: number) => ({
      ...controller.image,
      features: new Map([["metadata.version", level]]),
    });
    const check = (level: number, resource: ResourceChange, current = new Map()) =>
      checkCordonLevel(resource, current, at(level))?.errorMessage ?? null;
    expect(check(29, change(SET, "*"))).toBe(LEVEL);
    expect(check(29, change(DELETE, null))).toBe(LEVEL);
    expect(check(30, change(SET, "*"))).toBeNull();
    expect(check(29, change(SET, "1", "num.io.threads"))).toBeNull();
    const replaced = { ...change(SET, "8", "num.io.threads"), replacesAll: true };
    expect(check(29, replaced)).toBeNull();
    expect(check(29, replaced, new Map([[NAME, "*"]]))).toBe(LEVEL);
  });

  test("no directory is recorded", async () => {
    const { controller } = await startCluster();
    const { image } = controller;
    const broker = [...image.brokers.values()][0];
    if (broker === undefined) throw new Error("no broker");
    const low = { ...image, features: new Map([["metadata.version", 29]]) };
    expect(cordonRecords(broker, ["A"], low)).toEqual([]);
    expect(cordonRecords(broker, ["A"], image)).toHaveLength(1);
    expect(cordonRecords({ ...broker, cordonedLogDirs: ["B", "A"] }, ["A", "B"], image)).toEqual(
      [],
    );
  });
});

test("a client that asks a controller by itself can only make the value smaller", async () => {
  const cluster = await MemoryCluster.start({ racks: [null, null] });
  const current = new Map([[NAME, "/a, /b"]]);
  const check = (operation: number, value: string | null, values = current) =>
    checkCordonUnseen(change(operation, value), values)?.errorMessage ?? null;
  expect(check(SET, "/a")).toBeNull();
  expect(check(SET, "/b,/a")).toBeNull();
  expect(check(SET, "")).toBeNull();
  expect(check(DELETE, null)).toBeNull();
  expect(check(SUBTRACT, "/a")).toBeNull();
  expect(check(APPEND, "/c")).toBe(SUBSET);
  expect(check(SET, "*")).toBe(SUBSET);
  expect(check(SET, "/a", new Map([[NAME, "*"]]))).toBe(SUBSET);
  const ask = async (isUnseen: boolean, resourceName: string) => {
    const resource = { ...change(SET, "/somewhere"), resourceName, isUnseen };
    const [outcome] = await cluster.controller.changeConfigs([resource], false);
    return [outcome?.errorCode, outcome?.errorMessage];
  };
  expect(await ask(true, "2")).toEqual([40, SUBSET]);
  expect(await ask(false, "2")).toEqual([0, null]);
  expect(await ask(true, "9")).toEqual([40, SUBSET]);
  expect(await ask(false, "9")).toEqual([102, "No node with id 9 found."]);
});

test("a node by itself notes its directories, once", async () => {
  const { controller } = await startCluster();
  const broker = [...controller.image.brokers.values()][0];
  const [first = "", ...others] = broker?.logDirs ?? [];
  await controller.cordon([first]);
  expect(controller.image.brokers.get(broker?.id ?? -1)).toMatchObject({
    cordonedLogDirs: [first],
    logDirs: [first, ...others],
    epoch: broker?.epoch ?? -1,
    isFenced: false,
  });
  const { offset } = controller.image;
  await controller.cordon([first]);
  expect(controller.image.offset).toBe(offset);
  expect(decideCordon([first], { image: controller.image, nodeId: 99 } as never).records).toEqual(
    [],
  );
});
