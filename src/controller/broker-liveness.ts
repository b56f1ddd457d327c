/**
 * What the active controller knows of brokers without writing it down: when each was last heard of, how far it has read the
 * metadata, and who is on the way out. It is lost with leadership: the next controller grants every broker in service a whole
 * session and learns the rest from heartbeats. Nothing here decides; `heartbeats.ts`, `registration.ts` and `fencing.ts` do.
 *
 * Times are monotonic milliseconds of the caller's clock.
 *
 * @see KIP-631 (sessions, controlled shutdown)
 */
import type { ClusterImage } from "#metadata/cluster-image.ts";

/** A broker in one of its lives. */
export interface BrokerIdAndEpoch {
  readonly brokerId: number;
  readonly brokerEpoch: number;
}

/** What a broker's death is concluded from. */
export type Evidence =
  /** Its connection closed and connecting again was refused twice: the process is gone. */
  | "connection"
  /** SWIM called it down, and it did not answer over TCP either. */
  | "swim"
  /** No heartbeat for `broker.session.timeout.ms`. */
  | "session";

/** What decisions may ask of the soft state. */
export interface LivenessView {
  /** True while that life of a broker was heard of within the session timeout. */
  hasValidSession(brokerId: number, brokerEpoch: number, nowMs: number): boolean;
  /** Offset of the broker's last registration, as far as this controller has seen it; its epoch otherwise. */
  registrationOffset(broker: { readonly id: number; readonly epoch: number }): number;
  /** Metadata offset at which a broker that is leaving may go; -1 while it is not leaving. */
  shutdownOffset(brokerId: number): number;
  /** Lowest metadata offset that brokers in service have told of; Infinity when there are none. */
  lowestActiveOffset(image: ClusterImage): number;
  /** Whether SWIM may be believed about a broker; see {@link BrokerLiveness.maySwimFence}. */
  maySwimFence(brokerId: number, image: ClusterImage, nowMs: number): boolean;
}

interface BrokerState {
  epoch: number;
  metadataOffset: number;
  registrationOffset: number;
  shutdownOffset: number;
}

/** See the head of the file. */
export class BrokerLiveness implements LivenessView {
  readonly #sessionTimeoutMs: () => number;
  /** Last contact by broker id, for the life it came from. */
  readonly #contacts = new Map<number, { brokerEpoch: number; atMs: number }>();
  readonly #states = new Map<number, BrokerState>();
  /** When SWIM was last believed about a broker. */
  readonly #fencedBySwim = new Map<number, number>();
  #lastTickMs = 0;

  /** @param sessionTimeoutMs - `broker.session.timeout.ms`. */
  constructor(sessionTimeoutMs: () => number) {
    this.#sessionTimeoutMs = sessionTimeoutMs;
  }

  /** Begins anew when this node becomes the active controller: brokers in service count as heard of just now. */
  activate(image: ClusterImage, nowMs: number): void {
    this.#contacts.clear();
    this.#states.clear();
    this.#fencedBySwim.clear();
    this.#lastTickMs = nowMs;
    for (const { id, epoch, isFenced } of image.brokers.values()) {
      if (!isFenced) this.touch(id, epoch, nowMs);
    }
  }

  /**
   * Notes that this node still looks at its clock, some times a second. When it did not for half a session or more, it was not
   * listening either, and heartbeats may wait to be read: that time counts against nobody.
   */
  tick(nowMs: number): void {
    const missedMs = nowMs - this.#lastTickMs;
    this.#lastTickMs = nowMs;
    if (missedMs * 2 < this.#sessionTimeoutMs()) return;
    for (const contact of this.#contacts.values()) {
      contact.atMs = Math.min(nowMs, contact.atMs + missedMs);
    }
  }

  /** Notes a sign of life: a heartbeat as it arrives, before it is decided on. */
  touch(brokerId: number, brokerEpoch: number, nowMs: number): void {
    const known = this.#contacts.get(brokerId);
    // A message from an earlier life says nothing of this one.
    if (known !== undefined && known.brokerEpoch > brokerEpoch) return;
    this.#contacts.set(brokerId, { brokerEpoch, atMs: nowMs });
  }

  /** Notes what a heartbeat said, after it was decided on. A fenced broker is not on its way out any more. */
  heard(brokerId: number, brokerEpoch: number, metadataOffset: number, isFenced: boolean): void {
    const state = this.#stateOf(brokerId, brokerEpoch);
    state.metadataOffset = metadataOffset;
    if (isFenced) state.shutdownOffset = -1;
    else this.#fencedBySwim.delete(brokerId);
  }

  /** Notes a registration that was committed at an offset. Another life before it is forgotten; the session begins with the first heartbeat. */
  registered(brokerId: number, brokerEpoch: number, offset: number): void {
    if (this.#contacts.get(brokerId)?.brokerEpoch !== brokerEpoch) this.forget(brokerId);
    this.#stateOf(brokerId, brokerEpoch).registrationOffset = offset;
    this.#fencedBySwim.delete(brokerId);
  }

  /** Notes that a broker may go once all others have read up to an offset. The first offset counts. */
  beginShutdown(brokerId: number, brokerEpoch: number, offset: number): void {
    const state = this.#stateOf(brokerId, brokerEpoch);
    if (state.shutdownOffset < 0) state.shutdownOffset = offset;
  }

  /** Ends a broker's session: it was fenced or unregistered, and may come back as another at once. */
  forget(brokerId: number): void {
    this.#contacts.delete(brokerId);
    this.#states.delete(brokerId);
  }

  /** Ends the session of one life, if it is that one's. */
  forgetLife({ brokerId, brokerEpoch }: BrokerIdAndEpoch): void {
    if (this.#contacts.get(brokerId)?.brokerEpoch === brokerEpoch) this.#contacts.delete(brokerId);
  }

  hasValidSession(brokerId: number, brokerEpoch: number, nowMs: number): boolean {
    const contact = this.#contacts.get(brokerId);
    return contact?.brokerEpoch === brokerEpoch && !this.#isOver(contact.atMs, nowMs);
  }

  /** Lives whose session is over, the longest silent first. */
  expired(nowMs: number): BrokerIdAndEpoch[] {
    return [...this.#contacts]
      .filter(([, { atMs }]) => this.#isOver(atMs, nowMs))
      .sort(([, left], [, right]) => left.atMs - right.atMs)
      .map(([brokerId, { brokerEpoch }]) => ({ brokerId, brokerEpoch }));
  }

  /** Milliseconds since the last sign of life of a broker; null when there was none. */
  silenceMs(brokerId: number, nowMs: number): number | null {
    const contact = this.#contacts.get(brokerId);
    return contact === undefined ? null : nowMs - contact.atMs;
  }

  registrationOffset({ id, epoch }: { readonly id: number; readonly epoch: number }): number {
    const state = this.#states.get(id);
    return state?.epoch === epoch ? Math.max(state.registrationOffset, epoch) : epoch;
  }

  shutdownOffset(brokerId: number): number {
    return this.#states.get(brokerId)?.shutdownOffset ?? -1;
  }

  lowestActiveOffset({ brokers }: ClusterImage): number {
    let lowest = Number.POSITIVE_INFINITY;
    for (const { id, isFenced } of brokers.values()) {
      if (isFenced || this.shutdownOffset(id) >= 0) continue;
      lowest = Math.min(lowest, this.#states.get(id)?.metadataOffset ?? -1);
    }
    return lowest;
  }

  /**
   * Whether a broker may be fenced on what SWIM says. When it calls more than a third of the brokers down at once (but one is always
   * believed), it is more likely that this node is the one cut off, and only sessions count.
   *
   * "At once" is within one session timeout: whoever was really gone by then is found by its session.
   */
  maySwimFence(brokerId: number, image: ClusterImage, nowMs: number): boolean {
    const accused = new Set([brokerId]);
    for (const [id, atMs] of this.#fencedBySwim) {
      if (nowMs - atMs > this.#sessionTimeoutMs()) this.#fencedBySwim.delete(id);
      else accused.add(id);
    }
    let brokerCount = 0;
    for (const { id, isFenced } of image.brokers.values()) {
      if (!isFenced || accused.has(id)) brokerCount += 1;
    }
    return accused.size <= Math.max(1, Math.floor(brokerCount / 3));
  }

  /** Notes that a broker was fenced on what SWIM said. */
  swimFenced(brokerId: number, nowMs: number): void {
    this.#fencedBySwim.set(brokerId, nowMs);
  }

  #stateOf(brokerId: number, epoch: number): BrokerState {
    let state = this.#states.get(brokerId);
    if (state?.epoch !== epoch) {
      state = { epoch, metadataOffset: -1, registrationOffset: -1, shutdownOffset: -1 };
      this.#states.set(brokerId, state);
    }
    return state;
  }

  #isOver(atMs: number, nowMs: number): boolean {
    return atMs + this.#sessionTimeoutMs() < nowMs;
  }
}
