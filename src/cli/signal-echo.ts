/**
 * Tells a second Ctrl-C from the echo of the first: a runner such as npm passes on what the terminal has delivered to every process already, some milliseconds
 * later. A person is not that quick.
 */
const ECHO_MS = 200;

/** See the head of the file. */
export class SignalEcho {
  #last: { readonly signal: string; readonly atMs: number } | null = null;

  /** Whether this is the signal before once more. `nowMs` is of a clock that never goes back. */
  isEcho(signal: string, nowMs: number = performance.now()): boolean {
    const last = this.#last;
    if (last?.signal === signal && nowMs - last.atMs < ECHO_MS) return true;
    this.#last = { signal, atMs: nowMs };
    return false;
  }
}
