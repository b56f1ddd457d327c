/**
 * Decisions on feature levels. All updates of a request are made, or none.
 *
 * @see KIP-584, KIP-778
 */
import { ErrorCode } from "#common/error-code.ts";
import { makeFeatureLevelRecord } from "#protocol/generated/records/feature-level-record.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import type { Decision, DecisionInput, Refusal } from "./decision.ts";
import { commonMinIsr, SUPPORTED_FEATURES } from "./registration.ts";

/** Ways to change a level. */
export const UpgradeType = { UPGRADE: 1, SAFE_DOWNGRADE: 2, UNSAFE_DOWNGRADE: 3 } as const;

/** A level that is asked for. */
export interface FeatureUpdate {
  readonly name: string;
  readonly level: number;
  /** One of {@link UpgradeType}; others are refused. */
  readonly upgradeType: number;
}

const METADATA_VERSION_NAME = "metadata.version";
const ELR_VERSION_NAME = "eligible.leader.replicas.version";

/** Levels of `metadata.version` that brought records or fields: going back below one could lose what they hold. Asked of Kafka 4.4. */
const LEVELS_WITH_NEW_METADATA: readonly number[] = [8, 11, 13, 14, 15, 17, 23, 30, 32, 33];

const TYPES: readonly number[] = Object.values(UpgradeType);

/** Decides UpdateFeatures; null when all levels are allowed. A feature that is named twice counts as named last. */
export function decideUpdateFeatures(
  updates: readonly FeatureUpdate[],
  validateOnly: boolean,
  input: DecisionInput,
): Decision<Refusal | null> {
  const records: MetadataRecord[] = [];
  for (const update of new Map(updates.map((each) => [each.name, each])).values()) {
    const current = input.image.features.get(update.name) ?? 0;
    const reason = whyNot(update, current, input);
    if (reason !== null) {
      const errorMessage = `The update failed for all features since the following feature had an error: ${reason}`;
      return {
        response: { errorCode: ErrorCode.INVALID_UPDATE_VERSION, errorMessage },
        records: [],
      };
    }
    if (update.level === current) continue;
    const record = makeFeatureLevelRecord({ name: update.name, featureLevel: update.level });
    records.push({ kind: "FeatureLevelRecord", record });
    if (update.name === ELR_VERSION_NAME && update.level > 0) {
      for (const entry of commonMinIsr(input)) records.push(entry);
    }
  }
  return { response: null, records: validateOnly ? [] : records };
}

function whyNot(
  { name, level, upgradeType }: FeatureUpdate,
  current: number,
  { nodeId, image, cluster }: DecisionInput,
): string | null {
  const refused = (why: string): string =>
    `Invalid update version ${level} for feature ${name}. ${why}`;
  if (!TYPES.includes(upgradeType)) {
    return refused("The controller does not support the given upgrade type.");
  }
  if (level < 0) return refused("A feature version cannot be less than 0.");
  const range = SUPPORTED_FEATURES.find((each) => each.name === name);
  if (range === undefined) {
    return refused(
      level === 0
        ? `Feature ${name} not found.`
        : `Local controller ${nodeId} does not support this feature.`,
    );
  }
  if (level < range.min || level > range.max) {
    return refused(`Local controller ${nodeId} only supports versions ${range.min}-${range.max}`);
  }
  for (const broker of cluster === null ? [] : image.brokers.values()) {
    const { min, max } = broker.features.find((each) => each.name === name) ?? { min: 0, max: 0 };
    if (level >= min && level <= max) continue;
    return refused(
      max === 0
        ? `Broker ${broker.id} does not support this feature.`
        : `Broker ${broker.id} only supports versions ${min}-${max}`,
    );
  }
  const isUpgrade = upgradeType === UpgradeType.UPGRADE;
  if (level < current && isUpgrade) {
    return refused(
      "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.",
    );
  }
  if (level > current && !isUpgrade) return refused("Can't downgrade to a newer version.");
  if (name !== METADATA_VERSION_NAME) return null;
  const losesMetadata = LEVELS_WITH_NEW_METADATA.some((each) => each > level && each <= current);
  if (!losesMetadata) return null;
  return (
    `Unsupported metadata.version downgrade from ${current} to ${level}. ` +
    (upgradeType === UpgradeType.UNSAFE_DOWNGRADE
      ? "Unsafe metadata downgrade is not supported in this version."
      : "Refusing to perform the requested downgrade because it might delete metadata information.")
  );
}
