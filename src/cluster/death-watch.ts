/**
 * Collects evidence that brokers are dead, and tells the active controller. Every node of the quorum collects, so that a new controller
 * knows at once what was seen before its turn.
 *
 * ```
 * connection lost ─► connecting is refused twice ─► the process is gone ──────────────────────► fence ("connection")
 *                    another process speaks for the node ────────────────────────────────────► fence ("connection")
 * SWIM suspects ──► a TCP connection is tried ─► answered: the suspicion is wrong, nothing happens
 *                                              └► no answer until SWIM says down ─────────────► fence ("swim")
 * ```
 *
 * SWIM only proposes: what it says is not believed against a node that answers over TCP, and the controller itself refuses to believe it
 * of too many at once (`BrokerLiveness.maySwimFence`).
 */
import type { Clock } from "#common/time.ts";
import type { Evidence } from "#controller/broker-liveness.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";

/** What the watch works with. */
export interface DeathWatchOptions {
  readonly nodeId: number;
  /** Of this process. */
  readonly incarnationId: string;
  readonly clock: Clock;
  readonly image: () => ClusterImage;
  /** Whether this node decides at the moment. */
  readonly isActive: () => boolean;
  /** Fences one life of a broker, if this node decides. */
  readonly fence: (brokerId: number, brokerEpoch: number, evidence: Evidence) => void;
  /** Time that a suspect has to answer over TCP, ms: no more than until SWIM calls it down, or the answer is waited for after that. */
  readonly pingTimeoutMs: number;
  /** Tries to reach a node over TCP; true when it answered within the time. */
  readonly ping: (nodeId: number, timeoutMs: number) => Promise<boolean>;
  /** SWIM called a node down that answers. */
  readonly onDisagreement: (nodeId: number) => void;
}

interface Suspicion {
  readonly startedMs: number;
  /** Whether it answered, once that is known. */
  readonly answer: Promise<boolean>;
}

/** See the head of the file. */
export class DeathWatch {
  readonly #options: DeathWatchOptions;
  /** Nodes whose process is gone, with the broker epoch that was known then. */
  readonly #gone: Map<number, number> = new Map();
  readonly #suspected: Map<number, Suspicion> = new Map();
  /** Which process speaks for each node, this one too; a node that starts hears of others before it knows who is registered. */
  readonly #incarnations: Map<number, string> = new Map();

  constructor(options: DeathWatchOptions) {
    this.#options = options;
    this.#incarnations.set(options.nodeId, options.incarnationId);
  }

  /** This node decides from now on: it acts on what was seen before. */
  activate(): void {
    const { image, fence } = this.#options;
    for (const [nodeId, brokerEpoch] of this.#gone) fence(nodeId, brokerEpoch, "connection");
    for (const { id, epoch, isFenced, incarnationId } of image().brokers.values()) {
      const speaks = this.#incarnations.get(id) ?? incarnationId;
      if (!isFenced && speaks !== incarnationId && !this.#gone.has(id))
        fence(id, epoch, "connection");
    }
  }

  /** A node's process is gone. */
  onGone(nodeId: number): void {
    this.#incarnations.delete(nodeId);
    this.#onDead(nodeId);
  }

  #onDead(nodeId: number): void {
    // One that is fenced has a session too, which would keep its next life waiting.
    const brokerEpoch = this.#options.image().brokers.get(nodeId)?.epoch ?? null;
    if (brokerEpoch === null || nodeId === this.#options.nodeId) return;
    this.#gone.set(nodeId, brokerEpoch);
    if (this.#options.isActive()) this.#options.fence(nodeId, brokerEpoch, "connection");
  }

  /** A process speaks for a node. If it is not the one that registered, that one is gone: two cannot be heard at a time. */
  onReached(nodeId: number, incarnationId: string): void {
    this.#incarnations.set(nodeId, incarnationId);
    const registered = this.#options.image().brokers.get(nodeId);
    if (registered === undefined || registered.incarnationId === incarnationId)
      this.#gone.delete(nodeId);
    else this.#onDead(nodeId);
  }

  /** SWIM suspects a node: it is asked over TCP meanwhile. */
  onSuspect(nodeId: number): void {
    if (this.#epochOf(nodeId) === null || this.#suspected.has(nodeId)) return;
    const { clock, ping, pingTimeoutMs } = this.#options;
    const answer = ping(nodeId, pingTimeoutMs);
    this.#suspected.set(nodeId, { startedMs: clock.monotonicMs(), answer });
  }

  /** SWIM takes its suspicion back. */
  onAlive(nodeId: number): void {
    this.#suspected.delete(nodeId);
  }

  /** SWIM calls a node down; it is fenced unless it answers. */
  async onDown(nodeId: number): Promise<void> {
    const brokerEpoch = this.#epochOf(nodeId);
    if (brokerEpoch === null) return;
    this.onSuspect(nodeId);
    const answer = this.#suspected.get(nodeId)?.answer;
    const hasAnswered = (await answer) === true;
    this.#suspected.delete(nodeId);
    if (hasAnswered) this.#options.onDisagreement(nodeId);
    else if (this.#options.isActive()) this.#options.fence(nodeId, brokerEpoch, "swim");
  }

  /** Epoch of a broker in service other than this one; null for anybody else. */
  #epochOf(nodeId: number): number | null {
    const broker = this.#options.image().brokers.get(nodeId);
    if (broker === undefined || broker.isFenced || nodeId === this.#options.nodeId) return null;
    return broker.epoch;
  }
}
