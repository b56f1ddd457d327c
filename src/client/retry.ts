/** Trying again, with pauses that grow, until a deadline: for failures that pass by themselves. */
import { ClientError } from "./client-error.ts";

const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1_000;

/** Settles after a time. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * Runs `attempt` until it succeeds, fails for good, or the time is over; then its last failure is thrown.
 *
 * @param mayRetry - which failures pass; those that say so themselves unless given.
 */
export async function retrying<T>(
  attempt: () => Promise<T>,
  timeoutMs: number,
  mayRetry: (error: ClientError) => boolean = (error) => error.isRetriable,
): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof ClientError) || !mayRetry(error)) throw error;
      if (performance.now() + pauseMs >= deadlineMs) throw error;
      await pause(pauseMs);
    }
  }
}
