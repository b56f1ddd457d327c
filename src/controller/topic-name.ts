/**
 * Which names topics may have.
 */

/** Longest name: a partition directory `<name>-<partition>` and its suffixes must fit a file name. */
export const MAX_TOPIC_NAME_LENGTH = 249;

/**
 * Checks a topic name.
 *
 * @returns null when it may be used, otherwise Kafka's sentence for what is wrong (without the class of the exception).
 */
export function topicNameError(name: string): string | null {
  const prefix = "Topic name is invalid: ";
  if (name === "") return `${prefix}the empty string is not allowed`;
  if (name === "." || name === "..") return `${prefix}'${name}' is not allowed`;
  if (name.length > MAX_TOPIC_NAME_LENGTH) {
    return `${prefix}the length of '${name}' is longer than the max allowed length ${MAX_TOPIC_NAME_LENGTH}`;
  }
  if (!/^[A-Za-z0-9._-]+$/.test(name)) {
    return `${prefix}'${name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'`;
  }
  return null;
}

/** A name with its dots as underscores: metric names cannot tell the two apart, so topics may not either. */
export function collisionKey(name: string): string {
  return name.replaceAll(".", "_");
}

/** True when the name may collide with another at all. */
export function canCollide(name: string): boolean {
  return name.includes(".") || name.includes("_");
}
