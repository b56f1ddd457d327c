/**
 * Patterns by which members of consumer groups subscribe (KIP-848, `SubscribedTopicRegex`), in RE2's syntax as in Kafka. Compiling and
 * matching are native and bounded: time is linear to the names, and a pattern that would grow large is refused (`native/crates/pattern`).
 */
import { matchPattern } from "#native";

/** A pattern that is none; the message is the reason, in Kafka's words where Kafka refuses it too. Answered as INVALID_REGULAR_EXPRESSION (128). */
export class InvalidPatternError extends Error {
  override readonly name = "InvalidPatternError";
}

/** A pattern that was found to be valid. */
export interface TopicPattern {
  readonly source: string;
}

/** @throws InvalidPatternError when `source` is no pattern, or one beyond our bounds. */
export function compilePattern(source: string): TopicPattern {
  match(source, "");
  return { source };
}

/**
 * The names that the pattern matches as a whole, in their order.
 *
 * @param names - of topics: never empty, no line feeds.
 */
export function matchingNames(pattern: TopicPattern, names: readonly string[]): string[] {
  const matched: string[] = [];
  for (const position of match(pattern.source, names.join("\n"))) {
    const name = names[position];
    if (name !== undefined) matched.push(name);
  }
  return matched;
}

function match(source: string, names: string): Uint32Array {
  try {
    return matchPattern(source, names);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "INVALID_PATTERN")
      throw new InvalidPatternError(error.message);
    throw error;
  }
}
