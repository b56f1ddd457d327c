/**
 * The life of a broker in a cluster: it registers, reads the metadata up to its own registration, asks to serve, serves, and in the end
 * asks to go.
 *
 * ```
 *  registering ── granted ──► catching up ── everything published ──► waiting ── unfenced ──► serving
 *       ▲                                                                │                      │ stop
 *       └──────────────────────── STALE_BROKER_EPOCH ────────────────────┴──────────────────────┤
 *                                                                                               ▼
 *                                                                   gone ◄── may go, or too late ── leaving
 * ```
 *
 * A broker that the controller fenced while it lives goes on with heartbeats: a controller that hears it again lets it serve again.
 * One that has no room on any disk asks to be fenced until it has: others lead meanwhile, and no leader waits for it to follow.
 * No clock: calls take the time, and `next` says what to send.
 *
 * @see KIP-631
 */
import { ErrorCode } from "#common/error-code.ts";

/** See the head of the file. */
export type LifecyclePhase =
  "registering" | "catching-up" | "waiting" | "serving" | "leaving" | "gone";

/** What to do next. */
export type LifecycleStep =
  | { readonly kind: "register"; readonly previousBrokerEpoch: number }
  | {
      readonly kind: "heartbeat";
      readonly brokerEpoch: number;
      readonly wantFence: boolean;
      readonly wantShutDown: boolean;
    }
  | { readonly kind: "wait"; readonly untilMs: number }
  | { readonly kind: "done" };

/** Times, ms. */
export interface LifecycleSettings {
  /** Epoch of the life before, if that closed its logs in order; -1 otherwise (KIP-966). */
  readonly closedBrokerEpoch: number;
  /** `initial.broker.registration.timeout.ms` */
  readonly registrationTimeoutMs: number;
  /** `broker.heartbeat.interval.ms` */
  readonly heartbeatIntervalMs: number;
  /** Longest time a broker that wants to go waits for being let go. */
  readonly leaveTimeoutMs: number;
}

/** What a heartbeat was answered. */
export interface HeartbeatAnswer {
  readonly errorCode: number;
  readonly isFenced: boolean;
  readonly shouldShutDown: boolean;
}

/** Pause after an answer that settles nothing. */
const RETRY_MS = 50;
/** A broker that wants to go and is not answered for this long goes: there is nobody who could let it. */
const LONELY_MS = 1_500;
/** Heartbeats of a broker that waits for something come faster. */
const IMPATIENT_MS = 50;

/** See the head of the file. */
export class BrokerLifecycle {
  readonly #settings: LifecycleSettings;
  #phase: LifecyclePhase = "registering";
  #brokerEpoch = -1;
  /** When registering began; null before. */
  #startedMs: number | null = null;
  #nextAtMs = 0;
  #isUnderWay = false;
  #leaveByMs = Number.POSITIVE_INFINITY;
  #lastAnswerMs = 0;
  #hasCaughtUp = false;
  /** Whether records can be appended here. */
  hasRoom = true;

  constructor(settings: LifecycleSettings) {
    this.#settings = settings;
  }

  get phase(): LifecyclePhase {
    return this.#phase;
  }

  /** Epoch of the newest registration; -1 before the first. */
  get brokerEpoch(): number {
    return this.#brokerEpoch;
  }

  /** Whether the time in which a broker has to register for the first time is over. */
  isOverdue(nowMs: number): boolean {
    if (this.#brokerEpoch >= 0 || this.#startedMs === null) return false;
    return nowMs - this.#startedMs >= this.#settings.registrationTimeoutMs;
  }

  /** What to do at `nowMs`. A request that was given out is under way until it is answered. */
  next(nowMs: number): LifecycleStep {
    if (this.#phase === "leaving" && nowMs >= this.#leaveByMs) this.#phase = "gone";
    if (this.#phase === "gone") return { kind: "done" };
    if (this.#isUnderWay) return { kind: "wait", untilMs: Number.POSITIVE_INFINITY };
    if (nowMs < this.#nextAtMs) return { kind: "wait", untilMs: this.#nextAtMs };
    this.#isUnderWay = true;
    this.#startedMs ??= nowMs;
    if (this.#phase === "registering") {
      const { closedBrokerEpoch } = this.#settings;
      const previousBrokerEpoch = this.#brokerEpoch < 0 ? closedBrokerEpoch : this.#brokerEpoch;
      return { kind: "register", previousBrokerEpoch };
    }
    return {
      kind: "heartbeat",
      brokerEpoch: this.#brokerEpoch,
      wantFence: this.#phase === "catching-up" || this.#wantsRelief(),
      wantShutDown: this.#phase === "leaving",
    };
  }

  /** The controller answered a registration. */
  onRegistered(errorCode: number, brokerEpoch: number, nowMs: number): void {
    this.#isUnderWay = false;
    this.#nextAtMs = nowMs + RETRY_MS;
    if (errorCode !== ErrorCode.NONE || this.#phase !== "registering") return;
    this.#brokerEpoch = brokerEpoch;
    this.#nextAtMs = nowMs;
    // In a later life the controller waits until this broker has read its registration, whatever was published before.
    this.#phase = this.#hasCaughtUp ? "waiting" : "catching-up";
  }

  /** Everything up to the own registration is applied, and every publisher has acted on it. */
  onCaughtUp(nowMs: number): void {
    // Also while it has to register anew, because somebody else's request, of a life before it for instance, came between.
    this.#hasCaughtUp = true;
    if (this.#phase !== "catching-up") return;
    this.#phase = "waiting";
    this.#nextAtMs = nowMs;
  }

  /** There is something to tell that should not wait for its turn: the next heartbeat is due now. */
  hasNews(nowMs: number): void {
    if (this.#phase === "waiting" || this.#phase === "serving") this.#nextAtMs = nowMs;
  }

  /** The controller answered a heartbeat. */
  onHeartbeat({ errorCode, isFenced, shouldShutDown }: HeartbeatAnswer, nowMs: number): void {
    this.#isUnderWay = false;
    this.#lastAnswerMs = nowMs;
    this.#nextAtMs = nowMs + this.#settings.heartbeatIntervalMs;
    if (errorCode === ErrorCode.STALE_BROKER_EPOCH) {
      if (this.#phase === "leaving") this.#phase = "gone";
      else this.#phase = "registering";
      this.#nextAtMs = nowMs;
      return;
    }
    if (errorCode !== ErrorCode.NONE) {
      this.#nextAtMs = nowMs + RETRY_MS;
      return;
    }
    switch (this.#phase) {
      case "waiting":
        if (isFenced) this.#nextAtMs = nowMs + IMPATIENT_MS;
        else this.#phase = "serving";
        return;
      case "serving":
        if (isFenced && !this.#wantsRelief()) this.#nextAtMs = nowMs + IMPATIENT_MS;
        return;
      case "leaving":
        if (shouldShutDown) this.#phase = "gone";
        else this.#nextAtMs = nowMs + IMPATIENT_MS;
        return;
      default:
    }
  }

  #wantsRelief(): boolean {
    return this.#phase === "serving" && !this.hasRoom;
  }

  /** A request had no answer: there is no controller, or its answer was lost. */
  onUnanswered(nowMs: number): void {
    this.#isUnderWay = false;
    this.#nextAtMs = nowMs + RETRY_MS;
    if (this.#phase === "leaving" && nowMs - this.#lastAnswerMs > LONELY_MS) this.#phase = "gone";
  }

  /** The broker is to stop: what it leads moves first. A broker that is not in service goes at once. */
  leave(nowMs: number): void {
    if (this.#phase === "leaving" || this.#phase === "gone") return;
    if (this.#phase === "registering" || this.#phase === "catching-up") {
      this.#phase = "gone";
      return;
    }
    this.#phase = "leaving";
    this.#nextAtMs = nowMs;
    this.#lastAnswerMs = nowMs;
    this.#leaveByMs = nowMs + this.#settings.leaveTimeoutMs;
  }
}
