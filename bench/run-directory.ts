/** A run's own directory: made for it, and gone with its brokers however the run ends; and the record that stays. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { root, type RunningSystem } from "./systems/system.ts";

/** Where data and records go unless something else was said: `bench/out` of a checkout; an installed package is no place for data. */
export const outputDirectory = (otherwise: string): string =>
  existsSync(join(root, ".git")) ? join(root, "bench/out") : otherwise;

/**
 * Runs `work` in a new directory below `BENCH_DIR`, or `bench/out`, or the system's for temporary files. Afterwards, and on SIGINT and SIGTERM, what `work` put into
 * `running` is stopped and the directory is removed.
 */
export async function inRunDirectory<Result>(
  prefix: string,
  work: (directory: string, running: RunningSystem[]) => Promise<Result>,
): Promise<Result> {
  const base = process.env["BENCH_DIR"] ?? outputDirectory(tmpdir());
  mkdirSync(base, { recursive: true });
  const directory = mkdtempSync(join(base, `${prefix}-`));
  const running: RunningSystem[] = [];
  const cleanUp = async (): Promise<void> => {
    await Promise.all(running.splice(0).map((system) => system.stop()));
    rmSync(directory, { recursive: true, force: true });
  };
  process.once("SIGINT", () => void cleanUp().finally(() => process.exit(130)));
  process.once("SIGTERM", () => void cleanUp().finally(() => process.exit(143)));
  try {
    return await work(directory, running);
  } finally {
    await cleanUp();
  }
}

/** Writes a record as JSON. It is kept in git: paths in it, and in what is returned, are those of the checkout, not of the machine. */
export function writeRecord<Kind>(record: Kind, path: string): Kind {
  mkdirSync(dirname(path), { recursive: true });
  const text = JSON.stringify(record, null, 1).replaceAll(`${root}/`, "");
  writeFileSync(path, `${text}\n`);
  return JSON.parse(text) as Kind;
}
