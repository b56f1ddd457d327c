/** A run's own directory: made for it, and gone with everything that it started however the run ends; and the record that stays. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { root, type RunningSystem } from "./systems/system.ts";

/** Where data and records go unless something else was said: `bench/out` of a checkout; an installed package is no place for data. */
export const outputDirectory = (otherwise: string): string =>
  existsSync(join(root, ".git")) ? join(root, "bench/out") : otherwise;

/** Processes that this one started, and those that they started, as the kernel lists them; none where it does not. */
export function descendants(pid: number): number[] {
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
  const children = threads.flatMap((thread) => {
    try {
      const list = readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8");
      return list.split(" ").filter((text) => text !== "");
    } catch {
      return [];
    }
  });
  return children.flatMap((text) => [Number(text), ...descendants(Number(text))]);
}

/** Ends every process that this one started, whatever started it: brokers, the load generator, a build. Their data goes anyway. */
async function killDescendants(): Promise<void> {
  for (;;) {
    const living = descendants(process.pid);
    if (living.length === 0) return;
    for (const pid of living) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself.
      }
    }
    await Bun.sleep(10);
  }
}

const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/**
 * Runs `work` in a new directory below `BENCH_DIR`, or `bench/out`, or the system's for temporary files. Afterwards what `work` put into
 * `running` is stopped and the directory is removed. A signal that asks to end kills whatever was started, at once, removes the directory,
 * calls `onInterrupt` and ends the process.
 */
export async function inRunDirectory<Result>(
  prefix: string,
  work: (directory: string, running: RunningSystem[]) => Promise<Result>,
  onInterrupt: () => void = () => {},
): Promise<Result> {
  const base = process.env["BENCH_DIR"] ?? outputDirectory(tmpdir());
  mkdirSync(base, { recursive: true });
  const directory = mkdtempSync(join(base, `${prefix}-`));
  const running: RunningSystem[] = [];
  let isInterrupted = false;
  const handlers = Object.entries(signals).map(([signal, code]) => {
    const handle = (): void => {
      if (isInterrupted) return;
      isInterrupted = true;
      void (async () => {
        await Promise.all(running.map((system) => system.kill()));
        await killDescendants();
        // Nothing is awaited from here on, so nothing can be started behind our back.
        rmSync(directory, { recursive: true, force: true });
        onInterrupt();
        process.exit(code);
      })();
    };
    process.on(signal, handle);
    return () => process.off(signal, handle);
  });
  try {
    return await work(directory, running);
  } finally {
    // An interrupted run goes on failing while it is being ended: the handler alone cleans up then.
    if (isInterrupted) await new Promise(() => {});
    await Promise.all(running.splice(0).map((system) => system.stop()));
    rmSync(directory, { recursive: true, force: true });
    for (const remove of handlers) remove();
  }
}

/** Writes a record as JSON. It is kept in git: paths in it, and in what is returned, are those of the checkout, not of the machine. */
export function writeRecord<Kind>(record: Kind, path: string): Kind {
  mkdirSync(dirname(path), { recursive: true });
  const text = JSON.stringify(record, null, 1).replaceAll(`${root}/`, "");
  // A record is written again after each case: who is interrupted meanwhile keeps the one before.
  writeFileSync(`${path}.new`, `${text}\n`);
  renameSync(`${path}.new`, path);
  return JSON.parse(text) as Kind;
}
