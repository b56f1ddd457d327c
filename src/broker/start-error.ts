/**
 * Why a broker could not be started.
 */

/** The message is meant for a person; `code` is stable. Nothing stays open or locked after it. */
export class BrokerStartError extends Error {
  override readonly name = "BrokerStartError";
  /** `CONFIG_INVALID`, `ADDRESS_IN_USE`, `ADDRESS_UNAVAILABLE`, `START_ABORTED`, or the code of the log that failed. */
  readonly code: string;

  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
