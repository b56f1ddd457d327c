/**
 * Watching the broker: gathers what its parts counted and how they are, for the admin port and for whoever embeds it. The parts
 * become known one after the other while the broker starts; what is not there yet is told as missing, so that the admin port
 * can say "recovering" from the first moment.
 */
import { AdminServer } from "#admin/admin-server.ts";
import { assessHealth, type BrokerPhase, type HealthReport } from "#admin/health.ts";
import { LogLimiter } from "#common/log-limiter.ts";
import { describeError, errorFields, type Logger } from "#common/logger.ts";
import type { BrokerSettings } from "#config/broker-settings.ts";
import type { GroupCoordinator } from "#coordinator/group/group-coordinator.ts";
import type { DirectoryHealth, LogStore, ScrubStatus, StoreStatistics } from "#log/log.ts";
import { recoveryProgress } from "#log/native-log.ts";
import { EventLoopDelay } from "#metrics/event-loop-delay.ts";
import type { ClusterStatistics } from "#metrics/cluster-statistics.ts";
import type { ExpositionFormat } from "#metrics/exposition.ts";
import { takeThreadSnapshot, type ThreadSnapshot } from "#metrics/thread-snapshot.ts";
import packageJson from "#package" with { type: "json" };
import type { PartitionDirectory } from "#replica/partition-directory.ts";
import type { ReplicaManager } from "#replica/replica-manager.ts";
import type { ClientTelemetry } from "#server/client-telemetry.ts";
import type { FetchSessionCache } from "#server/fetch-session.ts";
import type { RequestStatistics } from "#server/request-statistics.ts";
import type { ClusterNode } from "./cluster-node.ts";
import type { CordonedDirectories } from "./cordoned-directories.ts";
import type { Following } from "./following.ts";
import type { Frontend } from "./frontend.ts";
import { BrokerStartError } from "./start-error.ts";
import { SYSTEM_CLOCK } from "./system-ports.ts";

/** How long a scrape waits for a broker thread. */
const THREAD_DEADLINE_MS = 2000;
/** How long the state of the store is kept for `/health`: whoever asks often does not ask the disk each time. */
const STORE_AGE_MS = 500;

/** Parts that serve requests, known once the broker is assembled. */
export interface ServingParts {
  readonly replicas: ReplicaManager;
  readonly sessions: FetchSessionCache;
  readonly directory: PartitionDirectory;
  readonly groups: GroupCoordinator;
  readonly telemetry: ClientTelemetry;
  readonly cluster: () => ClusterStatistics;
  readonly cordons: Pick<CordonedDirectories, "isCordoned">;
  /** Null on a broker that is alone. */
  readonly node: Pick<ClusterNode, "refusals"> | null;
  readonly following: Pick<Following, "statistics"> | null;
  /** The fast lane of this thread; null where broker threads have the sockets. */
  readonly lane: { settle(): void } | null;
}

/** See the head of the file. */
export class Observation {
  readonly #settings: BrokerSettings;
  readonly #logger: Logger;
  /** Whoever asks the admin port can ask often. */
  readonly #limiter: LogLimiter;
  readonly #startedMs: number = Date.now();
  readonly #loopDelay: EventLoopDelay = new EventLoopDelay();
  #phase: BrokerPhase = "starting";
  #frontend: Frontend | null = null;
  #requests: RequestStatistics | null = null;
  #store: LogStore | null = null;
  #recoverySeconds = 0;
  #serving: ServingParts | null = null;
  #admin: AdminServer | null = null;
  #storeStatistics: StoreStatistics | null = null;
  #storeHealth: readonly DirectoryHealth[] = [];
  #scrub: ScrubStatus | null = null;
  #storeStatisticsMs = 0;

  constructor(settings: BrokerSettings, logger: Logger) {
    this.#settings = settings;
    this.#logger = logger;
    this.#limiter = new LogLimiter(logger, SYSTEM_CLOCK);
  }

  /** Where the admin port is; null without one. */
  get adminAddress(): { readonly host: string; readonly port: number } | null {
    const admin = this.#admin;
    return admin === null ? null : { host: admin.host, port: admin.port };
  }

  /**
   * Opens the admin port, if it is wanted.
   *
   * @param isRequired - somebody set the address: then it must be free. A default that is taken, by a second broker
   * perhaps, is warned about and done without.
   * @throws BrokerStartError ADDRESS_IN_USE, ADDRESS_UNAVAILABLE.
   */
  openAdmin(isRequired: boolean): void {
    const address = this.#settings.sluiceAdminListener;
    if (address === null) return;
    try {
      this.#admin = new AdminServer(address, {
        health: () => this.health(),
        metrics: (format) => this.metrics(format),
        onFailure: (error) =>
          this.#limiter.write("error", "admin", "the admin port failed", () => errorFields(error)),
      });
    } catch (error) {
      const where = `${address.host}:${address.port}`;
      const code = error instanceof Error && "code" in error ? String(error.code) : "";
      const isTaken = code === "EADDRINUSE";
      if (isRequired) {
        throw new BrokerStartError(
          isTaken ? "ADDRESS_IN_USE" : "ADDRESS_UNAVAILABLE",
          `cannot open the admin port at ${where} (sluice.admin.listener): ${describeError(error)}`,
          error,
        );
      }
      this.#logger.warn("running without an admin port, its default address cannot be bound", {
        address: where,
        ...(isTaken
          ? { reason: "another program listens there" }
          : { error: describeError(error) }),
        hint: "set sluice.admin.listener to a free HOST:PORT, or to nothing to do without",
      });
    }
  }

  /** The sockets are open; the logs are looked at now. */
  onRecovering(frontend: Frontend, requests: RequestStatistics): void {
    this.#frontend = frontend;
    this.#requests = requests;
    this.#phase = "recovering";
  }

  onStoreOpen(store: LogStore, recoverySeconds: number): void {
    this.#store = store;
    this.#recoverySeconds = recoverySeconds;
  }

  onServing(parts: ServingParts): void {
    this.#serving = parts;
    this.#phase = "serving";
  }

  onStopping(): void {
    this.#phase = "stopping";
  }

  /** The store is about to close: nothing may ask it any more. The admin port goes on saying that the broker stops. */
  onStoreClosing(): void {
    this.#storeStatistics = this.#statisticsOfStore();
    this.#storeStatisticsMs = Number.POSITIVE_INFINITY;
    this.#store = null;
    this.#serving = null;
  }

  async close(): Promise<void> {
    this.#loopDelay.stop();
    this.#limiter.flush(true);
    await this.#admin?.stop();
    this.#admin = null;
  }

  /** Whether the broker is well, and why not. */
  health(): HealthReport {
    const statistics = this.#statisticsOfStore();
    const isRecovering = this.#phase === "recovering" && this.#store === null;
    return assessHealth({
      phase: this.#phase,
      recovery: isRecovering ? recoveryProgress() : null,
      directories: this.#storeHealth,
      quarantinedCount: statistics?.quarantinedCount ?? 0,
      quarantined: statistics?.quarantined ?? [],
      damagedCount: statistics?.damagedCount ?? 0,
      damaged: statistics?.damaged ?? [],
    });
  }

  /** Everything that is counted, as text for Prometheus. */
  async metrics(format: ExpositionFormat = "text"): Promise<string> {
    // Loaded with the first scrape: a start pays nothing for it.
    const { renderMetrics, readProcessStatistics, walkPartitions } =
      await import("#metrics/render.ts");
    const health = this.health();
    const [process, { threads, missingThreadCount }] = await Promise.all([
      readProcessStatistics(),
      this.#threads(),
    ]);
    const serving = this.#serving;
    const store = this.#store;
    const { sluiceMetricsPartitionsMax, sluiceMetricsTopicsMax } = this.#settings;
    const partitions =
      serving === null || store === null
        ? null
        : await walkPartitions({
            directory: serving.directory,
            log: store,
            partitionsMax: sluiceMetricsPartitionsMax,
            topicsMax: sluiceMetricsTopicsMax,
            giveWay: () => new Promise((resolve) => void setImmediate(resolve)),
          });
    const statistics = this.#statisticsOfStore();
    const report = store?.report ?? null;
    return renderMetrics(
      {
        version: packageJson.version,
        runtimeVersion: Bun.version,
        nodeId: this.#settings.nodeId,
        clusterId: report?.clusterId ?? null,
        startedMs: this.#startedMs,
        isReady: health.isReady,
        isDegraded: health.isReady && health.status !== "ok",
        threads,
        missingThreadCount,
        process,
        store:
          statistics === null || report === null
            ? null
            : {
                statistics,
                health: this.#storeHealth,
                recoverySeconds: this.#recoverySeconds,
                wasClean: report.wasClean,
                scrub: this.#scrub,
                isCordoned: (path) => serving?.cordons.isCordoned(path) === true,
              },
        partitions,
        cluster: serving?.cluster() ?? null,
        groups: serving?.groups.statistics() ?? null,
        clientTelemetry: serving?.telemetry.statistics() ?? null,
        following: serving?.following?.statistics(0) ?? null,
        refusals: serving?.node?.refusals() ?? new Map(),
      },
      format,
    );
  }

  /** The main thread's counters and those of the broker threads that answer in time. */
  async #threads(): Promise<{
    readonly threads: ReadonlyMap<string, ThreadSnapshot>;
    readonly missingThreadCount: number;
  }> {
    const threads = new Map<string, ThreadSnapshot>();
    const [requests, serving, frontend] = [this.#requests, this.#serving, this.#frontend];
    if (requests === null || serving === null || frontend === null)
      return { threads, missingThreadCount: 0 };
    threads.set(
      "main",
      takeThreadSnapshot({
        requests,
        transport: frontend.transport,
        replicas: serving.replicas,
        sessions: serving.sessions,
        directory: serving.directory,
        loopDelay: this.#loopDelay,
        lane: serving.lane,
      }),
    );
    const others = await frontend.snapshots(THREAD_DEADLINE_MS);
    let missingThreadCount = 0;
    for (const [index, snapshot] of others.entries()) {
      if (snapshot === null) missingThreadCount++;
      else threads.set(String(index + 1), snapshot);
    }
    return { threads, missingThreadCount };
  }

  #statisticsOfStore(): StoreStatistics | null {
    const nowMs = performance.now();
    if (this.#store === null || nowMs - this.#storeStatisticsMs < STORE_AGE_MS)
      return this.#storeStatistics;
    this.#storeStatistics = this.#store.statistics();
    this.#storeHealth = this.#store.health();
    // The counters without the findings, which the log tells one by one.
    this.#scrub = this.#store.scrubStatus(Number.MAX_SAFE_INTEGER);
    this.#storeStatisticsMs = nowMs;
    return this.#storeStatistics;
  }
}
