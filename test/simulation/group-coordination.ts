/**
 * The group coordinator of a simulated node: production's, over production's adapter to the log, on the node's simulated disk. It serves while
 * its node leads the one partition of `__consumer_offsets`.
 */
import { createLogger, type Logger } from "#common/logger.ts";
import type { MaybePromise } from "#common/maybe-promise.ts";
import type { Random } from "#common/time.ts";
import { GROUP_COORDINATOR_DEFAULTS, GROUP_SETTINGS_DEFAULTS } from "#coordinator/group/config.ts";
import {
  createGroupCoordinator,
  type GroupCoordinator,
  OFFSETS_TOPIC,
} from "#coordinator/group/group-coordinator.ts";
import type { PartitionWriter } from "#coordinator/runtime/ports.ts";
import { nativeCodecs } from "#log/native-log.ts";
import type { MetadataPublisher } from "#metadata/metadata-loader.ts";
import { CoordinatorLog, type InternalPartition } from "#broker/coordinator-log.ts";
import { groupPublisher, loadGroups } from "#broker/group-publisher.ts";
import { GroupTopics } from "#broker/group-topics.ts";
import type { ReplicaManager } from "#replica/replica-manager.ts";
import type { SimulatedStore } from "./disk.ts";
import type { Plan } from "./faults.ts";
import type { Machine, World } from "./world.ts";

/** What a client asks of the coordinator: the request is the call that it becomes. */
export interface GroupRequest {
  readonly kind: "group";
  readonly call: (groups: GroupCoordinator) => MaybePromise<unknown>;
}

/** What it works with. */
export interface GroupCoordinationOptions {
  readonly world: World;
  readonly machine: Machine;
  readonly plan: Plan;
  readonly store: SimulatedStore;
  readonly replicas: ReplicaManager;
  readonly random: Random;
  readonly find: (partition: number) => InternalPartition | undefined;
}

const CONFIG = {
  ...GROUP_COORDINATOR_DEFAULTS,
  groupInitialRebalanceDelayMs: 100,
  groupMinSessionTimeoutMs: 100,
  offsetsTopicNumPartitions: 1,
  offsetsCommitTimeoutMs: 1000,
};

/** See the head of the file. */
export class GroupCoordination {
  /** In the order in which they are to be told of metadata. */
  readonly publishers: readonly MetadataPublisher[];
  readonly #groups: GroupCoordinator;
  readonly #logger: Logger;

  constructor({ world, machine, plan, store, replicas, random, find }: GroupCoordinationOptions) {
    const topics = new GroupTopics();
    const log = new CoordinatorLog({
      topic: OFFSETS_TOPIC,
      find,
      maxMessageBytes: () => undefined,
      replicas,
      log: store,
      decompressor: nativeCodecs,
      clock: machine,
      scheduler: machine,
      giveWay: () => new Promise((resolve) => void machine.after(0.01, resolve)),
    });
    this.#groups = createGroupCoordinator({
      config: CONFIG,
      groupSettings: () => GROUP_SETTINGS_DEFAULTS,
      writer: plan.switchedOff.includes("commits-wait") ? hasty(log) : log,
      loader: log,
      topics,
      xxh3: (bytes) => Bun.hash.xxHash3(bytes),
      clock: machine,
      scheduler: machine,
      random,
      onCompactionFailed: (_, error) => world.fail(error),
      ensureOffsetsTopic: () => Promise.resolve(),
    });
    this.#logger = createLogger("error", (_, message, fields) =>
      world.trace(`node ${machine.id} logs ${message} ${JSON.stringify(fields)}`),
    );
    this.publishers = [topics, groupPublisher(this.#groups, machine.id, this.#logger)];
    this.#groups.start();
  }

  /** The log of a partition that this node leads is there at last. */
  load(partition: number, leaderEpoch: number): void {
    loadGroups(this.#groups, partition, leaderEpoch, this.#logger);
  }

  serve({ call }: GroupRequest): Promise<unknown> {
    return Promise.resolve(call(this.#groups));
  }
}

/** A log that says of everything at once that it is committed. */
function hasty(log: CoordinatorLog): PartitionWriter {
  return {
    append: (partition, batch) => {
      const appended = log.append(partition, batch);
      if (typeof appended === "number") return appended;
      // What becomes of it is nobody's business any more.
      appended.catch(() => {});
      return 0;
    },
    maxBatchBytes: (partition) => log.maxBatchBytes(partition),
  };
}
