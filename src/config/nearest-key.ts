/**
 * What somebody probably meant by a key that does not exist: the key with other separators or capitals
 * (`numPartitions`), the broker's key behind a topic key (`retention.ms` in a broker's file), or the nearest one by the number
 * of letters to insert, remove, replace or swap.
 */
import { BROKER_KEYS, brokerKey } from "./broker-keys.ts";
import { topicKey } from "./topic-keys.ts";

/** One mistyped letter is forgiven for every four of the key, three at most: beyond that a guess is noise. */
const LETTERS_A_MISTAKE = 4;
const MISTAKES_MAX = 3;

/** The known key nearest to an unknown one, or null when none is near. */
export function nearestKey(unknown: string): string | null {
  const topicDefault = topicKey(unknown)?.synonyms?.[0]?.name;
  if (topicDefault !== undefined && brokerKey(topicDefault) !== undefined) return topicDefault;
  return nearestName(
    unknown,
    BROKER_KEYS.filter(({ isInternal }) => isInternal !== true).map(({ name }) => name),
  );
}

/** The name nearest to an unknown one among those that exist, or null when none is near. */
export function nearestName(unknown: string, names: Iterable<string>): string | null {
  const letters = lettersOf(unknown);
  const limit = Math.min(MISTAKES_MAX, Math.floor(letters.length / LETTERS_A_MISTAKE));
  let best: string | null = null;
  let bestDistance = limit + 1;
  for (const name of names) {
    const distance = editDistance(letters, lettersOf(name), bestDistance);
    if (distance >= bestDistance) continue;
    best = name;
    bestDistance = distance;
  }
  return best;
}

function lettersOf(key: string): string {
  return key.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
}

/**
 * Letters to insert, remove, replace or swap with their neighbour to make one text of the other (each swapped pair touched
 * once).
 *
 * @param limit - the answer is only exact below it; anything from it on means "at least that".
 */
export function editDistance(left: string, right: string, limit: number): number {
  if (Math.abs(left.length - right.length) >= limit) return limit;
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const isSame = left[row - 1] === right[column - 1];
      let distance = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (isSame ? 0 : 1),
      );
      if (
        row > 1 &&
        column > 1 &&
        left[row - 1] === right[column - 2] &&
        left[row - 2] === right[column - 1]
      ) {
        distance = Math.min(distance, (beforeLast[column - 2] ?? 0) + 1);
      }
      current.push(distance);
    }
    if (Math.min(...current) >= limit) return limit;
    beforeLast = last;
    last = current;
  }
  return last[right.length] ?? limit;
}
