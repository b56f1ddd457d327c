/**
 * What each error code means, in our own words; what is not listed is its name in lower case.
 */
const TEXTS: ReadonlyMap<string, string> = new Map<string, string>([["NONE", "No error."]]);

/** One sentence on the error called `name`. */
export function errorText(name: string): string {
  const known = TEXTS.get(name);
  if (known !== undefined) return known;
  const words = name.toLowerCase().replaceAll("_", " ");
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}
