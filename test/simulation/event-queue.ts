/** Events in the order of their time; those of one moment in an order that the seed draws, since nobody may rely on it. A binary heap. */

/** Something that happens at a moment. */
export class Event {
  readonly atMs: number;
  /** Drawn from the seed when the event was made. */
  readonly tiebreak: number;
  /** In the order of making: decides where even the draw is the same. */
  readonly sequence: number;
  readonly run: () => void;
  isCancelled = false;

  constructor(atMs: number, tiebreak: number, sequence: number, run: () => void) {
    this.atMs = atMs;
    this.tiebreak = tiebreak;
    this.sequence = sequence;
    this.run = run;
  }

  /** It does not happen. */
  cancel(): void {
    this.isCancelled = true;
  }
}

/** See the head of the file. */
export class EventQueue {
  readonly #heap: Event[] = [];

  get size(): number {
    return this.#heap.length;
  }

  push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Event;
      if (!isBefore(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  /** The next event, cancelled ones left out; null when there is none. */
  pop(): Event | null {
    for (;;) {
      const event = this.#popAny();
      if (event === null || !event.isCancelled) return event;
    }
  }

  #popAny(): Event | null {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined) return null;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      const right = child + 1;
      if (right < heap.length && isBefore(heap[right] as Event, heap[child] as Event))
        child = right;
      const below = heap[child] as Event;
      if (!isBefore(below, last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(left: Event, right: Event): boolean {
  if (left.atMs !== right.atMs) return left.atMs < right.atMs;
  if (left.tiebreak !== right.tiebreak) return left.tiebreak < right.tiebreak;
  return left.sequence < right.sequence;
}
