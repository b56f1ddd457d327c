/**
 * Chance from a seed. Each part of the world draws from a stream of its own, split off by name, so that one more draw in one part changes
 * nothing in another: a fault that is left out of a schedule leaves the rest of the run as alike as it can be.
 */
import type { Random } from "#common/time.ts";

/** SplitMix32, with the draws that a simulation needs. */
export class SeededRandom implements Random {
  readonly #seed: number;
  #state: number;

  constructor(seed: number) {
    this.#seed = seed >>> 0;
    this.#state = this.#seed;
  }

  /** A stream of its own for a part of the world; the same for the same name, whatever was drawn here. */
  split(name: string): SeededRandom {
    let hash = this.#seed ^ 0x811c_9dc5;
    for (let at = 0; at < name.length; at += 1) {
      hash = Math.imul(hash ^ name.charCodeAt(at), 0x0100_0193);
    }
    return new SeededRandom(mix(hash ^ 0x5bd1_e995));
  }

  /** Uniform in [0, 2^32). */
  uint32(): number {
    this.#state = (this.#state + 0x9e37_79b9) >>> 0;
    return mix(this.#state);
  }

  next(): number {
    return this.uint32() / 4_294_967_296;
  }

  uuid(): string {
    const bytes = new Uint32Array([this.uint32(), this.uint32(), this.uint32(), this.uint32()]);
    return Buffer.from(bytes.buffer).toString("base64url");
  }

  /** An integer in [from, to). */
  integer(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from));
  }

  /** A number in [from, to). */
  between(from: number, to: number): number {
    return from + this.next() * (to - from);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** One of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    return list[this.integer(0, list.length)] as T;
  }
}

function mix(value: number): number {
  let mixed = value >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0_aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
