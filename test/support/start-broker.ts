/**
 * A broker of its own for a test: free port, own directory, both gone at the end.
 *
 *     await using broker = await startBroker();
 *     const kafka = new Kafka({ brokers: [broker.bootstrapServers] });
 *
 *     await using kept = await temporaryDirectory();       // to start twice on the same data
 *     await using first = await startBroker({ dataDir: kept.path });
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatEvent } from "../../src/common/log-format.ts";
import { createLogger } from "../../src/common/logger.ts";
import { Broker, type BrokerOptions } from "../../src/index.ts";

/** A directory that is removed when its scope ends. */
export interface TemporaryDirectory extends AsyncDisposable {
  readonly path: string;
}

/** Makes an empty directory. */
export async function temporaryDirectory(): Promise<TemporaryDirectory> {
  const path = await mkdtemp(join(tmpdir(), "sluice-test-"));
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

/** A running broker and what it said. */
export interface TestBroker extends AsyncDisposable {
  readonly broker: Broker;
  readonly bootstrapServers: string;
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  /** Lines logged so far: level, message, fields. */
  readonly logged: readonly string[];
}

/** Starts a broker; options win over a free port and a fresh directory. Groups form without waiting for more members. */
export async function startBroker(options: BrokerOptions = {}): Promise<TestBroker> {
  const directory = options.dataDir === undefined ? await temporaryDirectory() : null;
  const dataDir = options.dataDir ?? directory?.path ?? "";
  const logged: string[] = [];
  const broker = await Broker.start({
    port: 0,
    logger: createLogger("debug", (level, message, fields) => {
      const event = { time: new Date(0), level, message, fields };
      const line = formatEvent("text", event).trimEnd();
      logged.push(line.slice(line.indexOf(" ") + 1));
    }),
    ...options,
    dataDir,
  });
  return {
    broker,
    bootstrapServers: broker.bootstrapServers,
    host: "127.0.0.1",
    port: broker.port,
    dataDir,
    logged,
    async [Symbol.asyncDispose](): Promise<void> {
      await broker.stop();
      await directory?.[Symbol.asyncDispose]();
    },
  };
}
