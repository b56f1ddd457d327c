/**
 * Offline work on log directories: `verify` reads everything and changes nothing; `repair` plans, and acts only when told to, with a copy
 * of each changed file in `.quarantine` of its partition first. Both take the directory's lock, so never beside a running broker.
 */
import type { Finding } from "./log.ts";
import { nativeMaintenance } from "./native-log.ts";

/** One partition that was read. */
export interface PartitionCheck {
  readonly partition: string;
  readonly path: string;
  readonly segments: number;
  readonly bytes: number;
  readonly batches: number;
  readonly records: number;
  readonly firstOffset: number;
  readonly endOffset: number;
  readonly findings: number;
}

/** What a verification found. */
export interface VerifyReport {
  readonly partitions: readonly PartitionCheck[];
  readonly findings: readonly Finding[];
}

/** What becomes of batches that cannot be restored: an empty batch takes their place, or the log ends before the first. */
export type RepairMode = "drop" | "cut";

/** One thing that a repair does or would do. */
export interface RepairAction {
  readonly kind: "restore" | "drop" | "cut" | "move" | "epoch" | "rebuild" | "refuse";
  /** Empty for files of the whole directory. */
  readonly partition: string;
  readonly file: string;
  /** Offsets that are lost; -1 when none are. */
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly detail: string;
}

/** How far the verification or repair that began last is. */
export interface MaintenanceProgress {
  readonly totalBytes: number;
  readonly doneBytes: number;
  readonly currentPartition: string;
}

/**
 * Verifies log directories, directories of partitions, and segment files.
 *
 * @throws LogError LOG_DIR_LOCKED, INVALID_ARGUMENT for a path that is none of them, LOG_IO.
 */
export async function verify(paths: readonly string[]): Promise<VerifyReport> {
  return JSON.parse(await nativeMaintenance.verify(paths)) as VerifyReport;
}

/**
 * What a repair of a log directory would do.
 *
 * @throws LogError LOG_DIR_LOCKED, LOG_IO.
 */
export async function planRepair(
  directory: string,
  mode: RepairMode,
): Promise<readonly RepairAction[]> {
  return JSON.parse(await nativeMaintenance.repair(directory, mode, false)) as RepairAction[];
}

/**
 * Repairs a log directory, and opens and closes it once so that everything that follows from the logs is there.
 *
 * @throws LogError LOG_DIR_LOCKED, LOG_IO: what was done until then is whole, and each changed file has its copy.
 */
export async function repair(
  directory: string,
  mode: RepairMode,
): Promise<readonly RepairAction[]> {
  return JSON.parse(await nativeMaintenance.repair(directory, mode, true)) as RepairAction[];
}

/** How far it is. */
export function maintenanceProgress(): MaintenanceProgress {
  return JSON.parse(nativeMaintenance.progress()) as MaintenanceProgress;
}
