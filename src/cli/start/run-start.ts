/**
 * `sluice start`: runs a broker until it is told to stop.
 *
 * SIGTERM and SIGINT stop it in order; a second one ends the process at once. Whatever keeps it from starting is said in
 * one line, and the exit code is 1.
 */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { Broker } from "#broker/broker.ts";
import { BrokerStartError } from "#broker/start-error.ts";
import { describeError, type Logger } from "#common/logger.ts";
import { changedKeys, type ConfigValues, parseOverride } from "#config/broker-config.ts";
import { parseProperties } from "#config/properties.ts";
import type { CommandIo } from "../command-io.ts";
import { CommandError, UsageError } from "../failure.ts";

const FORCED_EXIT_CODE = 130;

/** What was typed after `sluice start`. */
export interface StartArguments {
  readonly file: string | null;
  /** Texts `KEY=VALUE`, later ones winning. */
  readonly overrides: readonly string[];
}

/** Runs `sluice start`. Settles when the broker serves; the process ends with the signal that stops it. */
export async function runStart(start: StartArguments, io: CommandIo): Promise<void> {
  const startedMs = performance.now();
  const logger = terminalLogger();
  const { file } = start;
  const overrides = readOverrides(start.overrides);
  const properties = file === null ? null : await readPropertiesFile(file);
  try {
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
    await tellWhatNext(broker, performance.now() - startedMs, io);
  } catch (error) {
    if (!(error instanceof BrokerStartError)) throw error;
    throw new CommandError(`cannot start: ${error.message}`, [], error);
  }
}

function readOverrides(texts: readonly string[]): Record<string, string> {
  const overrides: Record<string, string> = {};
  for (const text of texts) {
    const pair = parseOverride(text);
    if (pair === null) throw new UsageError(`--override wants KEY=VALUE, not '${text}'`);
    overrides[pair[0]] = pair[1];
  }
  return overrides;
}

async function readPropertiesFile(file: string): Promise<ConfigValues> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new CommandError(`cannot read ${file}: ${describeError(error)}`);
  }
  const { values, error } = parseProperties(text);
  if (values === null) throw new CommandError(`${file}: ${error}`);
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

async function tellWhatNext(broker: Broker, elapsedMs: number, io: CommandIo): Promise<void> {
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
  await io.stdout.write(`${lines.join("\n")}\n`);
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
