/**
 * Decisions on creating and deleting topics.
 *
 * @see KIP-4, KIP-464 (defaults), KIP-516 (ids), KIP-525 (what was created)
 */
import { ErrorCode } from "#common/error-code.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import { effectiveTopicConfigs } from "#config/describe-config.ts";
import { validateTopicConfig } from "#config/topic-config.ts";
import type { PartitionImage, TopicImage } from "#metadata/cluster-image.ts";
import { ResourceType } from "#metadata/cluster-image.ts";
import { partitionEntry } from "#metadata/image-records.ts";
import {
  makeCreatableTopicConfigs,
  makeCreatableTopicResult,
  makeCreateTopicsResponse,
} from "#protocol/generated/create-topics.ts";
import type {
  CreatableTopic,
  CreatableTopicResult,
  CreateTopicsRequest,
  CreateTopicsResponse,
} from "#protocol/generated/create-topics.ts";
import {
  makeDeletableTopicResult,
  makeDeleteTopicsResponse,
} from "#protocol/generated/delete-topics.ts";
import type {
  DeletableTopicResult,
  DeleteTopicsRequest,
  DeleteTopicsResponse,
  DeleteTopicState,
} from "#protocol/generated/delete-topics.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { EXCESSIVE_BATCH, MAX_RECORDS_PER_REQUEST } from "./decision.ts";
import type { Decision, DecisionInput, Refusal } from "./decision.ts";
import {
  checkManualReplicas,
  checkServed,
  DirectoryChooser,
  newPartition,
  placeReplicas,
} from "./placement.ts";
import { canCollide, collisionKey, topicNameError } from "./topic-name.ts";

/** Name of the topic whose log holds the cluster's own records; nobody creates it. */
const METADATA_TOPIC = "__cluster_metadata";

const EXCESSIVE = "Excessively large number of partitions per request.";

/** Decides CreateTopics. With `validateOnly` the answer is the same and there are no records. */
export function decideCreateTopics(
  request: CreateTopicsRequest,
  input: DecisionInput,
): Decision<CreateTopicsResponse> {
  const counts = new Map<string, number>();
  for (const { name } of request.topics) counts.set(name, (counts.get(name) ?? 0) + 1);
  const rows = request.topics.filter(
    ({ name }) => counts.get(name) === 1 && name !== METADATA_TOPIC,
  );
  const results: CreatableTopicResult[] = [];
  let records: MetadataRecord[] = [];
  const excess = excessOf(rows, input);
  if (excess !== null) {
    for (const { name } of rows) results.push(refuse(name, excess));
  } else {
    const directories = new DirectoryChooser(input.image);
    for (const row of rows) {
      const created = createTopic(row, input, directories);
      if (isRefusal(created)) results.push(refuse(row.name, created));
      else {
        results.push(created.result);
        for (const record of created.records) records.push(record);
      }
    }
    if (records.length > MAX_RECORDS_PER_REQUEST) {
      results.splice(0, results.length, ...rows.map(({ name }) => refuse(name, EXCESSIVE_BATCH)));
      records = [];
    }
  }
  for (const [name, count] of counts) {
    if (count > 1) {
      results.push(
        refuse(name, {
          errorCode: ErrorCode.INVALID_REQUEST,
          errorMessage: "Duplicate topic name.",
        }),
      );
    } else if (name === METADATA_TOPIC) {
      const errorMessage = `Creation of internal topic ${METADATA_TOPIC} is prohibited.`;
      results.push(refuse(name, { errorCode: ErrorCode.INVALID_REQUEST, errorMessage }));
    }
  }
  return {
    response: makeCreateTopicsResponse({ topics: results }),
    records: request.validateOnly ? [] : records,
  };
}

/** Answers every topic of a request the same way. */
export function refuseCreateTopics(
  request: CreateTopicsRequest,
  refusal: Refusal,
): CreateTopicsResponse {
  const names = new Set(request.topics.map(({ name }) => name));
  return makeCreateTopicsResponse({ topics: [...names].map((name) => refuse(name, refusal)) });
}

function refuse(name: string, refusal: Refusal): CreatableTopicResult {
  return makeCreatableTopicResult({
    name,
    topicId: ZERO_UUID,
    errorCode: refusal.errorCode,
    errorMessage: refusal.errorMessage,
    numPartitions: -1,
    replicationFactor: -1,
    configs: [],
  });
}

function isRefusal(value: Refusal | CreatedTopic): value is Refusal {
  return "errorCode" in value;
}

/** Refuses a request that asks for more partitions than one may, before any work is spent on it. */
function excessOf(rows: readonly CreatableTopic[], input: DecisionInput): Refusal | null {
  let total = 0;
  for (const row of rows) {
    if (row.assignments.length > 0) total += row.assignments.length;
    else
      total +=
        row.numPartitions === -1
          ? input.config.number("num.partitions")
          : Math.max(0, row.numPartitions);
  }
  return total > MAX_RECORDS_PER_REQUEST
    ? { errorCode: ErrorCode.POLICY_VIOLATION, errorMessage: EXCESSIVE }
    : null;
}

interface CreatedTopic {
  readonly result: CreatableTopicResult;
  readonly records: readonly MetadataRecord[];
}

function createTopic(
  row: CreatableTopic,
  input: DecisionInput,
  directories: DirectoryChooser,
): CreatedTopic | Refusal {
  const { image, config } = input;
  const nameRefusal = checkNewName(row.name, input);
  if (nameRefusal !== null) return nameRefusal;
  const overrides = new Map<string, string>();
  for (const { name, value } of row.configs) {
    if (value === null) {
      const errorMessage = `Null value not supported for topic configs: ${name}`;
      return { errorCode: ErrorCode.INVALID_CONFIG, errorMessage };
    }
    overrides.set(name, value);
  }
  const configError = validateTopicConfig(overrides);
  if (configError !== null)
    return { errorCode: ErrorCode.INVALID_CONFIG, errorMessage: configError };
  const assignments =
    row.assignments.length > 0 ? manualAssignments(row, input) : placedAssignments(row, input);
  if ("errorCode" in assignments) return assignments;

  const topicId = freshTopicId(input);
  const partitions: PartitionImage[] = assignments.map((replicas, partitionId) =>
    newPartition(image, partitionId, replicas, directories),
  );
  const records: MetadataRecord[] = [{ kind: "TopicRecord", record: { name: row.name, topicId } }];
  for (const [name, value] of overrides) {
    const record = { resourceType: ResourceType.TOPIC, resourceName: row.name, name, value };
    records.push({ kind: "ConfigRecord", record });
  }
  for (const partition of partitions) records.push(partitionEntry(topicId, partition));
  const result = makeCreatableTopicResult({
    name: row.name,
    topicId,
    errorCode: ErrorCode.NONE,
    errorMessage: null,
    numPartitions: partitions.length,
    replicationFactor: partitions[0]?.replicas.length ?? -1,
    configs: effectiveTopicConfigs(config, overrides).map(({ name, value, source }) =>
      makeCreatableTopicConfigs({
        name,
        value,
        configSource: source,
        readOnly: false,
        isSensitive: false,
      }),
    ),
  });
  return { result, records };
}

function checkNewName(name: string, { image }: DecisionInput): Refusal | null {
  const invalid = topicNameError(name);
  if (invalid !== null)
    return { errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION, errorMessage: invalid };
  if (image.topicsByName.has(name)) {
    return {
      errorCode: ErrorCode.TOPIC_ALREADY_EXISTS,
      errorMessage: `Topic '${name}' already exists.`,
    };
  }
  if (!canCollide(name)) return null;
  const key = collisionKey(name);
  for (const existing of image.topicsByName.keys()) {
    if (existing.length !== name.length || collisionKey(existing) !== key) continue;
    const errorMessage = `Topic '${name}' collides with existing topic: ${existing}`;
    return { errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION, errorMessage };
  }
  return null;
}

function manualAssignments(
  row: CreatableTopic,
  { image }: DecisionInput,
): readonly (readonly number[])[] | Refusal {
  const invalid = (errorMessage: string): Refusal => ({
    errorCode: ErrorCode.INVALID_REQUEST,
    errorMessage,
  });
  const misplaced = (errorMessage: string): Refusal => ({
    errorCode: ErrorCode.INVALID_REPLICA_ASSIGNMENT,
    errorMessage,
  });
  if (row.replicationFactor !== -1) {
    return invalid(
      "A manual partition assignment was specified, but replication factor was not set to -1.",
    );
  }
  if (row.numPartitions !== -1) {
    return invalid(
      "A manual partition assignment was specified, but numPartitions was not set to -1.",
    );
  }
  const assignments = new Map<number, readonly number[]>();
  const [first] = row.assignments;
  for (const { partitionIndex, brokerIds } of row.assignments) {
    if (assignments.has(partitionIndex)) {
      return misplaced(
        `Found multiple manual partition assignments for partition ${partitionIndex}`,
      );
    }
    const error =
      checkManualReplicas(image, brokerIds, first?.brokerIds.length) ??
      checkServed(image, partitionIndex, brokerIds);
    if (error !== null) return misplaced(error);
    assignments.set(partitionIndex, brokerIds);
  }
  const inOrder: (readonly number[])[] = [];
  for (let index = 0; index < assignments.size; index++) {
    const replicas = assignments.get(index);
    if (replicas === undefined) {
      return misplaced("partitions should be a consecutive 0-based integer sequence");
    }
    inOrder.push(replicas);
  }
  return inOrder;
}

function placedAssignments(
  row: CreatableTopic,
  input: DecisionInput,
): readonly (readonly number[])[] | Refusal {
  const { config } = input;
  if (row.replicationFactor < -1 || row.replicationFactor === 0) {
    return {
      errorCode: ErrorCode.INVALID_REPLICATION_FACTOR,
      errorMessage: "Replication factor must be larger than 0, or -1 to use the default value.",
    };
  }
  if (row.numPartitions < -1 || row.numPartitions === 0) {
    return {
      errorCode: ErrorCode.INVALID_PARTITIONS,
      errorMessage: "Number of partitions was set to an invalid non-positive value.",
    };
  }
  const partitionCount =
    row.numPartitions === -1 ? config.number("num.partitions") : row.numPartitions;
  const replicationFactor =
    row.replicationFactor === -1
      ? config.number("default.replication.factor")
      : row.replicationFactor;
  const { assignments, refusal } = placeReplicas(input, partitionCount, replicationFactor);
  if (refusal === null) return assignments;
  // Told of new topics only: whoever adds partitions is told the reason alone, as in Kafka.
  const errorMessage = `Unable to replicate the partition ${replicationFactor} time(s): ${refusal.errorMessage}`;
  return { ...refusal, errorMessage };
}

/** An id no topic has. */
function freshTopicId({ image, random }: DecisionInput): string {
  for (;;) {
    const id = random.uuid();
    // Ids that begin with '-' confuse command lines, and Kafka avoids them too.
    if (id !== ZERO_UUID && !id.startsWith("-") && !image.topicsById.has(id)) return id;
  }
}

// ---- deletion

/** Decides DeleteTopics of any version: up to 5 by name, from 6 by name or id. */
export function decideDeleteTopics(
  request: DeleteTopicsRequest,
  version: number,
  input: DecisionInput,
): Decision<DeleteTopicsResponse> {
  const rows = deletionRows(request, version);
  const results: DeletableTopicResult[] = [];
  const toDelete = new Map<string, { row: DeleteTopicState; topic: TopicImage }>();
  const refused = new Set<string>();
  // Rows that give both are refused by themselves and do not count as duplicates of others.
  const single = rows.filter(({ name, topicId }) => name === null || topicId === ZERO_UUID);
  const names = countBy(single.map(({ name }) => name).filter((name) => name !== null));
  const ids = countBy(single.map(({ topicId }) => topicId).filter((id) => id !== ZERO_UUID));
  const answered = new Set<string>();
  for (const row of rows) {
    const outcome = resolveDeletion(row, input, names, ids);
    if ("errorCode" in outcome) {
      // A name or id that is given twice is answered once.
      const isDuplicate = (names.get(row.name ?? "") ?? 0) > 1 || (ids.get(row.topicId) ?? 0) > 1;
      const key = `${row.name ?? ""}/${row.topicId}`;
      if (isDuplicate && answered.has(key)) continue;
      answered.add(key);
      results.push(deletionResult(row.name, row.topicId, outcome));
      continue;
    }
    if (toDelete.has(outcome.id)) refused.add(outcome.id);
    else toDelete.set(outcome.id, { row, topic: outcome });
  }
  const records: MetadataRecord[] = [];
  for (const [topicId, { topic }] of toDelete) {
    if (refused.has(topicId)) {
      const errorMessage = "The provided topic name maps to an ID that was already supplied.";
      results.push(
        deletionResult(topic.name, topicId, { errorCode: ErrorCode.INVALID_REQUEST, errorMessage }),
      );
      continue;
    }
    records.push({ kind: "RemoveTopicRecord", record: { topicId } });
    results.push(
      deletionResult(topic.name, topicId, { errorCode: ErrorCode.NONE, errorMessage: null }),
    );
  }
  return { response: makeDeleteTopicsResponse({ responses: results }), records };
}

/** Answers every topic of a request the same way. */
export function refuseDeleteTopics(
  request: DeleteTopicsRequest,
  version: number,
  refusal: Refusal,
): DeleteTopicsResponse {
  const responses = deletionRows(request, version).map(({ name, topicId }) =>
    deletionResult(name, topicId, refusal),
  );
  return makeDeleteTopicsResponse({ responses });
}

function deletionRows(request: DeleteTopicsRequest, version: number): readonly DeleteTopicState[] {
  return version >= 6
    ? request.topics
    : request.topicNames.map((name) => ({ name, topicId: ZERO_UUID }));
}

function resolveDeletion(
  { name, topicId }: DeleteTopicState,
  { image }: DecisionInput,
  names: ReadonlyMap<string, number>,
  ids: ReadonlyMap<string, number>,
): TopicImage | Refusal {
  const invalid = (errorMessage: string): Refusal => ({
    errorCode: ErrorCode.INVALID_REQUEST,
    errorMessage,
  });
  if (name !== null && topicId !== ZERO_UUID)
    return invalid("You may not specify both topic name and topic id.");
  if (name === null && topicId === ZERO_UUID)
    return invalid("Neither topic name nor id were specified.");
  if (name !== null) {
    if ((names.get(name) ?? 0) > 1) return invalid("Duplicate topic name.");
    return (
      image.topicsByName.get(name) ?? {
        errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        errorMessage: "This server does not host this topic-partition.",
      }
    );
  }
  if ((ids.get(topicId) ?? 0) > 1) return invalid("Duplicate topic id.");
  return (
    image.topicsById.get(topicId) ?? {
      errorCode: ErrorCode.UNKNOWN_TOPIC_ID,
      errorMessage: "This server does not host this topic ID.",
    }
  );
}

function deletionResult(
  name: string | null,
  topicId: string,
  refusal: Refusal,
): DeletableTopicResult {
  return makeDeletableTopicResult({ name, topicId, ...refusal });
}

function countBy(values: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}
