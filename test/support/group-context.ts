/**
 * One group under test: members with names instead of ids, a clock that moves when told, a log that can be held and broken.
 *
 * ```ts
 * const group = await GroupContext.start();
 * group.join("a");                      // both round trips
 * await group.advance(3_000);           // the initial delay
 * expect(group.takeEvents()).toEqual(["a joined generation 1 with range: leads a"]);
 * ```
 * Every answer becomes an event, a line of text; `takeEvents` hands out those since the last call.
 */
import type { Random } from "#common/time.ts";
import { errorInfo } from "#common/error-code.ts";
import { uuidFromBytes, ZERO_UUID } from "#common/uuid.ts";
import {
  GROUP_COORDINATOR_DEFAULTS,
  GROUP_SETTINGS_DEFAULTS,
  type GroupCoordinatorConfig,
} from "#coordinator/group/config.ts";
import {
  createGroupCoordinator,
  type GroupCoordinator,
} from "#coordinator/group/group-coordinator.ts";
import type { JoinOutput, SyncOutput } from "#coordinator/group/messages.ts";
import { xxh3 } from "./consumer-group-ports.ts";
import { ManualTime } from "./manual-time.ts";
import { MemoryInternalTopic } from "./memory-log.ts";

/** What a member asks for; all optional. */
export interface MemberOptions {
  readonly instance?: string;
  readonly protocols?: readonly string[];
  readonly protocolType?: string;
  readonly topics?: readonly string[];
  readonly sessionMs?: number;
  readonly rebalanceMs?: number;
  /** JoinGroup version: 3 and below need no second round trip, 9 can skip the assignment. */
  readonly version?: number;
  /** Send this id instead of the member's own. */
  readonly as?: string;
}

/** What is known of a member by the answers it got. */
export interface MemberState {
  memberId: string;
  generationId: number;
  leads: boolean;
  /** Names of the members it was told of as leader. */
  sees: string[];
  assignment: string | null;
  options: MemberOptions;
}

const GROUP_ID = "group";

export class GroupContext {
  readonly time: ManualTime = new ManualTime(1_000_000);
  readonly log: MemoryInternalTopic = new MemoryInternalTopic();
  readonly members: Map<string, MemberState> = new Map();
  /** Taken by the next coordinator: `restart` after a change. */
  compactionMinBytes: number = Number.MAX_SAFE_INTEGER;
  coordinator: GroupCoordinator;
  readonly #config: GroupCoordinatorConfig;
  readonly #random: Random = countingRandom();
  readonly #names = new Map<string, string>();
  #events: string[] = [];

  private constructor(config: Partial<GroupCoordinatorConfig>) {
    this.#config = { ...GROUP_COORDINATOR_DEFAULTS, offsetsTopicNumPartitions: 1, ...config };
    this.coordinator = this.#newCoordinator();
  }

  /** A context whose coordinator is loaded. */
  static async start(config: Partial<GroupCoordinatorConfig> = {}): Promise<GroupContext> {
    const context = new GroupContext(config);
    await context.#load();
    return context;
  }

  // ---- members

  /** Joins, in as many round trips as it takes. The answer is an event once the rebalance completes. */
  join(name: string, options: MemberOptions = {}): void {
    const known = this.members.get(name);
    const merged = { ...known?.options, ...options };
    const isStaticReturn = known === undefined && options.instance !== undefined;
    const memberId = options.as ?? (isStaticReturn ? "" : (known?.memberId ?? ""));
    void this.#join(name, memberId, merged);
  }

  /** Comes back under the instance id of `name` without its member id, as after a restart. */
  restartMember(name: string): void {
    const options = this.members.get(name)?.options ?? {};
    void this.#join(name, "", options);
  }

  async #join(name: string, memberId: string, options: MemberOptions): Promise<void> {
    const version = options.version ?? 9;
    // A static member's id begins with its instance id: others can name it before its own answer has arrived.
    if (options.instance !== undefined) this.#names.set(options.instance, name);
    const protocols = (options.protocols ?? ["range"]).map((protocol) => ({
      name: protocol,
      metadata: subscription(options.topics ?? ["orders"]),
    }));
    const output = await this.coordinator.joinGroup({
      groupId: GROUP_ID,
      memberId,
      sessionTimeoutMs: options.sessionMs ?? 10_000,
      rebalanceTimeoutMs: options.rebalanceMs ?? 60_000,
      groupInstanceId: options.instance ?? null,
      protocolType: options.protocolType ?? "consumer",
      protocols,
      isMemberIdRequired: version >= 4,
      canSkipAssignment: version >= 9,
      caller: { clientId: name, clientHost: "/127.0.0.1" },
    });
    if (output.errorCode === 79) {
      this.#remember(name, output.memberId, options);
      await this.#join(name, output.memberId, options);
      return;
    }
    if (output.errorCode !== 0) {
      this.#event(`${name} join: ${errorInfo(output.errorCode).name}`);
      return;
    }
    this.#onJoined(name, output, options);
  }

  #onJoined(name: string, output: JoinOutput, options: MemberOptions): void {
    const member = this.#remember(name, output.memberId, options);
    member.generationId = output.generationId;
    member.leads = output.leader === output.memberId;
    const sees = output.members.map(({ memberId }) => this.#nameOf(memberId)).toSorted();
    member.sees = sees;
    const role =
      sees.length > 0 ? `leads ${sees.join(" ")}` : `follows ${this.#nameOf(output.leader)}`;
    const skip = output.skipAssignment ? ", assignment skipped" : "";
    this.#event(
      `${name} joined generation ${output.generationId} with ${output.protocolName}: ${role}${skip}`,
    );
  }

  /** Syncs; a leader hands in `assignments` by member name. */
  sync(name: string, assignments: Readonly<Record<string, string>> = {}): void {
    void this.coordinator
      .syncGroup({
        ...this.#identity(name),
        protocolType: null,
        protocolName: null,
        assignments: Object.entries(assignments).map(([other, text]) => ({
          memberId: this.members.get(other)?.memberId ?? other,
          assignment: new TextEncoder().encode(text),
        })),
      })
      .then((output) => this.#onSynced(name, output));
  }

  #onSynced(name: string, output: SyncOutput): void {
    const member = this.members.get(name);
    if (output.errorCode !== 0) {
      this.#event(`${name} sync: ${errorInfo(output.errorCode).name}`);
      return;
    }
    const assignment = new TextDecoder().decode(output.assignment);
    if (member !== undefined) member.assignment = assignment;
    this.#event(`${name} is assigned "${assignment}"`);
  }

  heartbeat(name: string): void {
    const answer = Promise.resolve(this.coordinator.heartbeat(this.#identity(name)));
    void answer.then((errorCode) => {
      this.#event(`${name} heartbeat: ${errorInfo(errorCode).name}`);
    });
  }

  leave(name: string): void {
    const { groupId, memberId, groupInstanceId } = this.#identity(name);
    const members = [{ memberId, groupInstanceId }];
    void this.coordinator.leaveGroup({ groupId, members }).then((output) => {
      const errorCode = output.members[0]?.errorCode ?? output.errorCode;
      this.#event(`${name} leave: ${errorInfo(errorCode).name}`);
    });
  }

  // ---- offsets

  /** Commits as a member, or as nobody with `null`; resolves with the first row's error code. */
  async commit(
    name: string | null,
    topic: string,
    partition: number,
    offset: number,
    retentionTimeMs = -1,
  ): Promise<number> {
    const identity = name === null ? null : this.#identity(name);
    const output = await this.coordinator.commitOffsets({
      groupId: GROUP_ID,
      generationIdOrMemberEpoch: identity?.generationId ?? -1,
      memberId: identity?.memberId ?? "",
      groupInstanceId: identity?.groupInstanceId ?? null,
      retentionTimeMs,
      isUnknownGroupNamed: true,
      topics: [
        {
          name: topic,
          topicId: ZERO_UUID,
          partitions: [
            {
              partitionIndex: partition,
              committedOffset: offset,
              committedLeaderEpoch: -1,
              commitTimestamp: -1,
              committedMetadata: "",
            },
          ],
        },
      ],
    });
    const row = output.topics[0]?.partitions[0]?.errorCode ?? 0;
    const errorCode = output.errorCode === 0 ? row : output.errorCode;
    const who = name ?? "somebody";
    this.#event(`${who} commit ${topic}-${partition}@${offset}: ${errorInfo(errorCode).name}`);
    return errorCode;
  }

  /** All offsets the group shows, as `topic-partition@offset`. */
  async offsets(isStable = false): Promise<string[]> {
    const output = await this.coordinator.fetchOffsets(
      { groupId: GROUP_ID, memberId: null, memberEpoch: -1, topics: null },
      isStable,
    );
    return output.topics
      .flatMap(({ name, partitions }) =>
        partitions.map((row) => `${name}-${row.partitionIndex}@${row.committedOffset}`),
      )
      .toSorted();
  }

  /** Notes all offsets as an event, once they are known. */
  fetch(isStable = false): void {
    void this.offsets(isStable).then((offsets) => {
      this.#event(`offsets: ${offsets.length === 0 ? "none" : offsets.join(" ")}`);
    });
  }

  async deleteGroup(): Promise<void> {
    const errorCode = await this.coordinator.deleteGroup(GROUP_ID);
    this.#event(`delete: ${errorInfo(errorCode).name}`);
  }

  // ---- the world

  /** Moves the clock, letting everything that becomes due happen. */
  async advance(ms: number): Promise<void> {
    // In small steps, so that answers to what fires can lead to new timers on the way.
    let leftMs = ms;
    do {
      const stepMs = Math.min(leftMs, 500);
      this.time.advance(stepMs);
      leftMs -= stepMs;
      await this.settle();
    } while (leftMs > 0);
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

  /** State of the group in one line, its members by name. */
  describe(): string {
    const group = this.coordinator.describeGroup(GROUP_ID);
    if (group === null) return "no group";
    if (typeof group === "number") return errorInfo(group).name;
    const names = group.members.map(({ memberId }) => this.#nameOf(memberId)).toSorted();
    return [group.groupState, ...names].join(" ");
  }

  /** Events since the last call. */
  takeEvents(): string[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  #identity(name: string): {
    groupId: string;
    memberId: string;
    generationId: number;
    groupInstanceId: string | null;
  } {
    const member = this.members.get(name);
    return {
      groupId: GROUP_ID,
      memberId: member?.memberId ?? name,
      generationId: member?.generationId ?? -1,
      groupInstanceId: member?.options.instance ?? null,
    };
  }

  #remember(name: string, memberId: string, options: MemberOptions): MemberState {
    this.#names.set(memberId, name);
    const known = this.members.get(name);
    const member = known ?? {
      memberId,
      generationId: -1,
      leads: false,
      sees: [],
      assignment: null,
      options,
    };
    member.memberId = memberId;
    member.options = options;
    this.members.set(name, member);
    return member;
  }

  #nameOf(memberId: string): string {
    const prefix = memberId.replace(/-[0-9a-f-]{36}$/, "");
    return this.#names.get(memberId) ?? this.#names.get(prefix) ?? prefix;
  }

  #event(text: string): void {
    this.#events.push(text);
  }

  #newCoordinator(): GroupCoordinator {
    return createGroupCoordinator({
      config: this.#config,
      groupSettings: () => GROUP_SETTINGS_DEFAULTS,
      writer: this.log,
      loader: this.log,
      topics: {
        nameOf: () => undefined,
        idOf: () => undefined,
        partitionCount: () => this.#config.offsetsTopicNumPartitions,
        names: () => [],
        racks: () => [],
        version: () => 1,
        topicsVersion: () => 1,
        creationVersion: () => 1,
      },
      xxh3,
      clock: this.time,
      scheduler: this.time,
      random: this.#random,
      ensureOffsetsTopic: () => Promise.resolve(),
      compactionMinBytes: this.compactionMinBytes,
      onCompactionFailed: (_partition, error) => {
        throw error;
      },
    });
  }

  async #load(): Promise<void> {
    this.coordinator.start();
    for (let partition = 0; partition < this.#config.offsetsTopicNumPartitions; partition++) {
      await this.coordinator.load(partition, 0);
    }
  }
}

/** Subscription of the consumer protocol, v0. */
export function subscription(topics: readonly string[]): Uint8Array {
  const bytes = [0, 0, 0, 0, 0, topics.length];
  for (const topic of topics) bytes.push(0, topic.length, ...new TextEncoder().encode(topic));
  return new Uint8Array([...bytes, 255, 255, 255, 255]);
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
