/**
 * Drives a {@link RaftNode}: ticks it, carries its messages, keeps one write to the disk under way at a time, applies what is committed,
 * and answers each proposal when its entry has been applied here.
 *
 * A proposal ends in one of three ways. Its entry is applied: it is committed for good. It was refused at once (`isFateUnknown` false):
 * it never was in any log. Leadership was lost meanwhile: a later leader may still commit it or not, and the caller must look at the
 * state before it tries again.
 */
import type { Scheduler, Timer } from "#common/time.ts";
import { ProposeRefusal, RaftError, type RaftMemberChange, type RaftNode } from "./raft.ts";
import { type RaftEntry, type RaftReady, RaftRefusal, type RaftSnapshot } from "./raft.ts";
import type { RaftStatus } from "./raft.ts";

/** Where an entry lies: its index, and the term (Kafka: leader epoch) it was proposed in. */
export interface EntryPosition {
  readonly index: number;
  readonly term: number;
}

/** Why something asked of the quorum was not done. */
export type QuorumErrorCode =
  /** Another node leads, or none does. Kafka's NOT_CONTROLLER (41). */
  | "NOT_CONTROLLER"
  | "TOO_LARGE"
  /** Too much waits for being committed already. */
  | "BUSY"
  /** Another change of members is in progress, or this one makes no sense. */
  | "INVALID_CHANGE"
  /** The node has failed, or was stopped. */
  | "STOPPED";

/** See {@link QuorumErrorCode}. */
export class QuorumError extends Error {
  override readonly name = "QuorumError";
  readonly code: QuorumErrorCode;
  /** It may still be committed, by a later leader. False: it never will be. */
  readonly isFateUnknown: boolean;

  constructor(code: QuorumErrorCode, message: string, isFateUnknown = false) {
    super(message);
    this.code = code;
    this.isFateUnknown = isFateUnknown;
  }
}

/** What a quorum works with. The callbacks run inside its calls and its timers; they may call `propose`. */
export interface QuorumOptions {
  /** Belongs to the quorum from now on; closed by {@link Quorum.stop}. */
  readonly node: RaftNode;
  readonly scheduler: Scheduler;
  /** Length of a tick; the design's is 50 ms. */
  readonly tickMs: number;
  /** Sends to another member, in order where possible. May drop: raft repeats. Must not call back. */
  readonly send: (to: number, bytes: Uint8Array) => void;
  /** Applies one commit: every node gets the same ones in the same order. Must not throw. */
  readonly onCommitted: (entry: RaftEntry) => void;
  /** Replaces the state by the image. Must not throw. */
  readonly onSnapshot: (snapshot: RaftSnapshot) => void;
  /** The state after everything that was applied, as `onSnapshot` takes it on another node. */
  readonly image: () => Uint8Array;
  /** An image is taken when this many bytes were applied since the last. */
  readonly snapshotBytes: number;
  /** The leader, or the term, changed: `leaderId` -1 when there is none. */
  readonly onLeader?: (leaderId: number, term: number) => void;
  /** This node leads and has applied everything of the terms before (its term), or no longer does (null). */
  readonly onLeadership?: (term: number | null) => void;
  /** The membership changed. */
  readonly onMembers?: (status: RaftStatus) => void;
  /** The disk is full: the node acknowledges nothing until there is room. Told once, and once more (false) when it is over. */
  readonly onDiskFull?: (isFull: boolean, error?: Error) => void;
  /** The node has stopped for good; it must be restarted to take part again. */
  readonly onFailure?: (error: Error) => void;
}

/** How long a node whose disk is full waits before it tries again. */
const DISK_RETRY_TICKS = 20;
/** A learner is close enough to be promoted when it lacks at most this many entries. */
const PROMOTION_LAG_ENTRIES = 64;
/** Ticks that `addVoter` waits for the learner to catch up: a minute at 50 ms. */
const CATCH_UP_TICKS = 1200;

interface Waiting {
  readonly term: number;
  readonly resolve: (position: EntryPosition) => void;
  readonly reject: (error: QuorumError) => void;
}

interface CatchingUp {
  readonly id: number;
  ticksLeft: number;
  readonly resolve: () => void;
  readonly reject: (error: QuorumError) => void;
}

const REFUSALS: Readonly<Record<number, readonly [QuorumErrorCode, string]>> = {
  [ProposeRefusal.NOT_LEADER]: ["NOT_CONTROLLER", "this node is not the active controller"],
  [ProposeRefusal.TOO_LARGE]: ["TOO_LARGE", "the records are larger than one commit may be"],
  [ProposeRefusal.BUSY]: ["BUSY", "too many records wait for being committed"],
  [ProposeRefusal.POISONED]: ["STOPPED", "the raft node has stopped"],
  [ProposeRefusal.INVALID_CHANGE]: [
    "INVALID_CHANGE",
    "another change of members is in progress, or this one makes no sense",
  ],
};

function refusal(code: number): QuorumError {
  const [name, message] = REFUSALS[code] ?? ["STOPPED", `refused with ${code}`];
  return new QuorumError(name, message);
}

/** See the head of the file. */
export class Quorum {
  readonly #options: QuorumOptions;
  readonly #node: RaftNode;
  /** Proposals in the order of their indexes. */
  readonly #waiting: Map<number, Waiting> = new Map();
  readonly #catchingUp: Set<CatchingUp> = new Set();
  #timer: Timer | null = null;
  #persisting: Promise<void> | null = null;
  #stopping: Promise<void> | null = null;
  #isPumping = false;
  #diskRetryTicks = 0;
  #isDiskFull = false;
  #isStopped = false;
  #leaderId = -1;
  #term = 0;
  #isLeader = false;
  #activeTerm: number | null = null;
  #appliedIndex = 0;
  #bytesSinceSnapshot = 0;

  constructor(options: QuorumOptions) {
    this.#options = options;
    this.#node = options.node;
  }

  /** Node id of the leader; -1 when none is known. */
  get leaderId(): number {
    return this.#leaderId;
  }

  get term(): number {
    return this.#term;
  }

  /** The term in which this node leads with everything before it applied; null when it does not. */
  get activeTerm(): number | null {
    return this.#activeTerm;
  }

  /** Index of the newest entry applied here. */
  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  status(): RaftStatus {
    return this.#node.status();
  }

  /** Applies what the node has on disk (its snapshot; entries follow when a leader says how far they are committed) and starts ticking. */
  start(): void {
    this.#arm();
    this.#pump();
    const { id, voters } = this.#node.status();
    // Nobody else could vote: no timeout has to pass.
    if (voters.length === 1 && voters[0] === id) this.#node.campaign();
    this.#pump();
  }

  /** Stops for good: closes the node once a write under way has ended. Proposals that wait are rejected, their fate unknown. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#rejectAll("STOPPED", "the raft node was stopped");
    await this.#persisting;
    await this.#node.close();
  }

  /** Ends as a crash does: nothing is called any more, nothing is closed, no proposal is settled. For simulations. */
  abandon(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /** Takes a message of the member that a connection was authenticated for. */
  receive(from: number, bytes: Uint8Array): RaftRefusal {
    if (this.#isStopped) return RaftRefusal.POISONED;
    this.#node.admit(from);
    const refusal = this.#node.step(bytes, from);
    this.#pump();
    return refusal;
  }

  /** The members that `nameOf` gives this name cannot be reached at the moment. */
  unreachable(name: number, nameOf: (id: number) => number = (id) => id): void {
    if (this.#isStopped) return;
    for (const { id } of this.#node.status().peers)
      if (nameOf(id) === name) this.#node.reportUnreachable(id);
  }

  /**
   * Commits the records as one entry.
   *
   * @returns where they lie, once they were applied here.
   * @throws QuorumError NOT_CONTROLLER, TOO_LARGE, BUSY, STOPPED; see `isFateUnknown`.
   */
  propose(records: Uint8Array): Promise<EntryPosition> {
    return this.#wait(() => this.#node.propose(records));
  }

  /**
   * Changes the membership in one step (several changes: by joint consensus). Done when the change is applied; a joint one then leaves its
   * joint state by itself.
   *
   * @throws QuorumError as `propose`, and INVALID_CHANGE.
   */
  changeMembers(changes: readonly RaftMemberChange[]): Promise<EntryPosition> {
    return this.#wait(() => this.#node.proposeMembers(changes));
  }

  /** Adds a member that copies everything and has no vote. */
  addLearner(id: number): Promise<EntryPosition> {
    return this.changeMembers([{ kind: "add-learner", id }]);
  }

  /** Gives a learner a vote. */
  promote(id: number): Promise<EntryPosition> {
    return this.changeMembers([{ kind: "add-voter", id }]);
  }

  /** Takes a member out of the group, or its vote where `kept` is given. */
  removeMember(id: number, kept?: "as-learner"): Promise<EntryPosition> {
    return this.changeMembers([{ kind: kept === undefined ? "remove" : "add-learner", id }]);
  }

  /**
   * Adds a voter without risk to the quorum: as a learner first, promoted once it has caught up.
   *
   * @throws QuorumError as `changeMembers`; INVALID_CHANGE also when it did not catch up in time: it then stays a learner.
   */
  async addVoter(id: number): Promise<EntryPosition> {
    const { role, voters, learners } = this.#node.status();
    if (role !== "leader") throw refusal(ProposeRefusal.NOT_LEADER);
    if (!voters.includes(id) && !learners.includes(id)) await this.addLearner(id);
    await new Promise<void>((resolve, reject) => {
      this.#catchingUp.add({ id, ticksLeft: CATCH_UP_TICKS, resolve, reject });
    });
    return this.promote(id);
  }

  /** Hands leadership to another voter; without effect when this node does not lead. */
  transferTo(id: number): void {
    if (this.#isStopped) return;
    this.#node.transferTo(id);
    this.#pump();
  }

  #wait(begin: () => number): Promise<EntryPosition> {
    if (this.#isStopped)
      return Promise.reject(new QuorumError("STOPPED", "the raft node has stopped"));
    const index = begin();
    if (index < 0) return Promise.reject(refusal(index));
    const term = this.#term;
    const applied = new Promise<EntryPosition>((resolve, reject) => {
      this.#waiting.set(index, { term, resolve, reject });
    });
    this.#pump();
    return applied;
  }

  #arm(): void {
    this.#timer = this.#options.scheduler.after(this.#options.tickMs, () => {
      if (this.#isStopped) return;
      this.#arm();
      if (!this.#node.tick()) {
        const why = this.#node.status().poison ?? "the raft node has stopped";
        this.#fail(new RaftError("RAFT_POISONED", why));
        return;
      }
      if (this.#diskRetryTicks > 0) this.#diskRetryTicks -= 1;
      this.#pump();
      if (this.#catchingUp.size > 0) this.#checkCatchingUp();
    });
  }

  /** Does all that there is to do. A callback that asks for more finds it done after its return. */
  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (!this.#isStopped) {
        const ready = this.#node.ready();
        if (ready !== null) this.#use(ready);
        else if (this.#persisting !== null || this.#diskRetryTicks > 0) break;
        else if (!this.#node.needsPersist() || !this.#persist()) break;
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isPumping = false;
    }
  }

  /** Starts a write; true when it is done already. */
  #persist(): boolean {
    let writing: Promise<void> | void;
    try {
      writing = this.#node.persist();
    } catch (error) {
      this.#onPersistFailed(error);
      return false;
    }
    if (writing === undefined) {
      this.#onPersisted();
      return true;
    }
    this.#persisting = writing.then(
      () => {
        this.#persisting = null;
        if (this.#isStopped) return;
        try {
          this.#onPersisted();
        } catch (error) {
          this.#fail(error);
        }
        this.#pump();
      },
      (error: unknown) => {
        this.#persisting = null;
        this.#onPersistFailed(error);
      },
    );
    return false;
  }

  #onPersisted(): void {
    if (this.#isDiskFull) {
      this.#isDiskFull = false;
      this.#options.onDiskFull?.(false);
    }
    this.#use(this.#node.persisted());
  }

  #onPersistFailed(error: unknown): void {
    if (this.#isStopped) return;
    if (!(error instanceof RaftError) || error.code !== "DISK_FULL") {
      this.#fail(error);
      return;
    }
    this.#diskRetryTicks = DISK_RETRY_TICKS;
    if (this.#isDiskFull) return;
    this.#isDiskFull = true;
    this.#options.onDiskFull?.(true, error);
    // A leader that cannot write still lets the others commit, but cannot apply: one that can takes over.
    const heir = this.#heir();
    if (heir !== null) this.#node.transferTo(heir);
  }

  /** The voter that has most of the log; null when this node does not lead. */
  #heir(): number | null {
    const { voters, peers } = this.#node.status();
    let best: { id: number; matched: number } | null = null;
    for (const peer of peers) {
      if (
        peer.isActive &&
        voters.includes(peer.id) &&
        (best === null || peer.matched > best.matched)
      )
        best = peer;
    }
    return best?.id ?? null;
  }

  #use(ready: RaftReady): void {
    const { send, onCommitted, onSnapshot } = this.#options;
    for (const { to, bytes } of ready.messages) send(to, bytes);
    if (ready.snapshot !== null) {
      this.#appliedIndex = ready.snapshot.index;
      this.#bytesSinceSnapshot = 0;
      onSnapshot(ready.snapshot);
      this.#rejectUpTo(ready.snapshot.index);
    }
    const isLeader = ready.role === "leader";
    const hasLost = this.#isLeader && (!isLeader || ready.term !== this.#term);
    const isNews = ready.leaderId !== this.#leaderId || ready.term !== this.#term;
    this.#isLeader = isLeader;
    this.#leaderId = ready.leaderId;
    this.#term = ready.term;
    for (const entry of ready.committed) {
      this.#appliedIndex = entry.index;
      if (entry.kind === "records") {
        this.#bytesSinceSnapshot += entry.data.length;
        onCommitted(entry);
      } else if (entry.kind === "members") {
        this.#options.onMembers?.(this.#node.status());
      }
      this.#settle(entry);
    }
    if (hasLost) {
      this.#rejectAll(
        "NOT_CONTROLLER",
        "this node lost its leadership before the records were committed",
      );
      this.#setActive(null);
    }
    if (isNews) this.#options.onLeader?.(ready.leaderId, ready.term);
    if (isLeader && ready.committed.some((entry) => entry.term === ready.term))
      this.#setActive(ready.term);
    const isDue = this.#bytesSinceSnapshot >= this.#options.snapshotBytes;
    if ((isDue || ready.wantsSnapshot) && this.#appliedIndex > 0) {
      this.#bytesSinceSnapshot = 0;
      this.#node.snapshot(this.#appliedIndex, this.#options.image());
    }
  }

  #setActive(term: number | null): void {
    if (term === this.#activeTerm) return;
    this.#activeTerm = term;
    this.#options.onLeadership?.(term);
  }

  #settle(entry: RaftEntry): void {
    const waiting = this.#waiting.get(entry.index);
    if (waiting === undefined) return;
    this.#waiting.delete(entry.index);
    if (waiting.term === entry.term) waiting.resolve({ index: entry.index, term: entry.term });
    // Another leader's entry has its place: this one is gone for good.
    else waiting.reject(new QuorumError("NOT_CONTROLLER", "another controller took over"));
  }

  /** A snapshot stands for these entries now: nobody can tell which of them it holds. */
  #rejectUpTo(index: number): void {
    for (const [at, waiting] of this.#waiting) {
      if (at > index) continue;
      this.#waiting.delete(at);
      waiting.reject(new QuorumError("NOT_CONTROLLER", "another controller took over", true));
    }
  }

  #rejectAll(code: QuorumErrorCode, message: string): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(new QuorumError(code, message, true));
    const catchingUp = [...this.#catchingUp];
    this.#catchingUp.clear();
    for (const { reject } of catchingUp) reject(new QuorumError(code, message));
  }

  #checkCatchingUp(): void {
    const { peers, lastIndex } = this.#node.status();
    for (const learner of this.#catchingUp) {
      const matched = peers.find((peer) => peer.id === learner.id)?.matched ?? -1;
      learner.ticksLeft -= 1;
      if (matched >= 0 && lastIndex - matched <= PROMOTION_LAG_ENTRIES) {
        this.#catchingUp.delete(learner);
        learner.resolve();
      } else if (learner.ticksLeft <= 0) {
        this.#catchingUp.delete(learner);
        learner.reject(
          new QuorumError("INVALID_CHANGE", `node ${learner.id} did not catch up in time`),
        );
      }
    }
  }

  #fail(error: unknown): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#timer?.cancel();
    const failure = error instanceof Error ? error : new Error(String(error));
    this.#setActive(null);
    this.#rejectAll("STOPPED", `the raft node has stopped: ${failure.message}`);
    this.#options.onFailure?.(failure);
  }
}
