/**
 * The simulated disk from outside: builds the daemon (block-device/block-device.c, needs only a C compiler), keeps the image file, stacks
 * FUSE file → loop device → ext4 on it, cuts the power, and puts a surviving image back into service. The control writers live on the same file
 * system: one that syncs each record must lose none, one that never syncs must lose most; otherwise the simulator itself is broken and
 * what a broker kept or lost on it says nothing.
 */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { mustRun, runCommand, temporaryDirectory, until } from "../support/process.ts";

const SOURCE = join(import.meta.dir, "block-device", "block-device.c");
const RECORD_BYTES = 64;

/** Why simulated power cuts cannot be made here, or null when they can. */
export function whyNoDevice(): string | null {
  if (process.platform !== "linux") return "needs Linux";
  if (process.getuid?.() !== 0) return "needs root to mount";
  if (!existsSync("/dev/fuse")) return "needs /dev/fuse";
  if (!existsSync("/dev/loop-control")) return "needs loop devices";
  for (const tool of ["cc", "mkfs.ext4", "losetup", "mount", "umount"])
    if (
      Bun.which(tool) === null &&
      !existsSync(`/usr/sbin/${tool}`) &&
      !existsSync(`/sbin/${tool}`)
    )
      return `needs ${tool}`;
  // Root of a container often may not mount, and may see no free loop device.
  const environment = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };
  const succeeds = (...command: string[]): boolean =>
    Bun.spawnSync(command, { env: environment, stdout: "ignore", stderr: "ignore" }).exitCode === 0;
  if (!succeeds("losetup", "-f")) return "needs a free loop device";
  const probe = temporaryDirectory("probe");
  try {
    if (!succeeds("mount", "-t", "tmpfs", "none", probe.path)) return "needs the right to mount";
    succeeds("umount", probe.path);
  } finally {
    probe.remove();
  }
  return null;
}

/** What the daemon said about a cut. */
export interface CutReport {
  readonly writes: number;
  readonly flushes: number;
  readonly pendingWrites: number;
  readonly pendingBytes: number;
  readonly blocks: number;
  readonly kept: number;
  readonly torn: number;
}

/** What the control writers lost: records that counted as written, and those of them that are not there. */
export interface ControlReport {
  readonly synced: number;
  readonly syncedLost: number;
  readonly lazy: number;
  readonly lazyLost: number;
}

type Daemon = Bun.Subprocess<"pipe", "pipe", "pipe">;

/** Runs a tool that may live in a place that is not on the path of everyone. */
async function administer(...command: readonly string[]): Promise<string> {
  const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
  return await mustRun(command, { environment: { PATH: path } });
}

/** Builds the daemon into `directory` and returns its path. */
export async function buildDaemon(directory: string): Promise<string> {
  const program = join(directory, "block-device");
  await mustRun(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, SOURCE]);
  return program;
}

/** Mounts an image file as it is, without the daemon. Returns what undoes it. */
export async function mountImage(image: string, at: string): Promise<() => Promise<void>> {
  mkdirSync(at, { recursive: true });
  const loop = (await administer("losetup", "-f", "--show", image)).trim();
  try {
    await administer("mount", "-t", "ext4", "-o", "noatime", loop, at);
  } catch (error) {
    await runCommand(["losetup", "-d", loop]);
    throw error;
  }
  return async () => {
    await administer("umount", at);
    await administer("losetup", "-d", loop);
  };
}

/** One disk whose power can be cut. */
export class PowerDevice {
  readonly mountpoint: string;
  readonly image: string;
  readonly #fuse: string;
  readonly #program: string;
  #daemon: Daemon | null = null;
  #loop: string | null = null;
  #isMounted = false;
  #said = "";

  private constructor(directory: string, program: string) {
    this.mountpoint = join(directory, "mounted");
    this.image = join(directory, "image");
    this.#fuse = join(directory, "fuse");
    this.#program = program;
  }

  /** Makes an empty file system of `megabytes` under `directory` and mounts it. With `recording`, all writes and flushes go there too. */
  static async create(
    directory: string,
    megabytes: number,
    recording?: string,
  ): Promise<PowerDevice> {
    mkdirSync(directory, { recursive: true });
    const device = new PowerDevice(directory, await buildDaemon(directory));
    mkdirSync(device.mountpoint, { recursive: true });
    mkdirSync(device.#fuse, { recursive: true });
    writeFileSync(device.image, "");
    truncateSync(device.image, megabytes << 20);
    await administer(
      "mkfs.ext4",
      "-q",
      "-F",
      "-E",
      "lazy_itable_init=0,lazy_journal_init=0",
      device.image,
    );
    if (recording !== undefined)
      await mustRun(["cp", "--sparse=always", device.image, `${recording}.base`]);
    await device.restore(recording);
    return device;
  }

  /** Puts what is in the image into service. */
  async restore(recording?: string): Promise<void> {
    const words = [this.#program, "serve", this.#fuse, this.image];
    if (recording !== undefined) words.push(recording);
    this.#said = "";
    const daemon: Daemon = Bun.spawn(words, { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    this.#daemon = daemon;
    void this.#listen(daemon);
    await this.#answer("ready");
    this.#loop = (await administer("losetup", "-f", "--show", join(this.#fuse, "disk"))).trim();
    await administer("mount", "-t", "ext4", "-o", "noatime", this.#loop, this.mountpoint);
    this.#isMounted = true;
  }

  /** Starts the two control writers, and with `isStirred` early writeback of the broker's files beside them; `stop` ends them and says how many records counted as written. */
  controls(isStirred: boolean): { stop(): Promise<{ synced: number; lazy: number }> } {
    const start = (how: string): { count: () => number; end: () => Promise<void> } => {
      const child = Bun.spawn(
        [this.#program, "control", how, join(this.mountpoint, `control-${how}`)],
        { stdin: "ignore", stdout: "pipe", stderr: "ignore" },
      );
      let count = 0;
      const reading = (async (): Promise<void> => {
        for await (const chunk of child.stdout)
          for (const byte of chunk) if (byte === 10) count += 1;
      })();
      return {
        count: () => count,
        end: async () => {
          child.kill("SIGKILL");
          await child.exited;
          await reading;
        },
      };
    };
    const synced = start("sync");
    const lazy = start("lazy");
    const stirring = isStirred
      ? Bun.spawn([this.#program, "stir", join(this.mountpoint, "data")], {
          stdin: "ignore",
          stdout: "ignore",
          stderr: "ignore",
        })
      : null;
    return {
      stop: async () => {
        stirring?.kill("SIGKILL");
        await Promise.all([synced.end(), lazy.end(), stirring?.exited]);
        return { synced: synced.count(), lazy: lazy.count() };
      },
    };
  }

  /** What of the control writers' records is on the file system mounted at `at`. */
  judgeControls(
    wrote: { synced: number; lazy: number },
    at: string = this.mountpoint,
  ): ControlReport {
    const found = (how: string): number => {
      const path = join(at, `control-${how}`);
      if (!existsSync(path)) return 0;
      const bytes = readFileSync(path);
      let count = 0;
      while (
        bytes
          .subarray(count * RECORD_BYTES, (count + 1) * RECORD_BYTES)
          .equals(Buffer.from(`${String(count).padEnd(RECORD_BYTES - 1)}\n`))
      )
        count += 1;
      return count;
    };
    return {
      synced: wrote.synced,
      syncedLost: Math.max(0, wrote.synced - found("sync")),
      lazy: wrote.lazy,
      lazyLost: Math.max(0, wrote.lazy - found("lazy")),
    };
  }

  /** Notes a number in the recording. */
  mark(number: number): void {
    void this.#daemon?.stdin.write(`mark ${number}\n`);
    void this.#daemon?.stdin.flush();
  }

  /** The power goes. From the answer on nothing reaches the image and every access fails. */
  async cut(seed: number, keepPercent: number): Promise<CutReport> {
    void this.#daemon?.stdin.write(`cut ${seed} ${keepPercent}\n`);
    void this.#daemon?.stdin.flush();
    return JSON.parse(await this.#answer("pendingWrites")) as CutReport;
  }

  /** Takes everything down; no process may have files open there. */
  async detach(): Promise<void> {
    if (this.#isMounted) {
      this.#isMounted = false;
      await runCommand(["umount", "-l", this.mountpoint]);
    }
    if (this.#loop !== null) {
      const loop = this.#loop;
      this.#loop = null;
      await runCommand(["losetup", "-d", loop]);
      const backing = `/sys/block/${loop.replace("/dev/", "")}/loop/backing_file`;
      const isOurs = (): boolean =>
        existsSync(backing) && readFileSync(backing, "utf8").includes(this.#fuse);
      await until(
        () => !isOurs(),
        30_000,
        () => `${loop} does not let go of the disk`,
      );
    }
    const daemon = this.#daemon;
    if (daemon === null) return;
    this.#daemon = null;
    void daemon.stdin.end();
    await daemon.exited;
  }

  /** Bytes of the recording so far. */
  static recordedBytes(recording: string): number {
    return statSync(recording).size;
  }

  async #listen(daemon: Daemon): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of daemon.stdout) this.#said += decoder.decode(chunk);
  }

  async #answer(word: string): Promise<string> {
    let line = "";
    const daemon = this.#daemon;
    await until(
      () => {
        line =
          this.#said
            .split("\n")
            .slice(0, -1)
            .find((one) => one.includes(word)) ?? "";
        return line !== "" || daemon?.exitCode !== null;
      },
      20_000,
      () => `the disk's daemon does not answer ${word}`,
    );
    if (line === "")
      throw new Error(`the disk's daemon ended: ${await new Response(daemon?.stderr).text()}`);
    return line;
  }
}
