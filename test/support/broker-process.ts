/**
 * Brokers as processes: Sluice from this checkout, or real Kafka from its published jars, behind one small interface, so that a test
 * can be proven against Kafka first and then turned on us. A broker keeps its data directory over stops; who started it ends it.
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { freePort, isListening, mustRun, until } from "./process.ts";

/** The root of this checkout. */
export const ROOT: string = join(import.meta.dir, "..", "..");

/** One broker on one data directory: started and stopped any number of times. */
export interface BrokerProcess {
  readonly name: string;
  readonly bootstrap: string;
  /** The log directory (Kafka's `log.dirs`). */
  readonly dataDirectory: string;
  readonly pid: number | null;
  /** Starts the process and returns at once. */
  launch(): void;
  /** Launches unless that was done, and resolves once the port accepts connections, with the milliseconds since the launch. */
  start(): Promise<number>;
  /** SIGTERM waits for a clean end; SIGKILL ends it where it stands. Resolves with the milliseconds until the process was gone. */
  stop(signal: "SIGTERM" | "SIGKILL"): Promise<number>;
  /** The end of what the broker printed, for messages of failed tests. */
  log(): string;
}

/** Options common to the launchers. */
export interface BrokerOptions {
  readonly directory: string;
  /** Broker settings in Kafka's names, over the launcher's own. */
  readonly overrides?: Record<string, string>;
  readonly port?: number;
  readonly readyTimeoutMs?: number;
  /** The log directory, where it is not to be `data` below `directory`. */
  readonly dataDirectory?: string;
  /** A command that runs the broker's command, given after it; its process must become the broker's, or end with it. */
  readonly wrapper?: readonly string[];
  /** Feature levels to format Kafka with, over those of its release; Sluice has none to choose. */
  readonly features?: Readonly<Record<string, number>>;
}

/** What a process is started with, and how one knows that it serves. */
export interface LaunchPlan {
  readonly name: string;
  /** Where the port is; 127.0.0.1 unless given. */
  readonly host?: string;
  readonly port: number;
  readonly dataDirectory: string;
  readonly logFile: string;
  readonly command: readonly string[];
  readonly readyTimeoutMs: number;
}

/** A broker as a child process. */
export class SpawnedBroker implements BrokerProcess {
  readonly #plan: LaunchPlan;
  #child: Bun.Subprocess | null = null;
  #launched = 0;

  constructor(plan: LaunchPlan) {
    this.#plan = plan;
  }

  get name(): string {
    return this.#plan.name;
  }

  get bootstrap(): string {
    return `${this.#plan.host ?? "127.0.0.1"}:${this.#plan.port}`;
  }

  get dataDirectory(): string {
    return this.#plan.dataDirectory;
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  log(): string {
    return existsSync(this.#plan.logFile)
      ? readFileSync(this.#plan.logFile, "utf8").slice(-4_000)
      : "(nothing printed)";
  }

  launch(): void {
    if (this.#child !== null) throw new Error(`${this.name} runs already`);
    this.#launched = performance.now();
    const log = openSync(this.#plan.logFile, "a");
    this.#child = Bun.spawn([...this.#plan.command], {
      cwd: ROOT,
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
    closeSync(log);
  }

  async start(): Promise<number> {
    if (this.#child === null) this.launch();
    const child = this.#child;
    if (child === null) throw new Error(`${this.name} could not be launched`);
    const { host, port, readyTimeoutMs } = this.#plan;
    let hasEnded = false;
    void child.exited.then(() => (hasEnded = true));
    try {
      await until(
        async () => hasEnded || (await isListening(port, host)),
        readyTimeoutMs,
        () => `${this.name} did not open port ${port} within ${readyTimeoutMs} ms\n${this.log()}`,
      );
      if (hasEnded) throw new Error(`${this.name} ended with ${child.exitCode}\n${this.log()}`);
    } catch (error) {
      await this.stop("SIGKILL");
      throw error;
    }
    return performance.now() - this.#launched;
  }

  async stop(signal: "SIGTERM" | "SIGKILL"): Promise<number> {
    const child = this.#child;
    if (child === null) return 0;
    const started = performance.now();
    child.kill(signal);
    const patience = setTimeout(() => child.kill("SIGKILL"), 60_000);
    await child.exited;
    clearTimeout(patience);
    this.#child = null;
    return performance.now() - started;
  }
}

/** Sluice from this checkout, `src/main.ts start` with its overrides. */
export async function sluiceBroker(options: BrokerOptions): Promise<BrokerProcess> {
  const port = options.port ?? (await freePort());
  const dataDirectory = options.dataDirectory ?? join(options.directory, "data");
  mkdirSync(options.directory, { recursive: true });
  const overrides = {
    "log.dirs": dataDirectory,
    listeners: `PLAINTEXT://127.0.0.1:${port}`,
    "group.initial.rebalance.delay.ms": "0",
    ...options.overrides,
  };
  return new SpawnedBroker({
    name: "Sluice",
    port,
    dataDirectory,
    logFile: join(options.directory, "broker.log"),
    readyTimeoutMs: options.readyTimeoutMs ?? 30_000,
    command: [
      ...(options.wrapper ?? []),
      process.execPath,
      join(ROOT, "src/main.ts"),
      "start",
      ...Object.entries(overrides).flatMap(([key, value]) => ["--override", `${key}=${value}`]),
    ],
  });
}

/** Real Kafka, one KRaft node, from the jars in `libraries`; formats the data directory the first time. */
export async function kafkaBroker(
  libraries: string,
  options: BrokerOptions,
): Promise<BrokerProcess> {
  const port = options.port ?? (await freePort());
  const controllerPort = await freePort();
  const dataDirectory = options.dataDirectory ?? join(options.directory, "data");
  const properties = join(options.directory, "server.properties");
  const settings = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.quorum.voters": `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    "advertised.listeners": `PLAINTEXT://127.0.0.1:${port}`,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "log.dirs": dataDirectory,
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    ...options.overrides,
  };
  writeProperties(properties, settings);
  const java = javaCommand(libraries, options.directory);
  await formatKafka(java, properties, dataDirectory, { features: options.features });
  return new SpawnedBroker({
    name: "Kafka",
    port,
    dataDirectory,
    logFile: join(options.directory, "broker.log"),
    readyTimeoutMs: options.readyTimeoutMs ?? 90_000,
    command: [...(options.wrapper ?? []), ...java, "kafka.Kafka", properties],
  });
}

/** Writes a `server.properties`, making its directory. */
export function writeProperties(path: string, settings: Readonly<Record<string, string>>): void {
  mkdirSync(dirname(path), { recursive: true });
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`);
  writeFileSync(path, lines.join(""));
}

/** How the classes in `libraries` are run: by default a small heap and a quick start; warnings go to the output. `directory` must exist. */
export function javaCommand(
  libraries: string,
  directory: string,
  flags: readonly string[] = ["-Xmx512M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
): string[] {
  const log4j = join(directory, "log4j2.properties");
  writeFileSync(
    log4j,
    [
      "appender.out.type=Console",
      "appender.out.name=out",
      "appender.out.layout.type=PatternLayout",
      "appender.out.layout.pattern=%d %p %m (%c)%n",
      "rootLogger.level=warn",
      "rootLogger.appenderRef.out.ref=out",
      "",
    ].join("\n"),
  );
  return ["java", ...flags, `-Dlog4j2.configurationFile=${log4j}`, "-cp", join(libraries, "*")];
}

/** A Java machine for one word takes a minute where the machine is busy. */
const FORMAT_OPTIONS = { timeoutMs: 300_000 };

/** Prepares a data directory for Kafka, unless that was done; with a cluster id of its own where none is given. */
export async function formatKafka(
  java: readonly string[],
  properties: string,
  dataDirectory: string,
  options: {
    readonly clusterId?: string;
    readonly features?: Readonly<Record<string, number>> | undefined;
  },
): Promise<void> {
  if (existsSync(join(dataDirectory, "meta.properties"))) return;
  const tool = [...java, "kafka.tools.StorageTool"];
  const id = options.clusterId ?? (await mustRun([...tool, "random-uuid"], FORMAT_OPTIONS)).trim();
  const features = Object.entries(options.features ?? {}).flatMap(([name, level]) => [
    "--feature",
    `${name}=${level}`,
  ]);
  await mustRun([...tool, "format", "-t", id, "-c", properties, ...features], FORMAT_OPTIONS);
}
