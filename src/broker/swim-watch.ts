/**
 * SWIM of a cluster node: started with the addresses of the quorum, kept believing in this process by its event loop, its events turned
 * into evidence. SWIM proposes; `DeathWatch` asks over TCP and the controller decides.
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { DeathWatch } from "#cluster/death-watch.ts";
import type { PeerIdentity } from "#cluster/peer-hello.ts";
import { errorFields, type Logger } from "#common/logger.ts";
import type { BrokerSettings } from "#config/broker-settings.ts";
import type { ClusterSettings, QuorumAddress } from "#config/cluster-settings.ts";
import { type DescribedMember, MEMBER_STATES } from "#protocol/describe-members.ts";
import { startSwim } from "#membership/native-swim.ts";
import type { Swim, SwimAddress, SwimEvent, SwimRefusals } from "#membership/swim.ts";
import { swimSettings } from "#membership/swim-settings.ts";
import { SYSTEM_RANDOM } from "./system-ports.ts";

const BEAT_MS = 100;
/** Names are looked up again this often: addresses move. */
const SEEDS_MS = 30_000;
/** The same while a name does not resolve. */
const SEEDS_RETRY_MS = 1_000;

/** What it is started with. */
export interface SwimWatchOptions {
  readonly settings: BrokerSettings;
  readonly cluster: ClusterSettings;
  readonly identity: PeerIdentity;
  readonly watch: DeathWatch;
  readonly logger: Logger;
}

/** See the head of the file. */
export class SwimWatch {
  readonly #options: SwimWatchOptions;
  readonly #swim: Swim;
  readonly #beat: ReturnType<typeof setInterval>;
  #seeding: ReturnType<typeof setTimeout> | null = null;
  #isStopped = false;

  private constructor(options: SwimWatchOptions, swim: Swim) {
    this.#options = options;
    this.#swim = swim;
    this.#beat = setInterval(() => {
      swim.beat();
      for (const { reason, from, count } of swim.drainRefusals()) {
        options.logger.warn("refusing a SWIM packet", { reason, from: from.host, count });
      }
    }, BEAT_MS);
  }

  /** Starts it; null where its port cannot be had: sessions and connections still tell who is dead. */
  static async start(options: SwimWatchOptions): Promise<SwimWatch | null> {
    const { settings, cluster, identity, logger } = options;
    const { profile, port } = swimSettings(settings, identity.port);
    const [listener] = cluster.controllerListeners;
    const bindHost = isIP(listener?.host ?? "") === 0 ? "0.0.0.0" : (listener?.host ?? "0.0.0.0");
    const seeds = await resolveAll(cluster.bootstrapServers, settings.sluiceSwimPort);
    const own = await resolve(identity.host);
    let watch: SwimWatch | null = null;
    try {
      const swim = startSwim(
        {
          nodeId: identity.nodeId,
          incarnationId: identity.incarnationId,
          clusterId: identity.clusterId,
          secret: identity.secret ?? identity.clusterId,
          bind: { host: bindHost, port },
          advertised: { host: own ?? "", port: 0 },
          seeds: seeds.known,
          profile,
          diskProbeDirectory: settings.sluiceInMemory ? null : settings.metadataLogDir,
          onEvents: () => watch?.onEvents(),
        },
        Math.floor(SYSTEM_RANDOM.next() * 2 ** 31),
      );
      watch = new SwimWatch(options, swim);
      watch.#seedLater(seeds.isComplete);
      watch.onEvents();
      return watch;
    } catch (error) {
      logger.error(
        "SWIM does not run: silent nodes are found by their sessions",
        errorFields(error),
      );
      return null;
    }
  }

  /** Members as this node hears them, the latest life of each, by node id. */
  described(): DescribedMember[] {
    const latest = new Map<number, DescribedMember>();
    for (const { nodeId, state, address } of this.#swim.members()) {
      // Lives before the present one are remembered for a while, as down.
      const known = latest.get(nodeId);
      if (known !== undefined && MEMBER_STATES.indexOf(known.state) <= MEMBER_STATES.indexOf(state))
        continue;
      latest.set(nodeId, { nodeId, state, ...address });
    }
    return [...latest.values()].sort((left, right) => left.nodeId - right.nodeId);
  }

  /** Packets refused since the start, by reason. */
  get refused(): SwimRefusals {
    return this.#swim.statistics().refused;
  }

  onEvents(): void {
    for (const event of this.#swim.drainEvents()) this.#onEvent(event);
  }

  /** Says good-bye and ends. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#swim.leave();
    clearInterval(this.#beat);
    if (this.#seeding !== null) clearTimeout(this.#seeding);
    this.#swim.stop();
  }

  #onEvent({ kind, nodeId, reason }: SwimEvent): void {
    const { watch, logger } = this.#options;
    switch (kind) {
      case "suspect":
        logger.debug("SWIM suspects a node", { nodeId });
        watch.onSuspect(nodeId);
        return;
      case "alive":
        watch.onAlive(nodeId);
        return;
      case "down":
        logger.info("SWIM calls a node down", { nodeId, reason });
        // Another incarnation is there already.
        if (reason !== "replaced") void watch.onDown(nodeId);
        return;
      case "left":
        // A node that hangs by its own account does not answer over TCP either, or is fenced by its session.
        if (reason === "unhealthy") void watch.onDown(nodeId);
    }
  }

  #seedLater(isComplete: boolean): void {
    this.#seeding = setTimeout(() => void this.#seed(), isComplete ? SEEDS_MS : SEEDS_RETRY_MS);
  }

  async #seed(): Promise<void> {
    const { settings, cluster } = this.#options;
    const { known, isComplete } = await resolveAll(
      cluster.bootstrapServers,
      settings.sluiceSwimPort,
    );
    if (this.#isStopped) return;
    this.#swim.updateSeeds(known);
    this.#seedLater(isComplete);
  }
}

async function resolveAll(
  servers: readonly QuorumAddress[],
  swimPort: number,
): Promise<{ readonly known: SwimAddress[]; readonly isComplete: boolean }> {
  const hosts = await Promise.all(servers.map(({ host }) => resolve(host)));
  const known = servers.flatMap(({ port }, index) => {
    const host = hosts[index] ?? null;
    return host === null ? [] : [{ host, port: swimPort === 0 ? port : swimPort }];
  });
  return { known, isComplete: known.length === servers.length };
}

/** An address in figures, or null. */
async function resolve(host: string): Promise<string | null> {
  if (isIP(host) !== 0) return host;
  return lookup(host).then(
    ({ address }) => address,
    () => null,
  );
}
