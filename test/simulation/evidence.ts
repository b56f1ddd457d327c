/**
 * What a simulated node knows of the death of others, as a node in production has it: raft's connections that break and are refused, SWIM over
 * the simulated datagrams, and `DeathWatch`, which makes evidence of both and asks over TCP before it believes SWIM. In half of the runs SWIM
 * says nothing and verdicts are drawn by lot instead, believed with or without asking.
 */
import { DeathWatch } from "#cluster/death-watch.ts";
import type { Timer } from "#common/time.ts";
import type { Evidence } from "#controller/broker-liveness.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import { SwimCore } from "#membership/swim-core.ts";
import { suspicionMs } from "#membership/swim-settings.ts";
import type { SwimAddress } from "#membership/swim.ts";
import type { Plan } from "./faults.ts";
import { CLUSTER_ID } from "./names.ts";
import type { Network } from "./network.ts";
import { RaftChannel } from "./peers.ts";
import type { Rules } from "./rules.ts";
import { type Machine, type World, WORLD_BEGIN_MS } from "./world.ts";

/** What it works with; gone with the life of the node. */
export interface NodeEvidenceOptions {
  readonly world: World;
  readonly network: Network;
  readonly machine: Machine;
  readonly plan: Plan;
  readonly rules: Rules;
  readonly incarnationId: string;
  /** For SWIM's chance. */
  readonly seed: number;
  readonly image: () => ClusterImage;
  readonly isActive: () => boolean;
  readonly fence: (brokerId: number, brokerEpoch: number, evidence: Evidence) => void;
  /** Takes a raft message. */
  readonly receive: (from: number, bytes: Uint8Array) => void;
}

const SWIM_PORT = 9093;

function addressOf(nodeId: number): SwimAddress {
  return { host: `10.0.0.${nodeId + 1}`, port: SWIM_PORT };
}

/** See the head of the file. */
export class NodeEvidence {
  readonly watch: DeathWatch;
  readonly channel: RaftChannel;
  readonly #options: NodeEvidenceOptions;
  readonly #swim: SwimCore | null;
  #timer: Timer | null = null;
  #isClosed = false;

  constructor(options: NodeEvidenceOptions) {
    this.#options = options;
    const { world, network, machine, plan, image, isActive, fence, receive } = options;
    const { incarnationId } = options;
    this.watch = new DeathWatch({
      nodeId: machine.id,
      incarnationId,
      clock: machine,
      image,
      isActive,
      fence,
      pingTimeoutMs: suspicionMs.default,
      ping: (nodeId, timeoutMs) => this.channel.ping(nodeId, timeoutMs),
      onDisagreement: (nodeId) => {
        world.count("SWIM contradicted over TCP");
        world.trace(`node ${machine.id} reaches ${nodeId}, which SWIM calls down`);
      },
    });
    this.channel = new RaftChannel(network, machine, incarnationId, {
      receive,
      onGone: (peer) => {
        world.trace(`node ${machine.id} finds the process of ${peer} gone`);
        this.watch.onGone(peer);
      },
      onReached: (peer, incarnation) => this.watch.onReached(peer, incarnation),
    });
    this.#swim = plan.hasRandomVerdicts ? null : this.#openSwim();
    network.inboxes.set(machine.id, (from, bytes) => this.#onPacket(from, bytes));
    this.#afterInput();
  }

  /** A verdict by lot. */
  onVerdict(brokerId: number, verdict: "suspect" | "down"): void {
    const { world, machine, plan, image, isActive, fence } = this.#options;
    if (machine.isPaused || brokerId === machine.id) return;
    world.count("verdict by lot");
    world.trace(`node ${machine.id} hears that ${brokerId} is ${verdict}`);
    if (plan.isConfirming) {
      if (verdict === "suspect") this.watch.onSuspect(brokerId);
      else world.spawn(this.watch.onDown(brokerId));
      return;
    }
    const broker = image().brokers.get(brokerId);
    if (verdict === "down" && broker !== undefined && isActive())
      fence(brokerId, broker.epoch, "swim");
  }

  /** Says good-bye. */
  leave(): void {
    this.#swim?.leave(this.#nowMs);
    this.#afterInput();
  }

  /** Nobody comes back who was not called down. */
  check(): void {
    const { rules, machine, incarnationId } = this.#options;
    if (this.#swim === null || this.#isClosed) return;
    rules.swim.onRejoins(machine.id, incarnationId, this.#swim.statistics().rejoins);
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#swim?.close();
  }

  /** Fractional, and never back: what SWIM goes by. */
  get #nowMs(): number {
    return WORLD_BEGIN_MS + this.#options.machine.monotonicMs();
  }

  #openSwim(): SwimCore {
    const { machine, plan, incarnationId, seed } = this.#options;
    const seeds = Array.from({ length: plan.voterCount }, (_, nodeId) => addressOf(nodeId));
    return new SwimCore({
      nodeId: machine.id,
      incarnationId,
      clusterId: CLUSTER_ID,
      secret: CLUSTER_ID,
      address: addressOf(machine.id),
      seeds,
      profile: plan.swimProfile,
      seed,
      nowMs: this.#nowMs,
      suspectGuard: !plan.switchedOff.includes("suspect-guard"),
    });
  }

  #onPacket(from: number, bytes: Uint8Array): void {
    if (this.#isClosed || this.#swim === null) return;
    this.#swim.handlePacket(this.#nowMs, addressOf(from), bytes);
    this.#afterInput();
  }

  /** Carries out what SWIM wants done, and looks at its next deadline anew. */
  #afterInput(): void {
    const swim = this.#swim;
    if (swim === null || this.#isClosed) return;
    const { world, network, machine, rules } = this.#options;
    const { packets, events } = swim.takeOutputs();
    for (const { to, bytes } of packets) {
      const target = Number(to.host.slice(to.host.lastIndexOf(".") + 1)) - 1;
      const copy = bytes.slice();
      network.datagram(machine, target, () => network.inboxes.get(target)?.(machine.id, copy));
    }
    for (const { kind, nodeId, reason, incarnationId } of events) {
      world.trace(`node ${machine.id}: SWIM says that ${nodeId} is ${kind} ${reason ?? ""}`);
      if (kind === "suspect") this.watch.onSuspect(nodeId);
      else if (kind === "alive") this.watch.onAlive(nodeId);
      else {
        rules.swim.onDown(nodeId, incarnationId);
        const isDown = kind === "down" ? reason !== "replaced" : reason === "unhealthy";
        if (kind === "down") world.count("verdict of SWIM");
        if (isDown) world.spawn(this.watch.onDown(nodeId));
      }
    }
    this.#timer?.cancel();
    const delayMs = swim.nextDeadlineMs() - this.#nowMs;
    if (!Number.isFinite(delayMs)) return;
    this.#timer = machine.after(Math.max(0.01, delayMs), () => {
      if (this.#isClosed) return;
      swim.handleTimer(this.#nowMs);
      this.#afterInput();
    });
  }
}
