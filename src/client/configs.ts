/** Configurations of topics, brokers, groups and client metrics: described, changed key by key, and listed. */
import { ErrorCode } from "#common/error-code.ts";
import {
  DescribeConfigsApi,
  type DescribeConfigsResult,
  makeDescribeConfigsRequest,
  makeDescribeConfigsResource,
} from "#protocol/generated/describe-configs.ts";
import {
  IncrementalAlterConfigsApi,
  makeAlterableConfig,
  makeAlterConfigsResource,
  makeIncrementalAlterConfigsRequest,
} from "#protocol/generated/incremental-alter-configs.ts";
import {
  ListConfigResourcesApi,
  makeListConfigResourcesRequest,
} from "#protocol/generated/list-config-resources.ts";
import { refused } from "./client-error.ts";
import type { Cluster } from "./cluster.ts";
import type { Connection } from "./connection.ts";

/** What has a configuration; the broker of an empty name stands for the defaults of all brokers. */
export interface ConfigResource {
  readonly type: ConfigResourceType;
  readonly name: string;
}

/** Kinds of resources, by the numbers of the protocol. */
export const CONFIG_RESOURCE_TYPES = {
  topic: 2,
  broker: 4,
  "client-metrics": 16,
  group: 32,
} as const;

/** As in `CONFIG_RESOURCE_TYPES`. */
export type ConfigResourceType = keyof typeof CONFIG_RESOURCE_TYPES;

/** Where a value comes from, most particular first; `static` is what the broker was started with. */
export type ConfigSource =
  | "topic"
  | "group"
  | "client-metrics"
  | "broker"
  | "broker-defaults"
  | "static"
  | "default"
  | "logger"
  | "unknown";

const SOURCES: Readonly<Record<number, ConfigSource>> = {
  1: "topic",
  2: "broker",
  3: "broker-defaults",
  4: "static",
  5: "default",
  6: "logger",
  7: "client-metrics",
  8: "group",
};

const TYPES: Readonly<Record<number, string>> = {
  1: "boolean",
  2: "string",
  3: "int",
  4: "short",
  5: "long",
  6: "double",
  7: "list",
  8: "class",
  9: "password",
};

/** A value at one of the places it may be set. */
export interface ConfigSynonym {
  readonly name: string;
  readonly value: string | null;
  readonly source: ConfigSource;
}

/** The value in force of one key. */
export interface ConfigEntry {
  readonly name: string;
  /** Null for no value, and for one that is secret. */
  readonly value: string | null;
  readonly source: ConfigSource;
  readonly isReadOnly: boolean;
  readonly isSensitive: boolean;
  /** `int`, `list` and so on; null where the broker does not tell. */
  readonly type: string | null;
  /** Every place that sets it, the one in force first. */
  readonly synonyms: readonly ConfigSynonym[];
  readonly documentation: string | null;
}

/** One change of a key. */
export interface ConfigChange {
  readonly name: string;
  readonly operation: "set" | "unset" | "append" | "subtract";
  /** Null to unset. */
  readonly value: string | null;
}

/** Topics asked for in one request. */
const TOPICS_AT_ONCE = 500;

const OPERATIONS = { set: 0, unset: 1, append: 2, subtract: 3 } as const;

/**
 * Every key of a resource, or those given that it has, with the value in force, sorted by name.
 *
 * @throws ClientError REFUSED, with UNKNOWN_TOPIC_OR_PARTITION for a topic that does not exist.
 */
export async function describeConfigs(
  cluster: Cluster,
  resource: ConfigResource,
  options: { readonly hasDocumentation?: boolean; readonly keys?: readonly string[] } = {},
): Promise<readonly ConfigEntry[]> {
  const [row] = await describe(
    await connectionFor(cluster, resource),
    [resource],
    options.keys,
    options.hasDocumentation ?? false,
  );
  if (row === undefined || row.errorCode !== 0)
    throw refused(formatResource(resource), row?.errorCode ?? -1, row?.errorMessage ?? null);
  return entriesOf(row);
}

/** Values of `keys` of many topics, by topic; those that do not exist are left out. */
export async function describeTopicConfigs(
  cluster: Cluster,
  topics: readonly string[],
  keys: readonly string[],
): Promise<ReadonlyMap<string, readonly ConfigEntry[]>> {
  const found = new Map<string, readonly ConfigEntry[]>();
  for (let at = 0; at < topics.length; at += TOPICS_AT_ONCE) {
    const resources = topics
      .slice(at, at + TOPICS_AT_ONCE)
      .map((name) => ({ type: "topic", name }) as const);
    for (const row of await describe(await cluster.any(), resources, keys, false)) {
      if (row.errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) continue;
      if (row.errorCode !== 0)
        throw refused(`topic '${row.resourceName}'`, row.errorCode, row.errorMessage);
      found.set(row.resourceName, entriesOf(row));
    }
  }
  return found;
}

async function describe(
  connection: Connection,
  resources: readonly ConfigResource[],
  keys: readonly string[] | undefined,
  includeDocumentation: boolean,
): Promise<readonly DescribeConfigsResult[]> {
  const answer = await connection.send(
    DescribeConfigsApi,
    makeDescribeConfigsRequest({
      resources: resources.map(({ type, name }) =>
        makeDescribeConfigsResource({
          resourceType: CONFIG_RESOURCE_TYPES[type],
          resourceName: name,
          configurationKeys: keys === undefined ? null : [...keys],
        }),
      ),
      includeSynonyms: true,
      includeDocumentation,
    }),
  );
  return answer.results;
}

function entriesOf({ configs }: DescribeConfigsResult): readonly ConfigEntry[] {
  return configs
    .map((config) => ({
      name: config.name,
      value: config.value,
      source: SOURCES[config.configSource] ?? "unknown",
      isReadOnly: config.readOnly,
      isSensitive: config.isSensitive,
      type: TYPES[config.configType] ?? null,
      synonyms: config.synonyms.map(({ name, value, source }) => ({
        name,
        value,
        source: SOURCES[source] ?? "unknown",
      })),
      documentation: config.documentation,
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * Changes keys of a resource, all of them or none.
 *
 * @throws ClientError REFUSED with the broker's reason; nothing was changed.
 */
export async function alterConfigs(
  cluster: Cluster,
  resource: ConfigResource,
  changes: readonly ConfigChange[],
  options: { readonly isValidateOnly?: boolean } = {},
): Promise<void> {
  const connection = await connectionFor(cluster, resource);
  const answer = await connection.send(
    IncrementalAlterConfigsApi,
    makeIncrementalAlterConfigsRequest({
      resources: [
        makeAlterConfigsResource({
          resourceType: CONFIG_RESOURCE_TYPES[resource.type],
          resourceName: resource.name,
          configs: changes.map(({ name, operation, value }) =>
            makeAlterableConfig({ name, configOperation: OPERATIONS[operation], value }),
          ),
        }),
      ],
      validateOnly: options.isValidateOnly ?? false,
    }),
  );
  const row = answer.responses[0];
  if (row === undefined || row.errorCode !== 0)
    throw refused(formatResource(resource), row?.errorCode ?? -1, row?.errorMessage ?? null);
}

/** Names of the resources of a type that have a configuration, sorted; the broker's list has the empty name where defaults are set. */
export async function listConfigResources(
  cluster: Cluster,
  type: ConfigResourceType,
): Promise<readonly string[]> {
  const connection = await cluster.any();
  const code = CONFIG_RESOURCE_TYPES[type];
  const answer = await connection.send(
    ListConfigResourcesApi,
    makeListConfigResourcesRequest({ resourceTypes: [code] }),
  );
  if (answer.errorCode !== 0) throw refused(`resources of type ${type}`, answer.errorCode);
  return answer.configResources
    .filter(({ resourceType }) => resourceType === code)
    .map(({ resourceName }) => resourceName)
    .sort();
}

/** `topic 'orders'`, `broker 1`, `the brokers' defaults`. */
export function formatResource({ type, name }: ConfigResource): string {
  if (type !== "broker") return `${type} '${name}'`;
  return name === "" ? "the brokers' defaults" : `broker ${name}`;
}

/** A broker tells of itself alone; everything else any of them knows. */
function connectionFor(cluster: Cluster, { type, name }: ConfigResource): Promise<Connection> {
  return type === "broker" && name !== "" ? cluster.node(Number(name)) : cluster.any();
}
