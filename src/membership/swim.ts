/**
 * Who is alive, as SWIM sees it: a weakly consistent detector whose word is a hint and never a decision. It runs on a thread of its own with
 * its own UDP socket, so that a busy event loop costs no false alarm; and it vouches for this process only as long as {@link Swim.beat} is called and
 * disk writes complete, so that a hung event loop or a stuck disk is not vouched for.
 *
 * This file is the port: what the rest of the program knows. `native-swim.ts` starts the thread; `swim-core.ts` is the same state machine
 * without thread, socket and clock.
 */

/** How soon a silent member is suspected and declared down: probe period, probe timeout and suspicion of 200/60/600 ms or 100/40/500 ms. */
export type SwimProfile = "default" | "fast";

/** A UDP address: an IPv4 or IPv6 address in figures, without brackets, and a port. Names are looked up before. */
export interface SwimAddress {
  readonly host: string;
  readonly port: number;
}

/** What `startSwim` needs. */
export interface SwimOptions {
  readonly nodeId: number;
  /** Random id of this run of the process: 22 characters (`uuid.ts`). The one that BrokerRegistration carries. */
  readonly incarnationId: string;
  readonly clusterId: string;
  /** Key of the packets' HMAC; the cluster id where no secret is configured. */
  readonly secret: string;
  /** Where the socket is bound; port 0 takes a free one. */
  readonly bind: SwimAddress;
  /**
   * What peers are told; a port of 0 stands for the bound one, and an unspecified host (`""`, `0.0.0.0`, `::`) for the address from which the first seed is
   * reached.
   */
  readonly advertised: SwimAddress;
  /** Nodes to ask who is there; this node itself among them does no harm. */
  readonly seeds: readonly SwimAddress[];
  readonly profile: SwimProfile;
  /**
   * A directory in which a thread writes and flushes a few bytes each second, so that an idle disk gives a sign of life too; null leaves it to
   * {@link Swim.diskBeat}. The disk is watched once either has happened.
   */
  readonly diskProbeDirectory: string | null;
  /**
   * Runs on the calling thread when events or refusals wait, or the state has changed; once until {@link Swim.drainEvents} is called. It does not keep the
   * event loop alive.
   */
  readonly onEvents: () => void;
}

export type SwimEventKind = "suspect" | "alive" | "down" | "left";

/**
 * A change in what this node thinks of another. `suspect` is followed by `alive` or `down`. A member that restarts gives `down` of its old incarnation
 * (reason `replaced`) unless that was given already, and `alive` of its new one. Events of this node itself are not among them.
 */
export interface SwimEvent {
  readonly kind: SwimEventKind;
  readonly nodeId: number;
  readonly incarnationId: string;
  readonly address: SwimAddress;
  /** Wall clock, milliseconds since the epoch. */
  readonly atMs: number;
  /**
   * `silent`: did not answer and did not refute; `replaced`: another incarnation of the node appeared; `left`: said good-bye; `unhealthy`: its event loop or
   * its disk hangs, by its own account. Null for `suspect` and `alive`.
   */
  readonly reason: "silent" | "replaced" | "left" | "unhealthy" | null;
}

/** A member, this node excepted. */
export interface SwimMember {
  readonly nodeId: number;
  readonly incarnationId: string;
  readonly address: SwimAddress;
  /** `left` also for those that left as unhealthy. Members that are down or left are forgotten after a day. */
  readonly state: "alive" | "suspect" | "down" | "left";
}

/** Packets refused and why; nothing else happens with them. */
export interface SwimRefusals {
  /** Larger than 1400 bytes. */
  readonly tooLarge: number;
  /** Too short, or not ours at all. */
  readonly malformed: number;
  readonly wrongVersion: number;
  readonly wrongCluster: number;
  /** Not made with our secret. */
  readonly forged: number;
  /** Seen before, or so late that it cannot be told. */
  readonly replayed: number;
  /** Its wall clock and ours are more than five minutes apart. */
  readonly tooOld: number;
  /** Made with our secret, but its contents make no sense. */
  readonly garbage: number;
  /** Another process speaks with our node id. */
  readonly duplicateNode: number;
}

export type SwimRefusalReason = keyof SwimRefusals;

/** One of the refused packets of the last ten seconds. */
export interface SwimRefusal {
  readonly reason: SwimRefusalReason;
  /** Sender's address as the socket tells it: it may be forged. */
  readonly from: SwimAddress;
  /** Packets of this reason refused since the last one told. */
  readonly count: number;
  readonly atMs: number;
}

/** Counters since the start, and the state of this node. */
export interface SwimStatistics {
  /** `unhealthy`: a token is overdue, we have left until it moves again. `failed`: the thread has ended by an error of its own. */
  readonly state: "running" | "unhealthy" | "left" | "stopped" | "failed";
  /** Which token is overdue. */
  readonly unhealthyReason: "eventLoop" | "disk" | null;
  readonly aliveMembers: number;
  readonly suspectMembers: number;
  readonly downMembers: number;
  readonly packetsReceived: number;
  readonly bytesReceived: number;
  readonly packetsSent: number;
  readonly bytesSent: number;
  readonly sendErrors: number;
  readonly refused: SwimRefusals;
  /** Times that this node suspected, or heard suspected, another. */
  readonly suspicions: number;
  /** Times that this node was declared down while it lived, and came back. */
  readonly rejoins: number;
  /** Times that it left because a token was overdue. */
  readonly unhealthyCount: number;
  /** Suspicion timers dropped because the suspect had refuted. */
  readonly guardedTimers: number;
  /** Errors inside the protocol that must not happen. */
  readonly internalErrors: number;
  /** Longest lateness of the thread's own timers, milliseconds. */
  readonly latenessMsMax: number;
}

/** Membership as the rest of the program uses it. */
export interface Swim {
  /** What peers are told of this node. */
  readonly address: SwimAddress;
  /** Sign of life of the event loop: call it every 100 ms; after 2 s without it this node leaves as unhealthy. One atomic store. */
  beat(): void;
  /** Sign of life of the disk: call it when a disk write completes; 5 s after the last one this node leaves as unhealthy. */
  diskBeat(): void;
  members(): SwimMember[];
  /** Takes the events since the last call, oldest first. At most 10,000 are kept; of more, the oldest are lost. */
  drainEvents(): SwimEvent[];
  /** Takes what was refused since the last call: at most one a reason in ten seconds. For the log. */
  drainRefusals(): SwimRefusal[];
  statistics(): SwimStatistics;
  /** Replaces the seeds. */
  updateSeeds(seeds: readonly SwimAddress[]): void;
  /** Says good-bye, several times over about 150 ms, and settles then. Peers report `left`. */
  leave(): Promise<void>;
  /** Ends the thread and closes the socket, without a word. Returns when it has ended. */
  stop(): void;
}
