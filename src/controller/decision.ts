/**
 * The shape of every decision of the controller: it reads an image and says what to answer and what to write. Nothing has
 * happened until the records are committed; only then does the answer leave.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { BrokerConfig } from "#config/broker-config.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import type { Random } from "#common/time.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import type { LivenessView } from "./broker-liveness.ts";

/** An answer and the records that make it true, in order. Without records the answer is true already. */
export interface Decision<T> {
  readonly response: T;
  readonly records: readonly MetadataRecord[];
}

/** What decisions are made from. */
export interface DecisionInput {
  readonly image: ClusterImage;
  readonly config: BrokerConfig;
  readonly nodeId: number;
  readonly random: Random;
  /** Names of the loggers whose level can be set. */
  readonly loggers: ReadonlySet<string>;
  /** Whether a text is a pattern that names can be matched against. */
  readonly isPattern: (source: string) => boolean;
  /** Of a node in a quorum; null on one that is alone, where nobody registers, falls silent or is given anything else. */
  readonly cluster: ClusterInput | null;
}

/** What decisions about several brokers are made from besides. */
export interface ClusterInput {
  readonly clusterId: string;
  readonly liveness: LivenessView;
}

/** An error code and the sentence a person is told. */
export interface Refusal {
  readonly errorCode: number;
  readonly errorMessage: string | null;
}

/** Records one request may make: beyond it the whole request is refused, as in Kafka. */
export const MAX_RECORDS_PER_REQUEST = 10_000;

/** The answer to a request that would make more. */
export const EXCESSIVE_BATCH: Refusal = {
  errorCode: ErrorCode.POLICY_VIOLATION,
  errorMessage: "Unable to perform excessively large batch operation.",
};
