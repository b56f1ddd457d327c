/**
 * Clusters as processes: three nodes (or any number) of Sluice or of real Kafka in combined mode, each started from a `server.properties`
 * of its own, the same one on both sides. Who started a cluster ends it.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import {
  type BrokerProcess,
  formatKafka,
  javaCommand,
  type LaunchPlan,
  ROOT,
  SpawnedBroker,
  writeProperties,
} from "./broker-process.ts";
import type { NetworkHost, TestNetwork } from "./namespaces.ts";
import { freePort } from "./process.ts";

/** One node: a process that can be stopped, started again and held still. */
export interface ClusterNode extends BrokerProcess {
  readonly id: number;
  readonly port: number;
  readonly controllerPort: number;
  /** Whether clients are served. */
  readonly isBroker: boolean;
  /** Its host in the network it was given; null on 127.0.0.1. */
  readonly networkHost: NetworkHost | null;
  /** Stops the process without ending it (SIGSTOP): sockets stay open, nobody answers. */
  pause(): void;
  /** Ends a pause. */
  resume(): void;
}

/** Nodes that form a cluster once they are started. */
export interface BrokerCluster {
  readonly name: string;
  readonly nodes: readonly ClusterNode[];
  /** Addresses of all nodes, for `bootstrap.servers`. */
  readonly bootstrap: string;
  /** Starts the nodes that do not run; resolves once all their ports accept connections. */
  start(): Promise<void>;
  /** Ends all nodes, also those that are paused. */
  stop(signal?: "SIGTERM" | "SIGKILL"): Promise<void>;
}

/** Where a node is: its id from 1 on, and its addresses. */
export interface NodePlace {
  readonly id: number;
  readonly host: string;
  readonly port: number;
  readonly controllerPort: number;
  readonly networkHost: NetworkHost | null;
  readonly isBroker: boolean;
  readonly isController: boolean;
}

/** `process.roles` */
export type NodeRoles = "broker" | "controller" | "broker,controller";

/** What a cluster is made of. */
export interface ClusterOptions {
  readonly directory: string;
  /** How many nodes; 3 unless given. */
  readonly nodeCount?: number;
  /** Roles of a node; broker and controller unless given. The voters are those that are controllers. */
  readonly rolesOf?: (id: number) => NodeRoles;
  /** Names the controllers by `controller.quorum.bootstrap.servers` alone (KIP-853) instead of `controller.quorum.voters`. */
  readonly isQuorumDynamic?: boolean;
  /** Settings of all nodes, over the ones every cluster gets. */
  readonly overrides?: Readonly<Record<string, string>>;
  /** Settings of one node, over those. */
  readonly overridesOf?: (place: NodePlace) => Readonly<Record<string, string>>;
  readonly readyTimeoutMs?: number;
  /** Flags of the Java machine; a small heap and a quick start unless given. */
  readonly javaFlags?: readonly string[];
  /** The log directory of a node; `data` in a directory of its own below `directory` unless given. */
  readonly dataDirectoryOf?: (id: number) => string;
  /** A network with a host for each node; 127.0.0.1 for all of them unless given. */
  readonly network?: TestNetwork;
}

class SpawnedNode extends SpawnedBroker implements ClusterNode {
  readonly id: number;
  readonly port: number;
  readonly controllerPort: number;
  readonly isBroker: boolean;
  readonly networkHost: NetworkHost | null;

  constructor(place: NodePlace, plan: Omit<LaunchPlan, "host" | "port">) {
    const { host, networkHost } = place;
    const command = [...(networkHost?.wrapper ?? []), ...plan.command];
    // A node that is only a controller opens no other port.
    super({ ...plan, command, host, port: place.isBroker ? place.port : place.controllerPort });
    this.id = place.id;
    this.port = place.port;
    this.controllerPort = place.controllerPort;
    this.isBroker = place.isBroker;
    this.networkHost = networkHost;
  }

  pause(): void {
    if (this.pid !== null) process.kill(this.pid, "SIGSTOP");
  }

  resume(): void {
    if (this.pid !== null) process.kill(this.pid, "SIGCONT");
  }
}

class SpawnedCluster implements BrokerCluster {
  readonly name: string;
  readonly nodes: readonly ClusterNode[];

  constructor(name: string, nodes: readonly ClusterNode[]) {
    this.name = name;
    this.nodes = nodes;
  }

  get bootstrap(): string {
    return this.nodes
      .filter(({ isBroker }) => isBroker)
      .map(({ bootstrap }) => bootstrap)
      .join(",");
  }

  async start(): Promise<void> {
    const stopped = this.nodes.filter(({ pid }) => pid === null);
    // Launched before any is waited for: a quorum needs most of them.
    for (const node of stopped) node.launch();
    await Promise.all(stopped.map((node) => node.start()));
  }

  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    for (const node of this.nodes) node.resume();
    await Promise.all(this.nodes.map((node) => node.stop(signal)));
  }
}

async function freePlaces(options: ClusterOptions): Promise<NodePlace[]> {
  const { nodeCount = 3, network } = options;
  const places: NodePlace[] = [];
  for (let id = 1; id <= nodeCount; id += 1) {
    const networkHost = network?.hosts[id - 1] ?? null;
    const host = networkHost?.address ?? "127.0.0.1";
    // A host of its own has all ports free; those of this machine need not be.
    const [port, controllerPort] =
      networkHost === null ? [await freePort(), await freePort()] : [9092, 9093];
    const roles = options.rolesOf?.(id) ?? "broker,controller";
    const isBroker = roles !== "controller";
    const isController = roles !== "broker";
    places.push({ id, host, port, controllerPort, networkHost, isBroker, isController });
  }
  return places;
}

function nodeDirectory(options: ClusterOptions, id: number): string {
  return join(options.directory, `node-${id}`);
}

function dataDirectory(options: ClusterOptions, id: number): string {
  return options.dataDirectoryOf?.(id) ?? join(nodeDirectory(options, id), "data");
}

/** The `server.properties` of one node: what Kafka ships for a combined node, with addresses and directory filled in. */
function nodeSettings(
  places: readonly NodePlace[],
  place: NodePlace,
  options: ClusterOptions,
): Record<string, string> {
  const { id, host, port, controllerPort, isBroker, isController } = place;
  const brokerCount = places.filter((each) => each.isBroker).length;
  const replicas = String(Math.min(3, brokerCount));
  const isDynamic = options.isQuorumDynamic === true;
  const controllers = places
    .filter((each) => each.isController)
    .map((each) => `${isDynamic ? "" : `${each.id}@`}${each.host}:${each.controllerPort}`)
    .join(",");
  const listeners = [
    ...(isBroker ? [`PLAINTEXT://${host}:${port}`] : []),
    ...(isController ? [`CONTROLLER://${host}:${controllerPort}`] : []),
  ];
  return {
    "process.roles": [
      ...(isBroker ? ["broker"] : []),
      ...(isController ? ["controller"] : []),
    ].join(","),
    "node.id": String(id),
    [isDynamic ? "controller.quorum.bootstrap.servers" : "controller.quorum.voters"]: controllers,
    listeners: listeners.join(","),
    ...(isBroker ? { "advertised.listeners": `PLAINTEXT://${host}:${port}` } : {}),
    "inter.broker.listener.name": "PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "log.dirs": dataDirectory(options, id),
    "offsets.topic.replication.factor": replicas,
    "transaction.state.log.replication.factor": replicas,
    "transaction.state.log.min.isr": brokerCount > 1 ? "2" : "1",
    "group.initial.rebalance.delay.ms": "0",
    ...options.overrides,
    ...options.overridesOf?.(place),
  };
}

/** A cluster of Sluice from this checkout. */
export async function sluiceCluster(options: ClusterOptions): Promise<BrokerCluster> {
  const places = await freePlaces(options);
  const nodes = places.map((place) => {
    const directory = nodeDirectory(options, place.id);
    const properties = join(directory, "server.properties");
    writeProperties(properties, nodeSettings(places, place, options));
    return new SpawnedNode(place, {
      name: `Sluice ${place.id}`,
      dataDirectory: dataDirectory(options, place.id),
      logFile: join(directory, "broker.log"),
      readyTimeoutMs: options.readyTimeoutMs ?? 60_000,
      command: [process.execPath, join(ROOT, "src/main.ts"), "start", properties],
    });
  });
  return new SpawnedCluster("Sluice", nodes);
}

/** A cluster of real Kafka from the jars in `libraries`; formats the data directories the first time. */
export async function kafkaCluster(
  libraries: string,
  options: ClusterOptions,
): Promise<BrokerCluster> {
  const places = await freePlaces(options);
  const clusterId = `K${randomBytes(16).toString("base64url").slice(1)}`;
  const nodes: ClusterNode[] = [];
  for (const place of places) {
    const directory = nodeDirectory(options, place.id);
    const properties = join(directory, "server.properties");
    const data = dataDirectory(options, place.id);
    writeProperties(properties, nodeSettings(places, place, options));
    const java = javaCommand(libraries, directory, options.javaFlags);
    await formatKafka(javaCommand(libraries, directory), properties, data, { clusterId });
    nodes.push(
      new SpawnedNode(place, {
        name: `Kafka ${place.id}`,
        dataDirectory: data,
        logFile: join(directory, "broker.log"),
        readyTimeoutMs: options.readyTimeoutMs ?? 120_000,
        command: [...java, "kafka.Kafka", properties],
      }),
    );
  }
  return new SpawnedCluster("Kafka", nodes);
}
