/**
 * Gives a {@link BrokerLifecycle} its timer and its connection to the controller.
 */
import { ErrorCode } from "#common/error-code.ts";
import type { Clock, Scheduler, Timer } from "#common/time.ts";
import {
  BrokerHeartbeatApi,
  makeBrokerHeartbeatRequest,
} from "#protocol/generated/broker-heartbeat.ts";
import {
  BrokerRegistrationApi,
  type BrokerRegistrationRequest,
} from "#protocol/generated/broker-registration.ts";
import type { BrokerLifecycle, LifecyclePhase, LifecycleStep } from "./broker-lifecycle.ts";
import { type ControllerChannel, ControllerUnavailableError } from "./controller-channel.ts";

/** What the driver works with. */
export interface LifecycleDriverOptions {
  readonly lifecycle: BrokerLifecycle;
  readonly channel: Pick<ControllerChannel, "send">;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** What this broker says of itself, without its previous epoch. */
  readonly registration: BrokerRegistrationRequest;
  /** Offset of the newest metadata that every publisher has acted on. */
  readonly metadataOffset: () => number;
  /** Directory ids of log directories that failed. */
  readonly offlineLogDirs: () => string[];
  /** Directory ids of log directories that take no new partitions (KIP-1066); null where the cluster has no place for them. */
  readonly cordonedLogDirs: () => readonly string[] | null;
  /** Whether records can be appended here, or nobody else could take them either. */
  readonly hasRoom: () => boolean;
  /** Told whenever something may have changed. */
  readonly onChange: (phase: LifecyclePhase) => void;
  /** The controller refused to register this broker, with this code; it is tried again. */
  readonly onRefused: (errorCode: number) => void;
  readonly onFailure: (error: unknown) => void;
}

const REGISTRATION_VERSION = 4;
const HEARTBEAT_VERSION = 2;
/** Time an answer may take; a heartbeat that takes longer is sent again. */
const ANSWER_TIMEOUT_MS = 2_000;
/** The same for a broker that wants to go. */
const LAST_ANSWER_TIMEOUT_MS = 1_000;

/** See the head of the file. */
export class LifecycleDriver {
  readonly #options: LifecycleDriverOptions;
  #timer: Timer | null = null;
  #isStopped = false;
  #whenGone: (() => void) | null = null;
  /** Cordoned directories in the newest heartbeat, as text; null before one had any to tell. */
  #told: string | null = null;

  constructor(options: LifecycleDriverOptions) {
    this.#options = options;
  }

  /** Begins, or looks at once at what is to be done. */
  wake(): void {
    if (this.#isStopped) return;
    this.#timer?.cancel();
    this.#timer = null;
    const { lifecycle, clock, scheduler } = this.#options;
    lifecycle.hasRoom = this.#options.hasRoom();
    const cordoned = this.#cordonedLogDirs();
    if (cordoned !== null && String(cordoned) !== this.#told)
      lifecycle.hasNews(clock.monotonicMs());
    const step = lifecycle.next(clock.monotonicMs());
    switch (step.kind) {
      case "wait": {
        if (step.untilMs === Number.POSITIVE_INFINITY) return;
        const delayMs = Math.max(1, step.untilMs - clock.monotonicMs());
        this.#timer = scheduler.after(delayMs, () => this.wake());
        return;
      }
      case "done":
        this.#whenGone?.();
        return;
      default:
        this.#send(step).then(
          () => {
            this.#options.onChange(lifecycle.phase);
            this.wake();
          },
          (error: unknown) => this.#options.onFailure(error),
        );
    }
  }

  /** Leaves the cluster in order; settles when this broker leads nothing any more, or may not wait longer. */
  async leave(timeoutMs: number): Promise<void> {
    const { lifecycle, clock, scheduler } = this.#options;
    lifecycle.leave(clock.monotonicMs());
    if (lifecycle.phase === "gone") return;
    await new Promise<void>((resolve) => {
      this.#whenGone = resolve;
      scheduler.after(timeoutMs, resolve);
      this.wake();
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#whenGone?.();
  }

  /** Null also for a broker that has not read its own configuration yet: what it told in an earlier life holds until it has. */
  #cordonedLogDirs(): readonly string[] | null {
    const { phase } = this.#options.lifecycle;
    if (phase === "registering" || phase === "catching-up") return null;
    return this.#options.cordonedLogDirs();
  }

  async #send(step: Extract<LifecycleStep, { kind: "register" | "heartbeat" }>): Promise<void> {
    const { lifecycle, channel, clock, registration } = this.#options;
    const timeoutMs = lifecycle.phase === "leaving" ? LAST_ANSWER_TIMEOUT_MS : ANSWER_TIMEOUT_MS;
    const timeout = { timeoutMs };
    try {
      if (step.kind === "register") {
        const { previousBrokerEpoch } = step;
        const request = { ...registration, previousBrokerEpoch };
        const answer = await channel.send(
          BrokerRegistrationApi,
          REGISTRATION_VERSION,
          request,
          timeout,
        );
        if (answer.errorCode !== ErrorCode.NONE) this.#options.onRefused(answer.errorCode);
        lifecycle.onRegistered(answer.errorCode, answer.brokerEpoch, clock.monotonicMs());
      } else {
        const cordonedLogDirs = this.#cordonedLogDirs();
        this.#told = cordonedLogDirs === null ? null : String(cordonedLogDirs);
        const request = makeBrokerHeartbeatRequest({
          brokerId: registration.brokerId,
          brokerEpoch: step.brokerEpoch,
          currentMetadataOffset: this.#options.metadataOffset(),
          wantFence: step.wantFence,
          wantShutDown: step.wantShutDown,
          offlineLogDirs: this.#options.offlineLogDirs(),
          cordonedLogDirs: cordonedLogDirs === null ? null : [...cordonedLogDirs],
        });
        const answer = await channel.send(BrokerHeartbeatApi, HEARTBEAT_VERSION, request, timeout);
        lifecycle.onHeartbeat(answer, clock.monotonicMs());
      }
    } catch (error) {
      if (!(error instanceof ControllerUnavailableError)) throw error;
      lifecycle.onUnanswered(clock.monotonicMs());
    }
  }
}
