/**
 * Decisions one after another: each is made on the image the one before it left, and is answered when its records are committed
 * and published. In a cluster only while it is this node's turn.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { Random } from "#common/time.ts";
import type { BrokerConfig } from "#config/broker-config.ts";
import type { LoggerLevels } from "#config/logger-levels.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import type { MetadataState } from "#metadata/metadata-loader.ts";
import { MetadataLogError } from "#metadata/metadata-log.ts";
import { BrokerLiveness } from "./broker-liveness.ts";
import type { ClusterOptions } from "./cluster-controller.ts";
import type { ClusterInput, Decision, DecisionInput, Refusal } from "./decision.ts";

/** What decisions are made with. */
export interface DecisionQueueOptions {
  readonly nodeId: number;
  readonly loader: MetadataState;
  /** The configuration in force. */
  readonly config: () => BrokerConfig;
  readonly random: Random;
  /** The loggers of this process, as far as their level can be set. */
  readonly loggers: Pick<LoggerLevels, "levels" | "set">;
  /** Whether a text is a pattern that names can be matched against. */
  readonly isPattern: (source: string) => boolean;
  /** Of a node in a quorum. */
  readonly cluster?: ClusterOptions;
  /** Set where nothing is decided and every request is refused with this: what is answered in place of a controller that cannot be reached. */
  readonly refusal?: MetadataLogError;
}

/** A decision, given what it may be made on. */
export type Decide<T> = (input: DecisionInput, cluster: ClusterInput) => Decision<T>;

/** See the head of the file. */
export class DecisionQueue {
  readonly #options: DecisionQueueOptions;
  #queue: Promise<unknown> = Promise.resolve();
  /** Whether this node decides. */
  isActive: boolean;

  constructor(options: DecisionQueueOptions) {
    this.#options = options;
    this.isActive = options.cluster === undefined;
  }

  /** The newest committed image, on which decisions are made. */
  get committed(): ClusterImage {
    return this.#options.loader.committed;
  }

  /** The configuration in force. */
  get config(): BrokerConfig {
    return this.#options.config();
  }

  /** Decides and commits after everything submitted before. */
  submit<T>(
    decide: Decide<T>,
    onCommitted?: (response: T, cluster: ClusterOptions) => void,
  ): Promise<T> {
    return this.enqueue(async () => {
      if (this.#options.refusal !== undefined) throw this.#options.refusal;
      if (!this.isActive) throw new MetadataLogError("NOT_CONTROLLER", NOT_ACTIVE);
      const response = await this.commit(decide);
      if (this.#options.cluster !== undefined) onCommitted?.(response, this.#options.cluster);
      return response;
    });
  }

  /** Decides and commits at once: only inside `enqueue`. */
  async commit<T>(decide: Decide<T>): Promise<T> {
    const { nodeId, loader, config, random, loggers, isPattern, cluster } = this.#options;
    const { response, records } = decide(
      {
        image: loader.committed,
        config: config(),
        nodeId,
        random,
        loggers: new Set(loggers.levels().keys()),
        isPattern,
        cluster: cluster ?? null,
      },
      cluster ?? ALONE,
    );
    if (records.length > 0) await loader.commit(records);
    return response;
  }

  /** Runs something between two decisions. */
  enqueue<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(run, run);
    // The queue goes on whatever became of this one; the caller gets the failure.
    this.#queue = result.catch(() => undefined);
    return result;
  }

  /** As `submit`, with an answer for when the log cannot be written. */
  async submitOr<T>(
    decide: Decide<T>,
    refuse: (refusal: Refusal) => T,
    onCommitted?: (response: T, cluster: ClusterOptions) => void,
  ): Promise<T> {
    try {
      return await this.submit(decide, onCommitted);
    } catch (error) {
      const refusal = commitRefusal(error);
      if (refusal === null) throw error;
      return refuse(refusal);
    }
  }
}

const NOT_ACTIVE = "This is not the correct controller for this cluster.";

/** Codes of a log's and a quorum's errors. */
const FAILURE_CODES: ReadonlyMap<unknown, number> = new Map([
  ["DISK_FULL", ErrorCode.KAFKA_STORAGE_ERROR],
  ["NOT_CONTROLLER", ErrorCode.NOT_CONTROLLER],
  ["STOPPED", ErrorCode.NOT_CONTROLLER],
  ["BUSY", ErrorCode.REQUEST_TIMED_OUT],
  ["TOO_LARGE", ErrorCode.POLICY_VIOLATION],
]);

/** What to answer when records were not committed, or nobody knows; null for an error of another kind. */
function commitRefusal(error: unknown): Refusal | null {
  if (!(error instanceof Error) || !("code" in error)) return null;
  const errorCode = FAILURE_CODES.get(error.code);
  if (errorCode === undefined && !(error instanceof MetadataLogError)) return null;
  return {
    errorCode: errorCode ?? ErrorCode.UNKNOWN_SERVER_ERROR,
    errorMessage: error.message,
  };
}

/** A node without a quorum has no brokers to hear of. */
const ALONE: ClusterInput = { clusterId: "", liveness: new BrokerLiveness(() => 0) };
