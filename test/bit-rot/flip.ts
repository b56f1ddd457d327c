/** Changes bits of a file as a bad disk does: nobody wrote it, so its times stay. */
import { closeSync, openSync, readSync, statSync, utimesSync, writeSync } from "node:fs";

/** Flips the bits of `mask` in one byte. */
export function flipBits(path: string, position: number, mask: number): void {
  const { atime, mtime } = statSync(path);
  const file = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, position);
  byte[0] = (byte[0] ?? 0) ^ mask;
  writeSync(file, byte, 0, 1, position);
  closeSync(file);
  utimesSync(path, atime, mtime);
}
