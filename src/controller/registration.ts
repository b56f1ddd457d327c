/**
 * What a node writes about itself at start: the level of the metadata format in an empty log, and its registration where it
 * differs from what the log says. A restart without changes writes nothing.
 */
import { makeConfigRecord } from "#protocol/generated/records/config-record.ts";
import { makeFeatureLevelRecord } from "#protocol/generated/records/feature-level-record.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { configValues, resourcesOf, ResourceType } from "#metadata/cluster-image.ts";
import type {
  BrokerEndpointImage,
  BrokerImage,
  ClusterImage,
  FeatureRange,
} from "#metadata/cluster-image.ts";
import { registerBrokerEntry } from "#metadata/image-records.ts";
import { makePartitionChangeRecord } from "#protocol/generated/records/partition-change-record.ts";
import { ErrorCode } from "#common/error-code.ts";
import type { Decision, DecisionInput, Refusal } from "./decision.ts";
import { leaveRecords } from "./fencing.ts";

/** Level of the metadata format of Kafka 4.4 (`metadata.version` 4.4-IV…), which our records keep to. */
export const METADATA_VERSION = 33;

/** Ranges of the features this broker can work with. Only what is finished has its place here. */
export const SUPPORTED_FEATURES: readonly FeatureRange[] = [
  { name: "eligible.leader.replicas.version", min: 0, max: 1 },
  { name: "group.version", min: 0, max: 1 },
  { name: "metadata.version", min: 7, max: METADATA_VERSION },
];

/** Levels of features in an empty log: `group.version` 1 is the consumer protocol (KIP-848). */
const FIRST_LEVELS: readonly (readonly [name: string, level: number])[] = [
  ["metadata.version", METADATA_VERSION],
  ["group.version", 1],
];

/** Those of a new cluster besides: what one replica has no use for (KIP-966). */
const FIRST_CLUSTER_LEVELS: readonly (readonly [name: string, level: number])[] = [
  ["eligible.leader.replicas.version", 1],
];

/** Numbers of security protocols in registrations. */
export const SecurityProtocolId = { PLAINTEXT: 0, SSL: 1, SASL_PLAINTEXT: 2, SASL_SSL: 3 } as const;

/** What a broker says of itself. */
export interface BrokerRegistration {
  readonly endpoints: readonly BrokerEndpointImage[];
  readonly rack: string | null;
  /** Directory ids of its log directories that work. */
  readonly logDirs: readonly string[];
}

/** Decides what to write when this node starts. */
export function decideStart(
  registration: BrokerRegistration,
  input: DecisionInput,
): Decision<null> {
  const { image, nodeId, random } = input;
  const records: MetadataRecord[] = image.features.size === 0 ? levelRecords(FIRST_LEVELS) : [];
  const before = image.brokers.get(nodeId);
  const now: BrokerImage = {
    id: nodeId,
    epoch: image.offset + 1 + records.length,
    incarnationId: random.uuid(),
    endpoints: registration.endpoints,
    features: SUPPORTED_FEATURES,
    rack: registration.rack,
    isFenced: false,
    isInControlledShutdown: false,
    logDirs: registration.logDirs,
    cordonedLogDirs:
      before?.cordonedLogDirs.filter((id) => registration.logDirs.includes(id)) ?? [],
  };
  if (before === undefined || describe(before) !== describe(now))
    records.push(registerBrokerEntry(now));
  for (const record of reclaimLeadership(image, nodeId)) records.push(record);
  return { response: null, records };
}

/**
 * Decides what the first active controller of a cluster writes: the levels of features in an empty log. With eligible leader replicas
 * `min.insync.replicas` is a value of the whole cluster, so that all controllers agree on it.
 */
export function decideActivation(input: DecisionInput): Decision<null> {
  if (input.image.features.size > 0) return { response: null, records: [] };
  const levels = levelRecords([...FIRST_LEVELS, ...FIRST_CLUSTER_LEVELS]);
  return { response: null, records: [...levels, ...commonMinIsr(input)] };
}

/** Makes `min.insync.replicas` one value of the whole cluster, as eligible leader replicas need it (KIP-966). */
export function* commonMinIsr({ image, config }: DecisionInput): Generator<MetadataRecord> {
  const name = "min.insync.replicas";
  const resourceType = ResourceType.BROKER;
  for (const [resourceName, values] of resourcesOf(image, resourceType)) {
    if (resourceName === "" || !values.has(name)) continue;
    const record = makeConfigRecord({ resourceType, resourceName, name, value: null });
    yield { kind: "ConfigRecord", record };
  }
  if (configValues(image, resourceType, "").has(name)) return;
  const record = makeConfigRecord({
    resourceType,
    resourceName: "",
    name,
    value: config.text(name),
  });
  yield { kind: "ConfigRecord", record };
}

function levelRecords(
  levels: readonly (readonly [name: string, level: number])[],
): MetadataRecord[] {
  return levels.map(([name, featureLevel]) => ({
    kind: "FeatureLevelRecord",
    record: makeFeatureLevelRecord({ name, featureLevel }),
  }));
}

function describe({
  endpoints,
  features,
  rack,
  isFenced,
  isInControlledShutdown,
  logDirs,
}: BrokerImage): string {
  const addresses = endpoints.map(({ name, host, port, securityProtocol }) => [
    name,
    host,
    port,
    securityProtocol,
  ]);
  const ranges = features.map(({ name, min, max }) => [name, min, max].join(" ")).sort();
  const state = [isFenced, isInControlledShutdown];
  return JSON.stringify([addresses, ranges, rack, state, [...logDirs].sort()]);
}

/**
 * A directory taken over from Kafka may have partitions without a leader: Kafka takes leadership away when it stops. The only
 * replica leads again, in a new epoch.
 */
function* reclaimLeadership(image: ClusterImage, nodeId: number): Generator<MetadataRecord> {
  for (const topic of image.topicsById.values()) {
    for (const partition of topic.partitions) {
      if (
        partition.leader !== -1 ||
        partition.replicas.length !== 1 ||
        partition.replicas[0] !== nodeId
      )
        continue;
      const record = makePartitionChangeRecord({
        partitionId: partition.partitionId,
        topicId: topic.id,
        leader: nodeId,
        isr: [nodeId],
      });
      yield { kind: "PartitionChangeRecord", record };
    }
  }
}

/**
 * Decides UnregisterBroker: a broker is forgotten, and is in sync with nothing any more. Null when it is done.
 *
 * Where it is eligible it stays so, as in Kafka: it leads nothing before it registers again, and then it is in a life that nobody closed.
 */
export function decideUnregisterBroker(
  brokerId: number,
  input: DecisionInput,
): Decision<Refusal | null> {
  const { image, nodeId, cluster } = input;
  const refused = (errorCode: number, errorMessage: string): Decision<Refusal | null> => ({
    response: { errorCode, errorMessage },
    records: [],
  });
  const broker = image.brokers.get(brokerId);
  if (broker === undefined) {
    return refused(
      ErrorCode.BROKER_ID_NOT_REGISTERED,
      `Broker ID ${brokerId} is not currently registered`,
    );
  }
  if (cluster === null && brokerId === nodeId) {
    return refused(
      ErrorCode.INVALID_REQUEST,
      `Broker ID ${brokerId} is the one that serves this request; without it the cluster would be none`,
    );
  }
  const record = { brokerId, brokerEpoch: broker.epoch };
  return {
    response: null,
    records: [...leaveRecords(brokerId, input), { kind: "UnregisterBrokerRecord", record }],
  };
}
