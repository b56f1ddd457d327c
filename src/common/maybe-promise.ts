/**
 * Values that are usually known at once and sometimes only later: a promise is made only where somebody has to wait, because on a
 * path that runs a hundred thousand times a second promises cost more than the work.
 */

/** A value, or the promise of one. */
export type MaybePromise<T> = T | Promise<T>;

/** Applies `use` to a value: at once when it is known, else when it comes. What `use` throws is thrown, or rejects. */
export function whenKnown<T, U>(value: MaybePromise<T>, use: (value: T) => U): MaybePromise<U> {
  return value instanceof Promise ? value.then(use) : use(value);
}
