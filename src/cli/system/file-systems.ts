/** Where a path lies: its mount, the kind of file system, whether that is writable, and how much room it has. */
import { readFile, statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";

/** A mounted file system. */
export interface Mount {
  readonly mountPoint: string;
  /** `ext4`, `tmpfs`, … */
  readonly type: string;
  readonly isReadOnly: boolean;
}

/** Room of a file system. */
export interface Space {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** The mount that `path` lies on, or null where the system does not tell. */
export async function mountOf(path: string): Promise<Mount | null> {
  const text = await readFile("/proc/self/mountinfo", "utf8").catch(() => "");
  return findMount(text, resolve(path));
}

/** The innermost mount over an absolute path, by the text of `/proc/self/mountinfo`; the last one of a place hides the earlier. */
export function findMount(mountInfo: string, path: string): Mount | null {
  let found: Mount | null = null;
  for (const line of mountInfo.split("\n")) {
    const [left = "", right = ""] = line.split(" - ");
    const fields = left.split(" ");
    const mountPoint = unescapePath(fields[4] ?? "");
    const covers =
      mountPoint === path || path.startsWith(mountPoint === "/" ? "/" : `${mountPoint}/`);
    if (mountPoint === "" || !covers || (found?.mountPoint.length ?? 0) > mountPoint.length)
      continue;
    const [type = "", , superOptions = ""] = right.split(" ");
    const options = [...(fields[5] ?? "").split(","), ...superOptions.split(",")];
    found = { mountPoint, type, isReadOnly: options.includes("ro") };
  }
  return found;
}

/** Spaces and their like are octal there. */
function unescapePath(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_whole, code: string) =>
    String.fromCharCode(Number.parseInt(code, 8)),
  );
}

/** Room where `path` lies, or null. */
export async function spaceOf(path: string): Promise<Space | null> {
  const info = await statfs(path).catch(() => null);
  return info === null
    ? null
    : { freeBytes: info.bavail * info.bsize, totalBytes: info.blocks * info.bsize };
}

/** `path`, or the closest directory above it that exists. */
export async function existingAncestor(path: string): Promise<string> {
  for (let candidate = resolve(path); ; candidate = dirname(candidate)) {
    if ((await spaceOf(candidate)) !== null || candidate === "/") return candidate;
  }
}
