/**
 * Counts that all event loops of a broker keep together, in memory that they share: bytes of request buffers, connections in all and by
 * address, and when the next connection may come. Limits then hold for the broker however many threads serve sockets.
 *
 * Connections by address are counted in a sketch of two rows: an address counts as often as the smaller of its two places says. With
 * fewer than a thousand addresses connected, one address in a million is taken for two; it never counts too low.
 */

const USED_KIB = 0;
const CONNECTION_COUNT = 1;
/** Number of the loop whose frame is beyond the budget, 0 for none. */
const OVERDRAFT = 2;
/** KiB that this frame holds. */
const OVERDRAFT_KIB = 3;
const SKETCH_FROM = 4;
const SKETCH_BITS = 15;
const SKETCH_PLACES = 1 << SKETCH_BITS;
const WORDS = SKETCH_FROM + 2 * SKETCH_PLACES;
/** Behind the words, at a multiple of eight bytes. */
const NEXT_SLOT_BYTE = WORDS * 4;

/** See the head of the file. All methods may be called from any thread. */
export class SharedCounters {
  /** What another thread needs to make its own view: `new SharedCounters(memory)`. */
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #nextSlot: BigInt64Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(NEXT_SLOT_BYTE + 8)) {
    this.memory = memory;
    this.#words = new Int32Array(memory, 0, WORDS);
    this.#nextSlot = new BigInt64Array(memory, NEXT_SLOT_BYTE, 1);
  }

  /** KiB of buffers that are lent or charged. */
  get usedKib(): number {
    return Atomics.load(this.#words, USED_KIB);
  }

  /** Adds to it (a negative number takes away) and returns what it was before. */
  addUsedKib(kib: number): number {
    return Atomics.add(this.#words, USED_KIB, kib);
  }

  /** Tries to become the one loop with a frame beyond the budget. */
  tryOverdraw(loopId: number): boolean {
    return Atomics.compareExchange(this.#words, OVERDRAFT, 0, loopId) === 0;
  }

  /** KiB that the frame beyond the budget holds. */
  get overdraftKib(): number {
    return Atomics.load(this.#words, OVERDRAFT_KIB);
  }

  /** Says how much that is; for the loop that overdraws. */
  setOverdraftKib(kib: number): void {
    Atomics.store(this.#words, OVERDRAFT_KIB, kib);
  }

  /** Ends it. */
  endOverdraft(loopId: number): void {
    Atomics.store(this.#words, OVERDRAFT_KIB, 0);
    Atomics.compareExchange(this.#words, OVERDRAFT, loopId, 0);
  }

  /** Open connections. */
  get connectionCount(): number {
    return Atomics.load(this.#words, CONNECTION_COUNT);
  }

  /** Counts a connection and returns how many there were before. */
  addConnection(): number {
    return Atomics.add(this.#words, CONNECTION_COUNT, 1);
  }

  removeConnection(): void {
    Atomics.sub(this.#words, CONNECTION_COUNT, 1);
  }

  /** Counts a connection from an address and returns how many there were before. */
  addAddress(address: string): number {
    const [first, second] = places(address);
    return Math.min(Atomics.add(this.#words, first, 1), Atomics.add(this.#words, second, 1));
  }

  removeAddress(address: string): void {
    for (const place of places(address)) Atomics.sub(this.#words, place, 1);
  }

  /**
   * Takes the next place in a line that moves on once every `intervalMs`.
   *
   * @returns how long to wait until it is one's turn, ms.
   */
  takeSlot(nowMs: number, intervalMs: number): number {
    const now = BigInt(Math.round(nowMs * 1000));
    const interval = BigInt(Math.round(intervalMs * 1000));
    for (;;) {
      const next = Atomics.load(this.#nextSlot, 0);
      const slot = next > now ? next : now;
      if (Atomics.compareExchange(this.#nextSlot, 0, next, slot + interval) === next) {
        return Number(slot - now) / 1000;
      }
    }
  }
}

/** Two places of an address, one in each row: halves of a 64-bit FNV-like hash. */
function places(address: string): readonly [number, number] {
  let low = 0x811c9dc5;
  let high = 0x01234567;
  for (let at = 0; at < address.length; at++) {
    const unit = address.charCodeAt(at);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ unit, 0x5bd1e995) ^ (high >>> 15);
  }
  return [
    SKETCH_FROM + ((low ^ (low >>> 16)) & (SKETCH_PLACES - 1)),
    SKETCH_FROM + SKETCH_PLACES + ((high ^ (high >>> 13)) & (SKETCH_PLACES - 1)),
  ];
}
