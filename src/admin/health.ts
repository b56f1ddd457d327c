/**
 * Whether the broker is well, as one word and the reasons for it. Pure: what is known goes in, a report comes out.
 *
 * - `starting`, `recovering`, `stopping`: no requests are served.
 * - `unavailable`: requests are served, and none can be: every log directory failed.
 * - `degraded`: served, except what the reasons name; somebody should look.
 * - `ok`.
 */

/** See the head of the file. */
export type HealthStatus =
  "ok" | "degraded" | "unavailable" | "starting" | "recovering" | "stopping";

/** How far the broker is. */
export type BrokerPhase = "starting" | "recovering" | "serving" | "stopping";

/** One cause of a status that is not `ok`. */
export interface HealthReason {
  /** Stable, for machines. */
  readonly code:
    | "STARTING"
    | "RECOVERING"
    | "STOPPING"
    | "LOG_DIRECTORY_FAILED"
    | "DISK_FULL"
    | "PARTITION_QUARANTINED"
    | "PARTITION_DAMAGED";
  /** For people: what is wrong, and where. */
  readonly message: string;
}

/** What `/health` answers. */
export interface HealthReport {
  readonly status: HealthStatus;
  /** True while requests are served. */
  readonly isReady: boolean;
  readonly reasons: readonly HealthReason[];
}

/** What the report is made from. */
export interface HealthInputs {
  readonly phase: BrokerPhase;
  /** While recovering. */
  readonly recovery: { readonly done: number; readonly total: number } | null;
  readonly directories: readonly {
    readonly path: string;
    readonly error: string | null;
    readonly freeBytes: number;
    readonly reserveBytes: number;
    /** Writes are refused for want of room: fewer bytes are free than are kept in reserve. */
    readonly isShort: boolean;
  }[];
  readonly quarantinedCount: number;
  readonly quarantined: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly reason: string;
  }[];
  readonly damagedCount: number;
  readonly damaged: readonly {
    readonly topic: string;
    readonly partition: number;
    /** Damaged ranges, and the first and last offset in them; -1 without. */
    readonly rangeCount: number;
    readonly firstOffset: number;
    readonly lastOffset: number;
    /** Segments that the disk does not give. */
    readonly unreadableCount: number;
  }[];
}

/** Reasons of one kind that are told in full; further ones are counted. */
const REASONS_OF_A_KIND_MAX = 10;

/** The report. */
export function assessHealth(inputs: HealthInputs): HealthReport {
  const reasons: HealthReason[] = [...phaseReasons(inputs)];
  const failed = inputs.directories.filter(({ error }) => error !== null);
  for (const { path, error } of failed) {
    reasons.push({
      code: "LOG_DIRECTORY_FAILED",
      message: `log directory ${path} is out of use until a restart: ${error}`,
    });
  }
  for (const { path, error, freeBytes, reserveBytes, isShort } of inputs.directories) {
    if (error !== null || !isShort) continue;
    reasons.push({
      code: "DISK_FULL",
      message: `log directory ${path} has ${freeBytes} bytes left; writes are refused below ${reserveBytes}`,
    });
  }
  for (const { topic, partition, reason } of inputs.quarantined.slice(0, REASONS_OF_A_KIND_MAX)) {
    reasons.push({
      code: "PARTITION_QUARANTINED",
      message: `partition ${topic}-${partition} is damaged and set aside, its files are kept: ${reason}`,
    });
  }
  if (inputs.quarantinedCount > REASONS_OF_A_KIND_MAX) {
    const count = inputs.quarantinedCount - REASONS_OF_A_KIND_MAX;
    reasons.push({
      code: "PARTITION_QUARANTINED",
      message: `${count} more partitions are set aside`,
    });
  }
  for (const partition of inputs.damaged.slice(0, REASONS_OF_A_KIND_MAX))
    reasons.push({ code: "PARTITION_DAMAGED", message: damageMessage(partition) });
  if (inputs.damagedCount > REASONS_OF_A_KIND_MAX) {
    const count = inputs.damagedCount - REASONS_OF_A_KIND_MAX;
    reasons.push({ code: "PARTITION_DAMAGED", message: `${count} more partitions are damaged` });
  }
  const isServing = inputs.phase === "serving";
  const hasNoDirectory =
    inputs.directories.length > 0 && failed.length === inputs.directories.length;
  let status: HealthStatus = reasons.length === 0 ? "ok" : "degraded";
  if (inputs.phase !== "serving") status = inputs.phase;
  else if (hasNoDirectory) status = "unavailable";
  return { status, isReady: isServing && !hasNoDirectory, reasons };
}

function damageMessage(damaged: HealthInputs["damaged"][number]): string {
  const { topic, partition, rangeCount, firstOffset, lastOffset, unreadableCount } = damaged;
  const what: string[] = [];
  if (rangeCount === 1) what.push(`offsets ${firstOffset} to ${lastOffset} cannot be read`);
  if (rangeCount > 1) {
    what.push(
      `${rangeCount} ranges between offsets ${firstOffset} and ${lastOffset} cannot be read`,
    );
  }
  if (unreadableCount > 0) what.push(`the disk does not give ${unreadableCount} of its segments`);
  return `partition ${topic}-${partition} is damaged: ${what.join("; ")}; the rest is served`;
}

function phaseReasons({ phase, recovery }: HealthInputs): readonly HealthReason[] {
  switch (phase) {
    case "serving":
      return [];
    case "starting":
      return [{ code: "STARTING", message: "the broker is starting" }];
    case "stopping":
      return [{ code: "STOPPING", message: "the broker is stopping" }];
    case "recovering": {
      const progress =
        recovery === null || recovery.total === 0
          ? ""
          : `: ${recovery.done} of ${recovery.total} partitions`;
      return [{ code: "RECOVERING", message: `the broker is checking its logs${progress}` }];
    }
  }
}
