/**
 * Carries out timer effects with a scheduler.
 *
 * Sessions are pushed back by every heartbeat, and almost none ends. So a timer that is set again to a later time keeps the
 * scheduled callback it has, which re-arms itself for the rest when it finds that it is early.
 */
import type { Clock, Scheduler, Timer } from "#common/time.ts";
import type { TimerEffect } from "./step.ts";

interface ArmedTimer {
  token: number;
  deadlineMs: number;
  /** When the scheduled callback will run, on the monotonic clock. */
  wakeMs: number;
  timer: Timer;
}

/** The timers of one coordinator partition. */
export class TimerDriver {
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #fire: (key: string, token: number) => void;
  readonly #armed = new Map<string, ArmedTimer>();

  /** @param fire - called with the newest token of a key once its time has come. */
  constructor(clock: Clock, scheduler: Scheduler, fire: (key: string, token: number) => void) {
    this.#clock = clock;
    this.#scheduler = scheduler;
    this.#fire = fire;
  }

  apply(effect: TimerEffect): void {
    if (effect.kind === "clear-timer") {
      this.#armed.get(effect.key)?.timer.cancel();
      this.#armed.delete(effect.key);
      return;
    }
    const { key, token, delayMs } = effect;
    const deadlineMs = this.#clock.monotonicMs() + delayMs;
    const known = this.#armed.get(key);
    if (known !== undefined && known.wakeMs <= deadlineMs) {
      known.token = token;
      known.deadlineMs = deadlineMs;
      return;
    }
    known?.timer.cancel();
    this.#armed.set(key, {
      token,
      deadlineMs,
      wakeMs: deadlineMs,
      timer: this.#wakeAt(key, delayMs),
    });
  }

  /** Cancels everything. */
  clear(): void {
    for (const { timer } of this.#armed.values()) timer.cancel();
    this.#armed.clear();
  }

  #wakeAt(key: string, delayMs: number): Timer {
    return this.#scheduler.after(Math.max(0, Math.ceil(delayMs)), () => {
      const armed = this.#armed.get(key);
      if (armed === undefined) return;
      const remainingMs = armed.deadlineMs - this.#clock.monotonicMs();
      // Schedulers count whole milliseconds; what is left below one is not worth another wait.
      if (remainingMs >= 1) {
        armed.wakeMs = armed.deadlineMs;
        armed.timer = this.#wakeAt(key, remainingMs);
        return;
      }
      this.#armed.delete(key);
      this.#fire(key, armed.token);
    });
  }
}
