/**
 * The real clock, timers and randomness behind the ports of `common/time.ts`.
 */
import type { Clock, Random, Scheduler, Timer } from "#common/time.ts";

/** Wall and monotonic time of this machine. */
export const SYSTEM_CLOCK: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/** Longest delay a timer of the runtime takes, about 24 days; longer ones are split. */
const DELAY_MS_MAX = 0x7fffffff;

/** Timers of the runtime. */
export const SYSTEM_SCHEDULER: Scheduler = {
  after(delayMs: number, run: () => void): Timer {
    let handle: ReturnType<typeof setTimeout>;
    const arm = (restMs: number): void => {
      handle = setTimeout(
        () => (restMs > DELAY_MS_MAX ? arm(restMs - DELAY_MS_MAX) : run()),
        Math.min(Math.max(restMs, 0), DELAY_MS_MAX),
      );
    };
    arm(delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
};

/** Randomness of the operating system. */
export const SYSTEM_RANDOM: Random = {
  next: () => Math.random(),
  uuid(): string {
    // Version 4 as Kafka's are. It never hands out one that begins with a dash: tools would take it for an option.
    for (;;) {
      const bytes = Buffer.from(crypto.randomUUID().replaceAll("-", ""), "hex");
      const id = bytes.toString("base64url");
      if (!id.startsWith("-")) return id;
    }
  },
};
