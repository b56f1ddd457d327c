/**
 * What must hold of the logs (I1 to I5, I8). Each replica's log has a shadow here, which follows it record by record; all shadows of a
 * partition share one table of what was ever written at an offset in an epoch, and after what, which is what log matching means.
 *
 * A disk that loses records is not against the rules of replication, only beyond them: a member that lost some is left out of I2 until it has
 * caught up or left the ISR, and the loss is counted against the records (see `history.ts`).
 */
import type { ClusterImage } from "#metadata/cluster-image.ts";
import { type History, Violation } from "./history.ts";

/** A replica as it is now. */
export interface ReplicaLook {
  readonly isLeader: boolean;
  readonly leaderEpoch: number;
  readonly logEndOffset: number;
  readonly highWatermark: number;
  /** Of the ISR that the leader knows as committed, and the least that acks=all needs; 0 on others. */
  readonly isrSize: number;
  readonly minIsr: number;
}

/** A record in a shadow. */
export interface ShadowRecord {
  readonly epoch: number;
  readonly value: string;
}

interface Shadow {
  readonly records: ShadowRecord[];
  look: ReplicaLook | null;
  /** It lost records below this offset in a crash and is not back yet; 0 for none. */
  lostBelow: number;
  /** Epoch of its registration then: the controller does not know of the crash before it has a newer one. */
  lostInEpoch: number;
}

/** See the head of the file. One for each partition. */
export class PartitionRules {
  readonly #name: string;
  readonly #partition: number;
  readonly #slot: number;
  readonly #history: History;
  readonly #truth: () => ClusterImage;
  readonly topic: string;
  readonly #minIsr: number;
  readonly #count: (name: string) => void;
  /** Epoch of the last leader that need not have everything: what older ones called committed may be gone. */
  #uncleanEpoch = -1;
  readonly #shadows: Map<number, Shadow> = new Map();
  /** By offset: what was ever there, by epoch, and the epoch of the record before it. */
  readonly #table: {
    readonly epoch: number;
    readonly value: string;
    readonly epochBefore: number;
  }[][] = [];
  readonly #leaders: Map<number, number> = new Map();
  /** By offset: the oldest epoch in which the leader of it called it replicated. */
  readonly #ackedIn: Map<number, number> = new Map();

  constructor(options: {
    readonly topic: string;
    readonly partition: number;
    /** Where the history has its records. */
    readonly slot: number;
    readonly minIsr: number;
    readonly history: History;
    readonly truth: () => ClusterImage;
    readonly count?: (name: string) => void;
  }) {
    this.#minIsr = options.minIsr;
    this.#count = options.count ?? (() => {});
    this.topic = options.topic;
    this.#partition = options.partition;
    this.#slot = options.slot;
    this.#name = `${options.topic}-${options.partition}`;
    this.#history = options.history;
    this.#truth = options.truth;
  }

  /** Records that a replica holds, as far as was looked. */
  lengthOf(nodeId: number): number {
    return this.#shadows.get(nodeId)?.records.length ?? 0;
  }

  /** How a replica was when it was last looked at; null since its start. */
  lookOf(nodeId: number): ReplicaLook | null {
    return this.#shadows.get(nodeId)?.look ?? null;
  }

  recordsOf(nodeId: number): readonly ShadowRecord[] {
    return this.#shadow(nodeId).records;
  }

  /** The log was cut. */
  onTruncated(nodeId: number, offset: number): void {
    const { records } = this.#shadow(nodeId);
    if (offset >= records.length) return;
    records.length = Math.max(0, offset);
    this.#count("log cut");
  }

  /** The replica is not this node's any more, and gone. */
  onDeleted(nodeId: number): void {
    this.#shadows.delete(nodeId);
    this.#count("replica deleted");
  }

  /** Somebody leads who need not have everything: what it does not have may be gone, and no more than that. */
  onUncleanElection(leader: number, leaderEpoch: number): void {
    this.#uncleanEpoch = leaderEpoch;
    const has = new Map(this.#shadow(leader).records.map(({ value }, offset) => [value, offset]));
    this.#history.onUncleanElection(this.#slot, has);
  }

  /** Records were appended at the end of what is known of the log. */
  onAppended(
    nodeId: number,
    appended: readonly (ShadowRecord & { readonly offset: number })[],
  ): void {
    const { records } = this.#shadow(nodeId);
    for (const { offset, epoch, value } of appended) {
      if (offset !== records.length) {
        throw new Violation(
          "I3",
          `node ${nodeId} has ${this.#name}@${offset} after ${records.length - 1}`,
        );
      }
      const epochBefore = records.at(-1)?.epoch ?? -1;
      if (epoch < epochBefore) {
        throw new Violation(
          "I3",
          `node ${nodeId} has epoch ${epoch} after ${epochBefore} at ${this.#name}@${offset}`,
        );
      }
      const there = (this.#table[offset] ??= []);
      const known = there.find((other) => other.epoch === epoch);
      if (known === undefined) {
        there.push({ epoch, value, epochBefore });
        // The first to have a record is who leads in its epoch.
        if (epoch < this.#uncleanEpoch) this.#history.onWrittenForNothing(this.#slot, value);
      } else if (known.value !== value || known.epochBefore !== epochBefore) {
        throw new Violation(
          "I3",
          `${this.#name}@${offset} of epoch ${epoch} is ${value} after epoch ${epochBefore} on node ${nodeId}, and was ${known.value} after epoch ${known.epochBefore}`,
        );
      }
      records.push({ epoch, value });
    }
  }

  /** A node came back from a crash with a log of this length. */
  onRecovered(nodeId: number, logEndOffset: number): void {
    const shadow = this.#shadow(nodeId);
    shadow.look = null;
    if (logEndOffset >= shadow.records.length) return;
    shadow.lostBelow = Math.max(shadow.lostBelow, shadow.records.length);
    shadow.lostInEpoch = this.#truth().brokers.get(nodeId)?.epoch ?? -1;
    this.#count("records lost in a crash");
    this.#history.onDiskLost(this.#slot, logEndOffset);
    shadow.records.length = logEndOffset;
  }

  /** A node stopped. */
  onStopped(nodeId: number): void {
    this.#shadow(nodeId).look = null;
  }

  /** A replica changed; its shadow has been brought up to date. */
  onLook(nodeId: number, look: ReplicaLook): void {
    const shadow = this.#shadow(nodeId);
    const before = shadow.look;
    shadow.look = look;
    if (shadow.records.length >= shadow.lostBelow) shadow.lostBelow = 0;
    if (!look.isLeader) return;
    this.#checkLeader(nodeId, look);
    const isSame = before?.isLeader === true && before.leaderEpoch === look.leaderEpoch;
    if (!isSame) this.#checkHasAcked(nodeId, shadow);
    else if (look.highWatermark < before.highWatermark) {
      throw new Violation(
        "I5",
        `the high watermark of ${this.#name} fell from ${before.highWatermark} to ${look.highWatermark} in epoch ${look.leaderEpoch}`,
      );
    } else if (
      look.highWatermark > before.highWatermark &&
      look.isrSize < this.#minIsr &&
      before.isrSize < this.#minIsr
    ) {
      throw new Violation(
        "I8",
        `the high watermark of ${this.#name} moved to ${look.highWatermark} with ${look.isrSize} of ${this.#minIsr} in sync`,
      );
    }
  }

  /** Anything changed: what leaders say is committed must be on every member of the ISR. */
  checkStrongIsr(): void {
    const partition = this.#truth().topicsByName.get(this.topic)?.partitions[this.#partition];
    if (partition === undefined) return;
    for (const [memberId, member] of this.#shadows) {
      if (member.lostBelow === 0) continue;
      // It may still be let in, or elected, until the controller hears of its crash: it then registers, and is in neither set.
      const { isr, eligibleLeaderReplicas } = partition;
      const epoch = this.#truth().brokers.get(memberId)?.epoch ?? -1;
      if (epoch <= member.lostInEpoch || isr.includes(memberId)) continue;
      if (!eligibleLeaderReplicas.includes(memberId)) member.lostBelow = 0;
    }
    for (const [leaderId, { look, records }] of this.#shadows) {
      if (look === null || !look.isLeader || look.highWatermark === 0) continue;
      if (look.leaderEpoch < this.#uncleanEpoch) continue;
      const last = look.highWatermark - 1;
      for (const memberId of partition.isr) {
        const member = this.#shadow(memberId);
        if (member.lostBelow > 0 || member.records[last]?.epoch === records[last]?.epoch) continue;
        throw new Violation(
          "I2",
          `node ${leaderId} leads ${this.#name} in epoch ${look.leaderEpoch} with high watermark ${look.highWatermark}, and ${memberId} of the ISR ${partition.isr.join()} has ${member.records.length} records, another epoch at ${last}`,
        );
      }
    }
  }

  /** An acks=all write was answered with success by this node. */
  onAcknowledged(nodeId: number, lastOffset: number): void {
    const { look, records } = this.#shadow(nodeId);
    const ackedIn = look?.leaderEpoch ?? -1;
    this.#ackedIn.set(lastOffset, Math.min(ackedIn, this.#ackedIn.get(lastOffset) ?? ackedIn));
    if (look !== null && look.isLeader && look.isrSize < this.#minIsr) {
      throw new Violation(
        "I8",
        `${this.#name}@${lastOffset} was acknowledged with ${look.isrSize} of ${this.#minIsr} in sync`,
      );
    }
    for (const [id, other] of this.#shadows) {
      // A leader of an epoch before this acknowledgement, whatever the epoch of the record, may not know that it leads no more: the record
      // was not acknowledged when it was elected.
      if (other.look?.isLeader !== true || other.look.leaderEpoch < ackedIn || other.lostBelow > 0)
        continue;
      // The new leader need not have it: the old one, which does not know yet, acknowledged for nothing.
      if (ackedIn < this.#uncleanEpoch) continue;
      if (other.records[lastOffset]?.value !== records[lastOffset]?.value) {
        throw new Violation(
          "I4",
          `${this.#name}@${lastOffset} was acknowledged by ${nodeId}, and ${id}, which leads in epoch ${other.look.leaderEpoch}, has it not`,
        );
      }
    }
  }

  #checkLeader(nodeId: number, { leaderEpoch }: ReplicaLook): void {
    const other = this.#leaders.get(leaderEpoch);
    if (other === undefined) this.#leaders.set(leaderEpoch, nodeId);
    else if (other !== nodeId) {
      throw new Violation(
        "I1",
        `nodes ${other} and ${nodeId} lead ${this.#name} in epoch ${leaderEpoch}`,
      );
    }
  }

  /**
   * Whoever begins to lead has everything that was acknowledged in the epochs before. One that was cut off may begin an epoch that is
   * over by then: what was acknowledged later is not its business, and it will acknowledge nothing.
   */
  #checkHasAcked(nodeId: number, { records, look }: Shadow): void {
    for (const offset of this.#history.ackedOffsets(this.#slot)) {
      const value = this.#history.ackedAt(this.#slot, offset);
      if (value === null || records[offset]?.value === value) continue;
      if ((this.#ackedIn.get(offset) ?? -1) > (look?.leaderEpoch ?? -1)) {
        this.#count("acknowledged in a later epoch");
        continue;
      }
      throw new Violation(
        "I4",
        `node ${nodeId} begins to lead ${this.#name} in epoch ${look?.leaderEpoch ?? -1} without ${value}, acknowledged at ${offset}`,
      );
    }
  }

  #shadow(nodeId: number): Shadow {
    let shadow = this.#shadows.get(nodeId);
    if (shadow === undefined) {
      shadow = { records: [], look: null, lostBelow: 0, lostInEpoch: -1 };
      this.#shadows.set(nodeId, shadow);
    }
    return shadow;
  }
}
