/**
 * Typos in keys. A broker takes dynamic keys that it does not know (they may be a plugin's), so a mistyped one would be stored and
 * never act: a key that is unknown and close to a known one is refused here, before anything is sent.
 */
import type { Cluster } from "#client/cluster.ts";
import { type ConfigEntry, type ConfigResource, describeConfigs } from "#client/configs.ts";
import { nearestName } from "#config/nearest-key.ts";
import { UsageError } from "../failure.ts";
import { formatResourceWords, type ResourceArguments } from "./resource-argument.ts";

/** Keys of one listener; no list of keys has them. */
const LISTENER_PREFIX = "listener.name.";

/** Every key that the resource may have. */
export async function knownKeys(
  cluster: Cluster,
  resource: ConfigResource,
): Promise<readonly ConfigEntry[]> {
  const isDefaults = resource.type === "broker" && resource.name === "";
  const [broker] = cluster.metadata.brokers.keys();
  // The defaults tell only what is set; any broker knows every key.
  return describeConfigs(
    cluster,
    isDefaults && broker !== undefined ? { type: "broker", name: String(broker) } : resource,
  );
}

/** @throws UsageError for a key that is unknown, with the known one that was probably meant. */
export function refuseTypos(
  target: Omit<ResourceArguments, "rest">,
  known: readonly ConfigEntry[],
  keys: readonly string[],
  isStrict: boolean,
): void {
  const names = new Set(known.map(({ name }) => name));
  for (const key of keys) {
    if (names.has(key) || key.startsWith(LISTENER_PREFIX)) continue;
    const nearest = nearestName(key, names);
    if (nearest === null && !isStrict) continue;
    throw new UsageError(`a ${target.resource.type} has no key '${key}'`, [
      ...(nearest === null ? [] : [`Did you mean '${nearest}'?`]),
      `'sluice config describe ${formatResourceWords(target)} --all' shows every key.`,
    ]);
  }
}
