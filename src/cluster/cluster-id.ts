/** Whose cluster a node belongs to, as its directories say. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** The id that the first directory with a `meta.properties` holds; null without one. */
export async function storedClusterId(directories: readonly string[]): Promise<string | null> {
  for (const directory of directories) {
    const text = await readFile(join(directory, "meta.properties"), "latin1").catch(() => "");
    const id = /^\s*cluster\.id\s*[=:]\s*(\S+)\s*$/m.exec(text)?.[1];
    if (id !== undefined) return id;
  }
  return null;
}
