/**
 * `sluice start --join`: a node that is to become part of a running cluster asks one of its brokers what the cluster is, and works out
 * from the answer what its own configuration leaves open: the controllers, a node id that nobody has, free ports at the address from
 * which it reaches the cluster.
 *
 * What the file, the environment or `--override` says is never changed. A node that was in the cluster before finds its id in its
 * directory.
 */
import { readFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { type Address, formatAddress } from "#client/address.ts";
import { ClientError } from "#client/client-error.ts";
import { describeBrokers, describeQuorum } from "#client/cluster-info.ts";
import { Cluster } from "#client/cluster.ts";
import type { Logger } from "#common/logger.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { BrokerConfig } from "#config/broker-config.ts";
import { CommandError } from "../failure.ts";

/** How a node joins. */
export interface JoinOptions {
  /** Brokers of the cluster. */
  readonly servers: readonly Address[];
  /** `process.roles` */
  readonly roles: string;
  /** What is configured already. */
  readonly config: BrokerConfig;
  readonly logger: Logger;
}

/** How long the cluster is looked for. */
const PATIENCE_MS = 60_000;
const RETRY_MS = 500;
const CONNECT_TIMEOUT_MS = 5_000;
const FIRST_PORT = 9092;
const PORTS_TRIED = 200;
const DEFAULT_DIRECTORY = "./data";

/** What is known of the cluster. */
interface Found {
  readonly controllers: readonly Address[];
  readonly listener: string;
  readonly takenIds: ReadonlySet<number>;
}

/** The settings that joining adds, as `KEY=VALUE`. @throws CommandError when the cluster cannot be found in time. */
export async function joinSettings(options: JoinOptions): Promise<string[]> {
  const { config, roles, servers } = options;
  const found = await findCluster(options);
  const isController = roles.includes("controller");
  const settings = new Map<string, string>([
    ["process.roles", roles],
    ["controller.quorum.bootstrap.servers", found.controllers.map(formatAddress).join(",")],
    ["controller.listener.names", found.listener],
    ["node.id", String(await nodeId(config, found.takenIds))],
  ]);
  if (!config.staticValues.has("listeners")) {
    const host = await ownHost(servers);
    const shown = host.includes(":") ? `[${host}]` : host;
    const [port, controllerPort] = await freePorts(host, isController ? 2 : 1);
    const listeners = [
      `PLAINTEXT://${shown}:${port}`,
      ...(isController ? [`${found.listener}://${shown}:${controllerPort}`] : []),
    ];
    settings.set("listeners", listeners.join(","));
  }
  if (isController) settings.set("controller.quorum.auto.join.enable", "true");
  return [...settings].flatMap(([key, value]) =>
    config.staticValues.has(key) ? [] : [`${key}=${value}`],
  );
}

/** Asks until somebody answers. */
async function findCluster({ servers, logger }: JoinOptions): Promise<Found> {
  const untilMs = performance.now() + PATIENCE_MS;
  for (let isFirst = true; ; isFirst = false) {
    try {
      const cluster = await Cluster.connect({ bootstrap: servers });
      try {
        return await ask(cluster);
      } finally {
        cluster.close();
      }
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      if (performance.now() > untilMs) {
        throw new CommandError(`cannot join: ${error.message}`, [
          "--join wants addresses of brokers of the cluster, HOST:PORT,HOST:PORT",
        ]);
      }
      if (isFirst) logger.info("looking for the cluster to join", { error: error.message });
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

async function ask(cluster: Cluster): Promise<Found> {
  const [brokers, quorum] = [await describeBrokers(cluster), await describeQuorum(cluster)];
  const [listener] = quorum?.listeners ?? [];
  if (quorum === null || listener === undefined || brokers.length === 0) {
    throw new CommandError("cannot join: the brokers tell of no quorum", [
      "Where nodes have one role, ask those that are brokers.",
    ]);
  }
  const [only, ...others] = quorum.replicas;
  if (others.length === 0 && only?.directoryId === ZERO_UUID) {
    throw new CommandError("cannot join: this broker is a node by itself", [
      "Start it with --cluster (sluice.cluster.of.one=true): it keeps what it has, and others can join it.",
    ]);
  }
  const known = [...brokers, ...quorum.replicas].map(({ id }) => id);
  return {
    controllers: quorum.listeners.map(({ host, port }) => ({ host, port })),
    listener: listener.name,
    takenIds: new Set(known),
  };
}

/** The id that the directory has, or the lowest above all that are known. */
async function nodeId(config: BrokerConfig, taken: ReadonlySet<number>): Promise<number> {
  const [directory = DEFAULT_DIRECTORY] =
    config.list("log.dirs").length > 0 ? config.list("log.dirs") : config.list("log.dir");
  const text = await readFile(join(directory, "meta.properties"), "latin1").catch(() => "");
  const stored = /^\s*node\.id\s*[=:]\s*(\d+)\s*$/m.exec(text)?.[1];
  return stored === undefined ? Math.max(0, ...taken) + 1 : Number(stored);
}

/** The address of this machine from which the cluster is reached. */
async function ownHost(servers: readonly Address[]): Promise<string> {
  for (const { host, port } of servers) {
    const own = await new Promise<string | null>((resolve) => {
      const socket = connect({ host, port, timeout: CONNECT_TIMEOUT_MS });
      const end = (address: string | null): void => {
        socket.destroy();
        resolve(address);
      };
      socket.once("connect", () => end(socket.localAddress ?? null));
      socket.once("error", () => end(null));
      socket.once("timeout", () => end(null));
    });
    if (own !== null) return own;
  }
  return "127.0.0.1";
}

/** The first free ports from 9092 on. */
async function freePorts(host: string, count: number): Promise<number[]> {
  const free: number[] = [];
  for (let port = FIRST_PORT; free.length < count && port < FIRST_PORT + PORTS_TRIED; port += 1) {
    if (await isFree(host, port)) free.push(port);
  }
  if (free.length < count)
    throw new CommandError(`cannot join: no free port from ${FIRST_PORT} on at ${host}`, [
      "Choose one: --override listeners=PLAINTEXT://HOST:PORT",
    ]);
  return free;
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}
