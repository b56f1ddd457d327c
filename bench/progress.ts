/** What a benchmark says while it runs: lines in a pipe, and on a terminal one line that moves on, with the time left by its own pace. */

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

/** Progress of one benchmark. */
export class Progress {
  readonly #stream: ProgressStream;
  readonly #now: () => number;
  #steps = 0;
  #done = 0;
  #startedMs = 0;
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

  /** Begins a part of so many equal steps. */
  begin(steps: number): void {
    this.#steps = steps;
    this.#done = 0;
    this.#startedMs = this.#now();
  }

  /** A step is about to be done; seen on a terminal only. */
  step(text: string): void {
    if (this.#stream.isTerminal) {
      const passed = (this.#now() - this.#startedMs) / 1000;
      const left = this.#done === 0 ? null : (passed / this.#done) * (this.#steps - this.#done);
      const tail = left === null ? "" : `, about ${formatDuration(left)} left`;
      this.#clear();
      this.#stream.write(`  ${this.#done}/${this.#steps} ${text}${tail}`);
      this.#hasLine = true;
    }
    this.#done++;
  }

  /** Ends the line that moves. */
  end(): void {
    this.#clear();
  }

  #clear(): void {
    if (this.#hasLine) this.#stream.write("\r\u001b[2K");
    this.#hasLine = false;
  }
}
