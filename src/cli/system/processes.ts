/**
 * Who has a port or a file, as far as `/proc` tells: everything of one's own user, everything of everybody for root. Without `/proc`, or
 * without the permission, the answer is null, never an error.
 */
import { readdir, readFile, readlink, realpath, stat } from "node:fs/promises";

/** A process that holds something. */
export interface Holder {
  readonly pid: number;
  /** How it was started, cut to a line: `bun src/main.ts start`. */
  readonly command: string;
}

const LISTEN_STATE = "0A";
const COMMAND_CHARACTERS_MAX = 60;

/** Who listens on a TCP port; null when nobody does or it cannot be known. */
export async function holderOfPort(port: number): Promise<Holder | null> {
  const inodes = new Set<string>();
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const text = await readFile(table, "latin1").catch(() => "");
    for (const inode of listeningInodes(text, port)) inodes.add(`socket:[${inode}]`);
  }
  return inodes.size === 0 ? null : findDescriptor((target) => inodes.has(target));
}

/** Who has a file open; null when nobody does or it cannot be known. */
export async function holderOfFile(path: string): Promise<Holder | null> {
  const real = await realpath(path).catch(() => null);
  return real === null ? null : findDescriptor((target) => target === real);
}

/** Inodes of the sockets that listen on `port`, from the text of `/proc/net/tcp`. */
export function listeningInodes(table: string, port: number): readonly string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return table
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((row) => row[1]?.endsWith(suffix) === true && row[3] === LISTEN_STATE)
    .flatMap((row) => (row[9] === undefined ? [] : [row[9]]));
}

async function findDescriptor(matches: (target: string) => boolean): Promise<Holder | null> {
  for (const entry of await readdir("/proc").catch(() => [])) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    for (const descriptor of await readdir(`/proc/${entry}/fd`).catch(() => [])) {
      const target = await readlink(`/proc/${entry}/fd/${descriptor}`).catch(() => "");
      if (matches(target)) return { pid: Number(entry), command: await commandOf(entry) };
    }
  }
  return null;
}

async function commandOf(pid: string): Promise<string> {
  const text = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  const [program = "", ...args] = text.split("\0").filter((word) => word !== "");
  const words = [program.split("/").at(-1) ?? program, ...args].join(" ");
  if (words.trim() === "") return "a program";
  return words.length > COMMAND_CHARACTERS_MAX
    ? `${words.slice(0, COMMAND_CHARACTERS_MAX - 1)}…`
    : words;
}

/** A holder for a sentence: `bun src/main.ts start (pid 42)`. */
export function describeHolder({ pid, command }: Holder): string {
  return `${command} (pid ${pid})`;
}

/** Who owns a file and who may do what with it: `root:root, mode 755`. Ids where names are not known. */
export async function describeOwner(path: string): Promise<string | null> {
  const info = await stat(path).catch(() => null);
  if (info === null) return null;
  const user = (await nameOf("/etc/passwd", info.uid)) ?? String(info.uid);
  const group = (await nameOf("/etc/group", info.gid)) ?? String(info.gid);
  return `${user}:${group}, mode ${(info.mode & 0o7777).toString(8)}`;
}

/** The name of the user this process runs as. */
export async function currentUser(): Promise<string> {
  const id = process.geteuid?.() ?? -1;
  return (await nameOf("/etc/passwd", id)) ?? String(id);
}

async function nameOf(table: string, id: number): Promise<string | null> {
  const text = await readFile(table, "utf8").catch(() => "");
  const row = text.split("\n").find((line) => line.split(":")[2] === String(id));
  return row?.split(":")[0] ?? null;
}
