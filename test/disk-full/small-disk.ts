/**
 * A disk small enough to be filled: ext4 on a loop device, or tmpfs where there are no loop devices. Both need root.
 */
import {
  mkdirSync,
  openSync,
  closeSync,
  ftruncateSync,
  rmSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { mustRun, runCommand, temporaryDirectory } from "../support/process.ts";

/** A mounted file system of its own. */
export interface SmallDisk {
  readonly kind: "ext4" | "tmpfs";
  readonly path: string;
  /** Bytes that may be written now. */
  freeBytes(): number;
  /** Fills the disk with one file, so that `leaveBytes` are left. */
  fill(leaveBytes: number): void;
  /** Takes the file away again. */
  release(): void;
  /** Unmounts and removes everything. */
  remove(): Promise<void>;
}

/** Makes one of `mebibytes`. @returns why not, where that is impossible. */
export async function smallDisk(mebibytes: number): Promise<SmallDisk | string> {
  if (process.getuid?.() !== 0) return "mounting a small disk needs root";
  const directory = temporaryDirectory("small-disk");
  const image = join(directory.path, "image");
  const path = join(directory.path, "disk");
  mkdirSync(path);
  const run = async (...command: string[]): Promise<string | null> => {
    const { exitCode, errors } = await runCommand(command).catch((error: unknown) => ({
      exitCode: -1,
      errors: String(error),
    }));
    return exitCode === 0 ? null : `${command[0]}: ${errors.trim()}`;
  };
  let kind: SmallDisk["kind"] = "ext4";
  // -m 0: root would otherwise write on where others find the disk full.
  const failure =
    (await run("truncate", "-s", `${mebibytes}M`, image)) ??
    (await run("mkfs.ext4", "-q", "-F", "-m", "0", image)) ??
    (await run("mount", "-o", "loop", image, path));
  if (failure !== null) {
    kind = "tmpfs";
    const second = await run("mount", "-t", "tmpfs", "-o", `size=${mebibytes}m`, "tmpfs", path);
    if (second !== null) {
      directory.remove();
      return `${failure}; ${second}`;
    }
  }
  const filler = join(path, "filler");
  const freeBytes = (): number => {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  };
  return {
    kind,
    path,
    freeBytes,
    fill(leaveBytes: number): void {
      const file = openSync(filler, "w");
      const zeros = new Uint8Array(1 << 18);
      let size = 0;
      for (let chunk = zeros.length; chunk >= 4096;) {
        try {
          const written = writeSync(file, zeros, 0, chunk);
          size += written;
          if (written < chunk) chunk >>= 1;
        } catch {
          chunk >>= 1;
        }
      }
      if (leaveBytes > 0) ftruncateSync(file, Math.max(0, size - leaveBytes));
      closeSync(file);
    },
    release(): void {
      rmSync(filler, { force: true });
    },
    async remove(): Promise<void> {
      // A process that was killed a moment ago may still hold a file.
      for (let attempt = 0; attempt < 50 && (await run("umount", path)) !== null; attempt += 1)
        await Bun.sleep(100);
      directory.remove();
    },
  };
}

/** ext4's own way to stop at once (EXT4_IOC_SHUTDOWN, without writing the journal). */
export async function shutDown({ path }: SmallDisk): Promise<void> {
  const program = `import fcntl, os, struct; fcntl.ioctl(os.open(${JSON.stringify(path)}, os.O_RDONLY), 0x8004587D, struct.pack("I", 2))`;
  await mustRun(["python3", "-c", program]);
}

/** A disk that can be shut down. @returns why not, where there is none. */
export async function mortalDisk(): Promise<SmallDisk | string> {
  const disk = await smallDisk(64);
  if (typeof disk === "string" || disk.kind === "ext4") return disk;
  await disk.remove();
  return "there are no loop devices, and tmpfs cannot fail";
}
