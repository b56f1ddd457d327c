/**
 * How a command fails: one sentence that says what is wrong, lines that say what to do, and an exit code. Commands throw these;
 * `src/cli/command-line.ts` alone prints them. Any other error is a defect and keeps its stack.
 */

/** Exit codes of every command. */
export const ExitCode = {
  OK: 0,
  /** It was understood and did not work. */
  FAILED: 1,
  /** It was not understood. */
  USAGE: 2,
} as const;

/** The command was understood and could not be done. */
export class CommandError extends Error {
  override readonly name: string = "CommandError";
  readonly exitCode: number = ExitCode.FAILED;
  /** What the person can do, a line each; empty when nothing is known. */
  readonly remedies: readonly string[];

  /** `message` is one sentence without a full stop; it follows `sluice: `. */
  constructor(message: string, remedies: readonly string[] = [], cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.remedies = remedies;
  }
}

/** The command line itself is wrong: an option's value, arguments that do not go together. */
export class UsageError extends CommandError {
  override readonly name = "UsageError";
  override readonly exitCode: number = ExitCode.USAGE;
}

/** Whoever read our output is gone (`| head`). No failure: the command ends in silence. */
export class ClosedOutputError extends Error {
  override readonly name = "ClosedOutputError";
}
