/**
 * What one step of a coordinator produces: records to write, answers that may leave at once, timers to set.
 *
 * Order rules for the driver: first the records are queued, then replies and timers are carried out. The response of the
 * operation itself is not here: it leaves when the records, and all written before them, are committed. `afterAppend`
 * comes back into the state machine as an event, with the outcome of the append.
 */

/** An answer to a request that was parked earlier. */
export interface Reply<Response> {
  /** Number under which the driver parked the request. */
  readonly waiter: number;
  readonly response: Response;
}

/** Sets or clears the one timer known by `key`. A firing timer hands its token back; only the newest token counts. */
export type TimerEffect =
  | {
      readonly kind: "set-timer";
      readonly key: string;
      readonly delayMs: number;
      readonly token: number;
    }
  | { readonly kind: "clear-timer"; readonly key: string };

/** Collects the effects of one step. Made by the driver, filled by the state machine, read once by the driver. */
export class Step<CoordinatorRecord, Response, AppendToken> {
  /** Wall clock at the start of the step, ms. */
  readonly nowMs: number;
  readonly records: CoordinatorRecord[] = [];
  readonly replies: Reply<Response>[] = [];
  readonly timers: TimerEffect[] = [];
  /** True when the records are to be applied with `replay` right away; false when the state already holds them. */
  isReplayed = true;
  /** False when the records may be spread over several batches, of which the first may be committed without the last. */
  isAtomic = true;
  afterAppend: AppendToken | null = null;

  constructor(nowMs: number) {
    this.nowMs = nowMs;
  }

  reply(waiter: number, response: Response): void {
    this.replies.push({ waiter, response });
  }
}

/**
 * The timers a state machine believes are set, and what each is for.
 *
 * Timers are never trusted when they fire: the token must be the one given out last for that key, so a timer that was
 * replaced or cleared after it left the scheduler does nothing.
 */
export class TimerBook<Action> {
  readonly #armed = new Map<string, { token: number; action: Action }>();
  #nextToken = 1;

  /** Sets the timer `key`, replacing what it was set to before. */
  set(effects: TimerEffect[], key: string, delayMs: number, action: Action): void {
    const token = this.#nextToken++;
    const armed = this.#armed.get(key);
    if (armed === undefined) this.#armed.set(key, { token, action });
    else {
      armed.token = token;
      armed.action = action;
    }
    effects.push({ kind: "set-timer", key, delayMs, token });
  }

  clear(effects: TimerEffect[], key: string): void {
    if (this.#armed.delete(key)) effects.push({ kind: "clear-timer", key });
  }

  /** Takes the action of a timer that fired, or `null` when it is stale. */
  fire(key: string, token: number): Action | null {
    const armed = this.#armed.get(key);
    if (armed === undefined || armed.token !== token) return null;
    this.#armed.delete(key);
    return armed.action;
  }

  /** True while the timer `key` is set. */
  isSet(key: string): boolean {
    return this.#armed.has(key);
  }

  /** Number of timers set. */
  get size(): number {
    return this.#armed.size;
  }
}
