/** Paths of `cordoned.log.dirs` as the ids by which directories are known. */
import { expect, test } from "bun:test";
import { CordonedDirectories } from "#broker/cordoned-directories.ts";
import { type BrokerConfig, resolveBrokerConfig } from "#config/broker-config.ts";
import { type ClusterImage, EMPTY_IMAGE } from "#metadata/cluster-image.ts";

const DIRS = [
  { path: "/one", directoryId: "A", error: null },
  { path: "/two", directoryId: "B", error: null },
  { path: "/three", directoryId: "", error: "cannot be read" },
];

function configOf(cordoned: string | null, dynamic: string | null = null): BrokerConfig {
  const values = {
    "log.dirs": "/one,/two,/three",
    ...(cordoned === null ? {} : { "cordoned.log.dirs": cordoned }),
  };
  const { config } = resolveBrokerConfig({ file: new Map(Object.entries(values)) });
  if (config === null) throw new Error("no configuration");
  return dynamic === null
    ? config
    : config.withDynamic(new Map(), new Map([["cordoned.log.dirs", dynamic]]));
}

const at = (level: number): ClusterImage => ({
  ...EMPTY_IMAGE,
  features: new Map([["metadata.version", level]]),
});

function cordons() {
  const world = { config: configOf(null), image: at(33), changes: 0 };
  const directories = new CordonedDirectories({
    dirs: DIRS,
    config: () => world.config,
    image: () => world.image,
    onChange: () => {
      world.changes += 1;
    },
  });
  const update = (): number => {
    directories.onMetadataUpdate({} as never, world.image);
    return world.changes;
  };
  return { world, directories, update };
}

test("the dynamic value wins over the file's, * is all that work", () => {
  const { world, directories } = cordons();
  expect(directories.told).toEqual([]);
  world.config = configOf("/two");
  expect([
    directories.told,
    directories.isCordoned("/two/"),
    directories.isCordoned("/one"),
  ]).toEqual([["B"], true, false]);
  world.config = configOf("/two", "*");
  expect(directories.told).toEqual(["A", "B"]);
  world.config = configOf("/two", "");
  expect(directories.told).toEqual([]);
  world.config = configOf(null, "/gone,/one");
  expect(directories.told).toEqual(["A"]);
});

test("changes are told once, none before the start", () => {
  const { world, directories, update } = cordons();
  world.config = configOf("/one");
  expect(update()).toBe(0);
  directories.start();
  expect(update()).toBe(0);
  world.config = configOf("/one", "/one");
  expect(update()).toBe(0);
  world.config = configOf("/one", "/two");
  expect(update()).toBe(1);
  expect(update()).toBe(1);
});

test("a cluster below 4.3-IV0 is told nothing until it is there; moves are refused all the same", () => {
  const { world, directories, update } = cordons();
  world.image = at(29);
  world.config = configOf("*");
  directories.start();
  expect([directories.told, directories.shown, directories.isCordoned("/one")]).toEqual([
    null,
    [],
    true,
  ]);
  world.image = at(30);
  expect([update(), directories.told]).toEqual([1, ["A", "B"]]);
});
