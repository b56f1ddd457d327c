/**
 * `sluice cluster` at work: one screen about a whole cluster. What a broker does not tell (an older one has no quorum, one that is away
 * no directories) is left out; only without any broker it fails.
 */
import {
  type BrokerDescription,
  describeBrokers,
  describeFeatures,
  describeQuorum,
  type FeatureDescription,
  type QuorumDescription,
} from "#client/cluster-info.ts";
import type { Cluster } from "#client/cluster.ts";
import { formatAddress } from "#client/address.ts";
import { ClientError } from "#client/client-error.ts";
import { describeConfigs } from "#client/configs.ts";
import { describeLogDirs, type LogDirectory } from "#client/log-dirs.ts";
import type { ClusterArguments } from "../cluster-options.ts";
import type { CommandIo } from "../command-io.ts";
import { printJson, printTable, styleOf } from "../output.ts";
import { formatBytes, formatCount, formatDuration, formatPlural } from "../units.ts";
import { withCluster } from "../with-cluster.ts";

/** Options as commander gives them. */
export interface ClusterCommandOptions extends ClusterArguments {
  readonly json?: true;
}

interface Broker extends BrokerDescription {
  /** Null where the broker cannot be asked. */
  readonly listeners: readonly string[] | null;
}

interface ClusterReport {
  readonly clusterId: string | null;
  /** Null when it is not known. */
  readonly controllerId: number | null;
  readonly brokers: readonly Broker[];
  readonly features: readonly FeatureDescription[];
  readonly quorum: QuorumDescription | null;
  readonly logDirs: readonly LogDirectory[];
}

/** Runs `sluice cluster`. */
export async function runCluster(options: ClusterCommandOptions, io: CommandIo): Promise<void> {
  await withCluster(options, async (cluster) => {
    const report = await reportCluster(cluster);
    if (options.json === true) await printJson(io.stdout, toJson(report));
    else await printReport(report, io);
  });
}

async function reportCluster(cluster: Cluster): Promise<ClusterReport> {
  const [brokers, features, quorum, logDirs] = await Promise.all([
    describeBrokers(cluster),
    describeFeatures(cluster),
    // A quorum that is looking for a leader is worth a line less, not a failure.
    describeQuorum(cluster).catch(nullIfRefused),
    describeLogDirs(cluster, null),
  ]);
  // Brokers of a cluster with a quorum give any one of them for the controller.
  const controllerId = quorum?.leaderId ?? cluster.metadata.controllerId;
  return {
    clusterId: cluster.metadata.clusterId,
    controllerId: controllerId < 0 ? null : controllerId,
    brokers: await Promise.all(
      brokers.map(async (broker) => ({
        ...broker,
        listeners: await listenersOf(cluster, broker.id),
      })),
    ),
    features,
    quorum,
    logDirs: logDirs.toSorted((a, b) => a.broker - b.broker || (a.path < b.path ? -1 : 1)),
  };
}

function nullIfRefused(error: unknown): null {
  if (error instanceof ClientError) return null;
  throw error;
}

/** What a broker advertises on each of its listeners. */
async function listenersOf(cluster: Cluster, broker: number): Promise<readonly string[] | null> {
  const keys = ["advertised.listeners", "listeners"];
  try {
    const entries = await describeConfigs(
      cluster,
      { type: "broker", name: String(broker) },
      { keys },
    );
    const [advertised, bound] = keys.map(
      (key) => entries.find(({ name }) => name === key)?.value ?? "",
    );
    return (advertised || bound || "").split(",").filter((listener) => listener !== "");
  } catch (error) {
    return nullIfRefused(error);
  }
}

function toJson({ logDirs, ...report }: ClusterReport): Record<string, unknown> {
  return {
    ...report,
    logDirs: logDirs.map(({ replicas, ...directory }) => ({
      ...directory,
      partitions: replicas.length,
      sizeBytes: sizeOf(replicas),
    })),
  };
}

function sizeOf(replicas: LogDirectory["replicas"]): number {
  return replicas.reduce((sum, { bytes }) => sum + bytes, 0);
}

async function printReport(report: ClusterReport, io: CommandIo): Promise<void> {
  const { clusterId, controllerId, brokers, features, quorum, logDirs } = report;
  const style = styleOf(io.stdout);
  const controller =
    controllerId === null ? style.red("no controller") : `controller ${controllerId}`;
  await io.stdout.write(
    `${style.bold(clusterId ?? "(no cluster id)")}  ${formatPlural(brokers.length, "broker")}, ${controller}\n\n`,
  );
  await printBrokers(brokers, io);
  if (logDirs.length > 0) {
    await io.stdout.write("\n");
    await printLogDirs(logDirs, io);
  }
  if (quorum !== null) {
    await io.stdout.write("\n");
    await printQuorum(quorum, io);
  }
  if (features.length > 0) {
    await io.stdout.write("\n");
    await printTable(
      io.stdout,
      [
        { heading: "FEATURE" },
        { heading: "LEVEL", align: "right" },
        { heading: "SUPPORTED", align: "right" },
      ],
      features.map(({ name, level, minSupported, maxSupported }) => [
        name,
        String(level),
        `${minSupported}-${maxSupported}`,
      ]),
    );
  }
}

function printBrokers(brokers: readonly Broker[], io: CommandIo): Promise<void> {
  const style = styleOf(io.stdout);
  const hasRacks = brokers.some(({ rack }) => rack !== null);
  return printTable(
    io.stdout,
    [
      { heading: "BROKER", align: "right" },
      { heading: "STATE" },
      { heading: "ADDRESS" },
      ...(hasRacks ? [{ heading: "RACK" }] : []),
      { heading: "LISTENERS" },
    ],
    brokers.map((broker) => [
      String(broker.id),
      broker.isFenced
        ? style.red("fenced")
        : broker.listeners === null
          ? style.red("no answer")
          : style.green("running"),
      formatAddress(broker),
      ...(hasRacks ? [broker.rack ?? "-"] : []),
      broker.listeners?.join(" ") ?? "-",
    ]),
  );
}

function printLogDirs(logDirs: readonly LogDirectory[], io: CommandIo): Promise<void> {
  const style = styleOf(io.stdout);
  const hasErrors = logDirs.some(({ error }) => error !== null);
  const hasCordoned = logDirs.some(({ isCordoned }) => isCordoned);
  const bytesOrDash = (bytes: number | null): string => (bytes === null ? "-" : formatBytes(bytes));
  return printTable(
    io.stdout,
    [
      { heading: "BROKER", align: "right" },
      { heading: "DIRECTORY" },
      { heading: "REPLICAS", align: "right" },
      { heading: "SIZE", align: "right" },
      { heading: "FREE", align: "right" },
      { heading: "DISK", align: "right" },
      ...(hasCordoned ? [{ heading: "TAKES NEW" }] : []),
      ...(hasErrors ? [{ heading: "ERROR" }] : []),
    ],
    logDirs.map(({ broker, path, replicas, usableBytes, totalBytes, isCordoned, error }) => [
      String(broker),
      path,
      formatCount(replicas.length),
      formatBytes(sizeOf(replicas)),
      bytesOrDash(usableBytes),
      bytesOrDash(totalBytes),
      ...(hasCordoned ? [isCordoned ? style.yellow("cordoned") : "yes"] : []),
      ...(hasErrors ? [error === null ? "" : style.red(error)] : []),
    ]),
  );
}

function printQuorum(quorum: QuorumDescription, io: CommandIo): Promise<void> {
  const style = styleOf(io.stdout);
  const end = Math.max(...quorum.replicas.map(({ logEndOffset }) => logEndOffset));
  const nowMs = Date.now();
  return printTable(
    io.stdout,
    [
      { heading: "QUORUM", align: "right" },
      { heading: "ROLE" },
      { heading: "EPOCH", align: "right" },
      { heading: "END", align: "right" },
      { heading: "LAG", align: "right" },
      { heading: "CAUGHT UP", align: "right" },
    ],
    quorum.replicas.map(({ id, role, logEndOffset, lastCaughtUpMs }) => {
      const lag = end - logEndOffset;
      return [
        String(id),
        role === "leader" ? style.green(role) : role,
        role === "leader" ? String(quorum.leaderEpoch) : "",
        formatCount(logEndOffset),
        lag === 0 ? style.green("0") : style.yellow(formatCount(lag)),
        lastCaughtUpMs === null
          ? "-"
          : `${formatDuration(Math.max(0, nowMs - lastCaughtUpMs))} ago`,
      ];
    }),
  );
}
