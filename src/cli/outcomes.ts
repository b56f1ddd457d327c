/**
 * A command over several names: each is tried in turn and told as it comes; a refusal is told and does not keep the others from their
 * turn, and the exit code says that there was one.
 */
import { ClientError } from "#client/client-error.ts";
import type { CommandIo } from "./command-io.ts";
import { ExitCode } from "./failure.ts";
import { formatFailure, printJson, styleOf } from "./output.ts";
import { asCommandError } from "./with-cluster.ts";

/** What became of one of them: `result` is one word of the command's own; the rest goes into the JSON as it is. */
export interface Outcome {
  readonly result: string;
}

/** What to do for each name. */
export interface OutcomeWork<T extends Outcome> {
  readonly names: readonly string[];
  /** What a name names, as the JSON calls it: `topic`, `group`. */
  readonly noun: string;
  readonly isJson: boolean;
  readonly work: (name: string) => Promise<T>;
  /** Told when it has worked. */
  readonly sentence: (name: string, outcome: T) => string;
}

/** See the head of the file. */
export async function forEachName<T extends Outcome>(
  { names, noun, isJson, work, sentence }: OutcomeWork<T>,
  io: CommandIo,
): Promise<void> {
  const outcomes: object[] = [];
  for (const name of names) {
    try {
      const outcome = await work(name);
      outcomes.push({ [noun]: name, ...outcome });
      if (!isJson) await io.stdout.write(`${sentence(name, outcome)}\n`);
    } catch (error) {
      if (!(error instanceof ClientError) || error.code !== "REFUSED") throw error;
      io.setExitCode(ExitCode.FAILED);
      outcomes.push({ [noun]: name, result: "failed", error: error.message });
      const { message, remedies } = asCommandError(error);
      await io.stderr.write(formatFailure(message, remedies, styleOf(io.stderr)));
    }
  }
  if (isJson) await printJson(io.stdout, outcomes);
}
