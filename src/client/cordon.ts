/**
 * Keeping new replicas off a broker: all its log directories are cordoned (`cordoned.log.dirs`, KIP-1066), and are not any more.
 *
 * A broker's configuration is changed through the broker itself, which knows what its values mean. Of one that does not run, values can only be
 * taken away, by the active controller.
 */
import {
  AlterConfigsApi,
  makeAlterConfigsRequest,
  makeAlterConfigsResource as makeReplacedResource,
} from "#protocol/generated/alter-configs.ts";
import {
  IncrementalAlterConfigsApi,
  makeAlterableConfig,
  makeAlterConfigsResource,
  makeIncrementalAlterConfigsRequest,
} from "#protocol/generated/incremental-alter-configs.ts";
import { ClientError, refused } from "./client-error.ts";
import { describeQuorum } from "./cluster-info.ts";
import type { Cluster } from "./cluster.ts";
import {
  alterConfigs,
  CONFIG_RESOURCE_TYPES,
  type ConfigSource,
  describeConfigs,
} from "./configs.ts";
import type { Connection } from "./connection.ts";
import { describeLogDirs } from "./log-dirs.ts";

const NAME = "cordoned.log.dirs";
const ALL = "*";
/** DELETE of IncrementalAlterConfigs. */
const DELETE = 1;

/** What of a broker is cordoned by configuration. */
export interface CordonSetting {
  /** Directories, or `*`; empty for none. */
  readonly value: string;
  readonly source: ConfigSource;
}

/** Brokers all of whose log directories are cordoned; those that do not tell are not among them. */
export async function cordonedBrokers(cluster: Cluster): Promise<ReadonlySet<number>> {
  const byBroker = Map.groupBy(await describeLogDirs(cluster, []), ({ broker }) => broker);
  const cordoned = [...byBroker].filter(([, directories]) =>
    directories.every(({ isCordoned, error }) => isCordoned || error !== null),
  );
  return new Set(cordoned.map(([broker]) => broker));
}

/**
 * Cordons every log directory of a broker that runs.
 *
 * @throws ClientError REFUSED by a cluster that has no place for it (below metadata.version 4.3).
 */
export function cordonBroker(cluster: Cluster, broker: number): Promise<void> {
  return alterConfigs(cluster, { type: "broker", name: String(broker) }, [
    { name: NAME, operation: "set", value: ALL },
  ]);
}

/** What is cordoned of a broker that runs. @throws ClientError. */
export async function cordonSetting(cluster: Cluster, broker: number): Promise<CordonSetting> {
  const resource = { type: "broker", name: String(broker) } as const;
  const [entry] = await describeConfigs(cluster, resource, { keys: [NAME] });
  return { value: entry?.value ?? "", source: entry?.source ?? "unknown" };
}

/** Takes the dynamic value away from a broker that runs. @throws ClientError. */
export function uncordonBroker(cluster: Cluster, broker: number): Promise<void> {
  return alterConfigs(cluster, { type: "broker", name: String(broker) }, [
    { name: NAME, operation: "unset", value: null },
  ]);
}

/** The same of one that does not, at the active controller. @throws ClientError. */
export async function uncordonStoppedBroker(cluster: Cluster, broker: number): Promise<void> {
  const configs = [makeAlterableConfig({ name: NAME, configOperation: DELETE, value: null })];
  const resource = makeAlterConfigsResource({ ...resourceOf(broker), configs });
  const request = makeIncrementalAlterConfigsRequest({ resources: [resource] });
  await atController(cluster, async (connection) => {
    requireDone(broker, (await connection.send(IncrementalAlterConfigsApi, request)).responses[0]);
  });
}

/** Takes away every value that was set for a broker that does not run, at the active controller. @throws ClientError. */
export async function clearBrokerConfigs(cluster: Cluster, broker: number): Promise<void> {
  const resource = makeReplacedResource({ ...resourceOf(broker), configs: [] });
  const request = makeAlterConfigsRequest({ resources: [resource] });
  await atController(cluster, async (connection) => {
    requireDone(broker, (await connection.send(AlterConfigsApi, request)).responses[0]);
  });
}

function resourceOf(broker: number): { resourceType: number; resourceName: string } {
  return { resourceType: CONFIG_RESOURCE_TYPES.broker, resourceName: String(broker) };
}

function requireDone(
  broker: number,
  row: { readonly errorCode: number; readonly errorMessage: string | null } | undefined,
): void {
  if (row === undefined || row.errorCode !== 0)
    throw refused(`broker ${broker}`, row?.errorCode ?? -1, row?.errorMessage ?? null);
}

/** Asks the active controller at its own listener: brokers answer for themselves only. */
async function atController(
  cluster: Cluster,
  ask: (connection: Connection) => Promise<void>,
): Promise<void> {
  const quorum = await describeQuorum(cluster);
  const address = quorum?.listeners.find(({ nodeId }) => nodeId === quorum.leaderId);
  if (address === undefined)
    throw new ClientError("UNREACHABLE", "nobody tells where the active controller listens");
  const connection = await cluster.ownConnectionTo(address);
  try {
    await ask(connection);
  } finally {
    connection.close();
  }
}
