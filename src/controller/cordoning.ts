/**
 * Log directories that take no new partitions, as the controller keeps them (KIP-1066): the directories of each broker in its registration, and the
 * value `cordoned.log.dirs` that brokers work them out from.
 */
import { CORDONED_LOG_DIRS } from "#config/cordoned-log-dirs.ts";
import type { BrokerImage, ClusterImage } from "#metadata/cluster-image.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { ConfigOperation, invalidConfig, type ResourceChange } from "./config-values.ts";
import type { Decision, DecisionInput, Refusal } from "./decision.ts";
import { registrationChange } from "./fencing.ts";

/** Level of `metadata.version` (4.3-IV0) from which registrations have a place for them. */
const CORDON_LEVEL = 30;

/** Whether the records of this cluster can hold cordoned directories. */
export function isCordoningSupported({ features }: ClusterImage): boolean {
  return (features.get("metadata.version") ?? 0) >= CORDON_LEVEL;
}

/** Records that make these the cordoned directories of a broker; none where they are already. */
export function cordonRecords(
  broker: BrokerImage,
  cordonedLogDirs: readonly string[],
  image: ClusterImage,
): MetadataRecord[] {
  const isSame =
    cordonedLogDirs.length === broker.cordonedLogDirs.length &&
    cordonedLogDirs.every((id) => broker.cordonedLogDirs.includes(id));
  return isSame || !isCordoningSupported(image)
    ? []
    : [registrationChange(broker, { cordonedLogDirs: [...cordonedLogDirs] })];
}

/** Decides which directories of a node by itself are cordoned; in a cluster heartbeats tell. */
export function decideCordon(
  cordonedLogDirs: readonly string[],
  { image, nodeId }: DecisionInput,
): Decision<null> {
  const broker = image.brokers.get(nodeId);
  const records = broker === undefined ? [] : cordonRecords(broker, cordonedLogDirs, image);
  return { response: null, records };
}

/** Refuses to touch the value where the cluster has no place for what it says. */
export function checkCordonLevel(
  { changes, replacesAll }: ResourceChange,
  current: ReadonlyMap<string, string>,
  image: ClusterImage,
): Refusal | null {
  const isConcerned =
    changes.some(({ name }) => name === CORDONED_LOG_DIRS) ||
    (replacesAll && current.has(CORDONED_LOG_DIRS));
  return !isConcerned || isCordoningSupported(image)
    ? null
    : invalidConfig(
        "The cordoned.log.dirs configuration value cannot be set because it requires metadata.version >= 4.3-IV0",
      );
}

/** A controller that a client asks by itself cannot know the paths of a broker: it lets a value shrink only. */
export function checkCordonUnseen(
  { changes }: ResourceChange,
  current: ReadonlyMap<string, string>,
): Refusal | null {
  const elements = (text: string | null | undefined): string[] =>
    (text ?? "")
      .split(",")
      .map((path) => path.trim())
      .filter((path) => path !== "");
  const known = elements(current.get(CORDONED_LOG_DIRS));
  const grows = changes
    .filter(({ name }) => name === CORDONED_LOG_DIRS)
    .filter(
      ({ operation }) => operation === ConfigOperation.SET || operation === ConfigOperation.APPEND,
    )
    .some(({ value }) => elements(value).some((path) => !known.includes(path)));
  return grows
    ? invalidConfig(
        "When updating cordoned.log.dirs via controllers,  the new value must be a subset of the current configuration value.",
      )
    : null;
}
