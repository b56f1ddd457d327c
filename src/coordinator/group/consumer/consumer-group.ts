/**
 * The state of one consumer group (KIP-848): members, the target assignment, resolved patterns, epochs. It changes only through
 * `replay` of its records; what is never stored (when the topics were last looked at) is a plain field.
 *
 * ```
 *                  member joins                 target computed              all members have their target
 *   Empty ──────────────────▶ Assigning ───────────────▶ Reconciling ──────────────────▶ Stable
 *     ▲                          ▲ │ ▲                        │                            │
 *     └── nobody is left ────────┘ │ └── group epoch moves ───┴────────────────────────────┘
 *                                  └─ the state is not stored: it follows from the epochs and the members
 * ```
 * Beside the members it keeps what would otherwise be a walk over all of them at every heartbeat: who holds a partition, who runs under
 * an instance id, how many subscribe to what. These follow each change of a member, also when an operation is undone.
 */
import { assert } from "#common/assert.ts";
import { javaHashBucket } from "../../runtime/java-hash.ts";
import type { Timeline } from "../../runtime/timeline.ts";
import { VersionedMap } from "../../runtime/timeline.ts";
import type { ConsumerGroupRecord } from "../records.ts";
import type { TopicId } from "./assignor/assignor.ts";
import {
  type ConsumerMember,
  type Holdings,
  isReconciledTo,
  newMember,
  withCurrentValue,
  withMemberValue,
} from "./member.ts";
import { Tally } from "./tally.ts";

/** States of a group, spelled as they are described and listed. */
export type ConsumerGroupState = "Empty" | "Assigning" | "Reconciling" | "Stable" | "Dead";

/** What a member shall have. No topic is without partitions. */
export type Target = ReadonlyMap<TopicId, ReadonlySet<number>>;

/** What a pattern matched. */
export interface ResolvedPattern {
  readonly topics: ReadonlySet<string>;
  /** Offset of the metadata it was matched against. */
  readonly version: number;
  readonly timestampMs: number;
}

/** The numbers of a group. */
interface Head {
  readonly groupEpoch: number;
  readonly metadataHash: bigint;
  /** Epoch of the target; -1 while its records are being buried. */
  readonly assignmentEpoch: number;
  /** When the target was computed; 0: never, or it holds for nobody. */
  readonly assignmentTimestampMs: number;
  /** A record of the old kind that holds topics is in the log and must be buried. */
  readonly isTopicsRecordStored: boolean;
}

const INITIAL_HEAD: Head = {
  groupEpoch: 1,
  metadataHash: 0n,
  assignmentEpoch: 1,
  assignmentTimestampMs: 0,
  isTopicsRecordStored: false,
};

const NO_TARGET: Target = new Map();

/** A view of a group: as decided, or as committed. */
export type GroupView = "newest" | "committed";

/** See the head of the file. */
export class ConsumerGroup {
  readonly type = "consumer";
  readonly groupId: string;
  /** When the topics were looked at last: by which version, until when that holds, and in which epoch it was decided. */
  refresh: { topicsVersion: number; deadlineMs: number; epoch: number } | null = null;
  readonly #head: VersionedMap<"head", Head>;
  readonly #members: VersionedMap<string, ConsumerMember>;
  readonly #targets: VersionedMap<string, Target>;
  readonly #patterns: VersionedMap<string, ResolvedPattern>;
  // What follows from the newest members.
  #memberCount = 0;
  #classicCount = 0;
  readonly #instances = new Map<string, string>();
  readonly #holders = new Map<TopicId, Map<number, string>>();
  readonly #topicNames = new Tally();
  readonly #patternUses = new Tally();
  readonly #assignorVotes = new Tally();
  readonly #classicProtocols = new Tally();

  /** @param onMemberBack - told of members whose removal was undone: they need their timers again. */
  constructor(groupId: string, timeline: Timeline, onMemberBack: (memberId: string) => void) {
    this.groupId = groupId;
    this.#head = new VersionedMap(timeline);
    this.#targets = new VersionedMap(timeline);
    this.#patterns = new VersionedMap(timeline);
    this.#members = new VersionedMap<string, ConsumerMember>(timeline, (undone, restored) => {
      this.#follow(undone, restored);
      if (undone === undefined && restored !== undefined) onMemberBack(restored.memberId);
    });
  }

  // ---- records

  /** Applies one record of this group; the tombstone of its epoch is the owner's business. */
  replay(record: ConsumerGroupRecord): void {
    switch (record.kind) {
      case "consumer-member": {
        const { memberId, value } = record;
        const before = this.#members.get(memberId);
        if (value === null) this.#setMember(memberId, undefined);
        else this.#setMember(memberId, withMemberValue(before ?? newMember(memberId), value));
        break;
      }
      case "consumer-current": {
        const { memberId, value } = record;
        const before = this.#members.get(memberId);
        // Compaction may have left the tombstone and taken the member.
        if (before === undefined && value === null) break;
        this.#setMember(memberId, withCurrentValue(before ?? newMember(memberId), value));
        break;
      }
      case "consumer-target-member": {
        const { memberId, value } = record;
        this.#targets.set(memberId, value === null ? undefined : target(value.topicPartitions));
        break;
      }
      case "consumer-target": {
        const { value } = record;
        this.#setHead({
          assignmentEpoch: value?.assignmentEpoch ?? -1,
          assignmentTimestampMs: value?.assignmentTimestamp ?? 0,
        });
        break;
      }
      case "consumer-pattern": {
        const { pattern, value } = record;
        const resolved =
          value === null
            ? undefined
            : {
                topics: new Set(value.topics),
                version: value.version,
                timestampMs: value.timestamp,
              };
        this.#patterns.set(pattern, resolved);
        break;
      }
      case "consumer-epoch":
        if (record.value !== null) {
          const { epoch: groupEpoch, metadataHash } = record.value;
          this.#setHead({ groupEpoch, metadataHash });
        }
        break;
      case "consumer-topics":
        this.#setHead({ isTopicsRecordStored: record.value !== null });
        break;
    }
  }

  // ---- the group

  get groupEpoch(): number {
    return this.#newestHead.groupEpoch;
  }

  get metadataHash(): bigint {
    return this.#newestHead.metadataHash;
  }

  get assignmentEpoch(): number {
    return this.#newestHead.assignmentEpoch;
  }

  get assignmentTimestampMs(): number {
    return this.#newestHead.assignmentTimestampMs;
  }

  get isTopicsRecordStored(): boolean {
    return this.#newestHead.isTopicsRecordStored;
  }

  /** Epochs of one view. */
  epochs(view: GroupView): Pick<Head, "groupEpoch" | "assignmentEpoch"> {
    const head = view === "newest" ? this.#head.get("head") : this.#head.getCommitted("head");
    return head ?? INITIAL_HEAD;
  }

  /** The state follows from the epochs and from how far the members are. */
  stateIn(view: GroupView): ConsumerGroupState {
    const { groupEpoch, assignmentEpoch } = this.epochs(view);
    let isEmpty = true;
    for (const [, member] of this.memberEntries(view)) {
      isEmpty = false;
      if (groupEpoch > assignmentEpoch) return "Assigning";
      if (!isReconciledTo(member, assignmentEpoch)) return "Reconciling";
    }
    return isEmpty ? "Empty" : "Stable";
  }

  get state(): ConsumerGroupState {
    return this.stateIn("newest");
  }

  get isEmpty(): boolean {
    return this.#memberCount === 0;
  }

  /** Topics of all members, by name and by pattern. */
  subscribedTopics(): Set<string> {
    const names = new Set(this.#topicNames.keys());
    for (const [, { topics }] of this.#patterns.entries()) {
      for (const topic of topics) names.add(topic);
    }
    return names;
  }

  isSubscribedTo(topic: string): boolean {
    if (this.#topicNames.of(topic) > 0) return true;
    for (const [, { topics }] of this.#patterns.entries()) if (topics.has(topic)) return true;
    return false;
  }

  /** The assignor that most members ask for; `null` when none asks. */
  preferredAssignor(): string | null {
    return mostVoted(this.#assignorVotes.entries());
  }

  /** The same, of what is committed. */
  committedAssignor(): string | null {
    const votes = new Tally();
    for (const [, { serverAssignor }] of this.memberEntries("committed")) {
      if (serverAssignor !== null) votes.add(serverAssignor, 1);
    }
    return mostVoted(votes.entries());
  }

  // ---- members

  get memberCount(): number {
    return this.#memberCount;
  }

  /** Members that speak the classic protocol. */
  get classicMemberCount(): number {
    return this.#classicCount;
  }

  member(memberId: string, view: GroupView = "newest"): ConsumerMember | undefined {
    return view === "newest" ? this.#members.get(memberId) : this.#members.getCommitted(memberId);
  }

  memberEntries(view: GroupView = "newest"): IterableIterator<[string, ConsumerMember]> {
    return view === "newest" ? this.#members.entries() : this.#members.committedEntries();
  }

  /** The member that runs under an instance id. */
  staticMember(instanceId: string | null): ConsumerMember | undefined {
    const memberId = instanceId === null ? undefined : this.#instances.get(instanceId);
    return memberId === undefined ? undefined : this.#members.get(memberId);
  }

  target(memberId: string, view: GroupView = "newest"): Target {
    const found =
      view === "newest" ? this.#targets.get(memberId) : this.#targets.getCommitted(memberId);
    return found ?? NO_TARGET;
  }

  hasTarget(memberId: string): boolean {
    return this.#targets.get(memberId) !== undefined;
  }

  /** Id of the member that holds a partition, assigned or not yet given back. */
  holderOf(topicId: TopicId, partition: number): string | undefined {
    return this.#holders.get(topicId)?.get(partition);
  }

  /** True when classic members all know one of these protocols. */
  supportsClassicProtocols(names: readonly string[]): boolean {
    return names.some((name) => this.#classicProtocols.of(name) === this.#classicCount);
  }

  // ---- patterns

  /** Members that subscribe by this pattern. */
  patternUseCount(pattern: string): number {
    return this.#patternUses.of(pattern);
  }

  /** Patterns that members subscribe by. */
  usedPatterns(): string[] {
    return [...this.#patternUses.keys()];
  }

  get hasPatterns(): boolean {
    return this.#patternUses.size > 0;
  }

  resolved(pattern: string): ResolvedPattern | undefined {
    return this.#patterns.get(pattern);
  }

  resolvedEntries(): [string, ResolvedPattern][] {
    return [...this.#patterns.entries()];
  }

  // ---- inside

  get #newestHead(): Head {
    return this.#head.get("head") ?? INITIAL_HEAD;
  }

  #setHead(change: Partial<Head>): void {
    this.#head.set("head", { ...this.#newestHead, ...change });
  }

  #setMember(memberId: string, member: ConsumerMember | undefined): void {
    const before = this.#members.get(memberId);
    this.#members.set(memberId, member);
    this.#follow(before, member);
  }

  /** Keeps what follows from the members in step with a change of one of them. */
  #follow(before: ConsumerMember | undefined, after: ConsumerMember | undefined): void {
    if (before !== undefined) {
      this.#memberCount -= 1;
      this.#count(before, -1);
      this.#letGo(before, before.assigned);
      this.#letGo(before, before.pendingRevocation);
      const { instanceId, memberId } = before;
      if (instanceId !== null && this.#instances.get(instanceId) === memberId) {
        this.#instances.delete(instanceId);
      }
    }
    if (after !== undefined) {
      this.#memberCount += 1;
      this.#count(after, 1);
      this.#hold(after, after.assigned);
      this.#hold(after, after.pendingRevocation);
      if (after.instanceId !== null) this.#instances.set(after.instanceId, after.memberId);
    }
  }

  #count(member: ConsumerMember, change: 1 | -1): void {
    for (const name of member.subscribedTopicNames) this.#topicNames.add(name, change);
    if (member.subscribedTopicRegex !== "") {
      this.#patternUses.add(member.subscribedTopicRegex, change);
    }
    if (member.serverAssignor !== null) this.#assignorVotes.add(member.serverAssignor, change);
    if (member.classic === null) return;
    this.#classicCount += change;
    for (const { name } of member.classic.supportedProtocols) {
      this.#classicProtocols.add(name, change);
    }
  }

  #hold({ memberId }: ConsumerMember, held: Holdings): void {
    for (const [topicId, partitions] of held) {
      let holders = this.#holders.get(topicId);
      if (holders === undefined) this.#holders.set(topicId, (holders = new Map()));
      for (const partition of partitions.keys()) holders.set(partition, memberId);
    }
  }

  #letGo({ memberId }: ConsumerMember, held: Holdings): void {
    for (const [topicId, partitions] of held) {
      const holders = this.#holders.get(topicId);
      if (holders === undefined) continue;
      for (const partition of partitions.keys()) {
        if (holders.get(partition) === memberId) holders.delete(partition);
      }
      if (holders.size === 0) this.#holders.delete(topicId);
    }
  }

  /** Relations that must hold between any two steps. Slow; for tests and the simulator. */
  checkInvariants(): void {
    const { groupEpoch, assignmentEpoch } = this.#newestHead;
    assert(assignmentEpoch <= groupEpoch, `the target of group ${this.groupId} is from the future`);
    const holders = new Map<string, string>();
    let count = 0;
    let classicCount = 0;
    for (const [memberId, member] of this.#members.entries()) {
      count += 1;
      if (member.classic !== null) classicCount += 1;
      assert(member.memberId === memberId, "a member is known under another id");
      assert(member.memberEpoch <= assignmentEpoch, `member ${memberId} is ahead of its group`);
      for (const held of [member.assigned, member.pendingRevocation]) {
        for (const [topicId, partitions] of held) {
          assert(partitions.size > 0, `member ${memberId} holds a topic without partitions`);
          for (const partition of partitions.keys()) {
            const name = `${topicId}-${partition}`;
            assert(!holders.has(name), `${memberId} and ${holders.get(name)} both hold ${name}`);
            holders.set(name, memberId);
            assert(this.holderOf(topicId, partition) === memberId, `the holder of ${name} is off`);
          }
        }
      }
      const { instanceId } = member;
      assert(
        instanceId === null || this.#instances.get(instanceId) === memberId,
        `instance ${instanceId} points at a stranger`,
      );
    }
    assert(count === this.#memberCount, "the count of members is off");
    assert(classicCount === this.#classicCount, "the count of classic members is off");
    const heldCount = [...this.#holders.values()].reduce((sum, { size }) => sum + size, 0);
    assert(heldCount === holders.size, "a partition has a holder that does not hold it");
    const targets = new Set<string>();
    for (const [memberId, assigned] of this.#targets.entries()) {
      for (const [topicId, partitions] of assigned) {
        for (const partition of partitions) {
          const name = `${topicId}-${partition}`;
          assert(!targets.has(name), `the target gives ${name} to ${memberId} and another`);
          targets.add(name);
        }
      }
    }
  }
}

function target(
  stored: readonly { readonly topicId: string; readonly partitions: readonly number[] }[],
): Target {
  const found = new Map<TopicId, ReadonlySet<number>>();
  for (const { topicId, partitions } of stored) {
    if (partitions.length > 0) found.set(topicId, new Set(partitions));
  }
  return found;
}

/** A draw goes to the one Java's hash order puts first, as in Kafka. */
function mostVoted(votes: Iterable<[string, number]>): string | null {
  let best: { readonly name: string; readonly count: number } | null = null;
  for (const [name, count] of votes) {
    const isBetter =
      best === null ||
      count > best.count ||
      (count === best.count && javaHashBucket(name) < javaHashBucket(best.name));
    if (isBetter) best = { name, count };
  }
  return best?.name ?? null;
}
