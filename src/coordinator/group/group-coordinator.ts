/**
 * The group coordinator as the request handlers see it: one method for each thing a client can ask, answers always with
 * error codes, never exceptions.
 *
 * It checks what needs no state (ids, ranges), finds the partition that coordinates the group, and runs the operation there.
 * Which versions carry which fields is the handlers' business.
 */
import { ErrorCode } from "#common/error-code.ts";
import { type MaybePromise, whenKnown } from "#common/maybe-promise.ts";
import type { Clock, Random, Scheduler } from "#common/time.ts";
import { UUID_BYTES, uuidToBytes } from "#common/uuid.ts";
import type { Outcome } from "../runtime/coordinator-runtime.ts";
import { CoordinatorRuntime } from "../runtime/coordinator-runtime.ts";
import { coordinatorPartition } from "../runtime/java-hash.ts";
import type { PartitionLoader, PartitionWriter } from "../runtime/ports.ts";
import type { AppendToken } from "./classic/context.ts";
import { joinRefused, syncRefused } from "./classic/context.ts";
import type { GroupSettings } from "#config/group-config.ts";
import type { GroupCoordinatorConfig } from "./config.ts";
import { assignors } from "./consumer/assignor/index.ts";
import type { PatternMatcher } from "./consumer/context.ts";
import { checkHeartbeat } from "./consumer/heartbeat.ts";
import { TopicHashes, type Xxh3 } from "./consumer/topic-hashes.ts";
import { compilePattern, InvalidPatternError, matchingNames } from "./consumer/topic-pattern.ts";
import { GroupError } from "./group-error.ts";
import { consumerHeartbeatRefused } from "./consumer/operations.ts";
import { GroupShard, noConsumerGroup } from "./group-shard.ts";
import type {
  CommitInput,
  CommitOutput,
  ConsumerHeartbeatInput,
  ConsumerHeartbeatOutput,
  DeleteOffsetsInput,
  DeleteOffsetsOutput,
  DescribedConsumerGroup,
  DescribedGroup,
  FetchOffsetsInput,
  FetchOffsetsOutput,
  GroupStatistics,
  HeartbeatInput,
  JoinInput,
  JoinOutput,
  LeaveInput,
  LeaveOutput,
  ListedGroup,
  ParkedOutput,
  SyncInput,
  SyncOutput,
} from "./messages.ts";
import { decodeGroupRecord, writeGroupRecord } from "./record-codec.ts";
import type { GroupCoordinatorRecord } from "./records.ts";
import type { TopicLookup } from "./topic-lookup.ts";

export type { TopicLookup } from "./topic-lookup.ts";

/** Topic that holds groups and committed offsets. */
export const OFFSETS_TOPIC = "__consumer_offsets";

/** A log of this size is loaded in a fifth of a second. */
const COMPACTION_MIN_BYTES = 16 << 20;

/** What `createGroupCoordinator` needs; supplied by `broker/`. */
export interface GroupCoordinatorDeps {
  readonly config: GroupCoordinatorConfig;
  /** What is configured for a group at this moment, with the broker's values behind its own. Cheap enough for every heartbeat. */
  groupSettings(groupId: string): GroupSettings;
  readonly writer: PartitionWriter;
  readonly loader: PartitionLoader;
  readonly topics: TopicLookup;
  readonly xxh3: Xxh3;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  /** Bytes of a partition's log below which it is not compacted; 16 MiB where nothing is said. */
  readonly compactionMinBytes?: number;
  /** A log could not be compacted; it stays as it was. */
  onCompactionFailed(partition: number, error: unknown): void;
  /**
   * Creates `__consumer_offsets` unless it exists: `offsets.topic.num.partitions` partitions, `cleanup.policy=compact`,
   * `compression.type=producer`, `segment.bytes` from `offsets.topic.segment.bytes`. Settles when its partitions have leaders
   * and `load` was called for those of this broker.
   */
  ensureOffsetsTopic(): Promise<void>;
}

const TOPIC_PATTERNS: PatternMatcher = {
  check(pattern) {
    try {
      compilePattern(pattern);
      return null;
    } catch (error) {
      if (error instanceof InvalidPatternError) return error.message;
      throw error;
    }
  },
  match: (pattern, names) => matchingNames({ source: pattern }, names),
};

type GroupRuntime = CoordinatorRuntime<
  GroupShard,
  GroupCoordinatorRecord,
  ParkedOutput,
  AppendToken
>;

/** Makes a coordinator; it serves nothing until `start`. */
export function createGroupCoordinator(deps: GroupCoordinatorDeps): GroupCoordinator {
  return new GroupCoordinator(deps);
}

/** Coordinates classic consumer groups and their committed offsets. */
export class GroupCoordinator {
  readonly #deps: GroupCoordinatorDeps;
  readonly #runtime: GroupRuntime;
  #partitionCount: number;
  #isStarted = false;
  #committedOffsetsCount = 0;
  #creation: Promise<void> | null = null;

  constructor(deps: GroupCoordinatorDeps) {
    this.#deps = deps;
    this.#partitionCount = deps.config.offsetsTopicNumPartitions;
    const { topics, xxh3 } = deps;
    const surroundings = {
      topics,
      patterns: TOPIC_PATTERNS,
      hashes: new TopicHashes(topics, xxh3),
      assignors,
      settings: (groupId: string) => deps.groupSettings(groupId),
    };
    this.#runtime = new CoordinatorRuntime<
      GroupShard,
      GroupCoordinatorRecord,
      ParkedOutput,
      AppendToken
    >({
      writer: deps.writer,
      loader: deps.loader,
      clock: deps.clock,
      scheduler: deps.scheduler,
      commitTimeoutMs: deps.config.offsetsCommitTimeoutMs,
      compactionMinBytes: deps.compactionMinBytes ?? COMPACTION_MIN_BYTES,
      onCompactionFailed: (partition, error) => deps.onCompactionFailed(partition, error),
      createShard: () => new GroupShard(deps.config, surroundings),
      format: {
        encode: writeGroupRecord,
        decode: decodeGroupRecord,
      },
    });
  }

  // ---- life cycle

  /** Begins to serve. The number of partitions is that of the existing topic, or the configured one. */
  start(): void {
    this.#partitionCount =
      this.#deps.topics.partitionCount(OFFSETS_TOPIC) ??
      this.#deps.config.offsetsTopicNumPartitions;
    this.#isStarted = true;
  }

  /** Stops serving: requests get COORDINATOR_NOT_AVAILABLE, parked ones are answered. */
  stop(): void {
    this.#isStarted = false;
    for (const partition of this.#runtime.partitions()) this.#runtime.unload(partition);
  }

  /** This broker leads a partition of `__consumer_offsets`; settles when it is loaded, rejects when it can't be. */
  load(partition: number, leaderEpoch: number): Promise<void> {
    return this.#runtime.load(partition, leaderEpoch);
  }

  /** This broker no longer leads a partition of `__consumer_offsets`. */
  unload(partition: number): void {
    this.#runtime.unload(partition);
  }

  /** Topics were deleted from the cluster: their offsets go too. */
  onTopicsDeleted(names: ReadonlySet<string>): void {
    for (const partition of this.#runtime.partitions()) {
      void this.#runtime.write(partition, (shard, step) => shard.onTopicsDeleted(step, names));
    }
  }

  /** Partition of `__consumer_offsets` that coordinates a group. */
  partitionFor(groupId: string): number {
    return coordinatorPartition(groupId, this.#partitionCount);
  }

  /**
   * Makes sure that groups can be coordinated at all.
   *
   * @returns NONE, or COORDINATOR_NOT_AVAILABLE when the topic can't be created now.
   */
  ensureReady(): number | Promise<number> {
    if (!this.#isStarted) return ErrorCode.COORDINATOR_NOT_AVAILABLE;
    if (this.#deps.topics.partitionCount(OFFSETS_TOPIC) !== undefined) return ErrorCode.NONE;
    this.#creation ??= this.#deps.ensureOffsetsTopic().finally(() => {
      this.#creation = null;
    });
    return this.#creation.then(
      () => ErrorCode.NONE,
      () => ErrorCode.COORDINATOR_NOT_AVAILABLE,
    );
  }

  /** Relations that must hold between operations; throws when one does not. Slow; for tests. */
  checkInvariants(): void {
    for (const partition of this.#runtime.partitions()) {
      this.#runtime.read(partition, (shard) => shard.checkInvariants());
    }
  }

  // ---- members

  /** JoinGroup. Settles when the rebalance completes. */
  async joinGroup(input: Omit<JoinInput, "waiter" | "freshId">): Promise<JoinOutput> {
    const { groupId, memberId, sessionTimeoutMs } = input;
    const { groupMinSessionTimeoutMs, groupMaxSessionTimeoutMs } = this.#deps.config;
    if (!this.#isStarted) return joinRefused(memberId, ErrorCode.COORDINATOR_NOT_AVAILABLE);
    if (groupId === "") return joinRefused(memberId, ErrorCode.INVALID_GROUP_ID);
    if (
      sessionTimeoutMs < groupMinSessionTimeoutMs ||
      sessionTimeoutMs > groupMaxSessionTimeoutMs
    ) {
      return joinRefused(memberId, ErrorCode.INVALID_SESSION_TIMEOUT);
    }
    const freshId = javaUuid(this.#deps.random.uuid());
    const outcome = await this.#runtime.park(this.partitionFor(groupId), (shard, step, waiter) => {
      shard.join(step, { ...input, freshId, waiter });
    });
    if (outcome.kind === "failed") return joinRefused(memberId, outcome.errorCode);
    return outcome.output.api === "join"
      ? outcome.output
      : joinRefused(memberId, ErrorCode.UNKNOWN_SERVER_ERROR);
  }

  /** SyncGroup. Settles when the leader's assignment is stored. */
  async syncGroup(input: Omit<SyncInput, "waiter">): Promise<SyncOutput> {
    const { groupId } = input;
    if (!this.#isStarted) return syncRefused(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    if (groupId === "") return syncRefused(ErrorCode.INVALID_GROUP_ID);
    const outcome = await this.#runtime.park(this.partitionFor(groupId), (shard, step, waiter) => {
      shard.sync(step, { ...input, waiter });
    });
    if (outcome.kind === "failed") return syncRefused(outcome.errorCode);
    return outcome.output.api === "sync"
      ? outcome.output
      : syncRefused(ErrorCode.UNKNOWN_SERVER_ERROR);
  }

  /** Heartbeat; returns its error code. */
  heartbeat(input: HeartbeatInput): MaybePromise<number> {
    const { groupId } = input;
    if (!this.#isStarted) return ErrorCode.COORDINATOR_NOT_AVAILABLE;
    if (groupId === "") return ErrorCode.INVALID_GROUP_ID;
    const outcome = this.#runtime.write(this.partitionFor(groupId), (shard, step) =>
      shard.heartbeat(step, input),
    );
    return whenKnown(outcome, heartbeatCode);
  }

  async leaveGroup(input: LeaveInput): Promise<LeaveOutput> {
    const { groupId } = input;
    const refused = (errorCode: number): LeaveOutput => ({ errorCode, members: [] });
    if (!this.#isStarted) return refused(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    if (groupId === "") return refused(ErrorCode.INVALID_GROUP_ID);
    const outcome = await this.#runtime.write(this.partitionFor(groupId), (shard, step) =>
      shard.leave(step, input),
    );
    return outcome.kind === "done" ? outcome.output : refused(outcome.errorCode);
  }

  /** ConsumerGroupHeartbeat. */
  consumerHeartbeat(
    input: Omit<ConsumerHeartbeatInput, "freshId">,
  ): MaybePromise<ConsumerHeartbeatOutput> {
    if (!this.#isStarted) return consumerHeartbeatFailed(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    try {
      checkHeartbeat(input, this.#deps.config.groupConsumerAssignors);
    } catch (error) {
      if (error instanceof GroupError) return consumerHeartbeatRefused(error);
      throw error;
    }
    const freshId = input.memberId === "" ? this.#deps.random.uuid() : "";
    const outcome = this.#runtime.write(this.partitionFor(input.groupId), (shard, step) =>
      shard.consumerHeartbeat(step, { ...input, freshId }),
    );
    return whenKnown(outcome, (settled) =>
      settled.kind === "done" ? settled.output : consumerHeartbeatFailed(settled.errorCode),
    );
  }

  // ---- offsets

  /** Commits offsets; settles when they are in the log. The empty group id is as good as any other here. */
  commitOffsets(input: CommitInput): MaybePromise<CommitOutput> {
    if (!this.#isStarted) return { errorCode: ErrorCode.COORDINATOR_NOT_AVAILABLE, topics: [] };
    const outcome = this.#runtime.write(this.partitionFor(input.groupId), (shard, step) =>
      shard.commitOffsets(step, input),
    );
    return whenKnown(outcome, (settled) => this.#committed(settled));
  }

  #committed(outcome: Outcome<CommitOutput>): CommitOutput {
    if (outcome.kind !== "done") return { errorCode: outcome.errorCode, topics: [] };
    for (const { partitions } of outcome.output.topics) {
      for (const { errorCode } of partitions) {
        if (errorCode === ErrorCode.NONE) this.#committedOffsetsCount++;
      }
    }
    return outcome.output;
  }

  /**
   * Reads committed offsets.
   *
   * @param isStable - wait for commits under way instead of answering what was committed before them (KIP-447).
   */
  async fetchOffsets(input: FetchOffsetsInput, isStable: boolean): Promise<FetchOffsetsOutput> {
    const { groupId } = input;
    const refused = (errorCode: number): FetchOffsetsOutput => ({ groupId, errorCode, topics: [] });
    if (!this.#isStarted) return refused(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    const partition = this.partitionFor(groupId);
    const outcome: Outcome<FetchOffsetsOutput> = isStable
      ? await this.#runtime.write(partition, (shard) => shard.fetchOffsets(input, "newest"))
      : this.#runtime.read(partition, (shard) => shard.fetchOffsets(input, "committed"));
    return outcome.kind === "done" ? outcome.output : refused(outcome.errorCode);
  }

  async deleteOffsets(input: DeleteOffsetsInput): Promise<DeleteOffsetsOutput> {
    const { groupId } = input;
    if (!this.#isStarted) return { errorCode: ErrorCode.COORDINATOR_NOT_AVAILABLE, topics: [] };
    if (groupId === "") return { errorCode: ErrorCode.INVALID_GROUP_ID, topics: [] };
    const outcome = await this.#runtime.write(this.partitionFor(groupId), (shard, step) =>
      shard.deleteOffsets(step, input),
    );
    if (outcome.kind === "done") return outcome.output;
    return { errorCode: outcome.errorCode, topics: [] };
  }

  // ---- administration

  /** DescribeGroups for one group: a group that does not exist is `null`, an error its code. */
  describeGroup(groupId: string): DescribedGroup | number | null {
    if (!this.#isStarted) return ErrorCode.COORDINATOR_NOT_AVAILABLE;
    const outcome = this.#runtime.read(this.partitionFor(groupId), (shard) =>
      shard.describeGroup(groupId),
    );
    return outcome.kind === "done" ? outcome.output : outcome.errorCode;
  }

  /** ConsumerGroupDescribe for one group; what is wrong with it is part of the answer. */
  describeConsumerGroup(groupId: string): DescribedConsumerGroup {
    if (!this.#isStarted) {
      return noConsumerGroup(groupId, ErrorCode.COORDINATOR_NOT_AVAILABLE, null);
    }
    if (groupId === "") return noConsumerGroup(groupId, ErrorCode.INVALID_GROUP_ID, null);
    const outcome = this.#runtime.read(this.partitionFor(groupId), (shard) =>
      shard.describeConsumerGroup(groupId),
    );
    if (outcome.kind === "done") return outcome.output;
    return noConsumerGroup(groupId, outcome.errorCode, null);
  }

  /** All groups of this broker; an error while any partition is loading, since the list would have holes. */
  listGroups(): { errorCode: number; groups: ListedGroup[] } {
    if (!this.#isStarted) return { errorCode: ErrorCode.COORDINATOR_NOT_AVAILABLE, groups: [] };
    const groups: ListedGroup[] = [];
    for (const partition of this.#runtime.partitions()) {
      const outcome = this.#runtime.read(partition, (shard) => shard.listGroups());
      if (outcome.kind === "done") groups.push(...outcome.output);
      else if (outcome.errorCode !== ErrorCode.NOT_COORDINATOR) {
        return { errorCode: outcome.errorCode, groups: [] };
      }
    }
    return { errorCode: ErrorCode.NONE, groups };
  }

  /** Groups by state and members of all groups, as far as loaded, and the offsets committed since the start. */
  statistics(): GroupStatistics {
    const groupsByState = new Map<string, number>();
    let memberCount = 0;
    if (this.#isStarted) {
      for (const partition of this.#runtime.partitions()) {
        const outcome = this.#runtime.read(partition, (shard) => shard.countGroups());
        if (outcome.kind !== "done") continue;
        memberCount += outcome.output.memberCount;
        for (const [state, count] of outcome.output.groupsByState)
          groupsByState.set(state, (groupsByState.get(state) ?? 0) + count);
      }
    }
    return { groupsByState, memberCount, committedOffsetsCount: this.#committedOffsetsCount };
  }

  /** DeleteGroups for one group; settles when its tombstones are in the log. */
  async deleteGroup(groupId: string): Promise<number> {
    if (!this.#isStarted) return ErrorCode.COORDINATOR_NOT_AVAILABLE;
    const outcome = await this.#runtime.write(this.partitionFor(groupId), (shard, step) =>
      shard.deleteGroup(step, groupId),
    );
    return outcome.kind === "done" ? outcome.output : outcome.errorCode;
  }
}

function consumerHeartbeatFailed(errorCode: number): ConsumerHeartbeatOutput {
  return consumerHeartbeatRefused({ errorCode, message: null });
}

function heartbeatCode(outcome: Outcome<number>): number {
  if (outcome.kind === "done") return outcome.output;
  // A member must not rebalance because its coordinator is only just loading.
  const isLoading = outcome.errorCode === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS;
  return isLoading ? ErrorCode.NONE : outcome.errorCode;
}

/** An id in the form member ids have in Kafka: `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`. */
function javaUuid(id: string): string {
  const bytes = new Uint8Array(UUID_BYTES);
  uuidToBytes(id, bytes, 0);
  let hex = "";
  bytes.forEach((byte, index) => {
    if (index === 4 || index === 6 || index === 8 || index === 10) hex += "-";
    hex += byte.toString(16).padStart(2, "0");
  });
  return hex;
}
