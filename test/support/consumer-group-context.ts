/**
 * One group under test whose members speak the consumer protocol, the classic one, or take turns: clients that behave (give back what they
 * must, come back when fenced), topics that come and go, a clock that moves when told.
 *
 * ```ts
 * const group = await ConsumerGroupContext.start();
 * group.setTopic("orders", 4);
 * await group.beat("a");                                     // the first heartbeat joins
 * expect(group.takeEvents()).toEqual(["a epoch 2: orders-0 orders-1 orders-2 orders-3"]);
 * ```
 */
import type { Random } from "#common/time.ts";
import { errorInfo } from "#common/error-code.ts";
import { uuidFromBytes, ZERO_UUID } from "#common/uuid.ts";
import type { GroupSettings } from "#config/group-config.ts";
import {
  GROUP_COORDINATOR_DEFAULTS,
  GROUP_SETTINGS_DEFAULTS,
  type GroupCoordinatorConfig,
} from "#coordinator/group/config.ts";
import {
  createGroupCoordinator,
  type GroupCoordinator,
  type TopicLookup,
} from "#coordinator/group/group-coordinator.ts";
import type { DescribedConsumerGroup, JoinOutput } from "#coordinator/group/messages.ts";
import { decodeGroupRecord } from "#coordinator/group/record-codec.ts";
import { ConsumerProtocolAssignmentCodec } from "#protocol/generated/records/consumer-protocol-assignment.ts";
import { ConsumerProtocolSubscriptionCodec } from "#protocol/generated/records/consumer-protocol-subscription.ts";
import {
  decodeConsumerAssignment,
  decodeConsumerSubscription,
  encodeVersioned,
} from "#protocol/records/framing.ts";
import { xxh3 } from "./consumer-group-ports.ts";
import { ManualTime } from "./manual-time.ts";
import { MemoryInternalTopic } from "./memory-log.ts";

/** What a member wants; kept from one heartbeat to the next. */
export interface ConsumerOptions {
  readonly topics?: readonly string[];
  readonly pattern?: string;
  readonly instance?: string;
  readonly assignor?: string;
  readonly rebalanceMs?: number;
  /** Say that this is held, instead of what is. */
  readonly owns?: readonly string[];
  /** Say nothing of what is held. */
  readonly isSilent?: boolean;
  /** Send this epoch instead of the member's own. */
  readonly epoch?: number;
}

/** A client and what it believes. */
export interface Client {
  readonly name: string;
  memberId: string;
  /** Member epoch or generation; 0: must join. */
  epoch: number;
  /** `topic-partition` of all it reads. */
  owned: Set<string>;
  /** What was said last of what is held; `null`: nothing since the join. */
  told: string | null;
  options: ConsumerOptions;
}

const GROUP_ID = "group";
const OFFSETS_PARTITION = 0;

export class ConsumerGroupContext {
  readonly time: ManualTime = new ManualTime(1_000_000);
  readonly log: MemoryInternalTopic = new MemoryInternalTopic();
  readonly clients: Map<string, Client> = new Map();
  readonly topics: Map<string, { readonly id: string; partitionCount: number }> = new Map();
  /** Taken by the next coordinator: `restart` after a change. */
  compactionMinBytes: number = Number.MAX_SAFE_INTEGER;
  coordinator: GroupCoordinator;
  readonly #config: GroupCoordinatorConfig;
  readonly #settings: GroupSettings;
  readonly #random: Random = countingRandom();
  #topicsVersion = 1;
  #creationVersion = 1;
  #recordCount = 0;
  #events: string[] = [];

  private constructor(config: Partial<GroupCoordinatorConfig>, settings: Partial<GroupSettings>) {
    this.#config = {
      ...GROUP_COORDINATOR_DEFAULTS,
      offsetsTopicNumPartitions: 1,
      groupInitialRebalanceDelayMs: 0,
      ...config,
    };
    this.#settings = { ...GROUP_SETTINGS_DEFAULTS, ...settings };
    this.coordinator = this.#newCoordinator();
  }

  /** A context whose coordinator is loaded. */
  static async start(
    config: Partial<GroupCoordinatorConfig> = {},
    settings: Partial<GroupSettings> = {},
  ): Promise<ConsumerGroupContext> {
    const context = new ConsumerGroupContext(config, settings);
    await context.#load();
    return context;
  }

  // ---- the cluster

  /** Creates a topic, or gives it more partitions. */
  setTopic(name: string, partitionCount: number): void {
    this.#topicsVersion += 1;
    const known = this.topics.get(name);
    if (known !== undefined) {
      known.partitionCount = partitionCount;
      return;
    }
    this.#creationVersion = this.#topicsVersion;
    this.topics.set(name, { id: this.#random.uuid(), partitionCount });
  }

  deleteTopic(name: string): void {
    this.#topicsVersion += 1;
    this.topics.delete(name);
    for (const { owned } of this.clients.values()) {
      for (const row of owned) if (row.replace(/-\d+$/, "") === name) owned.delete(row);
    }
    this.coordinator.onTopicsDeleted(new Set([name]));
  }

  // ---- members of the consumer protocol

  /** Sends the next heartbeat of a member: the first one, and the one after it was fenced, joins. */
  async beat(name: string, options: ConsumerOptions = {}): Promise<number> {
    const client = this.#client(name, options);
    const { topics, pattern, instance, assignor, rebalanceMs } = client.options;
    const isJoining = (options.epoch ?? client.epoch) === 0;
    const holds = options.owns ?? [...client.owned].sort();
    const isToldAnew = client.told !== holds.join(" ") || options.owns !== undefined;
    const isSubscriptionSent =
      isJoining || options.topics !== undefined || options.pattern !== undefined;
    const names = topics ?? (pattern === undefined ? ["orders"] : []);
    const output = await this.coordinator.consumerHeartbeat({
      groupId: GROUP_ID,
      memberId: client.memberId,
      memberEpoch: options.epoch ?? client.epoch,
      instanceId: instance ?? null,
      rackId: null,
      rebalanceTimeoutMs: isJoining ? (rebalanceMs ?? 60_000) : -1,
      subscribedTopicNames: isSubscriptionSent ? names : null,
      subscribedTopicRegex: isSubscriptionSent ? (pattern ?? "") : null,
      serverAssignor: assignor ?? null,
      topicPartitions: isJoining
        ? []
        : isToldAnew && options.isSilent !== true
          ? this.#byTopic(holds)
          : null,
      isMemberIdRequired: true,
      caller: { clientId: name, clientHost: "/127.0.0.1" },
    });
    if (output.errorCode !== 0) {
      this.#event(`${name}: ${errorInfo(output.errorCode).name}`);
      const isFenced =
        output.errorCode === 110 || output.errorCode === 25 || output.errorCode === 69;
      if (isFenced && options.epoch === undefined) this.#forget(client);
      return output.errorCode;
    }
    if (options.isSilent !== true) client.told = isJoining ? "" : holds.join(" ");
    client.epoch = output.memberEpoch;
    if (output.assignment !== null) {
      client.owned = new Set(this.#named(output.assignment.topicPartitions));
    }
    const told = output.assignment === null ? "" : `: ${[...client.owned].join(" ") || "nothing"}`;
    this.#event(`${name} epoch ${output.memberEpoch}${told}`);
    return 0;
  }

  /** Leaves for good, or for now as a static member does. */
  async leave(name: string, isBackSoon = false): Promise<number> {
    const client = this.#client(name, {});
    const output = await this.coordinator.consumerHeartbeat({
      groupId: GROUP_ID,
      memberId: client.memberId,
      memberEpoch: isBackSoon ? -2 : -1,
      instanceId: client.options.instance ?? null,
      rackId: null,
      rebalanceTimeoutMs: -1,
      subscribedTopicNames: null,
      subscribedTopicRegex: null,
      serverAssignor: null,
      topicPartitions: null,
      isMemberIdRequired: true,
      caller: { clientId: name, clientHost: "/127.0.0.1" },
    });
    this.#event(`${name} leaves: ${errorInfo(output.errorCode).name}`);
    this.#forget(client);
    if (isBackSoon) client.memberId = this.#newId(name);
    return output.errorCode;
  }

  // ---- members of the classic protocol

  /** JoinGroup and, when that worked, SyncGroup, with the leader's duty where there is one. */
  async classicJoin(name: string, options: ConsumerOptions = {}): Promise<number> {
    const client = this.#client(name, options);
    const isKnown = client.epoch !== 0;
    const join = (memberId: string): Promise<JoinOutput> =>
      this.coordinator.joinGroup({
        groupId: GROUP_ID,
        memberId,
        sessionTimeoutMs: 10_000,
        rebalanceTimeoutMs: client.options.rebalanceMs ?? 60_000,
        groupInstanceId: client.options.instance ?? null,
        protocolType: "consumer",
        protocols: [{ name: "range", metadata: this.#subscription(client) }],
        isMemberIdRequired: true,
        canSkipAssignment: true,
        caller: { clientId: name, clientHost: "/127.0.0.1" },
      });
    let joined = await join(isKnown ? client.memberId : "");
    if (joined.errorCode === 79) joined = await join(joined.memberId);
    if (joined.errorCode !== 0) {
      this.#event(`${name} joins: ${errorInfo(joined.errorCode).name}`);
      if (joined.errorCode === 25) this.#forget(client);
      return joined.errorCode;
    }
    client.memberId = joined.memberId;
    client.epoch = joined.generationId;
    const synced = await this.coordinator.syncGroup({
      groupId: GROUP_ID,
      memberId: joined.memberId,
      generationId: joined.generationId,
      groupInstanceId: client.options.instance ?? null,
      protocolType: "consumer",
      protocolName: "range",
      assignments: this.#divide(joined),
    });
    if (synced.errorCode !== 0) {
      this.#event(`${name} syncs: ${errorInfo(synced.errorCode).name}`);
      // What it had before is not its any more.
      client.owned = new Set();
      if (synced.errorCode === 25) this.#forget(client);
      return synced.errorCode;
    }
    const assignment = decodeConsumerAssignment(synced.assignment);
    const rows = assignment.kind === "record" ? assignment.record.assignedPartitions : [];
    client.owned = new Set(
      rows.flatMap(({ topic, partitions }) => partitions.map((p) => `${topic}-${p}`)),
    );
    this.#event(`${name} generation ${client.epoch}: ${[...client.owned].join(" ") || "nothing"}`);
    return 0;
  }

  async classicBeat(name: string): Promise<number> {
    const client = this.#client(name, {});
    const errorCode = await this.coordinator.heartbeat({
      groupId: GROUP_ID,
      memberId: client.memberId,
      generationId: client.epoch,
      groupInstanceId: client.options.instance ?? null,
    });
    this.#event(`${name} beats: ${errorInfo(errorCode).name}`);
    if (errorCode === 25 || errorCode === 22) this.#forget(client);
    return errorCode;
  }

  async classicLeave(name: string): Promise<number> {
    const client = this.#client(name, {});
    const groupInstanceId = client.options.instance ?? null;
    const members = [{ memberId: client.memberId, groupInstanceId }];
    const output = await this.coordinator.leaveGroup({ groupId: GROUP_ID, members });
    const errorCode = output.members[0]?.errorCode ?? output.errorCode;
    this.#event(`${name} leaves: ${errorInfo(errorCode).name}`);
    this.#forget(client);
    return errorCode;
  }

  // ---- offsets

  /** Commits 7 to a partition, as a member or as nobody. */
  async commit(name: string | null, row: string, epoch?: number): Promise<number> {
    const client = name === null ? null : this.#client(name, {});
    const [, topic = "", partition = ""] = /^(.+)-(\d+)$/.exec(row) ?? [];
    const output = await this.coordinator.commitOffsets({
      groupId: GROUP_ID,
      generationIdOrMemberEpoch: epoch ?? client?.epoch ?? -1,
      memberId: client?.memberId ?? "",
      groupInstanceId: client?.options.instance ?? null,
      retentionTimeMs: -1,
      isUnknownGroupNamed: true,
      topics: [
        {
          name: topic,
          topicId: this.topics.get(topic)?.id ?? ZERO_UUID,
          partitions: [
            {
              partitionIndex: Number(partition),
              committedOffset: 7,
              committedLeaderEpoch: -1,
              commitTimestamp: -1,
              committedMetadata: "",
            },
          ],
        },
      ],
    });
    const errorCode = output.topics[0]?.partitions[0]?.errorCode ?? output.errorCode;
    this.#event(`${name ?? "somebody"} commits ${row}: ${errorInfo(errorCode).name}`);
    return errorCode;
  }

  /** Rows of committed offsets. */
  async offsets(): Promise<string[]> {
    const asked = { groupId: GROUP_ID, memberId: null, memberEpoch: -1, topics: null };
    const output = await this.coordinator.fetchOffsets(asked, false);
    return output.topics
      .flatMap(({ name, partitions }) => partitions.map((row) => `${name}-${row.partitionIndex}`))
      .toSorted();
  }

  async deleteGroup(): Promise<number> {
    const errorCode = await this.coordinator.deleteGroup(GROUP_ID);
    this.#event(`delete: ${errorInfo(errorCode).name}`);
    return errorCode;
  }

  // ---- the world

  /** Moves the clock in small steps, letting everything that becomes due happen. */
  async advance(ms: number): Promise<void> {
    for (let leftMs = ms; leftMs > 0; leftMs -= 500) {
      this.time.advance(Math.min(leftMs, 500));
      await this.settle();
    }
  }

  /** Lets all promises run that can. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 64; turn++) await Promise.resolve();
  }

  /** The coordinator stops and another one loads what is in the log. */
  async restart(): Promise<void> {
    this.coordinator.stop();
    await this.settle();
    this.coordinator = this.#newCoordinator();
    await this.#load();
    await this.settle();
  }

  /** What a coordinator that loads the log now would show. */
  async reloaded(): Promise<DescribedConsumerGroup> {
    // It only reads: two that wrote one log would spoil it.
    const other = this.#newCoordinator(Number.MAX_SAFE_INTEGER);
    other.start();
    await other.load(OFFSETS_PARTITION, 0);
    other.checkInvariants();
    const described = other.describeConsumerGroup(GROUP_ID);
    other.stop();
    return described;
  }

  described(): DescribedConsumerGroup {
    return this.coordinator.describeConsumerGroup(GROUP_ID);
  }

  /** Type and state of the group as it is listed. */
  listed(): string {
    const [group] = this.coordinator.listGroups().groups;
    return group === undefined ? "no group" : `${group.groupType} ${group.groupState}`;
  }

  /** The group and its members, a line each. */
  describe(): string[] {
    const group = this.described();
    if (group.errorCode !== 0) return [this.listed()];
    const head = `${group.groupState} epoch ${group.groupEpoch} target ${group.assignmentEpoch} ${group.assignorName}`;
    const lines = group.members.map((member) => {
      const held = this.#named(member.assignment.topicPartitions).join(" ") || "nothing";
      const target = this.#named(member.targetAssignment.topicPartitions).join(" ") || "nothing";
      const kind = member.memberType === 0 ? " classic" : "";
      return `  ${member.clientId}${kind} epoch ${member.memberEpoch}: ${held}; shall have ${target}`;
    });
    return [head, ...lines.toSorted()];
  }

  /** Records written since the last call, in short. */
  takeRecords(): string[] {
    const all = this.log.records.get(OFFSETS_PARTITION) ?? [];
    const fresh = all.slice(this.#recordCount);
    this.#recordCount = all.length;
    return fresh.map(({ key, value }) => {
      const record = decodeGroupRecord(key, value);
      if (record === null) return "unknown record";
      const subject =
        "memberId" in record
          ? ` ${record.memberId}`
          : "pattern" in record
            ? ` ${record.pattern}`
            : "topic" in record
              ? ` ${record.topic}-${record.partition}`
              : "";
      return `${record.kind}${subject}${record.value === null ? " buried" : ""}`;
    });
  }

  /** Events since the last call. */
  takeEvents(): string[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  // ---- inside

  #client(name: string, options: ConsumerOptions): Client {
    const known = this.clients.get(name);
    const { owns: _owns, isSilent: _isSilent, epoch: _epoch, ...lasting } = options;
    if (known !== undefined) {
      known.options = { ...known.options, ...lasting };
      return known;
    }
    const client: Client = {
      name,
      memberId: this.#newId(name),
      epoch: 0,
      owned: new Set(),
      told: null,
      options: lasting,
    };
    this.clients.set(name, client);
    return client;
  }

  #idCount = 0;

  #newId(name: string): string {
    this.#idCount += 1;
    return `${name}#${this.#idCount}`;
  }

  #forget(client: Client): void {
    client.epoch = 0;
    client.owned = new Set();
    client.told = null;
  }

  #byTopic(rows: readonly string[]): { topicId: string; partitions: number[] }[] {
    const found = new Map<string, number[]>();
    for (const row of rows) {
      const [, topic = "", partition = ""] = /^(.+)-(\d+)$/.exec(row) ?? [];
      const id = this.topics.get(topic)?.id;
      if (id !== undefined) found.set(id, [...(found.get(id) ?? []), Number(partition)]);
    }
    return Array.from(found, ([topicId, partitions]) => ({ topicId, partitions }));
  }

  #named(
    rows: readonly { readonly topicId: string; readonly partitions: readonly number[] }[],
  ): string[] {
    return rows
      .flatMap(({ topicId, partitions }) => {
        const name = [...this.topics].find(([, { id }]) => id === topicId)?.[0];
        return name === undefined ? [] : partitions.map((partition) => `${name}-${partition}`);
      })
      .toSorted();
  }

  #subscription(client: Client): Uint8Array {
    const owned = new Map<string, number[]>();
    for (const row of client.owned) {
      const [, topic = "", partition = ""] = /^(.+)-(\d+)$/.exec(row) ?? [];
      owned.set(topic, [...(owned.get(topic) ?? []), Number(partition)]);
    }
    const message = {
      topics: [...(client.options.topics ?? ["orders"])],
      userData: null,
      ownedPartitions: Array.from(owned, ([topic, partitions]) => ({ topic, partitions })),
      generationId: client.epoch,
      rackId: null,
    };
    return encodeVersioned(ConsumerProtocolSubscriptionCodec, message, 3);
  }

  /** What a leader makes of the members it is told of: partitions in turn. */
  #divide(joined: JoinOutput): { memberId: string; assignment: Uint8Array }[] {
    if (joined.leader !== joined.memberId || joined.members.length === 0) return [];
    const shares = joined.members.map(({ memberId, metadata }) => {
      const decoded = decodeConsumerSubscription(metadata);
      const topics = decoded.kind === "record" ? decoded.record.topics : [];
      return { memberId, topics, given: new Map<string, number[]>() };
    });
    for (const [topic, { partitionCount }] of this.topics) {
      const takers = shares.filter(({ topics }) => topics.includes(topic));
      for (let partition = 0; partition < partitionCount; partition++) {
        const taker = takers[partition % Math.max(takers.length, 1)];
        taker?.given.set(topic, [...(taker.given.get(topic) ?? []), partition]);
      }
    }
    return shares.map(({ memberId, given }) => ({
      memberId,
      assignment: encodeVersioned(
        ConsumerProtocolAssignmentCodec,
        {
          assignedPartitions: Array.from(given, ([topic, partitions]) => ({ topic, partitions })),
          userData: null,
        },
        3,
      ),
    }));
  }

  #event(text: string): void {
    this.#events.push(text);
  }

  #lookup(): TopicLookup {
    return {
      nameOf: (topicId) => [...this.topics].find(([, { id }]) => id === topicId)?.[0],
      idOf: (name) => this.topics.get(name)?.id,
      partitionCount: (name) => this.topics.get(name)?.partitionCount,
      names: () => this.topics.keys(),
      racks: () => [],
      version: () => this.#topicsVersion,
      topicsVersion: () => this.#topicsVersion,
      creationVersion: () => this.#creationVersion,
    };
  }

  #newCoordinator(compactionMinBytes = this.compactionMinBytes): GroupCoordinator {
    return createGroupCoordinator({
      config: this.#config,
      groupSettings: () => this.#settings,
      writer: this.log,
      loader: this.log,
      topics: this.#lookup(),
      xxh3,
      clock: this.time,
      scheduler: this.time,
      random: this.#random,
      ensureOffsetsTopic: () => Promise.resolve(),
      compactionMinBytes,
      onCompactionFailed: (_partition, error) => {
        throw error;
      },
    });
  }

  async #load(): Promise<void> {
    this.coordinator.start();
    await this.coordinator.load(OFFSETS_PARTITION, 0);
  }
}

function countingRandom(): Random {
  let count = 0;
  return {
    next: () => 0.5,
    uuid: () => {
      count += 1;
      const bytes = new Uint8Array(16);
      new DataView(bytes.buffer).setUint32(12, count);
      return uuidFromBytes(bytes, 0);
    },
  };
}
