/**
 * Assertions for programmer errors. They stay on in production: a broker that has lost track of its own
 * state must stop before it writes.
 */

/** Thrown when an invariant does not hold. Never caught on purpose; never used for bad input. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Fails with `message` unless `condition` holds. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Marks a switch as exhaustive: reaching it means a union grew without this place being told. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`);
}
