/**
 * What makes a node part of a cluster: its roles, the quorum it belongs to, and the listeners nodes use among themselves. The sentences
 * about wrong values are Kafka's.
 *
 * A quorum of nobody but this node, which is broker and controller, is no cluster: such a node runs by itself, with a metadata log of its own. That is what a
 * `server.properties` for a single node of Kafka says, and what a broker without a file does. With `sluice.cluster.of.one` it is one all the
 * same: a quorum of one voter, which others can join.
 */
import type { BrokerConfig } from "./broker-config.ts";
import type { Listener } from "./listeners.ts";

/** Where a controller is reached. */
export interface QuorumAddress {
  readonly host: string;
  readonly port: number;
}

/** A voter of the first quorum. */
export interface QuorumVoter extends QuorumAddress {
  readonly id: number;
}

/** See the head of the file. */
export interface ClusterSettings {
  readonly isBroker: boolean;
  readonly isController: boolean;
  /** `controller.quorum.voters`, by id; empty where only bootstrap servers are given. */
  readonly voters: readonly QuorumVoter[];
  /** `controller.quorum.bootstrap.servers`; those of the voters where none are given. */
  readonly bootstrapServers: readonly QuorumAddress[];
  /** This node's own listeners for controllers, none for a node that is only a broker. */
  readonly controllerListeners: readonly Listener[];
  /** Names of the listeners of controllers; the first one is what the others are reached on. */
  readonly controllerListenerNames: readonly string[];
  readonly interBrokerListenerName: string;
  readonly brokerHeartbeatIntervalMs: number;
  readonly brokerSessionTimeoutMs: number;
  readonly initialBrokerRegistrationTimeoutMs: number;
  readonly controllerQuorumElectionTimeoutMs: number;
  readonly controllerSocketTimeoutMs: number;
  /** `controller.quorum.auto.join.enable`: a controller without a vote asks for one. */
  readonly autoJoins: boolean;
  /** `sluice.cluster.secret`; null when not set. */
  readonly secret: string | null;
  /** The quorum as one text that is the same on every node of it: what the first cluster id is made from. */
  readonly quorumText: string;
}

/** Heartbeats of ours come more often than Kafka's 2 s unless the key says otherwise: they also carry requests to unfence. */
const HEARTBEAT_INTERVAL_MS = 500;

/** A leader that is silent is missed sooner than by Kafka's 1 s, unless the key says otherwise. */
const ELECTION_TIMEOUT_MS = 500;

/**
 * Reads what concerns the cluster; null for a node that runs by itself.
 *
 * @param listeners - all configured listeners, the controller's among them.
 * @param errors - gets a sentence for everything that is wrong.
 */
export function clusterSettings(
  config: BrokerConfig,
  listeners: readonly Listener[],
  errors: string[],
): ClusterSettings | null {
  const voters = parseVoters(config.list("controller.quorum.voters"), errors);
  const given = parseServers(config.list("controller.quorum.bootstrap.servers"), errors);
  const nodeId = config.number("node.id");
  const roles = config.list("process.roles");
  const isController = roles.includes("controller");
  const names = config.list("controller.listener.names").map((name) => name.toUpperCase());
  const controllerListeners = listeners.filter(({ name }) => names.includes(name));
  const isBroker = roles.includes("broker");
  // One that is only a controller decides for brokers elsewhere.
  const isWhole = isBroker && isController;
  const isClusterOfOne = isWhole && config.boolean("sluice.cluster.of.one");
  if (!isClusterOfOne && isAlone(voters, given, nodeId, isWhole, controllerListeners)) return null;
  const [own] = controllerListeners;
  const isUnnamed = voters.length === 0 && given.length === 0 && own !== undefined;
  const servers = isUnnamed ? [ownAddress(own)] : given;
  checkRoles(isBroker, isController, nodeId, voters, errors);
  checkControllerListeners(isBroker, isController, names, listeners, errors);
  const bootstrapServers =
    servers.length > 0 ? servers : voters.map(({ host, port }) => ({ host, port }));
  return {
    isBroker,
    isController,
    voters,
    bootstrapServers,
    controllerListeners,
    controllerListenerNames: names,
    interBrokerListenerName: interBrokerListener(config, names, listeners, isBroker, errors),
    brokerHeartbeatIntervalMs: config.staticValues.has("broker.heartbeat.interval.ms")
      ? config.number("broker.heartbeat.interval.ms")
      : HEARTBEAT_INTERVAL_MS,
    brokerSessionTimeoutMs: config.number("broker.session.timeout.ms"),
    initialBrokerRegistrationTimeoutMs: config.number("initial.broker.registration.timeout.ms"),
    controllerQuorumElectionTimeoutMs: config.staticValues.has(
      "controller.quorum.election.timeout.ms",
    )
      ? config.number("controller.quorum.election.timeout.ms")
      : ELECTION_TIMEOUT_MS,
    controllerSocketTimeoutMs: config.number("controller.socket.timeout.ms"),
    autoJoins: config.boolean("controller.quorum.auto.join.enable"),
    secret: config.string("sluice.cluster.secret"),
    quorumText: voters.length > 0 ? voterText(voters) : serverText(servers),
  };
}

/** True when there is no node but this one in the quorum. */
function isAlone(
  voters: readonly QuorumVoter[],
  servers: readonly QuorumAddress[],
  nodeId: number,
  isWhole: boolean,
  controllerListeners: readonly Listener[],
): boolean {
  if (voters.length > 0) return voters.length === 1 && voters[0]?.id === nodeId && isWhole;
  const [server] = servers;
  if (server === undefined) return true;
  // What Kafka ships for one node: the only server is its own controller, or it has not opened one at all.
  const [own] = controllerListeners;
  return servers.length === 1 && isWhole && (own === undefined || own.port === server.port);
}

/** Where this node reaches its own controller. */
function ownAddress({ host, port }: Listener): QuorumAddress {
  return { host: host === "" || host === "0.0.0.0" || host === "::" ? "localhost" : host, port };
}

function checkRoles(
  isBroker: boolean,
  isController: boolean,
  nodeId: number,
  voters: readonly QuorumVoter[],
  errors: string[],
): void {
  if (voters.length === 0) return;
  const isVoter = voters.some(({ id }) => id === nodeId);
  const set = `controller.quorum.voters=Set(${voters.map(({ id }) => id).join(", ")})`;
  if (isController && !isVoter) {
    errors.push(
      `If process.roles contains the 'controller' role, the node id ${nodeId} must be included in the set of voters ${set}`,
    );
  } else if (isBroker && !isController && isVoter) {
    errors.push(
      `If process.roles contains just the 'broker' role, the node id ${nodeId} must not be included in the set of voters ${set}`,
    );
  }
}

function checkControllerListeners(
  isBroker: boolean,
  isController: boolean,
  names: readonly string[],
  listeners: readonly Listener[],
  errors: string[],
): void {
  const isOfController = ({ name }: Listener): boolean => names.includes(name);
  if (isController && !isBroker && !listeners.every(isOfController)) {
    errors.push(
      "The listeners config must only contain KRaft controller listeners from controller.listener.names when process.roles=controller",
    );
  } else if (isController && !listeners.some(isOfController)) {
    errors.push(
      "controller.listener.names must contain at least one value appearing in the 'listeners' configuration when running the KRaft controller role",
    );
  } else if (
    isController &&
    !names.every((name) => listeners.some((listener) => listener.name === name))
  ) {
    errors.push(
      "controller.listener.names must only contain values appearing in the 'listeners' configuration when running the KRaft controller role",
    );
  } else if (!isController && listeners.some(isOfController)) {
    errors.push(
      "controller.listener.names must not contain a value appearing in the 'listeners' configuration when running KRaft with just the broker role",
    );
  }
  for (const { name, securityProtocol } of listeners.filter(isOfController)) {
    if (securityProtocol === "PLAINTEXT") continue;
    errors.push(
      `listeners: ${name} asks for ${securityProtocol}, and only PLAINTEXT is served yet`,
    );
  }
}

function interBrokerListener(
  config: BrokerConfig,
  controllerNames: readonly string[],
  listeners: readonly Listener[],
  isBroker: boolean,
  errors: string[],
): string {
  const protocol = config.string("security.inter.broker.protocol") ?? "PLAINTEXT";
  const configured = config.string("inter.broker.listener.name");
  if (configured !== null && config.staticValues.has("security.inter.broker.protocol")) {
    errors.push(
      "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set.",
    );
  }
  const name = (configured ?? protocol).toUpperCase();
  const forClients = listeners.filter((listener) => !controllerNames.includes(listener.name));
  if (isBroker && !forClients.some((listener) => listener.name === name)) {
    const options = forClients.map((listener) => listener.name).join(",");
    errors.push(
      `inter.broker.listener.name must be a listener name defined in advertised.listeners. The valid options based on currently configured listeners are ${options}`,
    );
  }
  return name;
}

const VOTER_FORM =
  "for the configuration controller.quorum.voters. Each entry should be in the form `{id}@{host}:{port}`.";

/** Reads `id@host:port`, by rising id. */
function parseVoters(entries: readonly string[], errors: string[]): QuorumVoter[] {
  const voters = new Map<number, QuorumVoter>();
  for (const entry of entries) {
    const at = entry.indexOf("@");
    if (at < 0 || entry.indexOf("@", at + 1) >= 0) {
      errors.push(
        "Invalid configuration value for controller.quorum.voters. Each entry should be in the form `{id}@{host}:{port}`.",
      );
      return [];
    }
    const idText = entry.slice(0, at);
    if (!/^[+-]?\d{1,10}$/.test(idText)) {
      errors.push(`Failed to parse voter ID as an integer from ${idText}`);
      return [];
    }
    const address = parseAddress(entry.slice(at + 1));
    if (address === null) {
      errors.push(`Failed to parse host name from entry ${entry} ${VOTER_FORM}`);
      return [];
    }
    if (address.port > 65535) errors.push(`port out of range:${address.port}`);
    const id = Number(idText);
    voters.set(id, { id, ...address });
  }
  return [...voters.values()].sort((left, right) => left.id - right.id);
}

/** Reads `host:port`. */
function parseServers(entries: readonly string[], errors: string[]): QuorumAddress[] {
  const servers: QuorumAddress[] = [];
  for (const entry of entries) {
    const address = parseAddress(entry);
    if (address === null) {
      errors.push(
        `Failed to parse host name from ${entry} for the configuration controller.quorum.bootstrap.servers. Each entry should be in the form "{host}:{port}"`,
      );
      return [];
    }
    if (address.port > 65535) errors.push(`port out of range:${address.port}`);
    servers.push(address);
  }
  return servers;
}

function parseAddress(text: string): QuorumAddress | null {
  const parts = /^(?:\[([0-9a-zA-Z:%._-]+)\]|([^:[\]@\s]+)):(\d{1,9})$/.exec(text.trim());
  if (parts === null) return null;
  return { host: parts[1] ?? parts[2] ?? "", port: Number(parts[3]) };
}

function voterText(voters: readonly QuorumVoter[]): string {
  return voters.map(({ id, host, port }) => `${id}@${host}:${port}`).join(",");
}

function serverText(servers: readonly QuorumAddress[]): string {
  return servers
    .map(({ host, port }) => `${host}:${port}`)
    .sort()
    .join(",");
}
