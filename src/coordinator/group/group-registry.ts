/**
 * The groups of one coordinator partition, of both kinds under one space of ids, and what an undone operation did to them.
 */
import type { Timeline } from "../runtime/timeline.ts";
import { VersionedMap } from "../runtime/timeline.ts";
import { ClassicGroup } from "./classic/classic-group.ts";
import { ConsumerGroup } from "./consumer/consumer-group.ts";
import type { ConsumerGroupRecord, GroupRecordValue } from "./records.ts";

/** A group of either protocol, told apart by `type`. */
export type Group = ClassicGroup | ConsumerGroup;

/** What undoing left behind: for whoever answers requests and sets timers. */
export interface Undone {
  /** Groups whose creation was undone, with requests parked in them. */
  orphans: Group[];
  /** Classic groups that are back: they had been deleted, or become consumer groups. */
  classicGroups: ClassicGroup[];
  /** Members of consumer groups whose removal was undone. */
  members: { readonly groupId: string; readonly memberId: string }[];
}

/** See the head of the file. */
export class GroupRegistry {
  readonly #timeline: Timeline;
  readonly #groups: VersionedMap<string, Group>;
  #undone: Undone = { orphans: [], classicGroups: [], members: [] };

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
    this.#groups = new VersionedMap<string, Group>(timeline, (undone, restored) => {
      if (undone === restored) return;
      if (undone !== undefined) this.#undone.orphans.push(undone);
      if (restored?.type === "classic") this.#undone.classicGroups.push(restored);
    });
  }

  get(groupId: string): Group | undefined {
    return this.#groups.get(groupId);
  }

  getCommitted(groupId: string): Group | undefined {
    return this.#groups.getCommitted(groupId);
  }

  entries(): IterableIterator<[string, Group]> {
    return this.#groups.entries();
  }

  committedEntries(): IterableIterator<[string, Group]> {
    return this.#groups.committedEntries();
  }

  /** Puts a classic group in the place of whatever has its id. */
  putClassic(group: ClassicGroup): ClassicGroup {
    this.#groups.set(group.groupId, group);
    return group;
  }

  createClassic(groupId: string, nowMs: number): ClassicGroup {
    return this.putClassic(new ClassicGroup(groupId, nowMs));
  }

  createConsumer(groupId: string): ConsumerGroup {
    const group = new ConsumerGroup(groupId, this.#timeline, (memberId) => {
      this.#undone.members.push({ groupId, memberId });
    });
    this.#groups.set(groupId, group);
    return group;
  }

  /** Applies the record of a classic group. */
  replayClassic(groupId: string, value: GroupRecordValue | null): void {
    if (value !== null) this.putClassic(ClassicGroup.fromRecord(groupId, value));
    else if (this.get(groupId)?.type === "classic") this.#groups.set(groupId, undefined);
  }

  /** Applies one record of a consumer group; the first one makes the group, its epoch's tombstone ends it. */
  replayConsumer(record: ConsumerGroupRecord): void {
    const { groupId, value } = record;
    const known = this.get(groupId);
    const group = known?.type === "consumer" ? known : undefined;
    if (record.kind === "consumer-epoch" && value === null) {
      if (group !== undefined) this.#groups.set(groupId, undefined);
      return;
    }
    // A tombstone may be what is left of a group that is gone, or of one that has become a classic group.
    if (group === undefined && value === null) return;
    (group ?? this.createConsumer(groupId)).replay(record);
  }

  /** Hands out what undone operations left behind since the last call. */
  takeUndone(): Undone {
    const undone = this.#undone;
    this.#undone = { orphans: [], classicGroups: [], members: [] };
    return undone;
  }
}
