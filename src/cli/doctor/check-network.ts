/**
 * The listeners: free, held by somebody, or served by a broker. A broker that serves is asked what it tells clients, and every address it
 * advertises is dialled as a client would: the commonest reason why "it connects, and then nothing works".
 */
import { type Address, formatAddress } from "#client/address.ts";
import { ClientError } from "#client/client-error.ts";
import { Cluster } from "#client/cluster.ts";
import { Connection } from "#client/connection.ts";
import type { Listener } from "#config/listeners.ts";
import { describeHolder, holderOfPort } from "../system/processes.ts";
import { type Finding, finding } from "./finding.ts";

const DIAL_TIMEOUT_MS = 3_000;
const ANY_HOSTS: ReadonlySet<string> = new Set(["", "0.0.0.0", "::"]);
const LOOPBACK = /^(?:localhost|127\.|::1$)/;

/** Checks a listener of the configuration; `isOurs` tells whether a pid has the log directories. */
export async function checkListener(
  listener: Listener,
  isOurs: (pid: number) => Promise<boolean>,
): Promise<readonly Finding[]> {
  const name = `listener ${listener.name}`;
  const where = formatAddress({
    host: listener.host === "" ? "*" : listener.host,
    port: listener.port,
  });
  if (listener.port === 0) return [finding("ok", name, `${where}: a free port at start`)];
  const address = {
    host: ANY_HOSTS.has(listener.host) ? "127.0.0.1" : listener.host,
    port: listener.port,
  };
  const holder = await holderOfPort(listener.port);
  const isServed = await dial(address);
  if (holder === null && isServed.error !== null) {
    return [
      finding(
        "ok",
        name,
        isServed.error.code === "UNREACHABLE"
          ? `${where}: free`
          : `${where}: ${isServed.error.message}`,
      ),
    ];
  }
  const who = holder === null ? "a program of another user" : describeHolder(holder);
  if (isServed.error !== null) {
    return [
      finding(
        "fail",
        name,
        `port ${listener.port} is taken by ${who}, which does not answer as a broker`,
        `To listen elsewhere: --override listeners=${listener.name}://${listener.host}:${listener.port + 1}`,
      ),
    ];
  }
  const isThisBroker = holder === null || (await isOurs(holder.pid));
  const served = isThisBroker
    ? finding("ok", name, `${where}: served by ${who}`)
    : finding(
        "fail",
        name,
        `port ${listener.port} is taken by ${who}, a broker on other directories`,
        `To listen elsewhere: --override listeners=${listener.name}://${listener.host}:${listener.port + 1}`,
      );
  return [served, ...(await checkBootstrap([address]))];
}

/** Checks the address of metrics and health: a broker does without it when somebody else has it. */
export async function checkAdminListener(
  address: Address,
  isOurs: (pid: number) => Promise<boolean>,
): Promise<Finding> {
  const where = formatAddress(address);
  if (address.port === 0) return finding("ok", "admin port", `${where}: a free port at start`);
  const holder = await holderOfPort(address.port);
  if (holder === null) return finding("ok", "admin port", `${where}: free`);
  return (await isOurs(holder.pid))
    ? finding("ok", "admin port", `${where}: served by ${describeHolder(holder)}`)
    : finding(
        "warn",
        "admin port",
        `port ${address.port} is taken by ${describeHolder(holder)}: there would be no metrics`,
        `To have them elsewhere: --override sluice.admin.listener=${address.host}:${address.port + 1}`,
      );
}

/** Asks a cluster what clients are told, and dials each address of the answer. */
export async function checkBootstrap(bootstrap: readonly Address[]): Promise<readonly Finding[]> {
  const where = bootstrap.map(formatAddress).join(",");
  let cluster: Cluster;
  try {
    cluster = await Cluster.connect({ bootstrap, connectTimeoutMs: DIAL_TIMEOUT_MS });
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return [
      finding(
        "fail",
        "bootstrap",
        error.message,
        "Is the broker started, and is this its listener?",
      ),
    ];
  }
  try {
    const { brokers, clusterId } = cluster.metadata;
    const findings = [
      finding(
        "ok",
        "bootstrap",
        `${where} answers: cluster ${clusterId ?? "not told"}, ${brokers.size === 1 ? "1 broker" : `${brokers.size} brokers`}`,
      ),
    ];
    const isRemote = bootstrap.some(({ host }) => !LOOPBACK.test(host));
    for (const [nodeId, address] of brokers)
      findings.push(await checkAdvertised(nodeId, address, isRemote));
    return findings;
  } finally {
    cluster.close();
  }
}

async function checkAdvertised(
  nodeId: number,
  address: Address,
  isRemote: boolean,
): Promise<Finding> {
  const name = `advertised ${nodeId}`;
  const where = formatAddress(address);
  const { error, apiCount } = await dial(address);
  if (error !== null) {
    return finding(
      "fail",
      name,
      `clients are sent to ${where} and do not get there: ${error.message}`,
      "Set 'advertised.listeners' of that broker to an address that its clients can reach.",
    );
  }
  if (isRemote && LOOPBACK.test(address.host)) {
    return finding(
      "warn",
      name,
      `clients are sent to ${where}: on other machines that is the client itself`,
      "Set 'advertised.listeners' to the name or address by which other machines reach the broker.",
    );
  }
  return finding("ok", name, `clients are sent to ${where}, which answers with ${apiCount} APIs`);
}

async function dial(
  address: Address,
): Promise<{ readonly error: ClientError | null; readonly apiCount: number }> {
  try {
    const connection = await Connection.open(address, { connectTimeoutMs: DIAL_TIMEOUT_MS });
    const apiCount = connection.servedVersions.size;
    connection.close();
    return { error: null, apiCount };
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return { error, apiCount: 0 };
  }
}
