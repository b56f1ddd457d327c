/**
 * The group coordinator with all its handlers, on an in-memory log and the real clock: a broker for groups without sockets.
 * Messages still pass through the codecs, and request bytes are overwritten once a handler has returned, as the transport
 * would when it reuses its buffers.
 *
 * ```ts
 * const groups = await MemoryGroups.start();
 * const speaker = await groups.connect();
 * await speaker.send(HeartbeatApi, 4, makeHeartbeatRequest({ groupId: "g" }));
 * ```
 */
import type { Clock, Random, Scheduler } from "#common/time.ts";
import { uuidFromBytes } from "#common/uuid.ts";
import {
  GROUP_COORDINATOR_DEFAULTS,
  GROUP_SETTINGS_DEFAULTS,
  type GroupCoordinatorConfig,
} from "#coordinator/group/config.ts";
import {
  createGroupCoordinator,
  type GroupCoordinator,
  OFFSETS_TOPIC,
  type TopicLookup,
} from "#coordinator/group/group-coordinator.ts";
import type { ApiMessages } from "#protocol/api.ts";
import { Reader } from "#protocol/codec/reader.ts";
import { Writer } from "#protocol/codec/writer.ts";
import { createConsumerGroupDescribeHandler } from "#server/handlers/consumer-group-describe.ts";
import { createConsumerGroupHeartbeatHandler } from "#server/handlers/consumer-group-heartbeat.ts";
import { createDeleteGroupsHandler } from "#server/handlers/delete-groups.ts";
import { createDescribeGroupsHandler } from "#server/handlers/describe-groups.ts";
import { createFindCoordinatorHandler } from "#server/handlers/find-coordinator.ts";
import { createHeartbeatHandler } from "#server/handlers/heartbeat.ts";
import { createJoinGroupHandler } from "#server/handlers/join-group.ts";
import { createLeaveGroupHandler } from "#server/handlers/leave-group.ts";
import { createListGroupsHandler } from "#server/handlers/list-groups.ts";
import { createOffsetCommitHandler } from "#server/handlers/offset-commit.ts";
import { createOffsetDeleteHandler } from "#server/handlers/offset-delete.ts";
import { createOffsetFetchHandler } from "#server/handlers/offset-fetch.ts";
import { createSyncGroupHandler } from "#server/handlers/sync-group.ts";
import type { ApiHandler, RequestContext } from "#server/handler.ts";
import { MemoryInternalTopic } from "./memory-log.ts";
import { xxh3 } from "./consumer-group-ports.ts";

type AnyHandler = ApiHandler<unknown, unknown>;

/** What may be replaced when a coordinator is started. */
export interface MemoryGroupsOptions {
  readonly config?: Partial<GroupCoordinatorConfig>;
  readonly log?: MemoryInternalTopic;
  readonly topic?: string;
  readonly clock?: Clock;
  readonly scheduler?: Scheduler;
  readonly random?: Random;
}

/** A coordinator, its handlers, and one topic with two partitions. */
export class MemoryGroups {
  readonly topic: string;
  readonly topicId: string = "c2x1aWNlLXRvcGljLTEyMw";
  readonly log: MemoryInternalTopic;
  readonly coordinator: GroupCoordinator;
  readonly #handlers = new Map<number, AnyHandler>();
  #hasOffsetsTopic = false;

  private constructor(options: MemoryGroupsOptions) {
    this.topic = options.topic ?? "memory-topic";
    const config = { ...GROUP_COORDINATOR_DEFAULTS, ...options.config };
    this.log = options.log ?? new MemoryInternalTopic();
    const topics: TopicLookup = {
      nameOf: (id) => (id === this.topicId ? this.topic : undefined),
      idOf: (name) => (name === this.topic ? this.topicId : undefined),
      partitionCount: (name) => {
        if (name === this.topic) return 2;
        const isThere = name === OFFSETS_TOPIC && this.#hasOffsetsTopic;
        return isThere ? config.offsetsTopicNumPartitions : undefined;
      },
      names: () => [this.topic],
      racks: () => [],
      version: () => 1,
      topicsVersion: () => 1,
      creationVersion: () => 1,
    };
    const groups = createGroupCoordinator({
      config,
      groupSettings: () => GROUP_SETTINGS_DEFAULTS,
      writer: this.log,
      loader: this.log,
      topics,
      xxh3,
      clock: options.clock ?? REAL_CLOCK,
      scheduler: options.scheduler ?? REAL_SCHEDULER,
      random: options.random ?? REAL_RANDOM,
      onCompactionFailed: () => {},
      ensureOffsetsTopic: async () => {
        const all = Array.from({ length: config.offsetsTopicNumPartitions }, (_, index) => index);
        await Promise.all(all.map((partition) => groups.load(partition, 0)));
        this.#hasOffsetsTopic = true;
      },
    });
    this.coordinator = groups;
    const thisBroker = (): { nodeId: number; host: string; port: number } => ({
      nodeId: 1,
      host: "127.0.0.1",
      port: 9092,
    });
    const handlers = [
      createFindCoordinatorHandler({
        groups,
        leaderFor: thisBroker,
        coordinatesTransactions: false,
      }),
      createJoinGroupHandler({ groups }),
      createSyncGroupHandler({ groups }),
      createHeartbeatHandler({ groups }),
      createLeaveGroupHandler({ groups }),
      createOffsetCommitHandler({ groups, topics }),
      createOffsetFetchHandler({ groups, topics }),
      createDescribeGroupsHandler({ groups }),
      createListGroupsHandler({ groups }),
      createConsumerGroupHeartbeatHandler({ groups, isEnabled: () => true }),
      createConsumerGroupDescribeHandler({ groups, isEnabled: () => true }),
      createDeleteGroupsHandler({ groups }),
      createOffsetDeleteHandler({ groups, topics }),
    ] as readonly unknown[] as AnyHandler[];
    for (const handler of handlers) this.#handlers.set(handler.api.key, handler);
  }

  /** Starts a coordinator whose internal topic exists and is loaded. */
  static async start(options: MemoryGroupsOptions = {}): Promise<MemoryGroups> {
    const groups = new MemoryGroups(options);
    groups.coordinator.start();
    await groups.coordinator.ensureReady();
    return groups;
  }

  /** A coordinator that was started but has no internal topic yet. */
  static startBare(options: MemoryGroupsOptions = {}): MemoryGroups {
    const groups = new MemoryGroups(options);
    groups.coordinator.start();
    return groups;
  }

  connect(): Promise<this> {
    return Promise.resolve(this);
  }

  /** Encodes a request, has it handled, and returns the answer as a client would decode it. */
  async send<Req, Res>(api: ApiMessages<Req, Res>, version: number, request: Req): Promise<Res> {
    const handler = this.#handlers.get(api.key);
    if (handler === undefined) throw new Error(`${api.name} is not served`);
    if (version < handler.minVersion || version > handler.maxVersion) {
      throw new Error(`${api.name} v${version} is not served`);
    }
    const writer = new Writer();
    api.request.encode(writer, request, version);
    const frame = writer.toBytes();
    const decoded = api.request.decode(new Reader(frame), version);
    const answer = handler.handle(decoded, contextOf(api.key, version));
    if (handler.isFrameReleased === true) frame.fill(0xee);
    const body = new Writer();
    api.response.encode(body, (await answer) as Res, version);
    const reader = new Reader(body.toBytes());
    const response = api.response.decode(reader, version);
    if (reader.failure !== null) throw new Error(reader.failure);
    return response;
  }
}

function contextOf(apiKey: number, apiVersion: number): RequestContext {
  return {
    apiKey,
    apiVersion,
    correlationId: 1,
    clientId: "differential",
    connection: {
      id: 1,
      listenerName: "PLAINTEXT",
      localHost: "127.0.0.1",
      localPort: 9092,
      clientHost: "127.0.0.1",
      clientPort: 50000,
      clientSoftwareName: "unknown",
      clientSoftwareVersion: "unknown",
      peerNodeId: -1,
    },
    receivedMonotonicMs: 0,
  };
}

const REAL_CLOCK: Clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() };

const REAL_SCHEDULER: Scheduler = {
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

const REAL_RANDOM: Random = {
  next: () => Math.random(),
  uuid: () => uuidFromBytes(crypto.getRandomValues(new Uint8Array(16)), 0),
};
