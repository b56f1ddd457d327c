/**
 * Runs steps against a broker with Kafka's own tools (`java/Tools.java`, one JVM for all of them) and writes down what they printed, as one would
 * see it in a terminal:
 *
 * ```
 * $ kafka-topics --describe --topic nowhere
 * Error while executing topic command : Topic 'nowhere' does not exist as expected
 * ! what came on the error output
 * = 1
 * ```
 */
import { join } from "node:path";
import { javaCommand } from "../../conformance/java/console.ts";
import type { JavaLibraries } from "../../conformance/support/toolchains.ts";
import type { BrokerProcess } from "../../support/broker-process.ts";
import { runCommand } from "../../support/process.ts";
import { errorLines, normalize } from "./normalize.ts";
import type { Step } from "./steps.ts";

const PROGRAM = join(import.meta.dirname, "java/Tools.java");
const TIMEOUT_MS = 570_000;

/** One command line and what it printed. */
export interface Printed {
  readonly line: string;
  readonly text: string;
}

/** A section's runs, in order. */
export type Transcript = readonly Printed[];

interface Answer {
  readonly failure?: string;
  readonly status?: number;
  readonly output?: string;
  readonly errors?: string;
}

/**
 * Runs all sections, one after another.
 *
 * @param scratchDirectory - for files that commands read.
 * @throws Error when a step that prepares something fails, or the JVM ends early.
 */
export async function runSections(
  libraries: JavaLibraries,
  broker: Pick<BrokerProcess, "bootstrap" | "dataDirectory" | "name">,
  sections: ReadonlyMap<string, readonly Step[]>,
  scratchDirectory: string,
): Promise<ReadonlyMap<string, Transcript>> {
  const steps = [...sections.values()].flat();
  const command = [
    // The tools format dates in the zone of the machine.
    ...javaCommand(libraries, "tools").toSpliced(1, 0, "-Duser.timezone=UTC", "-Duser.language=en"),
    PROGRAM,
    "--bootstrap",
    broker.bootstrap,
    "--directory",
    scratchDirectory,
  ];
  const result = await runCommand(command, {
    timeoutMs: TIMEOUT_MS,
    input: `${steps.map((step) => JSON.stringify(step)).join("\n")}\n`,
  });
  const answers = result.output
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Answer);
  if (answers.length !== steps.length)
    throw new Error(
      `${broker.name}: ${answers.length} of ${steps.length} steps, then ${JSON.stringify(steps[answers.length])}: ${result.errors}`,
    );
  const failures = answers.flatMap(({ failure }, index) =>
    failure === undefined ? [] : [`${JSON.stringify(steps[index])}: ${failure}`],
  );
  if (failures.length > 0)
    throw new Error(`${broker.name}: ${failures.join("\n")}\n${result.errors}`);

  const { bootstrap, dataDirectory } = broker;
  const place = { bootstrap, dataDirectory, scratchDirectory };
  let at = 0;
  return new Map(
    [...sections].map(([section, its]) => {
      const printed = its.flatMap((step) => {
        const { status = 0, output = "", errors = "" } = answers[at++] ?? {};
        if (step.op !== "run") return [];
        const lines = [
          normalize(output, place, step.isUnordered ?? false),
          ...errorLines(errors).map((line) => `! ${normalize(line, place, false)}`),
          status === 0 ? "" : `= ${status}`,
        ];
        return [{ line: step.name, text: lines.filter((line) => line !== "").join("\n") }];
      });
      return [section, printed] as const;
    }),
  );
}
