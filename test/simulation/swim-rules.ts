/** What must hold of SWIM: it may be wrong about others, but nobody comes back from the dead who was never called dead. */
import { Violation } from "./history.ts";

/** See the head of the file. */
export class SwimRules {
  /** Lives of nodes that somebody called down. */
  readonly #down: Set<string> = new Set();

  /** Some node calls this life of another down. */
  onDown(nodeId: number, incarnationId: string): void {
    this.#down.add(`${nodeId}/${incarnationId}`);
  }

  /** A life of a node came back so many times after it was called down, by its own account. */
  onRejoins(nodeId: number, incarnationId: string, count: number): void {
    if (count === 0 || this.#down.has(`${nodeId}/${incarnationId}`)) return;
    throw new Violation("S1", `node ${nodeId} came back ${count} times, and nobody called it down`);
  }
}
