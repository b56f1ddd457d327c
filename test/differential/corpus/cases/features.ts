/** UpdateFeatures: levels that are not, ways that are not, features nobody has. Nothing here changes a level. */
import {
  type FeatureUpdateKey,
  makeFeatureUpdateKey,
  makeUpdateFeaturesRequest,
  UpdateFeaturesApi,
  type UpdateFeaturesRequest,
} from "#protocol/generated/update-features.ts";
import { ask } from "../bytes.ts";
import { type Case, one, type Turn } from "../case.ts";

const UPGRADE = 1;
const SAFE_DOWNGRADE = 2;
const UNSAFE_DOWNGRADE = 3;

type Update = Partial<FeatureUpdateKey>;

function update(
  updates: readonly Update[],
  version: number,
  init: Partial<UpdateFeaturesRequest> = {},
): Turn {
  const featureUpdates = updates.map((each) => makeFeatureUpdateKey(each));
  const validateOnly = version > 0;
  return ask(
    UpdateFeaturesApi,
    version,
    makeUpdateFeaturesRequest({ timeoutMs: 5000, validateOnly, featureUpdates, ...init }),
  );
}

const everywhere = (label: string, updates: readonly Update[]): Case[] =>
  [1, 2].map((version) => one(`features/${label} v${version}`, update(updates, version)));

const metadata = (maxVersionLevel: number, upgradeType = UPGRADE): Update => ({
  feature: "metadata.version",
  maxVersionLevel,
  upgradeType,
});

const of = (feature: string, maxVersionLevel: number, upgradeType = UPGRADE): Update => ({
  feature,
  maxVersionLevel,
  upgradeType,
});

const WAYS = [0, UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE, 4, -1];

/** All of them. */
export const FEATURE_CASES: readonly Case[] = [
  ...[0, 1, 2].map((version) => one(`features/nothing v${version}`, update([], version))),
  ...WAYS.flatMap((way) => [
    ...everywhere(`metadata.version to its level, way ${way}`, [metadata(33, way)]),
    ...everywhere(`metadata.version to 34, way ${way}`, [metadata(34, way)]),
    ...everywhere(`metadata.version to 7, way ${way}`, [metadata(7, way)]),
    ...everywhere(`metadata.version to 32, way ${way}`, [metadata(32, way)]),
    ...everywhere(`metadata.version to 0, way ${way}`, [metadata(0, way)]),
  ]),
  ...everywhere("metadata.version to -1", [metadata(-1)]),
  ...everywhere("metadata.version to 32767", [metadata(32767)]),
  ...everywhere("metadata.version to -32768", [metadata(-32768, SAFE_DOWNGRADE)]),
  ...everywhere("metadata.version to 6", [metadata(6, UNSAFE_DOWNGRADE)]),
  ...everywhere("unknown feature", [of("no.such.feature", 1)]),
  ...everywhere("unknown feature to 0", [of("no.such.feature", 0, SAFE_DOWNGRADE)]),
  ...everywhere("unknown feature to 0, upgraded", [of("no.such.feature", 0)]),
  ...everywhere("empty name", [of("", 1)]),
  ...everywhere("kraft.version to 2", [of("kraft.version", 2)]),
  ...everywhere("group.version to 2", [of("group.version", 2)]),
  ...everywhere("group.version to 1", [of("group.version", 1)]),
  ...everywhere("group.version to 0, upgraded", [of("group.version", 0)]),
  ...everywhere("group.version to 0, safely", [of("group.version", 0, SAFE_DOWNGRADE)]),
  ...everywhere("group.version to 0, unsafely", [of("group.version", 0, UNSAFE_DOWNGRADE)]),
  ...everywhere("group.version and metadata.version", [of("group.version", 1), metadata(33)]),
  ...everywhere("one twice", [metadata(33), metadata(32)]),
  ...everywhere("a good and a bad one", [metadata(33), of("no.such.feature", 1)]),
  ...everywhere("two bad ones", [of("no.such.feature", 1), metadata(34)]),
  one("features/allow downgrade v0", update([{ ...metadata(34), allowDowngrade: true }], 0)),
  one("features/unknown feature v0", update([of("no.such.feature", 1)], 0)),
  one(
    "features/unknown feature, allow downgrade v0",
    update([{ ...of("no.such.feature", 1), allowDowngrade: true }], 0),
  ),
  one("features/to its level v0", update([metadata(33)], 0)),
  one(
    "features/to a lower one, allow downgrade v0",
    update([{ ...metadata(32), allowDowngrade: true }], 0),
  ),
  one("features/to -1 v0", update([metadata(-1)], 0)),
  one("features/to a lower one v0", update([metadata(32)], 0)),
  one("features/timeout 0", update([metadata(34)], 2, { timeoutMs: 0 })),
  one("features/timeout -1", update([metadata(34)], 2, { timeoutMs: -1 })),
];
