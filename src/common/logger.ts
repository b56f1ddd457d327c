/**
 * What the broker tells its operator. A port, because a library must not write to anybody's terminal unasked: the process
 * entry prints, an embedded broker hands its lines to whoever started it, or to nobody.
 */

/** Takes one line at a time, without a line break. */
export interface Logger {
  info(line: string): void;
  warn(line: string): void;
  error(line: string): void;
}

/** Says nothing. */
export const SILENT_LOGGER: Logger = { info() {}, warn() {}, error() {} };

/** An error as one line: its message, its code when it has one, and what caused it. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error && typeof error.code === "string" ? ` (${error.code})` : "";
  const cause = error.cause === undefined ? "" : `: ${describeError(error.cause)}`;
  return `${error.message}${code}${cause}`;
}
