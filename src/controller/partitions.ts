/**
 * Decisions on adding partitions to topics.
 *
 * @see KIP-195
 */
import { ErrorCode } from "#common/error-code.ts";
import { partitionEntry } from "#metadata/image-records.ts";
import type { TopicImage } from "#metadata/cluster-image.ts";
import {
  makeCreatePartitionsResponse,
  makeCreatePartitionsTopicResult,
} from "#protocol/generated/create-partitions.ts";
import type {
  CreatePartitionsRequest,
  CreatePartitionsResponse,
  CreatePartitionsTopic,
  CreatePartitionsTopicResult,
} from "#protocol/generated/create-partitions.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { MAX_RECORDS_PER_REQUEST } from "./decision.ts";
import type { Decision, DecisionInput, Refusal } from "./decision.ts";
import {
  checkManualReplicas,
  checkServed,
  DirectoryChooser,
  newPartition,
  placeReplicas,
} from "./placement.ts";

/** Decides CreatePartitions. With `validateOnly` the answer is the same and there are no records. */
export function decideCreatePartitions(
  request: CreatePartitionsRequest,
  input: DecisionInput,
): Decision<CreatePartitionsResponse> {
  const counts = new Map<string, number>();
  for (const { name } of request.topics) counts.set(name, (counts.get(name) ?? 0) + 1);
  const results: CreatePartitionsTopicResult[] = [];
  for (const [name, count] of counts) {
    if (count > 1) {
      results.push(
        result(name, {
          errorCode: ErrorCode.INVALID_REQUEST,
          errorMessage: "Duplicate topic name.",
        }),
      );
    }
  }
  const rows = request.topics.filter(({ name }) => counts.get(name) === 1);
  if (additionalPartitions(rows, input) > MAX_RECORDS_PER_REQUEST) {
    for (const { name } of rows) {
      results.push(
        result(name, { errorCode: ErrorCode.POLICY_VIOLATION, errorMessage: EXCESSIVE }),
      );
    }
    return { response: makeCreatePartitionsResponse({ results }), records: [] };
  }
  const records: MetadataRecord[] = [];
  const directories = new DirectoryChooser(input.image);
  for (const row of rows) {
    const added = addPartitions(row, input, directories);
    if ("errorCode" in added) {
      results.push(result(row.name, added));
    } else {
      for (const record of added.records) records.push(record);
      results.push(result(row.name, { errorCode: ErrorCode.NONE, errorMessage: null }));
    }
  }
  return {
    response: makeCreatePartitionsResponse({ results }),
    records: request.validateOnly ? [] : records,
  };
}

/** Partitions a request would add in all. */
function additionalPartitions(
  rows: readonly CreatePartitionsTopic[],
  { image }: DecisionInput,
): number {
  let total = 0;
  for (const { name, count } of rows) {
    const topic = image.topicsByName.get(name);
    if (topic !== undefined) total += Math.max(0, count - topic.partitions.length);
  }
  return total;
}

const EXCESSIVE = "Excessively large number of additional partitions per request.";

/** Answers every topic of a request the same way. */
export function refuseCreatePartitions(
  request: CreatePartitionsRequest,
  refusal: Refusal,
): CreatePartitionsResponse {
  const names = new Set(request.topics.map(({ name }) => name));
  return makeCreatePartitionsResponse({ results: [...names].map((name) => result(name, refusal)) });
}

function result(name: string, refusal: Refusal): CreatePartitionsTopicResult {
  return makeCreatePartitionsTopicResult({ name, ...refusal });
}

function addPartitions(
  row: CreatePartitionsTopic,
  input: DecisionInput,
  directories: DirectoryChooser,
): { readonly records: readonly MetadataRecord[] } | Refusal {
  const topic = input.image.topicsByName.get(row.name);
  if (topic === undefined)
    return { errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, errorMessage: null };
  const current = topic.partitions.length;
  const additional = row.count - current;
  if (additional === 0) return invalidPartitions(`Topic already has ${current} partition(s).`);
  if (additional < 0) {
    return invalidPartitions(
      `The topic ${row.name} currently has ${current} partition(s); ${row.count} would not be an increase.`,
    );
  }
  const assignments =
    row.assignments === null
      ? placed(topic, additional, input)
      : manual(row, topic, additional, input);
  if ("errorCode" in assignments) return assignments;
  const records = assignments.map((replicas, index) =>
    partitionEntry(topic.id, newPartition(input.image, current + index, replicas, directories)),
  );
  return { records };
}

function invalidPartitions(errorMessage: string): Refusal {
  return { errorCode: ErrorCode.INVALID_PARTITIONS, errorMessage };
}

function placed(
  topic: TopicImage,
  additional: number,
  input: DecisionInput,
): readonly (readonly number[])[] | Refusal {
  const replicationFactor = topic.partitions[0]?.replicas.length ?? 1;
  const { assignments, refusal } = placeReplicas(input, additional, replicationFactor);
  return refusal ?? assignments;
}

function manual(
  row: CreatePartitionsTopic,
  topic: TopicImage,
  additional: number,
  { image }: DecisionInput,
): readonly (readonly number[])[] | Refusal {
  const misplaced = (errorMessage: string): Refusal => ({
    errorCode: ErrorCode.INVALID_REPLICA_ASSIGNMENT,
    errorMessage,
  });
  const given = row.assignments ?? [];
  if (given.length !== additional) {
    return misplaced(
      `Attempted to add ${additional} additional partition(s), but only ${given.length} assignment(s) were specified.`,
    );
  }
  const replicationFactor = topic.partitions[0]?.replicas.length ?? 1;
  const assignments: (readonly number[])[] = [];
  for (const { brokerIds } of given) {
    const partitionId = topic.partitions.length + assignments.length;
    const error =
      checkManualReplicas(image, brokerIds, replicationFactor) ??
      checkServed(image, partitionId, brokerIds);
    if (error !== null) return misplaced(error);
    assignments.push(brokerIds);
  }
  return assignments;
}
