/**
 * The broker of a cluster node: takes its metadata from the quorum, registers with the controller, serves once it is let, and goes in
 * order. A node by itself has none of this.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { AutoJoin } from "#cluster/auto-join.ts";
import { BrokerLifecycle } from "#cluster/broker-lifecycle.ts";
import type { ControllerChannel } from "#cluster/controller-channel.ts";
import { LifecycleDriver } from "#cluster/lifecycle-driver.ts";
import { assert } from "#common/assert.ts";
import { ErrorCode, errorInfo } from "#common/error-code.ts";
import type { Logger } from "#common/logger.ts";
import type { BrokerSettings } from "#config/broker-settings.ts";
import type { ClusterSettings } from "#config/cluster-settings.ts";
import type { BrokerConfig } from "#config/broker-config.ts";
import type { Controller } from "#controller/controller.ts";
import { SUPPORTED_FEATURES } from "#controller/registration.ts";
import {
  type BrokerEndpointImage,
  type ClusterImage,
  liveBrokers,
} from "#metadata/cluster-image.ts";
import {
  type BrokerRegistrationRequest,
  makeBrokerRegistrationRequest,
} from "#protocol/generated/broker-registration.ts";
import { Dispatcher } from "#server/dispatcher.ts";
import { ReplyEncoder, type SliceSource } from "#server/reply-encoder.ts";
import { featureState } from "./handlers.ts";
import { type ControllerAccess, ForwardedController } from "./forwarding.ts";
import type { ConfigChanger } from "./config-router.ts";
import { addControllerHandlers } from "./controller-table.ts";
import type { RequestLog } from "./request-log.ts";
import { type ClusterNode, reachableHost } from "./cluster-node.ts";
import type { CordonedDirectories } from "./cordoned-directories.ts";
import type { DirectoryWatch } from "./directory-watch.ts";
import { RAFT_DIRECTORY } from "./quorum-formation.ts";
import { BrokerStartError } from "./start-error.ts";
import { SYSTEM_CLOCK, SYSTEM_SCHEDULER } from "./system-ports.ts";

/** Longest time a broker that stops waits for what it leads to move. */
const LEAVE_TIMEOUT_MS = 8_000;
/** Longest time it then waits for another node to take over as controller. */
const TURN_TIMEOUT_MS = 1_000;
const TOPIC_SEEN_TIMEOUT_MS = 5_000;
const LOOK_MS = 10;

/**
 * A node that is in a cluster has left its own metadata log behind.
 *
 * @throws BrokerStartError CLUSTER_MEMBER when it is started as if it were alone.
 */
export function requireNoMember(settings: BrokerSettings): void {
  if (settings.sluiceInMemory || !existsSync(join(settings.metadataLogDir, RAFT_DIRECTORY))) return;
  throw new BrokerStartError(
    "CLUSTER_MEMBER",
    `${settings.metadataLogDir} belongs to a node of a cluster; controller.quorum.voters must name the quorum`,
  );
}

/** What the broker of a cluster is made of. */
export interface ClusterBrokerOptions {
  readonly node: ClusterNode;
  readonly settings: BrokerSettings;
  readonly cluster: ClusterSettings;
  readonly controller: Controller;
  readonly requestLog: RequestLog;
  readonly endpoints: readonly BrokerEndpointImage[];
  /** Directory ids of log directories that work. */
  readonly logDirs: readonly string[];
  /** Epoch of the life before, if that closed its logs in order; -1 otherwise. */
  readonly closedBrokerEpoch: number;
  readonly directories: Pick<DirectoryWatch, "failed" | "hasRoom">;
  readonly cordons: Pick<CordonedDirectories, "told">;
  readonly logger: Logger;
  readonly onFatal: (error: unknown) => void;
}

/** See the head of the file. */
export class ClusterBroker {
  readonly node: ClusterNode;
  /** For what the broker asks for by itself and for what it passes on; heartbeats have a channel of their own. */
  readonly requests: ControllerChannel;
  readonly #lifecycle: BrokerLifecycle;
  readonly #driver: LifecycleDriver;
  readonly #options: ClusterBrokerOptions;
  #autoJoin: AutoJoin | null = null;
  /** What the controller last said to a registration. */
  #registrationError = 0;

  constructor(options: ClusterBrokerOptions) {
    const { node, cluster, logger } = options;
    this.#options = options;
    this.node = node;
    this.requests = node.openChannel();
    this.#lifecycle = new BrokerLifecycle({
      closedBrokerEpoch: options.closedBrokerEpoch,
      registrationTimeoutMs: cluster.initialBrokerRegistrationTimeoutMs,
      heartbeatIntervalMs: cluster.brokerHeartbeatIntervalMs,
      leaveTimeoutMs: LEAVE_TIMEOUT_MS,
    });
    this.#driver = new LifecycleDriver({
      lifecycle: this.#lifecycle,
      channel: node.openChannel(),
      clock: SYSTEM_CLOCK,
      scheduler: SYSTEM_SCHEDULER,
      registration: this.#registration(),
      metadataOffset: () => node.metadata.image.offset,
      offlineLogDirs: () => options.directories.failed,
      cordonedLogDirs: () => options.cordons.told,
      hasRoom: () => options.directories.hasRoom || this.#isLast(),
      onChange: () => {},
      onRefused: (errorCode) => {
        // Told once for each reason: it is asked again some times a second.
        if (errorCode === this.#registrationError) return;
        this.#registrationError = errorCode;
        logger.warn("the controller does not register this broker, it is asked again", {
          error: errorInfo(errorCode).name,
        });
      },
      onFailure: options.onFatal,
    });
  }

  /** Whether no other broker is in service: then this one goes on, if only for those who read. */
  #isLast(): boolean {
    const { node, settings } = this.#options;
    return liveBrokers(node.metadata.image).every(({ id }) => id === settings.nodeId);
  }

  /** Epoch of this broker's registration; -1 before it. */
  get brokerEpoch(): number {
    return this.#lifecycle.brokerEpoch;
  }

  /** The controller as this broker's handlers reach it. */
  access(
    config: () => BrokerConfig,
    ownConfigs: ConfigChanger,
    refusing: Controller,
  ): ControllerAccess {
    const { node, settings } = this.#options;
    return new ForwardedController({
      nodeId: settings.nodeId,
      channel: this.requests,
      image: () => node.metadata.image,
      config,
      brokerEpoch: () => this.brokerEpoch,
      ownConfigs,
      refusing,
      topicSeen: (name) => this.#topicSeen(name),
    });
  }

  /**
   * Takes part in the quorum, registers, and settles when everything up to the registration is known here and published.
   *
   * @throws BrokerStartError START_ABORTED; CLUSTER_MISMATCH when the other nodes take this one for a stranger; REGISTRATION_TIMEOUT when it
   * could not register within `initial.broker.registration.timeout.ms`. RaftError.
   */
  async join(signal: AbortSignal | undefined): Promise<void> {
    const { node, settings, cluster, controller, requestLog } = this.#options;
    assert(controller.cluster !== null, "the controller of a cluster node serves a cluster");
    addControllerHandlers(node.table, {
      nodeId: settings.nodeId,
      clusterId: node.identity.clusterId,
      controller,
      cluster: controller.cluster,
      image: () => node.metadata.committed,
      features: () => featureState(node.metadata.committed),
      quorum: () => node.view(),
      voters: node.voterChanges,
      controllers: () => node.controllers(),
      onStranger: (api, connection) => node.onStranger(api, connection),
    });
    const encoder = new ReplyEncoder(NO_SLICES);
    const dispatcher = new Dispatcher(node.table, encoder, requestLog, () =>
      SYSTEM_CLOCK.monotonicMs(),
    );
    await node.start(controller, dispatcher, requestLog);
    if (cluster.isController && cluster.autoJoins) {
      this.#autoJoin = new AutoJoin({
        ...node.candidacy,
        channel: node.openChannel(),
        scheduler: SYSTEM_SCHEDULER,
        logger: this.#options.logger,
      });
    }
    if (!cluster.isBroker) return node.metadata.open();
    this.#driver.wake();
    await this.#until(signal, () => {
      const epoch = this.#lifecycle.brokerEpoch;
      return epoch >= 0 && node.metadata.committed.offset >= epoch;
    });
    await node.metadata.open();
  }

  /** Everything is published: asks to serve, and settles when this broker may. */
  async enterService(signal: AbortSignal | undefined): Promise<void> {
    const { node, settings, cluster } = this.#options;
    if (!cluster.isBroker) return;
    this.#lifecycle.onCaughtUp(SYSTEM_CLOCK.monotonicMs());
    this.#driver.wake();
    const own = (image: ClusterImage): boolean | undefined =>
      image.brokers.get(settings.nodeId)?.isFenced;
    await this.#until(signal, () => own(node.metadata.image) === false);
    await node.metadata.published();
  }

  /** Tells the controller of log directories that were cordoned, or are not any more. */
  tellCordoned(): void {
    this.#driver.wake();
  }

  /** Lets go of what this broker leads. */
  async leave(): Promise<void> {
    await this.#driver.leave(LEAVE_TIMEOUT_MS);
    await this.node.giveUpTurn(TURN_TIMEOUT_MS);
  }

  /** Ends this node's part in the cluster. */
  async stop(): Promise<void> {
    this.#autoJoin?.stop();
    this.#driver.stop();
    this.requests.close();
    await this.node.stop();
  }

  /** Settles when a topic is published here, or after a while. */
  async #topicSeen(name: string): Promise<void> {
    const { metadata } = this.node;
    const untilMs = SYSTEM_CLOCK.monotonicMs() + TOPIC_SEEN_TIMEOUT_MS;
    while (!metadata.image.topicsByName.has(name) && SYSTEM_CLOCK.monotonicMs() < untilMs)
      await sleep(LOOK_MS);
    await metadata.published();
  }

  #registration(): BrokerRegistrationRequest {
    const { node, settings, endpoints, logDirs } = this.#options;
    return makeBrokerRegistrationRequest({
      brokerId: settings.nodeId,
      clusterId: node.identity.clusterId,
      incarnationId: node.identity.incarnationId,
      listeners: endpoints.map(({ name, host, port, securityProtocol }) => ({
        name,
        host: reachableHost(host),
        port,
        securityProtocol,
      })),
      features: SUPPORTED_FEATURES.map(({ name, min, max }) => ({
        name,
        minSupportedVersion: min,
        maxSupportedVersion: max,
      })),
      rack: settings.brokerRack,
      logDirs: [...logDirs],
    });
  }

  async #until(signal: AbortSignal | undefined, isReached: () => boolean): Promise<void> {
    while (!isReached()) {
      if (signal?.aborted === true)
        throw new BrokerStartError("START_ABORTED", "stopped while it started");
      const { refusal } = this.node;
      if (refusal !== null)
        throw new BrokerStartError("CLUSTER_MISMATCH", refusal.message, refusal);
      if (this.#lifecycle.isOverdue(SYSTEM_CLOCK.monotonicMs()))
        throw new BrokerStartError("REGISTRATION_TIMEOUT", this.#overdueMessage());
      await sleep(LOOK_MS);
    }
  }

  /** Why this broker is not registered, as far as it can be known. */
  #overdueMessage(): string {
    const { node, settings, cluster } = this.#options;
    const { nodeId } = settings;
    const isTaken = [this.#registrationError, node.lastRefusal?.errorCode].includes(
      ErrorCode.DUPLICATE_BROKER_REGISTRATION,
    );
    const why = isTaken
      ? `another process serves as node ${nodeId} (DUPLICATE_BROKER_REGISTRATION)`
      : this.#registrationError !== ErrorCode.NONE
        ? `the controller answers ${errorInfo(this.#registrationError).name}`
        : node.lastRefusal !== null
          ? node.lastRefusal.message
          : `no active controller can be reached (${cluster.quorumText})`;
    const limit = `initial.broker.registration.timeout.ms=${cluster.initialBrokerRegistrationTimeoutMs}`;
    return `broker ${nodeId} could not register with the cluster in time (${limit}): ${why}`;
  }
}

/** The controller's answers have no records. */
const NO_SLICES: SliceSource = { planCopy: () => 0, planDrop: () => {} };

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    SYSTEM_SCHEDULER.after(delayMs, resolve);
  });
}
