/**
 * `sluice start`: runs a broker until it is told to stop.
 *
 * SIGTERM and SIGINT stop it in order; a second one ends the process at once. Whatever keeps it from starting is said in
 * one line, and the exit code is 1.
 */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { Broker } from "#broker/broker.ts";
import { BrokerStartError } from "#broker/start-error.ts";
import { describeError, type Logger } from "#common/logger.ts";
import { changedKeys, type ConfigValues, parseOverride } from "#config/broker-config.ts";
import { parseProperties } from "#config/properties.ts";

const FORCED_EXIT_CODE = 130;

interface StartArguments {
  readonly file: string | null;
  readonly overrides: Readonly<Record<string, string>>;
}

/** A command line or file that cannot be read; the message is the whole line a person is told. */
class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Runs `sluice start`. Settles when the broker serves; the process ends with the signal that stops it. */
export async function runStart(args: readonly string[]): Promise<void> {
  const startedMs = performance.now();
  const logger = terminalLogger();
  try {
    const { file, overrides } = readArguments(args);
    const properties = file === null ? null : await readPropertiesFile(file);
    const broker = await Broker.start({
      ...(file === null && overrides["log.dirs"] === undefined && overrides["log.dir"] === undefined
        ? { dataDir: "./data" }
        : {}),
      properties,
      config: overrides,
      logger,
      onFatal: (error) => {
        logger.error(`stopping, the broker's state is in doubt: ${describeError(error)}`);
        process.exit(1);
      },
    });
    stopOnSignal(broker, logger);
    tellWhatNext(broker, performance.now() - startedMs);
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof BrokerStartError)) throw error;
    process.stderr.write(`sluice: cannot start: ${error.message}\n`);
    process.exitCode = 1;
  }
}

function readArguments(args: readonly string[]): StartArguments {
  let parsed: { values: { override?: string[] }; positionals: string[] };
  try {
    parsed = parseArgs({
      args: [...args],
      options: { override: { type: "string", multiple: true } },
      allowPositionals: true,
    });
  } catch (error) {
    throw new UsageError(describeError(error));
  }
  const [file, ...more] = parsed.positionals;
  if (more.length > 0)
    throw new UsageError(`one file of properties at most, not also '${more[0]}'`);
  const overrides: Record<string, string> = {};
  for (const argument of parsed.values.override ?? []) {
    const pair = parseOverride(argument);
    if (pair === null) throw new UsageError(`--override wants KEY=VALUE, not '${argument}'`);
    overrides[pair[0]] = pair[1];
  }
  return { file: file ?? null, overrides };
}

async function readPropertiesFile(file: string): Promise<ConfigValues> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new UsageError(`cannot read ${file}: ${describeError(error)}`);
  }
  const { values, error } = parseProperties(text);
  if (values === null) throw new UsageError(`${file}: ${error}`);
  return values;
}

function stopOnSignal(broker: Broker, logger: Logger): void {
  let isStopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (isStopping) {
      logger.warn(`${signal} again: stopping at once; the next start will check the logs`);
      process.exit(FORCED_EXIT_CODE);
    }
    isStopping = true;
    logger.info(`${signal}: stopping`);
    broker.stop().then(
      () => {
        logger.info("stopped");
        process.exit(0);
      },
      (error: unknown) => {
        logger.error(`stopping failed: ${describeError(error)}`);
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}

function tellWhatNext(broker: Broker, elapsedMs: number): void {
  const servers = broker.bootstrapServers;
  const addresses = broker.listeners
    .map(({ listenerName, hostname, port }) => `${listenerName}://${hostname}:${port}`)
    .join(", ");
  const changed = changedKeys(broker.config).filter(({ name }) => name !== "broker.id");
  const lines = [
    `Sluice serves Kafka clients on ${addresses} (ready in ${Math.round(elapsedMs)} ms)`,
    `Data is in ${broker.dataDirs.map((directory) => resolve(directory)).join(", ")}, cluster ${broker.clusterId}`,
    ...(changed.length === 0
      ? []
      : [`Set: ${changed.map(({ name, value }) => `${name}=${value}`).join(" ")}`]),
    "Try, in another terminal:",
    `  echo hello | kcat -b ${servers} -t greetings -P`,
    `  kcat -b ${servers} -t greetings -C -e`,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

function terminalLogger(): Logger {
  const write = (level: string, line: string): void => {
    process.stderr.write(`${new Date().toISOString()} ${level} ${line}\n`);
  };
  return {
    info: (line) => write("INFO", line),
    warn: (line) => write("WARN", line),
    error: (line) => write("ERROR", line),
  };
}
