/**
 * `sluice start`: runs a broker until it is told to stop.
 *
 * SIGTERM and SIGINT stop it in order, from the moment on at which anything is opened: one that comes during the start lets the logs be
 * opened, or recovered, and closes them. A second one ends the process at once. Whatever keeps it from starting is said in one
 * line, and the exit code is 1.
 */
import { resolve } from "node:path";
import { parseAddresses } from "#client/address.ts";
import { Broker } from "#broker/broker.ts";
import { loadConfiguration } from "#broker/configuration.ts";
import { BrokerStartError } from "#broker/start-error.ts";
import { errorFields, type Logger } from "#common/logger.ts";
import { type BrokerConfig, parseOverride } from "#config/broker-config.ts";
import { explainConfig } from "#config/explain-config.ts";
import type { CommandIo } from "../command-io.ts";
import { CommandError, UsageError } from "../failure.ts";
import { logChoiceOf, logOptions, outputLogger } from "../log-output.ts";
import { SignalEcho } from "../signal-echo.ts";

const FORCED_EXIT_CODE = 130;
/** What the other commands take without `--bootstrap`. */
const DEFAULT_BOOTSTRAP = "127.0.0.1:9092";

/** What was typed after `sluice start`. */
export interface StartArguments {
  readonly file: string | null;
  /** Texts `KEY=VALUE`, later ones winning. */
  readonly overrides: readonly string[];
  /** `--cluster`: a quorum of one, which others can join. */
  readonly cluster?: true | undefined;
  /** `--join`: brokers of the cluster to become part of. */
  readonly join?: string | undefined;
  /** `--role`: `process.roles` of a node that joins. */
  readonly role?: string | undefined;
  /** `--log-format` and `--log-level`, over the keys of the configuration. */
  readonly logFormat?: string | undefined;
  readonly logLevel?: string | undefined;
}

/** Runs `sluice start`. Settles when the broker serves; the process ends with the signal that stops it. */
export async function runStart(start: StartArguments, io: CommandIo): Promise<void> {
  const startedMs = performance.now();
  if (start.role !== undefined && start.join === undefined)
    throw new UsageError("--role is for a node that joins a cluster: it goes with --join");
  if (start.cluster === true && start.join !== undefined)
    throw new UsageError(
      "--cluster begins a cluster and --join joins one: it can be only one of them",
    );
  const { config: given, warnings } = await readConfiguration(start, io);
  const logger = outputLogger(
    logOptions(
      { format: start.logFormat, level: start.logLevel },
      logChoiceOf((key) => given.string(key) ?? undefined),
    ),
    {
      hasColor: io.stderr.hasColor,
      // Nobody reads the log any more: the broker serves on.
      write: (text) => void io.stderr.write(text).catch(() => {}),
    },
  );
  for (const warning of warnings) logger.warn(warning);
  const configuration =
    start.join !== undefined
      ? await joined(start, given, logger, io)
      : start.cluster === true
        ? await clusterOfOne(start, given, io)
        : given;
  const signals = new StopSignals(logger);
  try {
    const broker = await Broker.start({
      configuration,
      logger,
      onFatal: (error) => {
        logger.error("stopping at once, the broker's state is in doubt", errorFields(error));
        process.exit(1);
      },
      signal: signals.duringStart,
    });
    if (signals.onStarted(broker)) await tellWhatNext(broker, performance.now() - startedMs, io);
  } catch (error) {
    if (!(error instanceof BrokerStartError)) throw error;
    if (error.code === "START_ABORTED") endInOrder(logger);
    // Loaded only now: a start that succeeds does not need it.
    const { explainStartFailure } = await import("./start-failure.ts");
    throw await explainStartFailure(error);
  }
}

/** Reads the file, the environment and the overrides. */
async function readConfiguration(
  { file, overrides }: StartArguments,
  io: CommandIo,
): Promise<{ readonly config: BrokerConfig; readonly warnings: readonly string[] }> {
  for (const text of overrides) {
    if (parseOverride(text) === null)
      throw new UsageError(`--override wants KEY=VALUE, not '${text}'`);
  }
  const { environment } = io;
  const { config, warnings, errors } = await loadConfiguration({ file, overrides, environment });
  if (config !== null) return { config, warnings };
  const [first = "", ...more] = errors;
  throw more.length === 0
    ? new CommandError(`cannot start: ${first}`, warnings)
    : new CommandError(`cannot start: ${errors.length} errors in the configuration`, [
        ...errors,
        ...warnings,
      ]);
}

/** The configuration of a cluster's first node: a listener for controllers unless listeners are set. */
async function clusterOfOne(
  start: StartArguments,
  given: BrokerConfig,
  io: CommandIo,
): Promise<BrokerConfig> {
  const [name = "CONTROLLER"] = given.list("controller.listener.names");
  const listeners = given.staticValues.has("listeners")
    ? []
    : [`listeners=PLAINTEXT://127.0.0.1:9092,${name}://127.0.0.1:9093`];
  const overrides = [...start.overrides, "sluice.cluster.of.one=true", ...listeners];
  return (await readConfiguration({ ...start, overrides }, io)).config;
}

/** The configuration with what joining a cluster adds to it. */
async function joined(
  start: StartArguments,
  given: BrokerConfig,
  logger: Logger,
  io: CommandIo,
): Promise<BrokerConfig> {
  const servers = parseAddresses(start.join ?? "");
  if (servers === null)
    throw new UsageError(`--join wants HOST:PORT,HOST:PORT, not '${start.join}'`);
  const { joinSettings } = await import("./join-cluster.ts");
  const settings = await joinSettings({
    servers,
    roles: start.role ?? "broker",
    config: given,
    logger,
  });
  const overrides = [...start.overrides, ...settings];
  return (await readConfiguration({ ...start, overrides }, io)).config;
}

/** The signals that stop a broker, in every state it can be in. */
class StopSignals {
  readonly #logger: Logger;
  readonly #start: AbortController = new AbortController();
  readonly #echo: SignalEcho = new SignalEcho();
  #broker: Broker | null = null;

  /** Signals are heard from here on. */
  constructor(logger: Logger) {
    this.#logger = logger;
    process.on("SIGTERM", (signal) => this.#onSignal(signal));
    process.on("SIGINT", (signal) => this.#onSignal(signal));
  }

  /** Aborted by the first signal. */
  get duringStart(): AbortSignal {
    return this.#start.signal;
  }

  /** The broker serves. @returns false when it has to stop again at once. */
  onStarted(broker: Broker): boolean {
    this.#broker = broker;
    if (!this.#start.signal.aborted) return true;
    this.#stop(broker);
    return false;
  }

  #onSignal(signal: NodeJS.Signals): void {
    const logger = this.#logger;
    if (this.#echo.isEcho(signal)) return;
    if (this.#start.signal.aborted) {
      logger.warn("stopping at once, the next start will check the logs", { signal });
      process.exit(FORCED_EXIT_CODE);
    }
    const broker = this.#broker;
    logger.info("stopping", { signal, ...(broker === null ? { after: "the logs are open" } : {}) });
    this.#start.abort();
    if (broker !== null) this.#stop(broker);
  }

  #stop(broker: Broker): void {
    broker.stop().then(
      () => endInOrder(this.#logger),
      (error: unknown) => {
        this.#logger.error("stopping failed", errorFields(error));
        process.exit(1);
      },
    );
  }
}

function endInOrder(logger: Logger): never {
  logger.info("stopped");
  process.exit(0);
}

async function tellWhatNext(broker: Broker, elapsedMs: number, io: CommandIo): Promise<void> {
  const servers = broker.bootstrapServers;
  const where = servers === DEFAULT_BOOTSTRAP ? "" : ` --bootstrap ${servers}`;
  const addresses = broker.listeners
    .map(({ listenerName, hostname, port }) => `${listenerName}://${hostname}:${port}`)
    .join(", ");
  const changed = explainConfig(broker.config);
  const admin = broker.adminAddress;
  const isBroker = broker.config.list("process.roles").includes("broker");
  const lines = [
    isBroker
      ? `Sluice serves Kafka clients on ${addresses} (ready in ${Math.round(elapsedMs)} ms)`
      : `Sluice is a controller, node ${broker.nodeId}, and serves no clients (ready in ${Math.round(elapsedMs)} ms)`,
    `Data is in ${broker.dataDirs.map((directory) => resolve(directory)).join(", ")}, cluster ${broker.clusterId}`,
    ...(admin === null
      ? []
      : [`Metrics and health are on http://${urlHost(admin.host)}:${admin.port}`]),
    ...(changed.length === 0 ? [] : ["Not at the default:", ...changed.map((line) => `  ${line}`)]),
    ...(isBroker
      ? [
          "Try, in another terminal:",
          `  echo hello | sluice produce greetings${where}`,
          `  sluice consume greetings${where}`,
        ]
      : []),
  ];
  await io.stdout.write(`${lines.join("\n")}\n`);
}

/** A host as it is written in a URL. */
function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
