/**
 * This node's part in the quorum of its cluster: the raft member and its links, the metadata it commits, the listener of the controller
 * and whose turn it is to decide. Every node of a cluster has one, whatever its roles; `broker.ts` puts the broker on top.
 */
import { hostname } from "node:os";
import type { AutoJoinOptions } from "#cluster/auto-join.ts";
import type { ControllerChannelOptions } from "#cluster/controller-channel.ts";
import { ControllerChannel, ControllerUnavailableError } from "#cluster/controller-channel.ts";
import { DeathWatch } from "#cluster/death-watch.ts";
import {
  isConnectionRefused,
  meetPeer,
  openPeerConnection,
  type PeerAddress,
  type PeerConnector,
} from "#cluster/peer-connection.ts";
import { PeerGate } from "#cluster/peer-gate.ts";
import { Refusals } from "#cluster/refusals.ts";
import { HelloVerifier, type PeerHello, type PeerIdentity } from "#cluster/peer-hello.ts";
import { RaftLinks } from "#cluster/raft-links.ts";
import { ClientError } from "#client/client-error.ts";
import type { Connection } from "#client/connection.ts";
import { ErrorCode } from "#common/error-code.ts";
import { LogLimiter } from "#common/log-limiter.ts";
import { errorFields, type Logger } from "#common/logger.ts";
import type { BrokerConfig } from "#config/broker-config.ts";
import type { NodeReport } from "#cluster/quorum-probe.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import type { BrokerSettings } from "#config/broker-settings.ts";
import type { ClusterSettings } from "#config/cluster-settings.ts";
import type { Controller } from "#controller/controller.ts";
import { suspicionMs } from "#membership/swim-settings.ts";
import { CurrentBrokerConfig } from "#metadata/current-broker-config.ts";
import type { MetadataState } from "#metadata/metadata-loader.ts";
import { MetadataLogError } from "#metadata/metadata-log.ts";
import { encodeState } from "#metadata/quorum-format.ts";
import { QuorumMetadata } from "#metadata/quorum-metadata.ts";
import type { ApiMessages } from "#protocol/api.ts";
import { memberKey, nodeOfKey } from "#quorum/member-key.ts";
import type { QuorumMember } from "#quorum/quorum-members.ts";
import type { DescribedMember } from "#protocol/describe-members.ts";
import { openRaftNode } from "#quorum/raft-node.ts";
import { Quorum, QuorumError } from "#quorum/quorum.ts";
import type { Dispatcher } from "#server/dispatcher.ts";
import type { ConnectionInfo, RequestContext } from "#server/handler.ts";
import { HandlerTable } from "#server/handler-table.ts";
import type { ControllerNode } from "#server/handlers/describe-cluster.ts";
import type { QuorumView } from "#server/handlers/describe-quorum.ts";
import type { VoterChanges } from "#server/handlers/raft-voters.ts";
import type { FrameHandler, TransportEvents } from "#transport/ports.ts";
import type { Transport } from "#transport/transport.ts";
import { openControllerListener, RAFT_MESSAGE_BYTES_MAX } from "./controller-listener.ts";
import type { Formation } from "./quorum-formation.ts";
import { QuorumMembership } from "./quorum-membership.ts";
import { SwimWatch } from "./swim-watch.ts";
import { voterChanges } from "./voter-changes.ts";
import { SYSTEM_CLOCK, SYSTEM_RANDOM, SYSTEM_SCHEDULER } from "./system-ports.ts";

const TICK_MS = 50;
const HEARTBEAT_TICKS = 2;
/** Sessions, balancing and newcomers are looked at this often. */
const CONTROLLER_TICK_MS = 100;
const CONNECT_TIMEOUT_MS = 1_000;
const PEER_REQUEST_TIMEOUT_MS = 30_000;
const DISCOVERY_PAUSE_MS = 100;

/** What the node is made of. */
export interface ClusterNodeOptions {
  readonly settings: BrokerSettings;
  readonly cluster: ClusterSettings;
  readonly formation: Formation;
  readonly config: BrokerConfig;
  readonly logger: Logger;
  /** The node's state is in doubt: it must stop. */
  readonly onFatal: (error: Error) => void;
}

/** See the head of the file. */
export class ClusterNode {
  readonly identity: PeerIdentity;
  readonly metadata: QuorumMetadata;
  /** The metadata as the controller decides on it: what is committed, published or not. */
  readonly controllerState: MetadataState;
  /** Handlers of the controller's listener; filled by `controller-table.ts` before `start`. */
  readonly table: HandlerTable = new HandlerTable();
  readonly #options: ClusterNodeOptions;
  readonly #limiter: LogLimiter;
  readonly #refusals: Refusals = new Refusals();
  readonly #verifier: HelloVerifier;
  readonly #connector: PeerConnector;
  readonly #links: RaftLinks;
  readonly #watch: DeathWatch;
  readonly #controllerConfig: CurrentBrokerConfig;
  readonly #channels: ControllerChannel[] = [];
  #directoryId: string = ZERO_UUID;
  #quorum: Quorum | null = null;
  #membership: QuorumMembership | null = null;
  #swim: SwimWatch | null = null;
  #transport: Transport | null = null;
  #controller: Controller | null = null;
  #ticker: ReturnType<typeof setInterval> | null = null;
  #isTicking = false;
  #isActivating = false;
  #turn = 0;
  #isStopped = false;
  #refusal: ClientError | null = null;
  #lastRefusal: ClientError | null = null;

  constructor(options: ClusterNodeOptions) {
    const { settings, cluster, formation, config, logger } = options;
    const { nodeId } = settings;
    this.#options = options;
    const { host, port } = this.#ownAddress();
    const directoryId = (): string => this.#directoryId;
    this.identity = {
      clusterId: formation.clusterId,
      nodeId,
      get directoryId() {
        return directoryId();
      },
      incarnationId: SYSTEM_RANDOM.uuid(),
      host,
      port,
      secret: cluster.secret,
    };
    this.#limiter = new LogLimiter(logger, SYSTEM_CLOCK);
    this.#verifier = new HelloVerifier(this.identity);
    this.#controllerConfig = new CurrentBrokerConfig(config, nodeId);
    this.#connector = {
      identity: this.identity,
      clock: SYSTEM_CLOCK,
      random: SYSTEM_RANDOM,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      requestTimeoutMs: PEER_REQUEST_TIMEOUT_MS,
      maxFrameBytes: RAFT_MESSAGE_BYTES_MAX,
    };
    const metadata = new QuorumMetadata({
      nowMs: () => SYSTEM_CLOCK.nowMs(),
      propose: (bytes) => this.#propose(bytes),
      onApplied: (delta, image) => this.#controllerConfig.onMetadataUpdate(delta, image),
      onFatal: (error) => options.onFatal(asError(error)),
    });
    this.metadata = metadata;
    this.controllerState = {
      get image() {
        return metadata.committed;
      },
      get committed() {
        return metadata.committed;
      },
      commit: (records) => metadata.commit(records),
      snapshotIfGrown: () => Promise.resolve(),
    };
    this.#watch = new DeathWatch({
      nodeId,
      incarnationId: this.identity.incarnationId,
      clock: SYSTEM_CLOCK,
      image: () => metadata.committed,
      isActive: () => this.#controller?.cluster?.isActive === true,
      fence: (brokerId, brokerEpoch, evidence) => {
        const fencing = this.#controller?.cluster?.fence(
          { brokerId, brokerEpoch },
          evidence,
          SYSTEM_CLOCK.monotonicMs(),
        );
        fencing?.then(
          (outcome) => {
            if (outcome !== "not-needed")
              logger.info("a broker seems to be gone", { brokerId, evidence, outcome });
          },
          (error: unknown) => logger.error("cannot fence a broker", errorFields(error)),
        );
      },
      pingTimeoutMs: suspicionMs[settings.sluiceSwimProfile],
      ping: (peer, timeoutMs) => this.#ping(peer, timeoutMs),
      onDisagreement: (peer) =>
        logger.warn("SWIM calls a node down that answers over TCP", { nodeId: peer }),
    });
    this.#links = new RaftLinks({
      connector: this.#connector,
      scheduler: SYSTEM_SCHEDULER,
      onUnreachable: (peer) => this.#quorum?.unreachable(peer, nodeOfKey),
      onGone: (peer) => this.#watch.onGone(peer),
      onReached: (peer, incarnationId) => this.#watch.onReached(peer, incarnationId),
      onRefused: (peer, error) => this.#onRefused(peer, error),
    });
  }

  /** The configuration as the controller decides on it. */
  get controllerConfig(): BrokerConfig {
    return this.#controllerConfig.config;
  }

  /** Node id of the quorum's leader, -1 when none is known. */
  get leaderId(): number {
    return nodeOfKey(this.#quorum?.leaderId ?? -1);
  }

  /** Why other nodes do not take this one for one of theirs; null while nobody said so. */
  get refusal(): ClientError | null {
    return this.#refusal;
  }

  /** What another node last refused this one with; null while none did. */
  get lastRefusal(): ClientError | null {
    return this.#lastRefusal;
  }

  /** The other nodes as this one hears them; null where no failure detector runs. */
  members(): readonly DescribedMember[] | null {
    return this.#swim?.described() ?? null;
  }

  /** What was refused of those who are not of the cluster, by reason. */
  refusals(): ReadonlyMap<string, number> {
    return this.#refusals.with({
      "swim-": this.#swim?.refused ?? {},
      "raft-": this.#quorum?.status().refused ?? {},
    });
  }

  /** A client sent what only nodes may send. */
  onStranger(api: string, { clientHost, listenerName }: ConnectionInfo): void {
    this.#refusals.count("request");
    this.#limiter.write("warn", "stranger", "a client sent what only nodes may send", () => ({
      api,
      clientHost,
      listener: listenerName,
    }));
  }

  /** A gate in front of whoever serves a listener's frames. Raft messages are taken on all of them. */
  guard(inner: FrameHandler): PeerGate {
    return new PeerGate(inner, this.#verifier, {
      identity: this.identity,
      clock: SYSTEM_CLOCK,
      limiter: this.#limiter,
      report: () => this.#report(),
      onRefused: (reason) => this.#refusals.count(reason),
      onRaftMessages: (from, messages) => {
        // The member keeps what it needs of a message beyond the call.
        for (const message of messages) this.#quorum?.receive(from, message);
      },
      onPeer: (hello) => this.#onPeer(hello),
      members: () => this.members(),
    });
  }

  /** What a controller without a vote asks for one with. */
  get candidacy(): Pick<AutoJoinOptions, "clusterId" | "self" | "isObserver" | "namesakes"> {
    const { clusterId, nodeId } = this.identity;
    return {
      clusterId,
      self: () => this.#self(),
      isObserver: () => this.#quorum?.status().role === "learner" && this.leaderId >= 0,
      namesakes: () =>
        this.#membership?.controllers().filter((voter) => voter.nodeId === nodeId) ?? [],
    };
  }

  /** How an administrator changes voters. */
  get voterChanges(): VoterChanges {
    const [listener = "CONTROLLER"] = this.#options.cluster.controllerListenerNames;
    return voterChanges(this, listener, () => {
      const [quorum, membership] = [this.#quorum, this.#membership];
      if (quorum === null || membership === null) return null;
      return { quorum, membership, connector: this.#connector };
    });
  }

  /** The id of the directory that holds the metadata; to be called before `start`. */
  useDirectory(directoryId: string): void {
    this.#directoryId = directoryId;
  }

  /**
   * Opens the raft member and the controller's listener, and takes part in the quorum from now on.
   *
   * @param dispatcher - serves {@link table}.
   * @throws RaftError, BrokerStartError.
   */
  async start(
    controller: Controller,
    dispatcher: Dispatcher,
    events: TransportEvents,
  ): Promise<void> {
    const { settings, cluster, formation, logger } = this.#options;
    const { nodeId } = settings;
    this.#controller = controller;
    const guarded = this.guard(dispatcher);
    this.#transport = await openControllerListener(settings, cluster, guarded, events);
    const key = memberKey(nodeId, this.#directoryId);
    const { founding } = formation;
    const firstMembers = { members: [this.#self()], expectedVoters: founding?.others ?? [] };
    const node = await openRaftNode({
      id: key,
      // Whoever begins the cluster begins alone and gives the others their votes; they wait for it.
      voters: founding === null ? [] : [key],
      learners: [],
      directory: settings.sluiceInMemory ? null : settings.metadataLogDir,
      clusterId: this.identity.clusterId,
      electionTicks: Math.max(3, Math.round(cluster.controllerQuorumElectionTimeoutMs / TICK_MS)),
      heartbeatTicks: HEARTBEAT_TICKS,
      seed: Math.floor(SYSTEM_RANDOM.next() * 2 ** 31),
      maxFrameBytes: RAFT_MESSAGE_BYTES_MAX,
      ...(founding === null
        ? {}
        : { firstSnapshot: encodeState(founding.image, SYSTEM_CLOCK.nowMs(), firstMembers) }),
    });
    this.#quorum = new Quorum({
      node,
      scheduler: SYSTEM_SCHEDULER,
      tickMs: TICK_MS,
      send: (to, bytes) => this.#links.send(nodeOfKey(to), bytes),
      onCommitted: ({ index, data, term }) => {
        this.metadata.onCommitted(data, term);
        this.#membership?.offsets.onApplied(index, this.metadata.committed.offset + 1);
      },
      onSnapshot: ({ index, data }) => {
        this.metadata.onSnapshot(data);
        this.#membership?.offsets.onApplied(index, this.metadata.committed.offset + 1);
      },
      onMembers: () => this.#membership?.link(),
      image: () => this.metadata.state(),
      snapshotBytes: settings.metadataLogMaxRecordBytesBetweenSnapshots,
      onLeadership: (term) => this.#onLeadership(term),
      onDiskFull: (isFull, error) =>
        isFull
          ? logger.error(
              "no room for the metadata: this node acknowledges nothing",
              errorFields(error),
            )
          : logger.info("there is room for the metadata again"),
      onFailure: (error) => this.#options.onFatal(error),
    });
    this.#membership = new QuorumMembership({
      self: () => this.#self(),
      quorum: this.#quorum,
      links: this.#links,
      metadata: this.metadata,
      clock: SYSTEM_CLOCK,
      logger,
    });
    for (const { id, host, port } of cluster.voters) {
      if (id !== nodeId) this.#links.add({ nodeId: id, host, port });
    }
    if (cluster.voters.length === 0) void this.#meetServers();
    this.#quorum.start();
    this.#swim = await SwimWatch.start({
      settings,
      cluster,
      identity: this.identity,
      watch: this.#watch,
      logger,
    });
    this.#ticker = setInterval(() => this.#tick(), CONTROLLER_TICK_MS);
  }

  /** A connection of its own to the active controller. */
  openChannel(): ControllerChannel {
    const options: ControllerChannelOptions = {
      connector: this.#connector,
      clock: SYSTEM_CLOCK,
      scheduler: SYSTEM_SCHEDULER,
      nodeId: this.identity.nodeId,
      leaderId: () => this.leaderId,
      addressOf: (nodeId) => this.#addressOf(nodeId),
      local: (api, version, request, clientId) => this.#serveHere(api, version, request, clientId),
    };
    const channel = new ControllerChannel(options);
    this.#channels.push(channel);
    return channel;
  }

  /**
   * Opens a connection to another broker's listener for brokers.
   *
   * @throws ClientError UNREACHABLE also when the broker is not known.
   */
  connectToBroker(
    nodeId: number,
    settings: Pick<PeerConnector, "maxFrameBytes" | "receiver" | "readiness" | "configure">,
  ): Promise<Connection> {
    const { interBrokerListenerName } = this.#options.cluster;
    const endpoint = this.metadata.committed.brokers
      .get(nodeId)
      ?.endpoints.find(({ name }) => name === interBrokerListenerName);
    if (endpoint === undefined) {
      const message = `broker ${nodeId} has no listener ${interBrokerListenerName}`;
      return Promise.reject(new Error(message));
    }
    const { host, port } = endpoint;
    return openPeerConnection({ nodeId, host, port }, { ...this.#connector, ...settings });
  }

  /** Controllers as an administrator reaches them. */
  controllers(): { readonly nodes: readonly ControllerNode[]; readonly activeId: number } {
    return { nodes: this.#membership?.controllers() ?? [], activeId: this.leaderId };
  }

  /** How far the members are; null while this node does not lead. */
  view(): QuorumView | null {
    return this.#membership?.view() ?? null;
  }

  /** Hands the turn to decide to another node, if this one has it. */
  async giveUpTurn(deadlineMs: number): Promise<void> {
    const quorum = this.#quorum;
    if (quorum === null || quorum.activeTerm === null) return;
    const { voters, peers } = quorum.status();
    const heir = peers
      .filter(({ id, isActive }) => isActive && voters.includes(id))
      .sort((left, right) => right.matched - left.matched)[0];
    if (heir === undefined) return;
    quorum.transferTo(heir.id);
    const untilMs = SYSTEM_CLOCK.monotonicMs() + deadlineMs;
    while (quorum.activeTerm !== null && SYSTEM_CLOCK.monotonicMs() < untilMs) await sleep(5);
  }

  /** Leaves the quorum's traffic and closes everything. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#ticker !== null) clearInterval(this.#ticker);
    await this.#swim?.stop();
    for (const channel of this.#channels) channel.close();
    this.#controller?.cluster?.resign();
    this.#links.close();
    await this.#transport?.stop(0);
    await this.#quorum?.stop();
    await this.metadata.close();
    this.#limiter.flush(true);
  }

  /** Asks every bootstrap server who it is, and connects to it. */
  async #meetServers(): Promise<void> {
    await Promise.all(
      this.#options.cluster.bootstrapServers.map(async ({ host, port }) => {
        while (!this.#isStopped) {
          try {
            const peer = { nodeId: -1, host, port };
            const { connection, answer } = await meetPeer(peer, this.#connector);
            connection.close();
            const { nodeId } = answer;
            if (nodeId !== this.identity.nodeId) this.#links.add({ nodeId, host, port });
            return;
          } catch (error) {
            if (error instanceof ClientError) this.#onRefused({ nodeId: -1, host, port }, error);
            await sleep(DISCOVERY_PAUSE_MS);
          }
        }
      }),
    );
  }

  #self(): QuorumMember {
    const { nodeId, directoryId, host, port } = this.identity;
    const [listener = "CONTROLLER"] = this.#options.cluster.controllerListenerNames;
    return { nodeId, directoryId, listener, host, port };
  }

  /** What is told to nodes that look for a cluster. */
  #report(): NodeReport | null {
    if (this.#quorum === null) return null;
    const { nodeId, incarnationId, clusterId } = this.identity;
    const { quorumText } = this.#options.cluster;
    const self = { nodeId, incarnationId, clusterId, quorum: quorumText };
    return { ...self, state: "member", epoch: -1, offset: -1 };
  }

  /** Where other nodes send raft messages. */
  #ownAddress(): { readonly host: string; readonly port: number } {
    const { settings, cluster } = this.#options;
    const voter = cluster.voters.find(({ id }) => id === settings.nodeId);
    if (voter !== undefined) return { host: voter.host, port: voter.port };
    const listener =
      cluster.controllerListeners[0] ??
      settings.advertisedListeners.find(({ name }) => name === cluster.interBrokerListenerName);
    return { host: reachableHost(listener?.host ?? ""), port: listener?.port ?? 0 };
  }

  #addressOf(nodeId: number): PeerAddress | null {
    const known = this.#membership?.addressOf(nodeId) ?? this.#links.addressOf(nodeId);
    if (known !== null) return known;
    const voter = this.#options.cluster.voters.find(({ id }) => id === nodeId);
    return voter === undefined ? null : { nodeId, host: voter.host, port: voter.port };
  }

  #onPeer(hello: PeerHello): void {
    const { nodeId, incarnationId } = hello;
    if (nodeId === this.identity.nodeId) return;
    this.#watch.onReached(nodeId, incarnationId);
    this.#membership?.onPeer(hello);
    if (this.#links.directoryOf(nodeId) === hello.directoryId) return;
    // It is there, perhaps elsewhere than before: a link that waits for its next try need not.
    this.#links.add(hello);
    this.#links.retryNow();
  }

  #onRefused(peer: PeerAddress, error: ClientError): void {
    if (error.code !== "REFUSED" && error.code !== "BAD_ANSWER") return;
    this.#lastRefusal = error;
    if (error.errorCode === ErrorCode.INCONSISTENT_CLUSTER_ID) this.#refusal = error;
    this.#limiter.write("warn", "peer-refuses", "another node refuses this one", () => ({
      nodeId: peer.nodeId,
      ...errorFields(error),
    }));
  }

  #onLeadership(term: number | null): void {
    const turn = ++this.#turn;
    const cluster = this.#controller?.cluster;
    if (cluster === undefined || cluster === null) return;
    if (term === null) {
      this.#options.logger.info("this node is not the active controller any more");
      cluster.resign();
      return;
    }
    this.#options.logger.info("this node leads the quorum", { term });
    this.#membership?.onLeadership();
    this.#activate(turn);
  }

  /** Begins to decide, once what is decided is kept by most of those that are to keep it. */
  #activate(turn: number): void {
    const cluster = this.#controller?.cluster;
    if (this.#isActivating || cluster === undefined || cluster === null) return;
    if (cluster.isActive || this.#membership?.isFormed !== true) return;
    this.#isActivating = true;
    void (async () => {
      try {
        await this.metadata.published();
        if (turn !== this.#turn) return;
        this.#options.logger.info("this node is the active controller");
        await cluster.activate(SYSTEM_CLOCK.monotonicMs());
        if (turn === this.#turn) this.#watch.activate();
      } catch (error) {
        this.#options.logger.warn("cannot begin a turn as controller", errorFields(error));
      } finally {
        this.#isActivating = false;
      }
    })();
  }

  async #propose(bytes: Uint8Array): Promise<void> {
    if (this.#quorum === null) throw new MetadataLogError("NOT_CONTROLLER", "not started");
    try {
      await this.#quorum.propose(bytes);
    } catch (error) {
      if (error instanceof QuorumError)
        throw new MetadataLogError(error.code, error.message, error);
      throw error;
    }
  }

  #tick(): void {
    this.#limiter.flush();
    const quorum = this.#quorum;
    const cluster = this.#controller?.cluster;
    if (quorum === null || quorum.activeTerm === null) return;
    this.#membership?.tick();
    this.#activate(this.#turn);
    if (!cluster?.isActive || this.#isTicking) return;
    this.#isTicking = true;
    cluster
      .onTick(SYSTEM_CLOCK.monotonicMs())
      .then((fenced) => {
        for (const { brokerId } of fenced)
          this.#options.logger.warn("a broker was silent for too long", { brokerId });
      })
      .catch((error: unknown) =>
        this.#options.logger.error("the controller's round failed", errorFields(error)),
      )
      .finally(() => {
        this.#isTicking = false;
      });
  }

  async #serveHere<Req, Res>(
    api: ApiMessages<Req, Res>,
    version: number,
    request: Req,
    clientId: string | null,
  ): Promise<Res> {
    if (this.#controller?.cluster?.isActive !== true) {
      const message = "this node is not the active controller yet";
      throw new ControllerUnavailableError(ErrorCode.NOT_CONTROLLER, message);
    }
    const handler = this.table.get(api.key);
    if (handler === undefined) throw new Error(`${api.name} is not the controller's`);
    const { nodeId, host, port } = this.identity;
    const context: RequestContext = {
      apiKey: api.key,
      apiVersion: version,
      correlationId: 0,
      clientId,
      receivedMonotonicMs: SYSTEM_CLOCK.monotonicMs(),
      connection: {
        id: 0,
        listenerName: this.#options.cluster.controllerListenerNames[0] ?? "CONTROLLER",
        localHost: host,
        localPort: port,
        clientHost: host,
        clientPort: 0,
        clientSoftwareName: "sluice",
        clientSoftwareVersion: "1",
        peerNodeId: nodeId,
      },
    };
    const answer: unknown = await handler.handle(request as never, context);
    if (this.#controller.cluster.isActive) return answer as Res;
    const message = "this node is not the active controller any more";
    throw new ControllerUnavailableError(ErrorCode.NOT_CONTROLLER, message);
  }

  async #ping(nodeId: number, timeoutMs: number): Promise<boolean> {
    const address = this.#addressOf(nodeId);
    if (address === null) return false;
    const untilMs = SYSTEM_CLOCK.monotonicMs() + timeoutMs;
    for (;;) {
      const leftMs = untilMs - SYSTEM_CLOCK.monotonicMs();
      if (leftMs <= 0) return false;
      try {
        const connector = { ...this.#connector, connectTimeoutMs: leftMs };
        (await openPeerConnection(address, connector)).close();
        return true;
      } catch (error) {
        if (isConnectionRefused(error)) return false;
        await sleep(20);
      }
    }
  }
}

/** A host that other machines can use; a listener on every address is reached by the machine's name, as in Kafka. */
export function reachableHost(host: string): string {
  return host === "" || host === "0.0.0.0" || host === "::" ? hostname() : host;
}

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    SYSTEM_SCHEDULER.after(delayMs, resolve);
  });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
