/**
 * Many deadlines, one timer. A request that waits needs a deadline which it almost never reaches, so starting one must
 * cost next to nothing and cancelling one less: both are a few pointer writes in a ring of slots. A single timer of the
 * underlying scheduler is armed for the first slot that holds anything. Deadlines are met late by up to one slot, never early.
 */
import type { Clock, Scheduler, Timer } from "./time.ts";

const SLOT_COUNT = 1024;

class WheelTimer implements Timer {
  readonly dueTick: number;
  run: (() => void) | null;
  slot: Slot | null;
  previous: WheelTimer | null = null;
  next: WheelTimer | null = null;

  constructor(slot: Slot, dueTick: number, run: () => void) {
    this.slot = slot;
    this.dueTick = dueTick;
    this.run = run;
  }

  cancel(): void {
    this.slot?.remove(this);
    this.run = null;
  }
}

class Slot {
  first: WheelTimer | null = null;

  add(timer: WheelTimer): void {
    timer.next = this.first;
    if (this.first !== null) this.first.previous = timer;
    this.first = timer;
  }

  remove(timer: WheelTimer): void {
    if (timer.previous === null) this.first = timer.next;
    else timer.previous.next = timer.next;
    if (timer.next !== null) timer.next.previous = timer.previous;
    timer.previous = null;
    timer.next = null;
    timer.slot = null;
  }
}

/** A scheduler for many short deadlines, on top of a scheduler for few. */
export class TimerWheel implements Scheduler {
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #slotMs: number;
  readonly #slots: readonly Slot[] = Array.from({ length: SLOT_COUNT }, () => new Slot());
  /** Every tick up to this one has been worked off. */
  #doneTick: number;
  #armed: Timer | null = null;
  #armedTick = 0;

  /** @param slotMs - how late a deadline may be met. */
  constructor(clock: Clock, scheduler: Scheduler, slotMs: number) {
    this.#clock = clock;
    this.#scheduler = scheduler;
    this.#slotMs = slotMs;
    this.#doneTick = Math.floor(clock.monotonicMs() / slotMs);
  }

  after(delayMs: number, run: () => void): Timer {
    const nowMs = this.#clock.monotonicMs();
    if (this.#armed === null) this.#doneTick = Math.floor(nowMs / this.#slotMs);
    const dueTick = Math.max(
      Math.ceil((nowMs + Math.max(delayMs, 0)) / this.#slotMs),
      this.#doneTick + 1,
    );
    const slot = this.#slots[dueTick % SLOT_COUNT] as Slot;
    const timer = new WheelTimer(slot, dueTick, run);
    slot.add(timer);
    if (this.#armed === null || dueTick < this.#armedTick) this.#arm(dueTick, nowMs);
    return timer;
  }

  #arm(tick: number, nowMs: number): void {
    this.#armed?.cancel();
    this.#armedTick = tick;
    this.#armed = this.#scheduler.after(Math.max(0, tick * this.#slotMs - nowMs), () =>
      this.#fire(),
    );
  }

  #fire(): void {
    this.#armed = null;
    const nowTick = Math.floor(this.#clock.monotonicMs() / this.#slotMs);
    const due: WheelTimer[] = [];
    const lastTick = Math.min(nowTick, this.#doneTick + SLOT_COUNT);
    for (let tick = this.#doneTick + 1; tick <= lastTick; tick++) {
      const slot = this.#slots[tick % SLOT_COUNT] as Slot;
      for (let timer = slot.first; timer !== null; timer = timer.next) {
        if (timer.dueTick <= nowTick) due.push(timer);
      }
    }
    this.#doneTick = Math.max(this.#doneTick, nowTick);
    for (const timer of due) timer.slot?.remove(timer);
    this.#armNext();
    for (const timer of due) {
      const run = timer.run;
      timer.run = null;
      run?.();
    }
  }

  /** Arms for the first slot that holds anything; one that holds only later rounds costs a needless look. */
  #armNext(): void {
    for (let tick = this.#doneTick + 1; tick <= this.#doneTick + SLOT_COUNT; tick++) {
      if ((this.#slots[tick % SLOT_COUNT] as Slot).first === null) continue;
      this.#arm(tick, this.#clock.monotonicMs());
      return;
    }
  }
}
