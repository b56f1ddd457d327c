/**
 * The metadata of a node in a quorum: applies what the quorum commits, in its order, and tells publishers. Every node counts the
 * offsets of the metadata log while it applies, so that an offset means the same everywhere.
 *
 * The image moves at once when an entry is committed; publishers follow in a queue of their own, one step after another, since bringing
 * partitions in line takes time. `image` is what has been published: who is told of a topic can use it. The controller decides on
 * `committed`.
 */
import { assert } from "#common/assert.ts";
import { makeConfigRecord } from "#protocol/generated/records/config-record.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import { ClusterDelta } from "./cluster-delta.ts";
import { type ClusterImage, EMPTY_IMAGE } from "./cluster-image.ts";
import { imageRecords } from "./image-records.ts";
import type { MetadataPublisher, MetadataState } from "./metadata-loader.ts";
import { NO_MEMBERS, type QuorumMembers } from "#quorum/quorum-members.ts";
import {
  decodeCommit,
  decodeMembersCommit,
  decodeState,
  encodeCommit,
  encodeMembersCommit,
  encodeState,
} from "./quorum-format.ts";

/** What it works with. */
export interface QuorumMetadataOptions {
  readonly nowMs: () => number;
  /** Commits bytes; settles when they were handed to `onCommitted` here. Rejects when they were not, or nobody knows. */
  readonly propose: (bytes: Uint8Array) => Promise<unknown>;
  /** Told of every step at once, before publishers are. */
  readonly onApplied?: (delta: ClusterDelta, image: ClusterImage) => void;
  /** The members of the quorum are others, or elsewhere. */
  readonly onMembers?: (members: QuorumMembers) => void;
  /** An entry cannot be applied or published: this node must not go on. */
  readonly onFatal: (error: unknown) => void;
}

/** See the head of the file. */
export class QuorumMetadata implements MetadataState {
  readonly #options: QuorumMetadataOptions;
  readonly #publishers: MetadataPublisher[] = [];
  #committed: ClusterImage = EMPTY_IMAGE;
  #published: ClusterImage = EMPTY_IMAGE;
  #members: QuorumMembers = NO_MEMBERS;
  /** Settles when everything committed so far is published. */
  #publishing: Promise<void> = Promise.resolve();
  #isOpen = false;
  #isClosed = false;

  constructor(options: QuorumMetadataOptions) {
    this.#options = options;
  }

  /** The newest image that every publisher has acted on. */
  get image(): ClusterImage {
    return this.#published;
  }

  /** The newest committed image. */
  get committed(): ClusterImage {
    return this.#committed;
  }

  /** The members of the quorum, as committed. */
  get members(): QuorumMembers {
    return this.#members;
  }

  /** Adds a publisher; publishers are called one after another in the order added. */
  addPublisher(publisher: MetadataPublisher): void {
    this.#publishers.push(publisher);
  }

  /** Publishes what was committed until now, and from now on everything as it is committed. */
  async open(): Promise<void> {
    this.#isOpen = true;
    this.#publish(deltaFromNothing(this.#committed), this.#committed);
    await this.#publishing;
  }

  /** Publishes nothing more; settles when the step under way is over. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#publishing;
  }

  /** Applies one entry of records. Never throws: an entry that cannot be applied is told to `onFatal`. */
  onCommitted(bytes: Uint8Array, term: number): void {
    try {
      const members = decodeMembersCommit(bytes);
      if (members !== null) {
        this.#setMembers(members);
        return;
      }
      const records = decodeCommit(bytes);
      const delta = new ClusterDelta(this.#committed);
      for (const record of records) delta.replay(record);
      this.#committed = delta.apply(this.#committed.offset + records.length, term);
      this.#options.onApplied?.(delta, this.#committed);
      if (this.#isOpen) this.#publish(delta, this.#committed);
    } catch (error) {
      this.#options.onFatal(error);
    }
  }

  /** Takes over a whole state in place of everything before. */
  onSnapshot(bytes: Uint8Array): void {
    try {
      const { offset, epoch, members, records } = decodeState(bytes);
      this.#setMembers(members);
      const before = this.#committed;
      const fresh = new ClusterDelta(EMPTY_IMAGE);
      for (const record of records) fresh.replay(record);
      this.#committed = fresh.apply(offset, epoch);
      const delta = deltaBetween(before, this.#committed);
      this.#options.onApplied?.(delta, this.#committed);
      if (this.#isOpen) this.#publish(delta, this.#committed);
    } catch (error) {
      this.#options.onFatal(error);
    }
  }

  /** The committed state as `onSnapshot` takes it. */
  state(): Uint8Array {
    return encodeState(this.#committed, this.#options.nowMs(), this.#members);
  }

  /**
   * Commits records and settles once they are applied and published on this node.
   *
   * @throws what `propose` rejects with.
   */
  async commit(records: readonly MetadataRecord[]): Promise<void> {
    assert(records.length > 0, "a commit holds at least one record");
    // Replaying first finds a record that contradicts the image before anybody has it.
    const delta = new ClusterDelta(this.#committed);
    for (const record of records) delta.replay(record);
    await this.#options.propose(encodeCommit(records, this.#options.nowMs()));
    await this.#publishing;
  }

  /**
   * Commits who the members are.
   *
   * @throws what `propose` rejects with.
   */
  async commitMembers(members: QuorumMembers): Promise<void> {
    await this.#options.propose(encodeMembersCommit(members));
  }

  /** Settles when everything committed so far is published. */
  published(): Promise<void> {
    return this.#publishing;
  }

  /** The quorum takes snapshots by itself. */
  snapshotIfGrown(): Promise<void> {
    return Promise.resolve();
  }

  #setMembers(members: QuorumMembers): void {
    this.#members = members;
    this.#options.onMembers?.(members);
  }

  #publish(delta: ClusterDelta, image: ClusterImage): void {
    this.#publishing = this.#publishing.then(async () => {
      if (this.#isClosed) return;
      this.#published = image;
      try {
        for (const publisher of this.#publishers) await publisher.onMetadataUpdate(delta, image);
      } catch (error) {
        this.#options.onFatal(error);
      }
    });
  }
}

/** The step from nothing to an image. */
function deltaFromNothing(image: ClusterImage): ClusterDelta {
  const delta = new ClusterDelta(EMPTY_IMAGE);
  for (const record of imageRecords(image)) delta.replay(record);
  return delta;
}

/** The step between two images that no records are known for: what is gone goes first, then everything there is. */
function deltaBetween(before: ClusterImage, now: ClusterImage): ClusterDelta {
  const delta = new ClusterDelta(before);
  for (const topic of before.topicsById.values()) {
    if (now.topicsById.has(topic.id)) continue;
    delta.replay({ kind: "RemoveTopicRecord", record: { topicId: topic.id } });
  }
  for (const broker of before.brokers.values()) {
    if (now.brokers.has(broker.id)) continue;
    const record = { brokerId: broker.id, brokerEpoch: broker.epoch };
    delta.replay({ kind: "UnregisterBrokerRecord", record });
  }
  for (const [key, values] of before.configs) {
    const at = key.indexOf(":");
    for (const name of values.keys()) {
      if (now.configs.get(key)?.has(name) === true) continue;
      const resource = { resourceType: Number(key.slice(0, at)), resourceName: key.slice(at + 1) };
      const record = makeConfigRecord({ ...resource, name, value: null });
      delta.replay({ kind: "ConfigRecord", record });
    }
  }
  for (const record of imageRecords(now)) delta.replay(record);
  return delta;
}
