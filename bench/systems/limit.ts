/**
 * The physical limit: a native server that receives, writes and `sendfile`s, and does nothing else (`bench/load/src/bin/limit`).
 * The same generator loads it in the same run, so that the distance from it is free of the machine, the loopback and the disk.
 */
import { join } from "node:path";
import { buildLoadGenerator, limitBinary } from "../load-generator.ts";
import {
  launch,
  type Durability,
  type RunningSystem,
  type StartOptions,
  type System,
} from "./system.ts";

/** As many threads as a broker beside it has for its connections. */
const threadsOf = ({ settings }: StartOptions): string => settings?.["num.network.threads"] ?? "1";

/** Adapter for it. */
export const limit: System = {
  name: "limit",
  warmUpSeconds: 1,
  isBroker: false,
  isOurs: true,

  prepare: () => buildLoadGenerator(),
  version: () => Promise.resolve("sluice-limit: receive, write, sendfile"),
  config: (options) => ({ threads: threadsOf(options) }),
  topicConfig: (durability: Durability): Record<string, string> =>
    durability === "page-cache" ? {} : { "flush.messages": "1" },

  start(options: StartOptions): Promise<RunningSystem> {
    const dataDirectory = join(options.directory, "data");
    return launch({
      name: "limit",
      command: [limitBinary(), dataDirectory, String(options.port), threadsOf(options)],
      port: options.port,
      cpus: options.cpus,
      dataDirectory,
      logDirectory: join(options.directory, "logs"),
      timeoutMs: 10_000,
    });
  },
};
