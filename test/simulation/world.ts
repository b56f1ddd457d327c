/**
 * The simulated world: one clock, one queue of events, and the machines that live in it. Nothing here waits for real time; an event runs to
 * its end, promises included, before the next begins. What happens is written into a trace, of which a hash is kept: two runs of a seed are
 * the same when their hashes are.
 *
 * A *machine* is what a crash takes: its timers and deliveries die with the life they belong to. A paused machine (SIGSTOP) keeps its own,
 * late, and hears them when it goes on.
 */
import { drainMicrotasks } from "bun:jsc";
import type { Clock, Scheduler, Timer } from "#common/time.ts";
import { Event, EventQueue } from "./event-queue.ts";
import { SeededRandom } from "./random.ts";

/** Milliseconds since 1970 at which every world begins. */
export const WORLD_BEGIN_MS = 1_800_000_000_000;

/** Lines of the trace that are kept for a failure's report. */
const KEPT_LINES = 400;

/** See the head of the file. */
export class World {
  readonly random: SeededRandom;
  readonly #ties: SeededRandom;
  readonly #queue: EventQueue = new EventQueue();
  readonly #checks: (() => void)[] = [];
  readonly #lines: string[] = [];
  readonly #isTracing: boolean;
  #nowMs = 0;
  #sequence = 0;
  #hashLow = 0x811c_9dc5;
  #hashHigh = 0x1b87_3593;
  #failure: { readonly error: unknown } | null = null;
  eventCount = 0;
  /** What this run met, by name; see `coverage.ts`. */
  readonly coverage: Record<string, number> = {};
  /** Machines on which something happened in this event. */
  readonly touched: number[] = [];

  constructor(seed: number, isTracing = false) {
    this.random = new SeededRandom(seed);
    this.#ties = this.random.split("ties");
    this.#isTracing = isTracing;
  }

  /** Milliseconds since the world began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Of everything that was traced so far. */
  get hash(): string {
    return `${hex(this.#hashHigh)}${hex(this.#hashLow)}`;
  }

  /** The last lines of the trace. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** Runs something after a delay. */
  after(delayMs: number, run: () => void): Event {
    const atMs = this.#nowMs + Math.max(0, delayMs);
    const event = new Event(atMs, this.#ties.uint32(), this.#sequence++, run);
    this.#queue.push(event);
    return event;
  }

  /** Adds a check that runs after every event; it throws when something is wrong. */
  addCheck(check: () => void): void {
    this.#checks.push(check);
  }

  /** Notes that something worth meeting happened. */
  count(name: string): void {
    this.coverage[name] = (this.coverage[name] ?? 0) + 1;
  }

  /** Ends the run with this error once the event is over. */
  fail(error: unknown): void {
    this.#failure ??= { error };
  }

  /** Lets something go on by itself; its failure is the run's. */
  spawn(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.fail(error));
  }

  /** Notes that something happened. */
  trace(line: string): void {
    const whole = `${this.#nowMs.toFixed(3)} ${line}`;
    this.#hashLow = Bun.hash.murmur32v3(whole, this.#hashLow);
    this.#hashHigh = Bun.hash.cityHash32(whole) ^ Math.imul(this.#hashHigh, 0x0100_0193);
    if (this.#isTracing) console.log(whole);
    this.#lines.push(whole);
    if (this.#lines.length > 2 * KEPT_LINES) this.#lines.splice(0, KEPT_LINES);
  }

  /** Runs events up to a moment; the clock then stands there. */
  runUntil(untilMs: number): void {
    for (;;) {
      const event = this.#queue.pop();
      if (event === null) break;
      if (event.atMs > untilMs) {
        this.#queue.push(event);
        break;
      }
      this.#nowMs = event.atMs;
      this.eventCount += 1;
      // Every event counts, traced or not.
      this.#hashHigh = Math.imul(this.#hashHigh ^ event.tiebreak, 0x85eb_ca6b) ^ event.sequence;
      this.touched.length = 0;
      event.run();
      drainMicrotasks();
      if (this.#failure !== null) throw this.#failure.error;
      for (const check of this.#checks) check();
    }
    this.#nowMs = untilMs;
  }
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, "0");
}

/** See the head of `world.ts`. Time and timers of what runs on it. */
export class Machine implements Clock, Scheduler {
  readonly #world: World;
  readonly id: number;
  /** How fast its clock goes, and what it shows too much. */
  readonly #rate: number;
  readonly #offsetMs: number;
  #life = 0;
  #isUp = false;
  #held: (() => void)[] | null = null;

  constructor(world: World, id: number, clock: { rate: number; offsetMs: number }) {
    this.#world = world;
    this.id = id;
    this.#rate = clock.rate;
    this.#offsetMs = clock.offsetMs;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  get isPaused(): boolean {
    return this.#held !== null;
  }

  /** Counts the starts; a message for an earlier life finds nobody. */
  get life(): number {
    return this.#life;
  }

  nowMs(): number {
    return Math.floor(WORLD_BEGIN_MS + this.#offsetMs + this.monotonicMs());
  }

  monotonicMs(): number {
    return this.#world.nowMs * this.#rate;
  }

  after(delayMs: number, run: () => void): Timer {
    const life = this.#life;
    const event = this.#world.after(delayMs / this.#rate, () => {
      if (this.#life !== life || !this.#isUp) return;
      // It may be cancelled while it is held.
      if (this.#held !== null) this.#held.push(() => event.isCancelled || run());
      else {
        this.#world.touched.push(this.id);
        run();
      }
    });
    return event;
  }

  /** Something that happens only while this life lasts, and not before a pause is over. */
  inThisLife(run: () => void): () => void {
    const life = this.#life;
    return () => {
      if (this.#life !== life || !this.#isUp) return;
      if (this.#held !== null) {
        this.#held.push(run);
        return;
      }
      this.#world.touched.push(this.id);
      run();
    };
  }

  /** Begins a life. */
  start(): void {
    this.#world.touched.push(this.id);
    this.#life += 1;
    this.#isUp = true;
    this.#held = null;
  }

  /** Ends it. */
  stop(): void {
    this.#isUp = false;
    this.#held = null;
  }

  pause(): void {
    this.#held ??= [];
  }

  /** Goes on with what waited, in the order it came. */
  resume(): void {
    const held = this.#held;
    if (held === null) return;
    this.#held = null;
    for (const [at, run] of held.entries()) {
      this.#world.after(0.0001 * (at + 1), this.inThisLife(run));
    }
  }
}
