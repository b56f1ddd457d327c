/**
 * What the image says of a broker: whether it takes on partitions, and whether a replica's directory on it works.
 */
import { ZERO_UUID } from "#common/uuid.ts";
import type { BrokerImage, ClusterImage } from "#metadata/cluster-image.ts";

/** Directory id of a replica whose directory is gone. */
const LOST_DIRECTORY = "AAAAAAAAAAAAAAAAAAAAAQ";
/** Directory id of a replica from before directories had ids. */
const MIGRATING_DIRECTORY = "AAAAAAAAAAAAAAAAAAAAAg";

/** Whether a broker takes on partitions: it serves and is not on its way out. */
export function isActive({ isFenced, isInControlledShutdown }: BrokerImage): boolean {
  return !isFenced && !isInControlledShutdown;
}

/** Whether a broker of the image is registered and takes on partitions. */
export function isActiveBroker({ brokers }: ClusterImage, id: number): boolean {
  const broker = brokers.get(id);
  return broker !== undefined && isActive(broker);
}

/** Whether what a replica's directory id stands for works. A broker that told of no directories has none that fail. */
export function isDirectoryOnline({ logDirs }: BrokerImage, directoryId: string): boolean {
  if (directoryId === LOST_DIRECTORY) return false;
  if (directoryId === ZERO_UUID || directoryId === MIGRATING_DIRECTORY) return true;
  return logDirs.length === 0 || logDirs.includes(directoryId);
}
