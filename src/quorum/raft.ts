/**
 * One member of the raft group, as its driver sees it: messages and ticks go in, `ready` tells what to send, to apply and to write. It
 * has no clock, no thread and no socket, so that the simulator drives the code that production runs. `raft-node.ts` makes them.
 *
 * The contract, after every call that may have changed something:
 *
 * ```
 * while ((ready = node.ready()) !== null) use(ready);            // send, restore, apply: in this order
 * if (node.needsPersist() && !isPersisting) await node.persist(); // one at a time; the event loop stays free
 * use(node.persisted());                                          // votes and acknowledgements that waited for the disk
 * ```
 *
 * Node ids are Kafka's (0 and up). An index counts raft's entries from 1; a term is Kafka's leader epoch.
 */

/** How a node is opened. Milliseconds do not occur: all time is ticks. */
export interface RaftNodeOptions {
  readonly id: number;
  /**
   * The members of a new cluster, the same on each of them. A node that is in neither list begins with nothing, and waits until a leader
   * adds it and brings it up to date. Ignored once there is state.
   */
  readonly voters: readonly number[];
  readonly learners: readonly number[];
  /** The metadata directory; the node keeps its state in `__cluster_raft` below it. Null: in memory, for tests and the simulator. */
  readonly directory: string | null;
  /** Told to the store of the raft log, which refuses one of another cluster. Null: any. */
  readonly clusterId?: string | null;
  /** A follower that hears nothing for this many ticks (and up to as many more, at random) stands for election. At least 3. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Of the election timeouts: two runs with one seed are the same. */
  readonly seed: number;
  /** Largest message, in or out; bounds entries and snapshots too. */
  readonly maxFrameBytes: number;
  /**
   * State image that a node which was alone until now brings along; used only when the node is new. Exactly one member of a new cluster
   * may have one. A member that finds the cluster begun without its image refuses the leader's messages (`CONTRADICTION`).
   */
  readonly firstSnapshot?: Uint8Array;
  /** For tests of tests: votes and acknowledgements leave before they are on disk. */
  readonly unsafeAcknowledgeEarly?: boolean;
}

/** A message for another member. */
export interface RaftMessage {
  readonly to: number;
  readonly bytes: Uint8Array;
}

/** An entry that is committed: it is in the log of a majority and of this node, and will never change. */
export interface RaftEntry {
  readonly index: number;
  readonly term: number;
  /** `none` opens a leader's term; `members` changed the membership, which {@link RaftNode.status} tells. Both have no data. */
  readonly kind: "records" | "members" | "none";
  readonly data: Uint8Array;
}

/** The state after entry `index`, in place of all entries up to it. */
export interface RaftSnapshot {
  readonly index: number;
  readonly term: number;
  readonly data: Uint8Array;
}

export type RaftRole = "leader" | "follower" | "candidate" | "learner";

/** What there is to do. The bytes are the caller's to keep. */
export interface RaftReady {
  /** May go out now, in this order; losing any of them is harmless. */
  readonly messages: readonly RaftMessage[];
  /** Replaces the state machine, before `committed`. */
  readonly snapshot: RaftSnapshot | null;
  /** To be applied, in this order. Each entry is told once; after a restart again from the newest snapshot on. */
  readonly committed: readonly RaftEntry[];
  /** As {@link RaftNode.needsPersist}. */
  readonly needsPersist: boolean;
  /** A member needs a newer state image than the stored one: give one by {@link RaftNode.snapshot} after applying `committed`. */
  readonly wantsSnapshot: boolean;
  /** The leader known to this node; -1 when none is. */
  readonly leaderId: number;
  readonly term: number;
  readonly role: RaftRole;
}

/** What the leader knows of another member. */
export interface RaftPeer {
  readonly id: number;
  /** Newest entry that the member is known to have on disk. */
  readonly matched: number;
  /** It was heard of within the last election timeout. */
  readonly isActive: boolean;
  readonly state: "probe" | "replicate" | "snapshot";
}

/** For DescribeQuorum, metrics and tests. */
export interface RaftStatus {
  readonly id: number;
  readonly term: number;
  readonly leaderId: number;
  readonly role: RaftRole;
  readonly commit: number;
  readonly applied: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** Newest entry on this node's own disk. */
  readonly persisted: number;
  readonly snapshotIndex: number;
  readonly voters: readonly number[];
  readonly learners: readonly number[];
  /** The voters that are on their way out; empty unless a joint change is in progress. */
  readonly outgoing: readonly number[];
  /** Of every other member; empty unless this node leads. */
  readonly peers: readonly RaftPeer[];
  /** Messages refused so far, by {@link RaftRefusal}. */
  readonly refused: Readonly<Record<string, number>>;
  /** Why the node has stopped for good, if it has. */
  readonly poison: string | null;
  /** Why the newest state image is not on disk, if it could not be written; the next one is a new try. */
  readonly snapshotFailure: string | null;
}

/** Why a message was refused. Nothing was changed. */
export const RaftRefusal = {
  NONE: 0,
  /** Larger than `maxFrameBytes`, or with more entries than a message may have. */
  TOO_LARGE: 1,
  /** Not a message of ours: version, checksum or structure. */
  MALFORMED: 2,
  /** Its sender is no member and was not admitted, or is another than the connection's. */
  UNKNOWN_MEMBER: 3,
  /** For another node. */
  WRONG_RECIPIENT: 4,
  /** A kind of message that members do not send each other. */
  FORBIDDEN: 5,
  /** It contradicts what is committed here: the cluster began without this node's state, or somebody's disk lost entries. */
  CONTRADICTION: 6,
  /** The node has stopped for good. */
  POISONED: 7,
  /** Not now: of a past term, of a member that is gone. */
  STALE: 8,
} as const;
export type RaftRefusal = (typeof RaftRefusal)[keyof typeof RaftRefusal];

/** Why a proposal was refused, as what {@link RaftNode.propose} returns. Nothing was changed. */
export const ProposeRefusal = {
  NOT_LEADER: -1,
  TOO_LARGE: -2,
  /** Too much waits for being committed. */
  BUSY: -3,
  POISONED: -4,
  /** Another change of members is in progress, or the change makes no sense. */
  INVALID_CHANGE: -5,
} as const;

/** One step of a change of members. Adding a learner as voter promotes it; adding a voter as learner demotes it. */
export interface RaftMemberChange {
  readonly kind: "add-voter" | "add-learner" | "remove";
  readonly id: number;
}

/** What is left of a node in memory that crashes. */
export type CrashKind =
  /** The process died: what was given to `persist` is there. */
  | "keep-written"
  /** The power failed: only what `persisted` was called for is there. */
  | "lose-unsynced"
  /** The power failed in the middle of the write: some of it is there, by the seed. */
  | "torn";

/** See the head of the file. No method throws for what a peer sent; a node that failed an internal check is poisoned. */
export interface RaftNode {
  readonly id: number;
  /** Time passes. False when the node has stopped for good. */
  tick(): boolean;
  /** Takes a message. `from`, where given, is the member that the connection was authenticated for. */
  step(bytes: Uint8Array, from?: number): RaftRefusal;
  /** Lets a node send messages although the membership known here does not have it (yet): it was authenticated. */
  admit(id: number): void;
  /** Appends records, if this node leads: the entry's index, to be committed or lost in the present term; else a {@link ProposeRefusal}. */
  propose(data: Uint8Array): number;
  /** Begins a change of members, if this node leads; several steps at once are one joint change. Returns as `propose` does. */
  proposeMembers(changes: readonly RaftMemberChange[]): number;
  /** Stands for election at once. */
  campaign(): void;
  /** Hands leadership to a voter, if this node leads; given up after an election timeout. */
  transferTo(id: number): void;
  /** A message to the member could not be sent. */
  reportUnreachable(id: number): void;
  ready(): RaftReady | null;
  /** Something is to be written that the last `persist` did not have. */
  needsPersist(): boolean;
  /**
   * Writes and syncs what `ready` told so far; on disk on a native thread, in memory at once. Not to be called again before it ended and
   * `persisted` was called.
   *
   * @throws RaftError (or rejects with it) DISK_FULL: nothing is lost, nothing was acknowledged, call it again later. RAFT_POISONED: the
   * node has stopped for good.
   */
  persist(): Promise<void> | void;
  /** After `persist` succeeded: what had to wait for it. */
  persisted(): RaftReady;
  /**
   * Gives the state image after entry `index`, which was applied: the log before it goes, once the image is on disk (by `persist`).
   *
   * @returns false when it is larger than a message may be, or older than the newest one: the log stays as it is.
   */
  snapshot(index: number, data: Uint8Array): boolean;
  status(): RaftStatus;
  /** In memory only: ends this node and makes the one that would start after a crash. `seed` is the new node's, and chooses what a torn write left. */
  crash(kind: CrashKind, seed: number): RaftNode;
  close(): Promise<void>;
}

/** A failure of a node's own. */
export class RaftError extends Error {
  override readonly name = "RaftError";
  /** `DISK_FULL`, `RAFT_POISONED`, `RAFT_CORRUPT`, `RAFT_CLOSED`, `INVALID_ARGUMENT`, or a code of the log store. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
