/** A value that is made when it is first wanted, and kept: both brokers then get the same bytes. */
export function memoized<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
