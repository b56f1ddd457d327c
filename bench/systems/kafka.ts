/**
 * Real Apache Kafka: the jars of its release, run as its own start scripts run them (1 GiB heap, G1, the same flags), with
 * the `server.properties` that it ships for one combined node. Two lines differ from what it ships: listeners on free
 * ports, and a short delay before files of deleted topics go, which our broker gets as well. JMX stays off, which spares
 * Kafka some start-up time. Formatting the storage is not part of its start-up time either.
 *
 * Jars come from `KAFKA_DIR` (its `libs/`), or are fetched once by `kafka/setup.sh` into `.cache/`.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  freePort,
  launch,
  root,
  runCommand,
  type Durability,
  type RunningSystem,
  type StartOptions,
  type System,
} from "./system.ts";

/** Release measured against. */
export const kafkaVersion = "4.4.0";

const here = join(import.meta.dir, "kafka");

function libraryDirectory(): string {
  const given = process.env["KAFKA_DIR"];
  return join(given ?? join(root, ".cache", `kafka-${kafkaVersion}`), "libs");
}

function jarOfBroker(): string | undefined {
  const libs = libraryDirectory();
  return existsSync(libs)
    ? readdirSync(libs).find((name) => /^kafka_2\.13-.*\.jar$/.test(name))
    : undefined;
}

const heapFlags = ["-Xmx1G", "-Xms1G"];
const jvmFlags = [
  "-server",
  "-XX:+UseG1GC",
  "-XX:MaxGCPauseMillis=20",
  "-XX:InitiatingHeapOccupancyPercent=35",
  "-XX:+ExplicitGCInvokesConcurrent",
  "-Djava.awt.headless=true",
];

/** What `kafka-server-start.sh` and `kafka-run-class.sh` set. */
export const kafkaJavaFlags: readonly string[] = [...heapFlags, ...jvmFlags];

function java(): string {
  const home = process.env["JAVA_HOME"];
  return home === undefined ? "java" : join(home, "bin/java");
}

function javaCommand(flags: readonly string[], logLevel: string): string[] {
  return [
    java(),
    ...flags,
    `-Dlog4j2.configurationFile=${join(here, "log4j2.properties")}`,
    `-Dbench.log.level=${logLevel}`,
    "-cp",
    `${libraryDirectory()}/*`,
  ];
}

/** Kafka's form of a random id: 16 bytes in base64url, never starting with a dash. */
function randomId(): string {
  for (;;) {
    const id = randomBytes(16).toString("base64url");
    if (!id.startsWith("-")) return id;
  }
}

/** The properties that Kafka ships, with addresses and directory filled in. */
function serverProperties(options: StartOptions, controllerPort: number): Record<string, string> {
  return {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.quorum.voters": `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${options.port},CONTROLLER://127.0.0.1:${controllerPort}`,
    "advertised.listeners": `PLAINTEXT://127.0.0.1:${options.port}`,
    "inter.broker.listener.name": "PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "num.network.threads": "3",
    "num.io.threads": "8",
    "socket.send.buffer.bytes": "102400",
    "socket.receive.buffer.bytes": "102400",
    "socket.request.max.bytes": "104857600",
    "log.dirs": join(options.directory, "data"),
    "num.partitions": "1",
    "num.recovery.threads.per.data.dir": "2",
    "offsets.topic.replication.factor": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "log.retention.hours": "168",
    "log.segment.bytes": "1073741824",
    "log.retention.check.interval.ms": "300000",
    "log.segment.delete.delay.ms": "500",
    ...options.settings,
  };
}

/** Directory of the jars, fetched unless they are there. */
export async function kafkaLibraries(): Promise<string> {
  if (jarOfBroker() === undefined) {
    const target = join(libraryDirectory(), "..");
    await runCommand(["bash", join(here, "setup.sh"), target, kafkaVersion]);
  }
  return libraryDirectory();
}

/** Adapter for Apache Kafka. */
export const kafka: System = {
  name: "kafka",
  warmUpSeconds: 45,
  isBroker: true,
  isOurs: true,

  async prepare(): Promise<void> {
    await kafkaLibraries();
    await runCommand([java(), "-version"]);
  },

  version(): Promise<string> {
    const jar = jarOfBroker() ?? "absent";
    return Promise.resolve(`Apache Kafka ${jar.replace("kafka_2.13-", "").replace(".jar", "")}`);
  },

  config(options: StartOptions): Record<string, string> {
    return {
      ...serverProperties(options, options.port + 1),
      jvm: kafkaJavaFlags.join(" "),
    };
  },

  topicConfig(durability: Durability): Record<string, string> {
    // Kafka answers from the page cache unless it is told to flush with every append.
    return durability === "page-cache" ? {} : { "flush.messages": "1" };
  },

  async start(options: StartOptions): Promise<RunningSystem> {
    mkdirSync(options.directory, { recursive: true });
    const properties = serverProperties(options, await freePort());
    const path = join(options.directory, "server.properties");
    const lines = Object.entries(properties).map(([key, value]) => `${key}=${value}`);
    writeFileSync(path, `${lines.join("\n")}\n`);
    if (!existsSync(join(options.directory, "data", "meta.properties"))) {
      const format = ["kafka.tools.StorageTool", "format", "-t", randomId(), "-c", path];
      await runCommand([...javaCommand([], "warn"), ...format]);
    }
    const logs = join(options.directory, "logs");
    mkdirSync(logs, { recursive: true });
    const gcLog = `-Xlog:gc*:file=${join(logs, "gc.log")}:time,tags:filecount=10,filesize=100M`;
    const flags = [...kafkaJavaFlags, gcLog, `-Dkafka.logs.dir=${logs}`];
    return launch({
      name: "kafka",
      command: [...javaCommand(flags, "info"), "kafka.Kafka", path],
      port: options.port,
      cpus: options.cpus,
      dataDirectory: join(options.directory, "data"),
      logDirectory: logs,
      timeoutMs: 120_000,
    });
  },
};
