/**
 * Runs `java/*.java`, the referees built on Kafka's own classes: `KafkaMessages` for messages, `KafkaBatches` for
 * record batches, `KafkaAssignors` for the targets of consumer groups, `KafkaPatterns` for topic patterns, `KafkaPartitionChanges` for what
 * the controller makes of a partition.
 *
 * `KAFKA_LIBS` names the directory with the jars of a Kafka 4.4 distribution, `KAFKA_OLD_LIBS` the one that holds
 * `kafka-clients-3.9.1.jar` for the versions 4.4 dropped. Without Java or the first there is no referee.
 */
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";

const SOURCES = ["KafkaMessages", "KafkaBatches", "KafkaAssignors", "KafkaPatterns", "KafkaPartitionChanges"] as const;
const SOURCE_DIRECTORY = join(import.meta.dirname, "java");
const CLASSES = join(import.meta.dirname, "../../.cache/golden-java");

/** The older release whose dropped versions are kept. */
export const PREDECESSOR = "kafka-clients-3.9.1.jar";

/** Why the referee cannot run, or null. */
export function whyNoReferee(): string | null {
  const libs = process.env["KAFKA_LIBS"];
  if (libs === undefined) return "KAFKA_LIBS is not set";
  if (!existsSync(libs)) return `KAFKA_LIBS is no directory: ${libs}`;
  if (Bun.which("java") === null || Bun.which("javac") === null) return "java and javac are not installed";
  return null;
}

/** Why the versions that 4.4 dropped cannot be refereed, or null. */
export function whyNoPredecessor(): string | null {
  const libs = process.env["KAFKA_OLD_LIBS"];
  if (libs === undefined) return "KAFKA_OLD_LIBS is not set";
  return existsSync(join(libs, PREDECESSOR)) ? null : `no ${PREDECESSOR} in ${libs}`;
}

/**
 * Runs one command of the referee and returns what it printed; its complaints go to our stderr.
 *
 * @param release - whose classes to use.
 */
export function runReferee(
  release: "current" | "predecessor",
  args: readonly string[],
  input = "",
  referee: (typeof SOURCES)[number] = "KafkaMessages",
): string {
  const classPath = [compile(), ...jarsOf(release)].join(delimiter);
  const run = Bun.spawnSync(["java", "-Xmx1g", "-XX:+UseSerialGC", "-cp", classPath, referee, ...args], {
    stdin: Buffer.from(input),
    stdout: "pipe",
    stderr: "inherit",
  });
  if (run.exitCode !== 0) throw new Error(`${referee} ${args[0]} ended with ${run.exitCode}`);
  return run.stdout.toString();
}

function jarsOf(release: "current" | "predecessor"): string[] {
  const libs = process.env["KAFKA_LIBS"] ?? "";
  const jars = readdirSync(libs).filter((file) => file.endsWith(".jar"));
  if (release === "current") return jars.map((file) => join(libs, file));
  // The libraries Kafka leans on come from the current distribution.
  const others = jars.filter((file) => !file.startsWith("kafka"));
  return [join(process.env["KAFKA_OLD_LIBS"] ?? "", PREDECESSOR), ...others.map((file) => join(libs, file))];
}

/** Compiles the referees once and returns the directory of their classes. */
function compile(): string {
  const isFresh = SOURCES.every((name) => {
    const product = join(CLASSES, `${name}.class`);
    const source = join(SOURCE_DIRECTORY, `${name}.java`);
    return existsSync(product) && statSync(product).mtimeMs >= statSync(source).mtimeMs;
  });
  if (!isFresh) {
    mkdirSync(CLASSES, { recursive: true });
    const jars = jarsOf("current").join(delimiter);
    const sources = SOURCES.map((name) => join(SOURCE_DIRECTORY, `${name}.java`));
    const run = Bun.spawnSync(["javac", "-nowarn", "-cp", jars, "-d", CLASSES, ...sources], {
      stdout: "inherit",
      stderr: "pipe",
    });
    if (run.exitCode !== 0) throw new Error(`javac failed: ${run.stderr.toString()}`);
  }
  return CLASSES;
}
