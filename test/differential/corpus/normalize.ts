/**
 * Replies as text that two brokers can agree on: decoded by our codecs where they decode, with everything replaced that is a
 * broker's own (addresses, ids, sizes of disks, times) or another case's (topics and groups of the same run).
 */
import { apiByKey } from "#protocol/apis.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { decodeResponseHeader } from "#protocol/headers.ts";
import type { Place, Reply } from "./case.ts";

/** A request as its frame tells. */
export interface SentRequest {
  readonly apiKey: number;
  readonly apiVersion: number;
}

const API_VERSIONS_KEY = 18;
const API_VERSIONS_MAX = 5;

/**
 * APIs whose ranges are compared in every answer of ApiVersions. A fixed set, so that serving one more changes no recorded answer;
 * that each advertised range is Kafka's is a test of its own.
 */
const COMPARED_RANGES: ReadonlySet<number> = new Set([
  0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 32, 33, 35, 37, 42, 44, 47,
  60, 75,
]);

/** Decodes a reply to one of `sent`; the message is null where the bytes do not fit. */
export function decodeReply(frame: Uint8Array, sent: ReadonlyMap<number, SentRequest>): Reply {
  const correlationId = new DataView(frame.buffer, frame.byteOffset).getInt32(0);
  const request = sent.get(correlationId);
  const api = request === undefined ? undefined : apiByKey(request.apiKey);
  if (request === undefined || api === undefined) {
    return { correlationId, apiVersion: -1, message: null };
  }
  const isUnknownVersion =
    request.apiKey === API_VERSIONS_KEY &&
    (request.apiVersion < 0 || request.apiVersion > API_VERSIONS_MAX);
  const version = isUnknownVersion ? 0 : request.apiVersion;
  const reader = new Reader(frame);
  decodeResponseHeader(reader, api.key, version);
  const message = api.response.decode(reader, version) as Record<string, unknown>;
  const isWhole = reader.failure === null && reader.remaining === 0;
  return { correlationId, apiVersion: version, message: isWhole ? message : null };
}

/** Fields whose value is a broker's own. */
const OWN_VALUES: ReadonlyMap<string, string> = new Map([
  ["host", "<host>"],
  ["clusterId", "<cluster>"],
  ["logDir", "<directory>"],
  ["totalBytes", "<bytes>"],
  ["usableBytes", "<bytes>"],
  ["finalizedFeaturesEpoch", "<epoch>"],
  ["replicaDirectoryId", "<directory>"],
  ["producerId", "<producer>"],
  ["memberId", "<member>"],
  ["documentation", "<text>"],
  ["clientInstanceId", "<client>"],
  ["subscriptionId", "<subscription>"],
]);

/** Fields that are -1 or 0 for none, and otherwise a broker's own. */
const OWN_IDS: ReadonlySet<string> = new Set([
  "port",
  "nodeId",
  "brokerId",
  "leaderId",
  "controllerId",
  "sessionId",
  "logAppendTimeMs",
]);

/** One reply as text. */
export function describeReply(reply: Reply, frame: Uint8Array, place: Place): string {
  if (reply.message === null) {
    const bytes = frame.subarray(4);
    return `undecoded ${bytes.length} bytes ${Buffer.from(bytes.subarray(0, 64)).toString("hex")}`;
  }
  const isOldest = reply.apiVersion === 0;
  const text = JSON.stringify(reply.message, (key, value: unknown) =>
    normalized(key, value, place, isOldest),
  );
  return (
    text
      .replaceAll(place.topic, "<topic>")
      .replaceAll(place.topicId, "<topic-id>")
      // Numbered by the place of the case among all of them.
      .replaceAll(place.group, "<group>")
      .replaceAll(place.run, "<run>")
      .replaceAll(/corpus-<run>-[gt][0-9]{3}(?![0-9])/g, "<damaged name>")
      .replaceAll(place.clusterId, "<cluster>")
      .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<uuid>")
      .replaceAll(/\b1[0-9]{12}\b/g, "<time>")
      // A fraction that is whole, as the two languages write it.
      .replaceAll(/(?<=Invalid value [0-9]+)\.0\b/g, "")
      // The earliest timestamp allowed by default, as a message names it, is so long ago that Kafka's overflows.
      .replaceAll(/(?<=within \[)-[0-9]+/g, "<long ago>")
  );
}

function normalized(key: string, value: unknown, place: Place, isOldest: boolean): unknown {
  if (typeof value === "bigint") return key === "producerId" && value > 0n ? "<id>" : `${value}`;
  if (value instanceof Uint8Array) return `<${value.length} bytes>`;
  if (key === "throttleTimeMs") return undefined;
  if (typeof value === "string" && value !== "") {
    if (key === "topicId") return isKnownId(value, place) ? value : "<id>";
    if (USUAL_WORDS.test(value)) return "<usual words>";
    return OWN_VALUES.get(key) ?? value;
  }
  if (typeof value === "number") {
    if (key === "subscriptionId") return "<id>";
    if (OWN_IDS.has(key) && value > 0) return "<id>";
    return value > 0 ? (OWN_VALUES.get(key) ?? value) : value;
  }
  if (Array.isArray(value)) return normalizedArray(key, value as unknown[], place, isOldest);
  return value;
}

/** Partitions of log directories, of Produce and of ListOffsets come in the order of a hash table; those of others keep theirs. */
function byUnorderedPartition(one: unknown, other: unknown): number {
  const [left, right] = [one as UnorderedPartition, other as UnorderedPartition];
  if (left.index !== undefined) return left.index - (right.index ?? 0);
  const isUnordered = left.isFutureKey !== undefined || left.oldStyleOffsets !== undefined;
  return isUnordered ? left.partitionIndex - right.partitionIndex : 0;
}

/** The parts of a quota's entity come in the order of a hash table. */
function withEntityInOrder(entry: unknown): unknown {
  const { entity = [] } = entry as { readonly entity?: readonly unknown[] };
  return { ...(entry as object), entity: entity.toSorted(byText) };
}

/** How long a broker's own metadata log is differs. */
function withoutOwnOffsets(partition: unknown): unknown {
  const { currentVoters = [] } = partition as { readonly currentVoters?: readonly unknown[] };
  if (currentVoters.length === 0) return partition;
  return { ...(partition as object), leaderEpoch: "<epoch>", highWatermark: "<offset>" };
}

interface UnorderedPartition {
  readonly partitionIndex: number;
  readonly index?: number;
  readonly isFutureKey?: boolean;
  readonly oldStyleOffsets?: readonly number[];
}

/** DeleteTopics answers in no order; its rows are known by a topic id beside an error. */
function byDeletedTopic(one: unknown, other: unknown): number {
  const left = one as DeletedTopic;
  if (left.topicId === undefined || left.errorCode === undefined) return 0;
  // By error first: the name of a case's own topic is another in each run.
  return left.errorCode - ((other as DeletedTopic).errorCode ?? 0) || byText(one, other);
}

interface DeletedTopic {
  readonly topicId?: string;
  readonly errorCode?: number;
}

/** Kafka's sentence for a request that is wrong in no particular way, and ours. */
const USUAL_WORDS =
  /^(This most likely occurs because of a request being malformed|The request contradicts itself)/;

/** True for an id that the case itself named. */
function isKnownId(id: string, place: Place): boolean {
  return id === place.topicId || id.startsWith("AAAAAAAAAAAAAAAAAAAA");
}

interface Named {
  readonly name?: string | null;
  readonly groupId?: string;
  readonly errorCode?: number;
  readonly isInternal?: boolean;
  readonly transactionalId?: string;
  readonly apiKey?: number;
  readonly user?: string;
}

function normalizedArray(
  key: string,
  values: readonly unknown[],
  place: Place,
  isOldest: boolean,
): unknown {
  switch (key) {
    case "topics":
      return values
        .filter((each) => !isOthers((each as Named).name ?? "", place))
        .toSorted((one, other) =>
          (one as Named).isInternal === undefined ? 0 : byText(one, other),
        );
    case "groups":
      return (
        values
          // A list of all groups tells no errors; of those only the case's own counts.
          .filter(
            (each) =>
              (each as Named).errorCode !== undefined || (each as Named).groupId === place.group,
          )
          .toSorted(byText)
      );
    case "apiKeys":
      // Which old versions are left is told, and compared, in the oldest version of the answer alone.
      return values
        .filter((each) => COMPARED_RANGES.has((each as Named).apiKey ?? -1))
        .map((each) => (isOldest ? each : { ...(each as Named), minVersion: undefined }));
    case "results":
      // DeleteGroups answers by coordinator partition, users come out of a hash table: such rows have no order.
      return values.every(
        (each) => (each as Named).groupId !== undefined || (each as Named).user !== undefined,
      )
        ? values.toSorted(byText)
        : values;
    case "partitions":
    case "partitionResponses":
      return values.map(withoutOwnOffsets).toSorted(byUnorderedPartition);
    case "currentVoters":
      return values.map((each) => ({ ...(each as object), logEndOffset: "<offset>" }));
    case "listeners":
      return values.length;
    case "credentialInfos":
      return values.toSorted(byText);
    case "responses":
      return values.toSorted(byDeletedTopic);
    case "supportedFeatures":
    case "finalizedFeatures":
      return values.length > 0 ? "<features>" : [];
    case "configResources":
      return values.length > 0 ? "<resources>" : [];
    case "transactionStates":
      return values.filter((each) => (each as Named).transactionalId === place.group);
    case "configs":
      return values.length > 0 ? "<configs>" : [];
    case "replicaElectionResults":
      return values.filter((each) => !isOthers((each as { topic: string }).topic, place));
    case "entries":
      return values.map(withEntityInOrder).toSorted(byText);
    case "entity":
    case "values":
    case "activeProducers":
      return values.toSorted(byText);
    case "replicaNodes":
    case "isrNodes":
      return values.length;
    default:
      return values;
  }
}

function byText(one: unknown, other: unknown): number {
  const text = (value: unknown): string =>
    JSON.stringify(value, (_, each: unknown) => (typeof each === "bigint" ? `${each}` : each));
  const [left, right] = [text(one), text(other)];
  return left < right ? -1 : Number(left > right);
}

/** True for what another case or scenario made, or the broker itself. */
function isOthers(name: string, place: Place): boolean {
  if (name === place.topic || name.startsWith(place.group)) return false;
  return !name.startsWith("corpus-missing") && /^(__|corpus-|data-|groups-)/.test(name);
}
