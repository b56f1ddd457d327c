/** Runs offline work of the log with a progress line, and turns its errors into what a person can act on. */
import { LogError } from "#log/log.ts";
import { maintenanceProgress } from "#log/maintenance.ts";
import type { CommandIo } from "../command-io.ts";
import { CommandError } from "../failure.ts";
import { progressLine } from "../output.ts";
import { formatBytes } from "../units.ts";

const PROGRESS_INTERVAL_MS = 200;

/** Runs `work`; `verb` is what the progress line says. */
export async function withProgress<T>(
  io: CommandIo,
  verb: string,
  work: () => Promise<T>,
): Promise<T> {
  const line = progressLine(io.stderr);
  const timer = setInterval(() => {
    const { totalBytes, doneBytes, currentPartition } = maintenanceProgress();
    const total = totalBytes > 0 ? ` of ${formatBytes(totalBytes)}` : "";
    line.update(() => `${verb} ${currentPartition}: ${formatBytes(doneBytes)}${total}`);
  }, PROGRESS_INTERVAL_MS);
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof LogError)) throw error;
    throw new CommandError(
      error.message,
      error.code === "LOG_DIR_LOCKED"
        ? ["Stop the broker first; a running one checks its logs itself."]
        : [],
      error,
    );
  } finally {
    clearInterval(timer);
    line.clear();
  }
}
