/** What a check of `sluice doctor` finds. */

/** `ok`: nothing to do. `warn`: it runs, but not as well or as safely as it could. `fail`: it does not run. */
export type FindingStatus = "ok" | "warn" | "fail";

/** One line of the report. */
export interface Finding {
  /** What was looked at, a word or two. */
  readonly check: string;
  readonly status: FindingStatus;
  readonly message: string;
  /** What to do, a line each. */
  readonly remedies: readonly string[];
}

/** Makes a finding. */
export function finding(
  status: FindingStatus,
  check: string,
  message: string,
  ...remedies: readonly string[]
): Finding {
  return { check, status, message, remedies };
}
