/**
 * The controller: every change of the cluster passes through here, one at a time. A request is decided on the image left by the
 * one before it (`topics.ts`, `partitions.ts`, `configs.ts`, `producer-ids.ts`, `registration.ts` and so on), the records are
 * committed, the publishers act, and only then does the answer leave.
 *
 * A node without a quorum is always its own controller. In a cluster every node has one, and one at a time is active: see
 * `cluster-controller.ts` for whose turn it is and for what brokers ask.
 *
 * How `broker/` puts it together:
 *
 * ```ts
 * const log = new FileMetadataLog({ directory: settings.metadataLogDir, nodeId, clock });   // metadata/metadata-log-driver.ts
 * const loader = new MetadataLoader({ log, maxBytesBetweenSnapshots: settings.metadataLogMaxRecordBytesBetweenSnapshots, onSnapshotFailure });
 * const current = new CurrentBrokerConfig(staticConfig, nodeId);                             // first publisher
 * loader.addPublisher(current);
 * loader.addPublisher(new ProvisioningPublisher({ nodeId, provisioner, config: () => current.config, onFailure }));
 * loader.addPublisher(…);                                                                    // partition directory and so on
 * await loader.load();                        // after openStore: every partition of the image is reported as new
 * const controller = new Controller({ nodeId, loader, config: () => current.config, random });
 * await controller.start({ endpoints, rack, logDirs });                                      // before the listeners open
 * ```
 *
 * Publishers run inside the commit: a topic can be written to once its creation has been answered.
 */
import { ErrorCode } from "#common/error-code.ts";
import { isInternalTopic, liveBrokers, ResourceType } from "#metadata/cluster-image.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import type {
  AlterPartitionReassignmentsRequest,
  AlterPartitionReassignmentsResponse,
} from "#protocol/generated/alter-partition-reassignments.ts";
import type {
  AssignReplicasToDirsRequest,
  AssignReplicasToDirsResponse,
} from "#protocol/generated/assign-replicas-to-dirs.ts";
import type {
  CreatePartitionsRequest,
  CreatePartitionsResponse,
} from "#protocol/generated/create-partitions.ts";
import { makeCreateTopicsRequest } from "#protocol/generated/create-topics.ts";
import type {
  CreateTopicsRequest,
  CreateTopicsResponse,
} from "#protocol/generated/create-topics.ts";
import type {
  DeleteTopicsRequest,
  DeleteTopicsResponse,
} from "#protocol/generated/delete-topics.ts";
import type {
  ElectLeadersRequest,
  ElectLeadersResponse,
} from "#protocol/generated/elect-leaders.ts";
import { ClusterController } from "./cluster-controller.ts";
import { decideClientQuotas, refuseClientQuotas } from "./client-quotas.ts";
import type { QuotaChange, QuotaOutcome } from "./client-quotas.ts";
import { ConfigOperation, type ResourceChange } from "./config-values.ts";
import { decideConfigChanges, refuseConfigChanges, type ResourceOutcome } from "./configs.ts";
import { decideCordon } from "./cordoning.ts";
import { DecisionQueue } from "./decision-queue.ts";
import type { DecisionQueueOptions } from "./decision-queue.ts";
import type { Decision, Refusal } from "./decision.ts";
import { decideDirectoryAssignments, refuseDirectoryAssignments } from "./directory-assignments.ts";
import { decideElectLeaders, refuseElectLeaders } from "./elections.ts";
import { decideUpdateFeatures } from "./features.ts";
import type { FeatureUpdate } from "./features.ts";
import { automaticTopic } from "./internal-topics.ts";
import { decideCreatePartitions, refuseCreatePartitions } from "./partitions.ts";
import { decideProducerIdBlock } from "./producer-ids.ts";
import type { ProducerIdBlock } from "./producer-ids.ts";
import { decideReassignments, refuseReassignments } from "./reassignments.ts";
import { decideStart, decideUnregisterBroker } from "./registration.ts";
import type { BrokerRegistration } from "./registration.ts";
import { decideScramCredentials, refuseScramCredentials } from "./scram.ts";
import type { ScramDeletion, ScramOutcome, ScramUpsertion } from "./scram.ts";
import {
  decideCreateTopics,
  decideDeleteTopics,
  refuseCreateTopics,
  refuseDeleteTopics,
} from "./topics.ts";

/** What the controller needs. */
export interface ControllerOptions extends DecisionQueueOptions {
  /** Why no partition can be created now, or null: asked before any is. Partitions of the broker's own topics are created all the same. */
  readonly creationRefusal?: () => Refusal | null;
}

/** See the head of the file. Methods answer when the change is committed and published. */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #queue: DecisionQueue;
  /** What the controller of a cluster serves besides; null on a node that is alone. */
  readonly cluster: ClusterController | null;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#queue = new DecisionQueue(options);
    this.cluster =
      options.cluster === undefined ? null : new ClusterController(this.#queue, options.cluster);
  }

  /** The newest committed image. */
  get image(): ClusterImage {
    return this.#options.loader.image;
  }

  /**
   * Registers this broker and prepares an empty log. Once, after the loader has loaded.
   *
   * @throws MetadataLogError when it could not be written.
   */
  async start(registration: BrokerRegistration): Promise<void> {
    await this.#queue.submit((input) => decideStart(registration, input));
  }

  /**
   * Notes which log directories of this node take no new partitions. Only of a node by itself, after `start`.
   *
   * @throws MetadataLogError when it could not be written.
   */
  async cordon(directoryIds: readonly string[]): Promise<void> {
    await this.#queue.submit((input) => decideCordon(directoryIds, input));
  }

  /** Serves CreateTopics. A timeout of 0 or less is over before anything is done, as in Kafka. */
  async createTopics(request: CreateTopicsRequest): Promise<CreateTopicsResponse> {
    if (request.timeoutMs <= 0) return refuseCreateTopics(request, TIMED_OUT);
    return this.#queue.submitOr(
      (input) => {
        const decision = decideCreateTopics(request, input);
        const refusal = this.#creationRefusal(request.topics, decision);
        return refusal === null
          ? decision
          : { response: refuseCreateTopics(request, refusal), records: [] };
      },
      (refusal) => refuseCreateTopics(request, refusal),
    );
  }

  /** Serves DeleteTopics of the given version. */
  async deleteTopics(request: DeleteTopicsRequest, version: number): Promise<DeleteTopicsResponse> {
    if (!this.#options.config().boolean("delete.topic.enable")) {
      const errorCode = version < 3 ? ErrorCode.INVALID_REQUEST : ErrorCode.TOPIC_DELETION_DISABLED;
      return refuseDeleteTopics(request, version, {
        errorCode,
        errorMessage: "Topic deletion is disabled.",
      });
    }
    if (request.timeoutMs <= 0) return refuseDeleteTopics(request, version, TIMED_OUT);
    return this.#queue.submitOr(
      (input) => decideDeleteTopics(request, version, input),
      (refusal) => refuseDeleteTopics(request, version, refusal),
    );
  }

  /** Serves CreatePartitions. */
  async createPartitions(request: CreatePartitionsRequest): Promise<CreatePartitionsResponse> {
    if (request.timeoutMs <= 0) return refuseCreatePartitions(request, TIMED_OUT);
    return this.#queue.submitOr(
      (input) => {
        const decision = decideCreatePartitions(request, input);
        const refusal = this.#creationRefusal(request.topics, decision);
        return refusal === null
          ? decision
          : { response: refuseCreatePartitions(request, refusal), records: [] };
      },
      (refusal) => refuseCreatePartitions(request, refusal),
    );
  }

  /** Serves AlterConfigs and IncrementalAlterConfigs. */
  async changeConfigs(
    resources: readonly ResourceChange[],
    validateOnly: boolean,
  ): Promise<readonly ResourceOutcome[]> {
    const outcomes = await this.#queue.submitOr(
      (input) => decideConfigChanges(resources, validateOnly, input),
      (refusal) => refuseConfigChanges(resources, refusal),
    );
    if (!validateOnly) this.#setLevels(resources, outcomes);
    return outcomes;
  }

  /** Levels of loggers are no part of the metadata: they are set once they were found right. */
  #setLevels(resources: readonly ResourceChange[], outcomes: readonly ResourceOutcome[]): void {
    for (const [index, { resourceType, changes }] of resources.entries()) {
      if (resourceType !== ResourceType.BROKER_LOGGER) continue;
      if (outcomes[index]?.errorCode !== ErrorCode.NONE) continue;
      for (const { name, operation, value } of changes) {
        if (operation === ConfigOperation.SET) this.#options.loggers.set(name, value ?? "");
      }
    }
  }

  /** Serves AlterClientQuotas. */
  async changeClientQuotas(
    changes: readonly QuotaChange[],
    validateOnly: boolean,
  ): Promise<readonly QuotaOutcome[]> {
    return this.#queue.submitOr(
      (input) => decideClientQuotas(changes, validateOnly, input),
      (refusal) => refuseClientQuotas(changes, refusal),
    );
  }

  /** Serves AlterUserScramCredentials. */
  async changeScramCredentials(
    deletions: readonly ScramDeletion[],
    upsertions: readonly ScramUpsertion[],
  ): Promise<readonly ScramOutcome[]> {
    return this.#queue.submitOr(
      (input) => decideScramCredentials(deletions, upsertions, input),
      (refusal) => refuseScramCredentials(deletions, upsertions, refusal),
    );
  }

  /** Serves UpdateFeatures; null when all levels are as asked. */
  async updateFeatures(
    updates: readonly FeatureUpdate[],
    validateOnly: boolean,
  ): Promise<Refusal | null> {
    return this.#queue.submitOr(
      (input) => decideUpdateFeatures(updates, validateOnly, input),
      (refusal) => refusal,
    );
  }

  /** Serves UnregisterBroker; null when it is done. */
  async unregisterBroker(brokerId: number): Promise<Refusal | null> {
    return this.#queue.submitOr<Refusal | null>(
      (input) => decideUnregisterBroker(brokerId, input),
      (refusal) => refusal,
      (refusal, { liveness }) => {
        if (refusal === null) liveness.forget(brokerId);
      },
    );
  }

  /** Serves ElectLeaders. */
  async electLeaders(request: ElectLeadersRequest): Promise<ElectLeadersResponse> {
    if (request.timeoutMs <= 0) return refuseElectLeaders(request, TIMED_OUT);
    return this.#queue.submitOr(
      (input) => decideElectLeaders(request, input),
      (refusal) => refuseElectLeaders(request, refusal),
    );
  }

  /** Serves AlterPartitionReassignments. */
  async alterReassignments(
    request: AlterPartitionReassignmentsRequest,
  ): Promise<AlterPartitionReassignmentsResponse> {
    if (request.timeoutMs <= 0) return refuseReassignments(request, TIMED_OUT);
    return this.#queue.submitOr(
      (input) => decideReassignments(request, input),
      (refusal) => refuseReassignments(request, refusal),
    );
  }

  /**
   * Creates topics that clients asked for without creating them (auto.create.topics.enable), and the broker's own.
   *
   * @returns error code per name; NONE where the topic exists now.
   */
  async createAutomatically(names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const outcome = new Map<string, number>();
    const rows = names.flatMap((name) => {
      const row = automaticTopic(name, this.#options.config(), liveBrokers(this.image).length);
      if (row === null) outcome.set(name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
      return row === null ? [] : [row];
    });
    if (rows.length === 0) return outcome;
    const request = makeCreateTopicsRequest({ topics: rows, timeoutMs: 1 });
    const response = await this.createTopics(request);
    for (const { name, errorCode } of response.topics) {
      outcome.set(name, errorCode === ErrorCode.TOPIC_ALREADY_EXISTS ? ErrorCode.NONE : errorCode);
    }
    return outcome;
  }

  /** Serves AssignReplicasToDirs. */
  async assignReplicasToDirs(
    request: AssignReplicasToDirsRequest,
  ): Promise<AssignReplicasToDirsResponse> {
    return this.#queue.submitOr(
      (input) => decideDirectoryAssignments(request, input),
      ({ errorCode }) => refuseDirectoryAssignments(errorCode),
    );
  }

  /**
   * A fresh block of producer ids for this broker.
   *
   * @throws MetadataLogError when it could not be written; nothing was given out.
   */
  async allocateProducerIds(): Promise<ProducerIdBlock> {
    return this.#queue.submit(decideProducerIdBlock);
  }

  /** Writes a snapshot of the metadata, between two changes, if there were changes since the last one. */
  snapshotIfGrown(): Promise<void> {
    return this.#queue.enqueue(() => this.#options.loader.snapshotIfGrown());
  }

  /** Why what was decided cannot be done: it would leave topics without partitions. */
  #creationRefusal(
    topics: readonly { readonly name: string }[],
    { records }: Decision<unknown>,
  ): Refusal | null {
    if (records.length === 0 || topics.every(({ name }) => isInternalTopic(name))) return null;
    return this.#options.creationRefusal?.() ?? null;
  }
}

const TIMED_OUT: Refusal = { errorCode: ErrorCode.REQUEST_TIMED_OUT, errorMessage: null };
