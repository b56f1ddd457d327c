/**
 * What a benchmark says while it runs: lines in a pipe, and on a terminal one line that moves on; both with the time that has passed and
 * the time that is left. The latter is what the steps ahead are expected to take, at the pace of those behind.
 */

/** Where it goes. */
export interface ProgressStream {
  readonly isTerminal: boolean;
  write(text: string): void;
}

/** `1 h 02 min`, `3 min 05 s`, `12 s`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const pad = (value: number): string => String(value).padStart(2, "0");
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${pad(Math.floor(whole / 60) % 60)} min`;
  if (whole >= 60) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${whole} s`;
}

/** Before so much was done the expected times are believed as they are. */
const believedSeconds = 15;

/** Progress of one benchmark. */
export class Progress {
  readonly #stream: ProgressStream;
  readonly #now: () => number;
  #expectedSeconds = 0;
  #doneSeconds = 0;
  #stepSeconds = 0;
  #startedMs: number | null = null;
  #hasLine = false;

  /** `now` in milliseconds, from anywhere. */
  constructor(stream: ProgressStream, now: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#now = now;
  }

  /** A line that stays. */
  say(text: string): void {
    this.#clear();
    this.#stream.write(`${text}\n`);
  }

  /** Starts the clock; the steps to come are expected to take so many seconds together. */
  begin(expectedSeconds: number): void {
    this.#expectedSeconds = expectedSeconds;
    this.#doneSeconds = 0;
    this.#stepSeconds = 0;
    this.#startedMs = this.#now();
  }

  /** The step before is done, and this one begins; its text is seen on a terminal only. */
  step(text: string, expectedSeconds: number): void {
    this.#doneSeconds += this.#stepSeconds;
    this.#stepSeconds = expectedSeconds;
    if (!this.#stream.isTerminal) return;
    this.#clear();
    this.#stream.write(`  ${text}, ${this.clock()}`);
    this.#hasLine = true;
  }

  /** The last step is done. */
  end(): void {
    this.#doneSeconds += this.#stepSeconds;
    this.#stepSeconds = 0;
    this.#clear();
  }

  /** Seconds since `begin`. */
  get passedSeconds(): number {
    return this.#startedMs === null ? 0 : (this.#now() - this.#startedMs) / 1000;
  }

  /** `3 min 05 s passed, about 12 min 00 s left`. */
  clock(): string {
    const passed = this.passedSeconds;
    const pace = this.#doneSeconds < believedSeconds ? 1 : passed / this.#doneSeconds;
    const left = Math.max(0, this.#expectedSeconds - this.#doneSeconds) * pace;
    return `${formatDuration(passed)} passed, about ${formatDuration(left)} left`;
  }

  #clear(): void {
    if (this.#hasLine) this.#stream.write("\r\u001b[2K");
    this.#hasLine = false;
  }
}
