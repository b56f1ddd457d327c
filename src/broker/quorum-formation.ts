/**
 * Which cluster a node belongs to, found out before anything else of it is opened: what its directories say, or what the controllers
 * say that it asks (`formation.ts` decides). Until that is known the node answers such questions of others, and nothing else.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { storedClusterId } from "#cluster/cluster-id.ts";
import { type Candidate, decideFormation } from "#cluster/formation.ts";
import { askNode } from "#cluster/peer-connection.ts";
import { serveProbe } from "#cluster/peer-gate.ts";
import type { NodeReport } from "#cluster/quorum-probe.ts";
import { LogLimiter } from "#common/log-limiter.ts";
import { errorFields, type Logger } from "#common/logger.ts";
import type { BrokerSettings } from "#config/broker-settings.ts";
import type { ClusterSettings } from "#config/cluster-settings.ts";
import { type ClusterImage, EMPTY_IMAGE } from "#metadata/cluster-image.ts";
import { MetadataLoader } from "#metadata/metadata-loader.ts";
import { FileMetadataLog, METADATA_LOG_DIRECTORY } from "#metadata/metadata-log-driver.ts";
import type { FrameHandler } from "#transport/ports.ts";
import { openControllerListener } from "./controller-listener.ts";
import { BrokerStartError } from "./start-error.ts";
import { SYSTEM_CLOCK, SYSTEM_RANDOM, SYSTEM_SCHEDULER } from "./system-ports.ts";

/** Directory of the raft member below the metadata directory. */
export const RAFT_DIRECTORY = "__cluster_raft";
/** What a member has once it has begun. */
const RAFT_STATE_FILE = "raft-state";
const ASK_TIMEOUT_MS = 1_000;
const ASK_PAUSE_MS = 50;
/** A log directory of a partition. */
const PARTITION_DIRECTORY = /^(?!__cluster_).+-\d+$/;

/** What came out. */
export interface Formation {
  readonly clusterId: string;
  /** The state that this node begins its cluster with, and the nodes it gives a vote to when they come; null to join, or go on. */
  readonly founding: {
    readonly image: ClusterImage;
    readonly others: readonly number[];
  } | null;
}

/** What it works with. */
export interface FormationOptions {
  readonly settings: BrokerSettings;
  readonly cluster: ClusterSettings;
  readonly logger: Logger;
  readonly signal: AbortSignal | undefined;
}

/**
 * See the head of the file. Waits as long as it takes.
 *
 * @throws BrokerStartError START_ABORTED, CLUSTER_MISMATCH, ADDRESS_IN_USE, ADDRESS_UNAVAILABLE; nothing stays open.
 */
export async function formCluster(options: FormationOptions): Promise<Formation> {
  const { settings, cluster } = options;
  const { metadataLogDir: directory, logDirs, sluiceInMemory } = settings;
  const raft = join(directory, RAFT_DIRECTORY);
  const stored = sluiceInMemory ? null : await storedClusterId([directory, ...logDirs, raft]);
  const isMember = !sluiceInMemory && existsSync(join(raft, RAFT_STATE_FILE));
  if (stored !== null && (isMember || !cluster.isController))
    return { clusterId: stored, founding: null };
  const image = await ownImage(settings);
  const own: NodeReport = {
    state: image === null ? "empty" : "alone",
    nodeId: settings.nodeId,
    incarnationId: SYSTEM_RANDOM.uuid(),
    clusterId: stored,
    quorum: cluster.quorumText,
    epoch: image?.epoch ?? -1,
    offset: image?.offset ?? -1,
  };
  return lookForCluster(own, image, options);
}

async function lookForCluster(
  own: NodeReport,
  image: ClusterImage | null,
  { settings, cluster, logger, signal }: FormationOptions,
): Promise<Formation> {
  const identity = { secret: cluster.secret };
  const limiter = new LogLimiter(logger, SYSTEM_CLOCK);
  const listener = await openControllerListener(
    settings,
    cluster,
    answering({ identity, report: () => own }),
    { onConnectionCut: () => {} },
  );
  const addresses: readonly Omit<Candidate, "report">[] =
    cluster.voters.length > 0
      ? cluster.voters.map(({ id, host, port }) => ({ address: `${host}:${port}`, nodeId: id }))
      : cluster.bootstrapServers.map(({ host, port }) => ({
          address: `${host}:${port}`,
          nodeId: null,
        }));
  const connector = { identity, random: SYSTEM_RANDOM, connectTimeoutMs: ASK_TIMEOUT_MS };
  const ask = async (index: number): Promise<NodeReport | null> => {
    if (addresses[index]?.nodeId === own.nodeId) return own;
    const address = cluster.bootstrapServers[index];
    const server = cluster.voters[index] ?? address;
    if (server === undefined) return null;
    try {
      return await askNode({ host: server.host, port: server.port }, connector);
    } catch (error) {
      limiter.write("warn", `ask-${index}`, "a controller refuses this node", () =>
        errorFields(error),
      );
      return null;
    }
  };
  let said = "";
  const startedMs = SYSTEM_CLOCK.monotonicMs();
  const limitMs = cluster.initialBrokerRegistrationTimeoutMs;
  try {
    for (;;) {
      if (signal?.aborted === true)
        throw new BrokerStartError("START_ABORTED", "stopped while it looked for its cluster");
      const candidates = await Promise.all(
        addresses.map(async (address, index) => ({ ...address, report: await ask(index) })),
      );
      const step = decideFormation(own, cluster.isController, candidates);
      switch (step.kind) {
        case "wait":
          if (step.why !== said) logger.info("looking for the cluster", { waitsFor: step.why });
          said = step.why;
          // As a broker that cannot register; a node that is a controller only goes on waiting, as in Kafka.
          if (cluster.isBroker && SYSTEM_CLOCK.monotonicMs() - startedMs >= limitMs) {
            throw new BrokerStartError(
              "REGISTRATION_TIMEOUT",
              `broker ${own.nodeId} found no cluster in time (initial.broker.registration.timeout.ms=${limitMs}): ${step.why}`,
            );
          }
          break;
        case "refuse":
          throw new BrokerStartError("CLUSTER_MISMATCH", step.why);
        case "join":
          logger.info("joining a cluster", { clusterId: step.clusterId });
          return { clusterId: step.clusterId, founding: null };
        case "found": {
          requireNoOrphans(settings, image);
          const clusterId = step.clusterId ?? SYSTEM_RANDOM.uuid();
          const voters = [own.nodeId, ...step.others].join(",");
          logger.info("beginning a new cluster", { clusterId, voters });
          return { clusterId, founding: { image: image ?? EMPTY_IMAGE, others: step.others } };
        }
      }
      await new Promise<void>((resolve) => {
        SYSTEM_SCHEDULER.after(ASK_PAUSE_MS, resolve);
      });
    }
  } finally {
    limiter.flush(true);
    await listener?.stop(0);
  }
}

/** Answers what a node is, and nothing else. */
function answering(options: Parameters<typeof serveProbe>[1]): FrameHandler {
  return {
    onOpen: () => {},
    onClose: () => {},
    onFrame(connection, bytes, start, end): boolean {
      const frame = serveProbe(bytes.subarray(start, end), options);
      if (frame === null) connection.close();
      else connection.reply(frame);
      return true;
    },
  };
}

/** Partitions that no metadata explains are what is left of a cluster that lost it: a new one would leave them to rot. */
function requireNoOrphans(settings: BrokerSettings, image: ClusterImage | null): void {
  if (image !== null || settings.sluiceInMemory) return;
  for (const directory of settings.logDirs) {
    const names = existsSync(directory) ? readdirSync(directory) : [];
    const orphan = names.find((name) => PARTITION_DIRECTORY.test(name));
    if (orphan === undefined) continue;
    throw new BrokerStartError(
      "CLUSTER_MISMATCH",
      `${directory} holds partitions (${orphan}), and no controller has metadata of them: the metadata is lost, or the controllers are the wrong ones; nothing was changed`,
    );
  }
}

/**
 * The state of a node that was by itself until now, from its own metadata log (ours or Kafka's). Null when there is none, or nothing in it
 * that anybody would miss. Its brokers are fenced: whoever comes registers again.
 */
async function ownImage(settings: BrokerSettings): Promise<ClusterImage | null> {
  const { metadataLogDir: directory, nodeId, sluiceInMemory } = settings;
  if (sluiceInMemory || !existsSync(join(directory, METADATA_LOG_DIRECTORY))) return null;
  const log = new FileMetadataLog({ directory, nodeId, clock: SYSTEM_CLOCK });
  try {
    const loader = new MetadataLoader({
      log,
      maxBytesBetweenSnapshots: Number.MAX_SAFE_INTEGER,
      onSnapshotFailure: () => {},
    });
    await loader.load();
    const { image } = loader;
    if (image.topicsById.size === 0 && image.brokers.size === 0) return null;
    const brokers = [...image.brokers].map(
      ([id, broker]) => [id, { ...broker, isFenced: true }] as const,
    );
    return { ...image, brokers: new Map(brokers) };
  } finally {
    await log.close();
  }
}
