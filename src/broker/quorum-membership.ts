/**
 * Who belongs to the quorum, kept up by its leader: nodes that say hello are added without a vote, those that the quorum began with get
 * one when they have caught up, an administrator gives and takes votes (KIP-853), and members that are gone for long are forgotten.
 *
 * One change at a time; each is a commit, so that a new leader goes on where the last one was.
 */
import type { PeerAddress } from "#cluster/peer-connection.ts";
import type { PeerHello } from "#cluster/peer-hello.ts";
import type { RaftLinks } from "#cluster/raft-links.ts";
import type { Clock } from "#common/time.ts";
import { errorFields, type Logger } from "#common/logger.ts";
import type { QuorumMetadata } from "#metadata/quorum-metadata.ts";
import { memberKey, nodeOfKey } from "#quorum/member-key.ts";
import type { Quorum } from "#quorum/quorum.ts";
import { keyOfMember, type QuorumMember } from "#quorum/quorum-members.ts";
import type { RaftStatus } from "#quorum/raft.ts";
import type { QuorumReplicaView, QuorumView } from "#server/handlers/describe-quorum.ts";
import { OffsetsByIndex } from "./offsets-by-index.ts";

/** A member without a vote that was not heard of for this long is forgotten; as observers of Kafka are. When it is back it is added again. */
const FORGET_MS = 300_000;
/** The same for one that is not registered as a broker. */
const FORGET_UNREGISTERED_MS = 10_000;
/** A member is close enough for a vote when it lacks at most this many entries. */
const CAUGHT_UP_ENTRIES = 64;

/** What it works with. */
export interface QuorumMembershipOptions {
  /** This node, as the others are told. */
  readonly self: () => QuorumMember;
  readonly quorum: Quorum;
  readonly links: RaftLinks;
  readonly metadata: QuorumMetadata;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a voter's change came to. */
export type VoterChange =
  | "done"
  /** Another change is under way. */
  | "busy"
  | "duplicate"
  | "not-found"
  /** It does not follow the leader, or not closely enough. */
  | "lagging"
  /** It does not answer where it is said to be. */
  | "unreachable"
  /** This node leads no more: the new leader is to be asked. */
  | "not-leader";

/** See the head of the file. */
export class QuorumMembership {
  readonly #options: QuorumMembershipOptions;
  readonly offsets: OffsetsByIndex = new OffsetsByIndex();
  /** Nodes as their hellos told of them. */
  readonly #guests: Map<number, QuorumMember> = new Map();
  /** By key: when a member had everything, and when it was heard of; wall clock and monotonic, ms. */
  readonly #caughtUpMs: Map<number, number> = new Map();
  readonly #heardMs: Map<number, number> = new Map();
  #isBusy = false;

  constructor(options: QuorumMembershipOptions) {
    this.#options = options;
  }

  /** Members as committed. */
  get members(): readonly QuorumMember[] {
    return this.#options.metadata.members.members;
  }

  /** Whether a node has a vote, with whatever directory. */
  hasVoter(nodeId: number): boolean {
    return this.#options.quorum.status().voters.some((key) => nodeOfKey(key) === nodeId);
  }

  /** A node said hello. */
  onPeer({ nodeId, directoryId, host, port }: PeerHello): void {
    const { listener } = this.#options.self();
    this.#guests.set(nodeId, { nodeId, directoryId, listener, host, port });
  }

  /** Where a node is reached; null when nobody said. */
  addressOf(nodeId: number): PeerAddress | null {
    const known =
      this.#guests.get(nodeId) ??
      this.#options.metadata.members.members.find((member) => member.nodeId === nodeId);
    return known === undefined ? null : { nodeId, host: known.host, port: known.port };
  }

  /** Connects to the members that this node has to do with: a voter to all of them, another to the voters. */
  link(): void {
    const { self, quorum, links, metadata } = this.#options;
    const { id, voters } = quorum.status();
    const isVoter = voters.includes(id);
    for (const member of metadata.members.members) {
      const isOther = member.nodeId !== self().nodeId;
      if (!isOther || !(isVoter || voters.includes(keyOfMember(member)))) continue;
      if (links.addressOf(member.nodeId) === null) links.add(member);
    }
  }

  /** This node begins to lead. */
  onLeadership(): void {
    this.#caughtUpMs.clear();
    this.#heardMs.clear();
  }

  /** Whether most of those that the quorum began with, or was changed to, have a vote: what is decided then is on most of their disks. */
  get isFormed(): boolean {
    const { quorum, metadata } = this.#options;
    const { voters } = quorum.status();
    return voters.length > metadata.members.expectedVoters.length;
  }

  /** Some times a second while this node leads. */
  tick(): void {
    const { quorum, clock, logger } = this.#options;
    const status = quorum.status();
    const nowMs = clock.monotonicMs();
    for (const { id, matched, isActive } of status.peers) {
      if (!isActive) continue;
      this.#heardMs.set(id, nowMs);
      if (matched >= status.commit) this.#caughtUpMs.set(id, clock.nowMs());
    }
    if (this.#isBusy) return;
    const change = this.#nextChange(status, nowMs);
    if (change === null) return;
    this.#exclusively(change).catch((error: unknown) =>
      logger.warn("cannot change the members of the quorum", errorFields(error)),
    );
  }

  /**
   * Gives a member a vote.
   *
   * @param isAwaited - false: settle as soon as it is under way.
   * @throws QuorumError.
   */
  async addVoter(nodeId: number, directoryId: string, isAwaited: boolean): Promise<VoterChange> {
    const { quorum } = this.#options;
    if (this.#isBusy) return "busy";
    const status = quorum.status();
    if (this.hasVoter(nodeId)) return "duplicate";
    const key = memberKey(nodeId, directoryId);
    if (!status.learners.includes(key) || !hasCaughtUp(status, key)) return "lagging";
    const promoting = this.#exclusively(() => this.#promote(key));
    if (isAwaited) await promoting;
    else promoting.catch(() => {});
    return "done";
  }

  /**
   * Takes a member's vote. It stays as a member without one while it is there.
   *
   * @param handsOver - this node's own vote is not taken here, but leadership given up, so that the next leader takes it: who is asked in
   * another's name cannot answer once it leads no more.
   * @throws QuorumError.
   */
  async removeVoter(nodeId: number, directoryId: string, handsOver: boolean): Promise<VoterChange> {
    const { quorum, links } = this.#options;
    if (this.#isBusy) return "busy";
    const { id, voters, peers } = quorum.status();
    const key = memberKey(nodeId, directoryId);
    // Kafka does not find the only voter either: without it there would be no quorum.
    if (!voters.includes(key) || voters.length === 1) return "not-found";
    if (key === id && handsOver) {
      const heir = peers.find((peer) => peer.isActive && voters.includes(peer.id));
      if (heir !== undefined) quorum.transferTo(heir.id);
      return "not-leader";
    }
    const isThere = key === id || links.directoryOf(nodeId) === directoryId;
    await this.#exclusively(async () => {
      await quorum.removeMember(key, isThere ? "as-learner" : undefined);
      this.#options.logger.info("a node has no vote any more", { nodeId, directoryId });
      if (!isThere) await this.#forgetMember(key);
    });
    return "done";
  }

  /** How far the members are, for DescribeQuorum; null while this node does not lead. */
  view(): QuorumView | null {
    const { quorum, metadata, clock } = this.#options;
    if (quorum.activeTerm === null) return null;
    const status = quorum.status();
    const nowMs = clock.nowMs();
    const infos = new Map(metadata.members.members.map((member) => [keyOfMember(member), member]));
    const endOffset = metadata.committed.offset + 1;
    const replica = (key: number): QuorumReplicaView => {
      const id = nodeOfKey(key);
      const directoryId = infos.get(key)?.directoryId ?? null;
      if (key === status.id)
        return { id, directoryId, endOffset, lastFetchMs: nowMs, lastCaughtUpMs: nowMs };
      const peer = status.peers.find((other) => other.id === key);
      const caughtUpMs = this.#caughtUpMs.get(key) ?? -1;
      return {
        id,
        directoryId,
        endOffset: this.offsets.endAt(peer?.matched ?? 0),
        lastFetchMs: peer?.isActive === true ? nowMs : caughtUpMs,
        lastCaughtUpMs: caughtUpMs,
      };
    };
    return {
      leaderId: nodeOfKey(status.id),
      leaderEpoch: status.term,
      highWatermark: endOffset,
      voters: status.voters.map(replica),
      observers: status.learners.map(replica),
      nodes: status.voters.flatMap((key) => {
        const info = infos.get(key);
        return info === undefined ? [] : [info];
      }),
    };
  }

  /** Voters as an administrator reaches them. */
  controllers(): QuorumMember[] {
    const { quorum, metadata } = this.#options;
    const { voters } = quorum.status();
    return metadata.members.members.filter((member) => voters.includes(keyOfMember(member)));
  }

  async #exclusively(change: () => Promise<unknown>): Promise<void> {
    this.#isBusy = true;
    try {
      await change();
    } finally {
      this.#isBusy = false;
    }
  }

  /** What is to be changed next; null when everything is as it should be. */
  #nextChange(status: RaftStatus, nowMs: number): (() => Promise<unknown>) | null {
    const { self, quorum, links, metadata } = this.#options;
    const { members, expectedVoters } = metadata.members;
    const known = new Map(members.map((member) => [keyOfMember(member), member]));
    for (const member of [self(), ...this.#guests.values()]) {
      const key = keyOfMember(member);
      const isOwn = key === status.id;
      if (!isOwn && links.directoryOf(member.nodeId) !== member.directoryId) continue;
      const info = known.get(key);
      const isMember = status.voters.includes(key) || status.learners.includes(key);
      if (info?.host !== member.host || info.port !== member.port) {
        return () => this.#commit([...members.filter((each) => each !== info), member]);
      }
      if (!isMember) return () => this.#admit(member, key, status);
    }
    for (const nodeId of expectedVoters) {
      if (status.voters.some((key) => nodeOfKey(key) === nodeId)) {
        const others = expectedVoters.filter((each) => each !== nodeId);
        return () => metadata.commitMembers({ members, expectedVoters: others });
      }
      const key = status.learners.find((each) => nodeOfKey(each) === nodeId);
      if (key !== undefined && hasCaughtUp(status, key)) return () => this.#promote(key);
    }
    const isBroker = (key: number): boolean => metadata.committed.brokers.has(nodeOfKey(key));
    for (const key of status.learners) {
      const heardMs = this.#heardMs.get(key);
      if (heardMs === undefined) this.#heardMs.set(key, nowMs);
      else if (nowMs - heardMs > (isBroker(key) ? FORGET_MS : FORGET_UNREGISTERED_MS)) {
        return async () => {
          await quorum.removeMember(key);
          await this.#forgetMember(key);
        };
      }
    }
    return null;
  }

  /** Adds a node without a vote; who had its id without a vote before is gone. */
  async #admit(member: QuorumMember, key: number, { learners }: RaftStatus): Promise<void> {
    const { quorum, logger } = this.#options;
    const { nodeId } = member;
    const before = learners.filter((other) => nodeOfKey(other) === nodeId);
    for (const other of before) {
      await quorum.removeMember(other);
      await this.#forgetMember(other);
    }
    await quorum.addLearner(key);
    logger.info("a node joined the quorum without a vote", { nodeId });
  }

  async #promote(key: number): Promise<void> {
    const { quorum, logger } = this.#options;
    await quorum.promote(key);
    logger.info("a node has a vote", { nodeId: nodeOfKey(key) });
  }

  async #forgetMember(key: number): Promise<void> {
    const { members } = this.#options.metadata.members;
    this.#caughtUpMs.delete(key);
    this.#heardMs.delete(key);
    await this.#commit(members.filter((member) => keyOfMember(member) !== key));
  }

  async #commit(members: readonly QuorumMember[]): Promise<void> {
    const { metadata } = this.#options;
    await metadata.commitMembers({ ...metadata.members, members });
  }
}

function hasCaughtUp({ peers, lastIndex }: RaftStatus, key: number): boolean {
  const peer = peers.find(({ id }) => id === key);
  return peer?.isActive === true && lastIndex - peer.matched <= CAUGHT_UP_ENTRIES;
}
