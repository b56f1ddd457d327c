/**
 * What a broker does with requests that belong to the controller: a node by itself serves them, a node of a cluster passes them on to
 * the active controller and gives its answer. Two things a broker asks for by itself go the same way: topics that are created on
 * demand, and blocks of producer ids.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { BrokerConfig } from "#config/broker-config.ts";
import type { Controller } from "#controller/controller.ts";
import { automaticTopic } from "#controller/internal-topics.ts";
import type { ProducerIdBlock } from "#controller/producer-ids.ts";
import { type ClusterImage, liveBrokers } from "#metadata/cluster-image.ts";
import { MetadataLogError } from "#metadata/metadata-log.ts";
import {
  AllocateProducerIdsApi,
  makeAllocateProducerIdsRequest,
} from "#protocol/generated/allocate-producer-ids.ts";
import {
  AssignReplicasToDirsApi,
  type AssignReplicasToDirsRequest,
  type AssignReplicasToDirsResponse,
} from "#protocol/generated/assign-replicas-to-dirs.ts";
import { CreateTopicsApi, makeCreateTopicsRequest } from "#protocol/generated/create-topics.ts";
import { type ApiHandler, CLOSE_CONNECTION } from "#server/handler.ts";
import { type ControllerChannel, ControllerUnavailableError } from "#cluster/controller-channel.ts";
import { type ConfigChanger, ConfigRouter } from "./config-router.ts";

/** The controller as a broker's handlers reach it. */
export interface ControllerAccess {
  /** The handler that serves an API of the controller here: on the controller itself, or by passing requests on. */
  serve<Req, Res>(create: (controller: Controller) => ApiHandler<Req, Res>): ApiHandler<Req, Res>;
  /**
   * The same for a handler that is made already.
   *
   * @param whenUnavailable - answers when the controller could not be asked; without it the connection is closed.
   */
  route<Req, Res>(
    handler: ApiHandler<Req, Res>,
    whenUnavailable?: ApiHandler<Req, Res>["handle"],
  ): ApiHandler<Req, Res>;
  /** Who changes configurations. */
  readonly configs: ConfigChanger;
  /** Creates topics that clients asked for without creating them, and the broker's own. @returns error code per name. */
  createAutomatically(names: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** A fresh block of producer ids. Rejects when there is none to be had. */
  allocateProducerIds(): Promise<ProducerIdBlock>;
  /** Tells in which log directories replicas of this broker are. Rejects when nobody could be told. */
  assignReplicasToDirs(request: AssignReplicasToDirsRequest): Promise<AssignReplicasToDirsResponse>;
}

/** What a client is told where the controller could not be asked in time, as Kafka does: REQUEST_TIMED_OUT. */
export const CONTROLLER_UNAVAILABLE: MetadataLogError = new MetadataLogError(
  "BUSY",
  "The active controller could not be asked in time.",
);

/** Time a request may wait for the controller when it does not say itself, ms. */
const TIMEOUT_MS = 30_000;
const CREATION_TIMEOUT_MS = 10_000;
const PRODUCER_IDS_TIMEOUT_MS = 5_000;
const ASSIGNMENT_TIMEOUT_MS = 5_000;
const CREATE_TOPICS_VERSION = 7;

/** What passing on works with. */
export interface ForwardingOptions {
  readonly nodeId: number;
  readonly channel: ControllerChannel;
  readonly image: () => ClusterImage;
  readonly config: () => BrokerConfig;
  readonly brokerEpoch: () => number;
  /** Changes what is this process's own. */
  readonly ownConfigs: ConfigChanger;
  /** Refuses everything; see {@link CONTROLLER_UNAVAILABLE}. */
  readonly refusing: Controller;
  /** Settles when this node has published a topic, or after a while. */
  readonly topicSeen: (name: string) => Promise<void>;
}

/** The controller of a cluster, wherever it is. */
export class ForwardedController implements ControllerAccess {
  readonly configs: ConfigChanger;
  readonly #options: ForwardingOptions;

  constructor(options: ForwardingOptions) {
    this.#options = options;
    const { nodeId, channel, ownConfigs } = options;
    this.configs = new ConfigRouter({ nodeId, channel, own: ownConfigs });
  }

  serve<Req, Res>(create: (controller: Controller) => ApiHandler<Req, Res>): ApiHandler<Req, Res> {
    const handler = create(this.#options.refusing);
    return this.route(handler, (request, context) => handler.handle(request, context));
  }

  route<Req, Res>(
    handler: ApiHandler<Req, Res>,
    whenUnavailable?: ApiHandler<Req, Res>["handle"],
  ): ApiHandler<Req, Res> {
    const { channel } = this.#options;
    return {
      api: handler.api,
      minVersion: handler.minVersion,
      maxVersion: handler.maxVersion,
      ...(handler.advertisedMinVersion === undefined
        ? {}
        : { advertisedMinVersion: handler.advertisedMinVersion }),
      handle: async (request, context) => {
        const { apiVersion, clientId } = context;
        try {
          return await channel.send(handler.api, apiVersion, request, {
            timeoutMs: timeoutOf(request),
            clientId,
            // As in Kafka: a request whose answer was lost with its connection is sent again.
            isRepeatable: true,
          });
        } catch (error) {
          if (!(error instanceof ControllerUnavailableError)) throw error;
          return whenUnavailable === undefined
            ? CLOSE_CONNECTION
            : ((await whenUnavailable(request, context)) as Awaited<Res>);
        }
      },
    };
  }

  async createAutomatically(names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const { channel, config, image, topicSeen } = this.#options;
    const outcome = new Map<string, number>();
    const rows = names.flatMap((name) => {
      const row = automaticTopic(name, config(), liveBrokers(image()).length);
      if (row === null) outcome.set(name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
      return row === null ? [] : [row];
    });
    if (rows.length === 0) return outcome;
    const request = makeCreateTopicsRequest({ topics: rows, timeoutMs: CREATION_TIMEOUT_MS });
    try {
      const response = await channel.send(CreateTopicsApi, CREATE_TOPICS_VERSION, request, {
        timeoutMs: CREATION_TIMEOUT_MS,
        isRepeatable: true,
      });
      for (const { name, errorCode } of response.topics) {
        const isThere = errorCode === ErrorCode.TOPIC_ALREADY_EXISTS || errorCode === 0;
        outcome.set(name, isThere ? ErrorCode.NONE : errorCode);
        if (isThere) await topicSeen(name);
      }
    } catch (error) {
      if (!(error instanceof ControllerUnavailableError)) throw error;
      for (const { name } of rows) outcome.set(name, ErrorCode.LEADER_NOT_AVAILABLE);
    }
    return outcome;
  }

  assignReplicasToDirs(
    request: AssignReplicasToDirsRequest,
  ): Promise<AssignReplicasToDirsResponse> {
    return this.#options.channel.send(AssignReplicasToDirsApi, 0, request, {
      timeoutMs: ASSIGNMENT_TIMEOUT_MS,
      isRepeatable: true,
    });
  }

  async allocateProducerIds(): Promise<ProducerIdBlock> {
    const { channel, nodeId, brokerEpoch } = this.#options;
    const request = makeAllocateProducerIdsRequest({
      brokerId: nodeId,
      brokerEpoch: brokerEpoch(),
    });
    const answer = await channel.send(AllocateProducerIdsApi, 0, request, {
      timeoutMs: PRODUCER_IDS_TIMEOUT_MS,
      isRepeatable: true,
    });
    if (answer.errorCode !== ErrorCode.NONE) {
      throw new ControllerUnavailableError(answer.errorCode, "no producer ids could be had");
    }
    return { firstId: answer.producerIdStart, count: answer.producerIdLen };
  }
}

function timeoutOf(request: unknown): number {
  const isObject = typeof request === "object" && request !== null;
  if (!isObject || !("timeoutMs" in request) || typeof request.timeoutMs !== "number")
    return TIMEOUT_MS;
  // Even a request without time to spare gets its answer.
  return Math.min(Math.max(request.timeoutMs, 1_000), 120_000);
}
