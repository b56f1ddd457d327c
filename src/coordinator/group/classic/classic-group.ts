/**
 * The state of one classic group: members, votes, generation, leader. Only bookkeeping lives here; what happens when is in
 * `join.ts`, `sync.ts`, `membership.ts` and `timeouts.ts`.
 *
 * ```
 *            first member joins            everyone (re)joined             leader's assignment is in the log
 *   Empty ───────────────────▶ PreparingRebalance ──────▶ CompletingRebalance ──────▶ Stable
 *     ▲                          │   ▲      ▲                     │                     │
 *     └── nobody is left ────────┘   │      └── join, leave, expiry, changed metadata ──┘
 *                                    └───── the same ─────────────┘
 *   any state ──▶ Dead: the group was deleted, or its creation could not be written
 * ```
 */
import { assert } from "#common/assert.ts";
import { javaHashBucket } from "../../runtime/java-hash.ts";
import type { JoinedMember, JoinProtocol } from "../messages.ts";
import type { GroupMemberRecord, GroupRecordValue } from "../records.ts";
import { CONSUMER_PROTOCOL_TYPE, subscribedTopics } from "./consumer-subscription.ts";

/** States of a classic group, spelled as DescribeGroups and ListGroups spell them. */
export type ClassicGroupState =
  "Empty" | "PreparingRebalance" | "CompletingRebalance" | "Stable" | "Dead";

const LEGAL_PREVIOUS: Record<ClassicGroupState, readonly ClassicGroupState[]> = {
  Empty: ["PreparingRebalance"],
  PreparingRebalance: ["Empty", "CompletingRebalance", "Stable"],
  CompletingRebalance: ["PreparingRebalance"],
  Stable: ["CompletingRebalance"],
  Dead: ["Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"],
};

const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

/** One member. Owned by its group; the byte arrays are copies and never change. */
export interface ClassicMember {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly protocolType: string;
  rebalanceTimeoutMs: number;
  sessionTimeoutMs: number;
  /** In the member's order of preference. */
  protocols: readonly JoinProtocol[];
  assignment: Uint8Array;
  /** Parked JoinGroup and SyncGroup of this member. */
  joinWaiter: number | null;
  syncWaiter: number | null;
  /** True until its first JoinGroup is answered: it can't heartbeat yet. */
  isNew: boolean;
  /** What its session timer is known by: made with its first session, used by each heartbeat and commit. */
  session: { readonly key: string; readonly action: SessionAction } | null;
}

/** What is to be done when a member's session ends. */
export interface SessionAction {
  readonly kind: "session";
  readonly groupId: string;
  readonly memberId: string;
}

/** State of one group. */
export class ClassicGroup {
  readonly type = "classic";
  readonly groupId: string;
  #state: ClassicGroupState;
  #previousState: ClassicGroupState;
  currentStateTimestampMs: number;
  protocolType: string | null = null;
  protocolName: string | null = null;
  generationId = 0;
  leaderId: string | null = null;
  /** True when a member joined during the running initial rebalance delay. */
  isNewMemberAdded = false;
  /** Topics the members read, or `null` when the coordinator can't tell. */
  topics: ReadonlySet<string> | null = null;
  readonly #members = new Map<string, ClassicMember>();
  /** Member id of each group instance id. */
  readonly #staticMembers = new Map<string, string>();
  /** Ids handed out with MEMBER_ID_REQUIRED whose owners have not come back yet. */
  readonly pendingJoins: Set<string> = new Set();
  /** Members that got this generation's JoinGroup answer and have not sent SyncGroup yet. */
  readonly pendingSyncs: Set<string> = new Set();
  /** Number of members supporting each protocol. */
  readonly #votes = new Map<string, number>();
  #awaitingJoinCount = 0;

  constructor(groupId: string, nowMs: number, state: "Empty" | "Stable" = "Empty") {
    this.groupId = groupId;
    this.#state = state;
    this.#previousState = "Dead";
    this.currentStateTimestampMs = nowMs;
  }

  /** The group as it was stored. It is Stable when it has members: a rebalance under way is not stored. */
  static fromRecord(groupId: string, value: GroupRecordValue): ClassicGroup {
    const state = value.members.length === 0 ? "Empty" : "Stable";
    const group = new ClassicGroup(groupId, value.currentStateTimestampMs, state);
    group.generationId = value.generationId;
    group.protocolType = value.protocolType === "" ? null : value.protocolType;
    group.protocolName = value.protocolName;
    group.leaderId = value.leader;
    for (const stored of value.members) {
      const { memberId, groupInstanceId, clientId, clientHost, sessionTimeoutMs } = stored;
      const isTimeoutStored = stored.rebalanceTimeoutMs !== -1;
      group.add({
        memberId,
        groupInstanceId,
        clientId,
        clientHost,
        protocolType: value.protocolType,
        rebalanceTimeoutMs: isTimeoutStored ? stored.rebalanceTimeoutMs : sessionTimeoutMs,
        sessionTimeoutMs,
        protocols: [{ name: value.protocolName ?? "", metadata: stored.subscription }],
        assignment: stored.assignment,
        joinWaiter: null,
        syncWaiter: null,
        isNew: false,
        session: null,
      });
    }
    group.refreshTopics();
    return group;
  }

  /** What is stored of this group, with `assignments` for the members (their own where it has none). */
  toRecord(assignments: ReadonlyMap<string, Uint8Array>): GroupRecordValue {
    const members: GroupMemberRecord[] = [];
    for (const member of this.#members.values()) {
      const { memberId, groupInstanceId, clientId, clientHost } = member;
      members.push({
        memberId,
        groupInstanceId,
        clientId,
        clientHost,
        rebalanceTimeoutMs: member.rebalanceTimeoutMs,
        sessionTimeoutMs: member.sessionTimeoutMs,
        subscription: this.metadataOf(member),
        assignment: assignments.get(memberId) ?? EMPTY_BYTES,
      });
    }
    return {
      protocolType: this.protocolType ?? "",
      generationId: this.generationId,
      protocolName: this.protocolName,
      leader: this.leaderId,
      currentStateTimestampMs: this.currentStateTimestampMs,
      members,
    };
  }

  get state(): ClassicGroupState {
    return this.#state;
  }

  get previousState(): ClassicGroupState {
    return this.#previousState;
  }

  transitionTo(state: ClassicGroupState, nowMs: number): void {
    assert(
      LEGAL_PREVIOUS[state].includes(this.#state),
      `group ${this.groupId} can't go from ${this.#state} to ${state}`,
    );
    this.#previousState = this.#state;
    this.#state = state;
    this.currentStateTimestampMs = nowMs;
  }

  /** True in the states from which a rebalance may start. */
  get canRebalance(): boolean {
    return LEGAL_PREVIOUS.PreparingRebalance.includes(this.#state);
  }

  get memberCount(): number {
    return this.#members.size;
  }

  get awaitingJoinCount(): number {
    return this.#awaitingJoinCount;
  }

  members(): IterableIterator<ClassicMember> {
    return this.#members.values();
  }

  member(memberId: string): ClassicMember | undefined {
    return this.#members.get(memberId);
  }

  isLeader(memberId: string): boolean {
    return this.leaderId === memberId;
  }

  staticMemberId(groupInstanceId: string): string | undefined {
    return this.#staticMembers.get(groupInstanceId);
  }

  /** Longest rebalance timeout of the members: how long a rebalance waits for the slow ones. */
  get rebalanceTimeoutMs(): number {
    let longest = 0;
    for (const member of this.#members.values()) {
      longest = Math.max(longest, member.rebalanceTimeoutMs);
    }
    return longest;
  }

  /** True for a group that only ever stored offsets. */
  get isSimple(): boolean {
    return this.#state === "Empty" && this.protocolType === null;
  }

  /** Takes a member in; the first one sets the protocol type, and leads unless a leader is stored. */
  add(member: ClassicMember): void {
    if (member.groupInstanceId !== null) {
      assert(
        !this.#staticMembers.has(member.groupInstanceId),
        `instance ${member.groupInstanceId} is already in group ${this.groupId}`,
      );
      this.#staticMembers.set(member.groupInstanceId, member.memberId);
    }
    if (this.#members.size === 0) this.protocolType = member.protocolType;
    this.leaderId ??= member.memberId;
    this.#members.set(member.memberId, member);
    this.#countVotes(member, 1);
    if (member.joinWaiter !== null) this.#awaitingJoinCount += 1;
    this.pendingJoins.delete(member.memberId);
  }

  /** Forgets a member or a pending id; another member leads when the leader is gone. */
  remove(memberId: string): void {
    const member = this.#members.get(memberId);
    if (member !== undefined) {
      this.#members.delete(memberId);
      this.#countVotes(member, -1);
      if (member.joinWaiter !== null) this.#awaitingJoinCount -= 1;
      if (member.groupInstanceId !== null) this.#staticMembers.delete(member.groupInstanceId);
    }
    if (this.isLeader(memberId)) {
      const next = this.#members.keys().next();
      this.leaderId = next.done === true ? null : next.value;
    }
    this.pendingJoins.delete(memberId);
    this.pendingSyncs.delete(memberId);
  }

  /**
   * Gives the place of a static member to the same instance under a new member id. The caller answers what was parked
   * under the old id first.
   */
  replaceStaticMember(old: ClassicMember, newMemberId: string): ClassicMember {
    assert(old.groupInstanceId !== null, "only a static member can be replaced");
    assert(old.joinWaiter === null && old.syncWaiter === null, "a replaced member still waits");
    const replacement: ClassicMember = { ...old, memberId: newMemberId, session: null };
    this.#members.delete(old.memberId);
    this.#members.set(newMemberId, replacement);
    this.#staticMembers.set(old.groupInstanceId, newMemberId);
    if (this.isLeader(old.memberId)) this.leaderId = newMemberId;
    return replacement;
  }

  /** Takes over what a known member says in a new JoinGroup. */
  update(
    member: ClassicMember,
    protocols: readonly JoinProtocol[],
    rebalanceTimeoutMs: number,
    sessionTimeoutMs: number,
    waiter: number | null,
  ): void {
    this.#countVotes(member, -1);
    member.protocols = protocols;
    this.#countVotes(member, 1);
    member.rebalanceTimeoutMs = rebalanceTimeoutMs;
    member.sessionTimeoutMs = sessionTimeoutMs;
    this.setJoinWaiter(member, waiter);
  }

  /** Parks or unparks a member's JoinGroup, keeping count. */
  setJoinWaiter(member: ClassicMember, waiter: number | null): void {
    if (member.joinWaiter !== null) this.#awaitingJoinCount -= 1;
    if (waiter !== null) this.#awaitingJoinCount += 1;
    member.joinWaiter = waiter;
  }

  get haveAllMembersJoined(): boolean {
    return this.#awaitingJoinCount === this.#members.size && this.pendingJoins.size === 0;
  }

  /** Makes sure that a member which waits for this rebalance leads; false when none can. */
  electJoinedLeader(): boolean {
    if (this.leaderId === null) return false;
    if (this.#members.get(this.leaderId)?.joinWaiter != null) return true;
    for (const member of this.#members.values()) {
      if (member.joinWaiter !== null) {
        this.leaderId = member.memberId;
        return true;
      }
    }
    return false;
  }

  /** True when a member with these protocols fits: same type, and one protocol that all members know. */
  supports(protocolType: string, protocols: readonly JoinProtocol[]): boolean {
    if (this.#state === "Empty") return protocolType !== "" && protocols.length > 0;
    return (
      this.protocolType === protocolType &&
      protocols.some(({ name }) => this.#votes.get(name) === this.#members.size)
    );
  }

  /**
   * The protocol most members prefer among those that all know. Members vote for their first acceptable one; a draw goes
   * to the one Java's hash order puts first, as in Kafka.
   */
  selectProtocol(): string {
    const tally = new Map<string, number>();
    for (const member of this.#members.values()) {
      const vote = member.protocols.find(
        ({ name }) => this.#votes.get(name) === this.#members.size,
      );
      assert(vote !== undefined, `member ${member.memberId} shares no protocol with its group`);
      tally.set(vote.name, (tally.get(vote.name) ?? 0) + 1);
    }
    let best: { name: string; count: number } | null = null;
    for (const [name, count] of tally) {
      const isBetter =
        best === null ||
        count > best.count ||
        (count === best.count && javaHashBucket(name) < javaHashBucket(best.name));
      if (isBetter) best = { name, count };
    }
    assert(best !== null, "an empty group has no protocol to select");
    return best.name;
  }

  /** Opens the next generation: with members they now owe a SyncGroup, without any the group is empty. */
  beginGeneration(nowMs: number): void {
    this.generationId += 1;
    this.protocolName = this.#members.size > 0 ? this.selectProtocol() : null;
    this.refreshTopics();
    this.transitionTo(this.#members.size > 0 ? "CompletingRebalance" : "Empty", nowMs);
    this.pendingSyncs.clear();
  }

  /** Metadata of a member for the selected protocol. */
  metadataOf(member: ClassicMember): Uint8Array {
    const chosen = member.protocols.find(({ name }) => name === this.protocolName);
    return chosen?.metadata ?? EMPTY_BYTES;
  }

  /** What the leader is told about all members. */
  joinedMembers(): JoinedMember[] {
    return Array.from(this.#members.values(), (member) => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      metadata: this.metadataOf(member),
    }));
  }

  assignments(): Map<string, Uint8Array> {
    const assignments = new Map<string, Uint8Array>();
    for (const { memberId, assignment } of this.#members.values()) {
      assignments.set(memberId, assignment);
    }
    return assignments;
  }

  get isConsumerGroup(): boolean {
    return this.protocolType === CONSUMER_PROTOCOL_TYPE;
  }

  /** True when offsets of `topic` are in use. When a consumer group's subscriptions can't be read, all are. */
  isSubscribedTo(topic: string): boolean {
    return this.topics === null ? this.isConsumerGroup : this.topics.has(topic);
  }

  /** Recomputes `topics` from the members' metadata. */
  refreshTopics(): void {
    this.topics = this.#readTopics();
  }

  #readTopics(): ReadonlySet<string> | null {
    if (!this.isConsumerGroup) return null;
    if (this.#members.size === 0) return new Set();
    if (this.protocolName === null) return null;
    const all = new Set<string>();
    for (const member of this.#members.values()) {
      const topics = subscribedTopics(this.metadataOf(member));
      if (topics === null) return null;
      for (const topic of topics) all.add(topic);
    }
    return all;
  }

  #countVotes(member: ClassicMember, step: 1 | -1): void {
    for (const { name } of member.protocols) {
      const count = (this.#votes.get(name) ?? 0) + step;
      if (count === 0) this.#votes.delete(name);
      else this.#votes.set(name, count);
    }
  }

  /** Relations that must hold between any two steps. Slow; for tests and the simulator. */
  checkInvariants(): void {
    const waiting = [...this.#members.values()].filter((member) => member.joinWaiter !== null);
    assert(waiting.length === this.#awaitingJoinCount, "count of parked joins is off");
    assert(
      this.leaderId === null || this.#members.has(this.leaderId),
      `leader ${this.leaderId} of group ${this.groupId} is not a member`,
    );
    if (this.#state === "Empty") assert(this.#members.size === 0, "an empty group has members");
    if (this.#state === "Stable" || this.#state === "CompletingRebalance") {
      assert(this.leaderId !== null, `group ${this.groupId} is ${this.#state} without a leader`);
    }
    for (const [instance, memberId] of this.#staticMembers) {
      assert(
        this.#members.get(memberId)?.groupInstanceId === instance,
        `instance ${instance} points at a stranger`,
      );
    }
    for (const memberId of this.pendingJoins) {
      assert(!this.#members.has(memberId), `${memberId} is both pending and a member`);
    }
  }
}

/** True when a JoinGroup offers exactly what the member offered before: no reason to rebalance. */
export function hasSameProtocols(
  member: ClassicMember,
  protocols: readonly JoinProtocol[],
): boolean {
  if (member.protocols.length !== protocols.length) return false;
  return member.protocols.every((known, index) => {
    const offered = protocols[index];
    return (
      offered !== undefined &&
      offered.name === known.name &&
      areEqualBytes(offered.metadata, known.metadata)
    );
  });
}

function areEqualBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  for (let index = 0; index < left.length; index++) {
    if (left[index] !== right[index]) return false;
  }
  return true;
}
