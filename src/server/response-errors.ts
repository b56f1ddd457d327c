/**
 * Where the error codes of a response are, so that they can be counted by API and code without knowing each message: paths of
 * fields by API key, arrays walked to their elements. The table is plain data; a test derives it anew from the generated
 * messages and compares, so a path cannot go missing.
 *
 * Produce, Fetch and OffsetCommit have loops of their own: they are answered a hundred thousand times a second, and a loop over known fields
 * costs a few nanoseconds where a walk by name costs a hundred.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { FetchResponse } from "#protocol/generated/fetch.ts";
import type { OffsetCommitResponse } from "#protocol/generated/offset-commit.ts";
import type { ProduceResponse } from "#protocol/generated/produce.ts";

const PRODUCE_KEY = 0;
const FETCH_KEY = 1;
const OFFSET_COMMIT_KEY = 8;
const ERROR_FIELD = "errorCode";

/** Paths by API key, without the field itself: `""` is the response, `"topics.partitions"` each element of each array. */
export const ERROR_PATHS: Readonly<Record<number, readonly string[]>> = {
  /** Produce */ 0: ["responses.partitionResponses"],
  /** Fetch */ 1: ["", "responses.partitions"],
  /** ListOffsets */ 2: ["topics.partitions"],
  /** Metadata */ 3: ["", "topics", "topics.partitions"],
  /** OffsetCommit */ 8: ["topics.partitions"],
  /** OffsetFetch */ 9: ["", "groups", "groups.topics.partitions", "topics.partitions"],
  /** FindCoordinator */ 10: ["", "coordinators"],
  /** JoinGroup */ 11: [""],
  /** Heartbeat */ 12: [""],
  /** LeaveGroup */ 13: ["", "members"],
  /** SyncGroup */ 14: [""],
  /** DescribeGroups */ 15: ["groups"],
  /** ListGroups */ 16: [""],
  /** SaslHandshake */ 17: [""],
  /** ApiVersions */ 18: [""],
  /** CreateTopics */ 19: ["topics"],
  /** DeleteTopics */ 20: ["responses"],
  /** DeleteRecords */ 21: ["topics.partitions"],
  /** InitProducerId */ 22: [""],
  /** AddOffsetsToTxn */ 25: [""],
  /** EndTxn */ 26: [""],
  /** WriteTxnMarkers */ 27: ["markers.topics.partitions"],
  /** TxnOffsetCommit */ 28: ["topics.partitions"],
  /** DescribeAcls */ 29: [""],
  /** CreateAcls */ 30: ["results"],
  /** DeleteAcls */ 31: ["filterResults", "filterResults.matchingAcls"],
  /** DescribeConfigs */ 32: ["results"],
  /** AlterConfigs */ 33: ["responses"],
  /** DescribeLogDirs */ 35: ["", "results"],
  /** SaslAuthenticate */ 36: [""],
  /** CreatePartitions */ 37: ["results"],
  /** DeleteGroups */ 42: ["results"],
  /** ElectLeaders */ 43: ["", "replicaElectionResults.partitionResult"],
  /** OffsetDelete */ 47: ["", "topics.partitions"],
  /** Vote */ 52: ["", "topics.partitions"],
  /** BeginQuorumEpoch */ 53: ["", "topics.partitions"],
  /** EndQuorumEpoch */ 54: ["", "topics.partitions"],
  /** DescribeQuorum */ 55: ["", "topics.partitions"],
  /** AlterPartition */ 56: ["", "topics.partitions"],
  /** UpdateFeatures */ 57: ["", "results"],
  /** Envelope */ 58: [""],
  /** FetchSnapshot */ 59: ["", "topics.partitions"],
  /** DescribeCluster */ 60: [""],
  /** BrokerHeartbeat */ 63: [""],
  /** UnregisterBroker */ 64: [""],
  /** ListTransactions */ 66: [""],
  /** PushTelemetry */ 72: [""],
  /** ShareFetch */ 78: ["", "responses.partitions"],
  /** ShareAcknowledge */ 79: ["", "responses.partitions"],
  /** AddRaftVoter */ 80: [""],
  /** RemoveRaftVoter */ 81: [""],
  /** UpdateRaftVoter */ 82: [""],
};

/** Counts one error of an API. */
export type CountError = (apiKey: number, errorCode: number) => void;

/** Hands every error code but NONE of a response to `count`. Never throws, whatever the response looks like. */
export class ResponseErrors {
  readonly #paths: ReadonlyMap<number, readonly (readonly string[])[]>;
  readonly #count: CountError;

  constructor(count: CountError) {
    this.#count = count;
    this.#paths = new Map(
      Object.entries(ERROR_PATHS).map(([apiKey, paths]) => [
        Number(apiKey),
        paths.map((path) => (path === "" ? [] : path.split("."))),
      ]),
    );
  }

  /** @param response - of the API's own message type. */
  count(apiKey: number, response: unknown): void {
    if (apiKey === PRODUCE_KEY) {
      this.#countProduce(response as ProduceResponse);
      return;
    }
    if (apiKey === FETCH_KEY) {
      this.#countFetch(response as FetchResponse);
      return;
    }
    if (apiKey === OFFSET_COMMIT_KEY) {
      this.#countOffsetCommit(response as OffsetCommitResponse);
      return;
    }
    const paths = this.#paths.get(apiKey);
    if (paths === undefined) return;
    for (const path of paths) this.#walk(apiKey, response, path, 0);
  }

  #countProduce(response: ProduceResponse): void {
    for (const { partitionResponses } of response.responses) {
      for (const { errorCode } of partitionResponses) {
        if (errorCode !== ErrorCode.NONE) this.#count(PRODUCE_KEY, errorCode);
      }
    }
  }

  #countFetch(response: FetchResponse): void {
    if (response.errorCode !== ErrorCode.NONE) this.#count(FETCH_KEY, response.errorCode);
    for (const { partitions } of response.responses) {
      for (const { errorCode } of partitions) {
        if (errorCode !== ErrorCode.NONE) this.#count(FETCH_KEY, errorCode);
      }
    }
  }

  #countOffsetCommit(response: OffsetCommitResponse): void {
    for (const { partitions } of response.topics) {
      for (const { errorCode } of partitions) {
        if (errorCode !== ErrorCode.NONE) this.#count(OFFSET_COMMIT_KEY, errorCode);
      }
    }
  }

  #walk(apiKey: number, value: unknown, path: readonly string[], depth: number): void {
    if (typeof value !== "object" || value === null) return;
    const field = path[depth];
    if (field === undefined) {
      const errorCode = (value as { readonly [ERROR_FIELD]?: unknown })[ERROR_FIELD];
      if (typeof errorCode === "number" && errorCode !== ErrorCode.NONE)
        this.#count(apiKey, errorCode);
      return;
    }
    const next = (value as Readonly<Record<string, unknown>>)[field];
    if (Array.isArray(next))
      for (const element of next) this.#walk(apiKey, element, path, depth + 1);
    else this.#walk(apiKey, next, path, depth + 1);
  }
}
