/** Levels go up freely, down only where no metadata is lost; a request is done whole or not at all. */
import { expect, test } from "bun:test";
import { decideUpdateFeatures, UpgradeType } from "#controller/features.ts";
import { METADATA_VERSION } from "#controller/registration.ts";
import { EMPTY_IMAGE } from "#metadata/cluster-image.ts";
import { resolveBrokerConfig } from "#config/broker-config.ts";
import { CountingRandom, startCluster } from "./cluster-fixture.ts";

const { UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE } = UpgradeType;

function decide(
  current: number,
  level: number,
  upgradeType: number,
): ReturnType<typeof decideUpdateFeatures> {
  const { config } = resolveBrokerConfig({ file: new Map() });
  if (config === null) throw new Error("no configuration");
  const image = { ...EMPTY_IMAGE, features: new Map([["metadata.version", current]]) };
  return decideUpdateFeatures([{ name: "metadata.version", level, upgradeType }], false, {
    image,
    config,
    nodeId: 7,
    random: new CountingRandom(),
    loggers: new Set<string>(),
    isPattern: () => true,
    cluster: null,
  });
}

/** From each level to the one below it, as Kafka 4.4 answers when every level is tried. */
const REFUSED_FROM = new Set([8, 11, 13, 14, 15, 17, 23, 30, 32, 33]);

test.each(Array.from({ length: 26 }, (_, index) => index + 8))(
  "metadata.version from %i to the level below",
  (level) => {
    const { response, records } = decide(level, level - 1, SAFE_DOWNGRADE);
    expect(response === null).toBe(!REFUSED_FROM.has(level));
    expect(records.length).toBe(REFUSED_FROM.has(level) ? 0 : 1);
  },
);

test("a downgrade over several levels is refused when one of them is in the way", () => {
  expect(decide(22, 18, SAFE_DOWNGRADE).response).toBeNull();
  expect(decide(22, 16, SAFE_DOWNGRADE).response?.errorMessage).toContain(
    "Unsupported metadata.version downgrade from 22 to 16. Refusing",
  );
  expect(decide(22, 16, UNSAFE_DOWNGRADE).response?.errorMessage).toContain("Unsafe metadata");
});

test("an upgrade over all levels is one record, and the level it has is none", () => {
  expect(decide(7, METADATA_VERSION, UPGRADE)).toEqual({
    response: null,
    records: [
      {
        kind: "FeatureLevelRecord",
        record: { name: "metadata.version", featureLevel: METADATA_VERSION },
      },
    ],
  });
  expect(decide(METADATA_VERSION, METADATA_VERSION, UPGRADE).records).toEqual([]);
});

test("names this node where it does not know a level", () => {
  expect(decide(33, 34, UPGRADE).response).toMatchObject({
    errorCode: 95,
    errorMessage: expect.stringContaining("Local controller 7 only supports versions 7-33"),
  });
});

test("one that is refused leaves the others undone", async () => {
  const { controller } = await startCluster();
  const before = controller.image;
  const refusal = await controller.updateFeatures(
    [
      { name: "metadata.version", level: METADATA_VERSION, upgradeType: UPGRADE },
      { name: "no.such.feature", level: 1, upgradeType: UPGRADE },
    ],
    false,
  );
  expect(refusal?.errorCode).toBe(95);
  expect(controller.image).toBe(before);
});
