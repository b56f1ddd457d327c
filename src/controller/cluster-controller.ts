/**
 * What the controller of a cluster serves besides an administrator's requests: brokers register, send heartbeats and change in-sync
 * sets, and who falls silent or is found dead is fenced.
 *
 * Every node of the quorum has one. `activate` and `resign` say whose turn it is; the others answer NOT_CONTROLLER, to an
 * administrator's requests too. There is no clock here: requests come with the monotonic time they arrived at, and whoever drives this
 * calls `onTick` some times a second.
 *
 * ```ts
 * quorum.onLeadership(…)                                   // an entry of our own term is applied:
 * await controller.cluster.activate(clock.monotonicMs());
 * await controller.cluster.fence({ brokerId, brokerEpoch }, "connection", clock.monotonicMs());
 * ```
 */
import { ErrorCode } from "#common/error-code.ts";
import type {
  AllocateProducerIdsRequest,
  AllocateProducerIdsResponse,
} from "#protocol/generated/allocate-producer-ids.ts";
import type {
  AlterPartitionRequest,
  AlterPartitionResponse,
} from "#protocol/generated/alter-partition.ts";
import type {
  BrokerHeartbeatRequest,
  BrokerHeartbeatResponse,
} from "#protocol/generated/broker-heartbeat.ts";
import type {
  BrokerRegistrationRequest,
  BrokerRegistrationResponse,
} from "#protocol/generated/broker-registration.ts";
import { decideAlterPartition, refuseAlterPartition } from "./alter-partition.ts";
import type { BrokerIdAndEpoch, BrokerLiveness, Evidence } from "./broker-liveness.ts";
import { decideBrokerRegistration, refuseBrokerRegistration } from "./broker-registration.ts";
import type { DecisionQueue } from "./decision-queue.ts";
import { MAX_ELECTIONS_PER_ROUND } from "./elections.ts";
import { decideFence } from "./fencing.ts";
import type { FenceOutcome } from "./fencing.ts";
import { decideHeartbeat, refuseHeartbeat } from "./heartbeats.ts";
import { decideAllocateProducerIds, refuseAllocateProducerIds } from "./producer-ids.ts";
import { decideActivation } from "./registration.ts";
import { Rounds } from "./rounds.ts";

/** What the controller of a cluster needs besides. */
export interface ClusterOptions {
  readonly clusterId: string;
  /** The soft state of this node's turns as active controller. The controller writes it; others may look. */
  readonly liveness: BrokerLiveness;
}

/** See the head of the file. */
export class ClusterController {
  readonly #queue: DecisionQueue;
  readonly #options: ClusterOptions;
  readonly #rounds = new Rounds();

  constructor(queue: DecisionQueue, options: ClusterOptions) {
    this.#queue = queue;
    this.#options = options;
  }

  /** Whether this node decides: between `activate` and `resign`. */
  get isActive(): boolean {
    return this.#queue.isActive;
  }

  /**
   * Begins this node's turn: an entry of its own term is applied, so that the image is the newest there is. Brokers in service get a
   * whole session. The first controller of a cluster writes the levels of features.
   *
   * @throws MetadataLogError when that could not be written.
   */
  async activate(nowMs: number): Promise<void> {
    this.#queue.isActive = true;
    await this.#queue.enqueue(async () => {
      this.#options.liveness.activate(this.#queue.committed, nowMs);
      this.#rounds.restart(nowMs);
      await this.#queue.commit(decideActivation);
    });
  }

  /** Ends this node's turn: what waits is answered NOT_CONTROLLER. */
  resign(): void {
    this.#queue.isActive = false;
  }

  /** Serves BrokerRegistration. */
  async registerBroker(
    request: BrokerRegistrationRequest,
    nowMs: number,
  ): Promise<BrokerRegistrationResponse> {
    return this.#queue.submitOr(
      (input, cluster) => decideBrokerRegistration(request, input, cluster, nowMs),
      ({ errorCode }) => refuseBrokerRegistration(errorCode),
      ({ errorCode, brokerEpoch }, { liveness }) => {
        if (errorCode !== ErrorCode.NONE) return;
        liveness.registered(request.brokerId, brokerEpoch, this.#queue.committed.offset);
      },
    );
  }

  /** Serves BrokerHeartbeat. The sign of life counts even while decisions wait. */
  async brokerHeartbeat(
    request: BrokerHeartbeatRequest,
    nowMs: number,
  ): Promise<BrokerHeartbeatResponse> {
    const { brokerId, brokerEpoch, currentMetadataOffset } = request;
    if (
      this.#queue.isActive &&
      this.#queue.committed.brokers.get(brokerId)?.epoch === brokerEpoch
    ) {
      this.#options.liveness.touch(brokerId, brokerEpoch, nowMs);
    }
    return this.#queue.submitOr(
      (input, cluster) => decideHeartbeat(request, input, cluster),
      ({ errorCode }) => refuseHeartbeat(errorCode),
      ({ errorCode, isFenced, shouldShutDown }, { liveness }) => {
        if (errorCode !== ErrorCode.NONE) return;
        // Once more: while this waited it may have been fenced, and its session forgotten.
        liveness.touch(brokerId, brokerEpoch, nowMs);
        liveness.heard(brokerId, brokerEpoch, currentMetadataOffset, isFenced);
        if (request.wantShutDown && !isFenced) {
          liveness.beginShutdown(brokerId, brokerEpoch, this.#queue.committed.offset);
        }
        // A broker that may go is not missed when it falls silent.
        if (shouldShutDown) liveness.forget(brokerId);
      },
    );
  }

  /** Serves AlterPartition of the given version. */
  async alterPartition(
    request: AlterPartitionRequest,
    version: number,
  ): Promise<AlterPartitionResponse> {
    return this.#queue.submitOr(
      (input) => decideAlterPartition(request, version, input),
      ({ errorCode }) => refuseAlterPartition(errorCode),
    );
  }

  /** Serves AllocateProducerIds. */
  async allocateProducerIdsFor(
    request: AllocateProducerIdsRequest,
  ): Promise<AllocateProducerIdsResponse> {
    return this.#queue.submitOr(
      (input) => decideAllocateProducerIds(request, input),
      ({ errorCode }) => refuseAllocateProducerIds(errorCode),
    );
  }

  /**
   * Fences one life of a broker that is taken for dead. In one commit it leads nothing any more, and is in sync with nothing.
   *
   * @returns what became of it; only with "fenced" has anything changed.
   */
  async fence(life: BrokerIdAndEpoch, evidence: Evidence, nowMs: number): Promise<FenceOutcome> {
    const { brokerId } = life;
    return this.#queue.submitOr<FenceOutcome>(
      (input, { liveness }) => {
        const decision = decideFence(life, input);
        if (decision.response !== "fenced") return decision;
        const isBelieved =
          evidence === "swim"
            ? liveness.maySwimFence(brokerId, input.image, nowMs)
            : // It may have been heard of while this waited.
              evidence !== "session" ||
              !liveness.hasValidSession(brokerId, life.brokerEpoch, nowMs);
        return isBelieved ? decision : { response: "not-believed", records: [] };
      },
      () => "not-controller",
      (outcome, { liveness }) => {
        // A process that is gone needs no session to end, whatever it was: its next life may register at once.
        if (outcome === "not-needed" && evidence === "connection") liveness.forgetLife(life);
        if (outcome !== "fenced") return;
        liveness.forget(brokerId);
        if (evidence === "swim") liveness.swimFenced(brokerId, nowMs);
      },
    );
  }

  /**
   * Does what time asks for: fences brokers whose session is over, balances leaders (`auto.leader.rebalance.enable`) and elects where
   * unclean leaders are allowed, each in its own interval.
   *
   * @returns the brokers that were fenced.
   */
  async onTick(nowMs: number): Promise<readonly BrokerIdAndEpoch[]> {
    if (!this.#queue.isActive) return [];
    const { liveness } = this.#options;
    liveness.tick(nowMs);
    const fenced: BrokerIdAndEpoch[] = [];
    for (const life of liveness.expired(nowMs)) {
      const outcome = await this.fence(life, "session", nowMs);
      if (outcome === "fenced") fenced.push(life);
      // A session of a life that is over says nothing more.
      if (outcome === "not-needed") liveness.forgetLife(life);
    }
    for (const decide of this.#rounds.due(nowMs, this.#queue.config)) {
      await this.#queue.submitOr<number>(
        (input) => {
          const records = decide(input);
          return { response: records.length, records };
        },
        () => 0,
        (count) => {
          if (count >= MAX_ELECTIONS_PER_ROUND) this.#rounds.repeat(decide);
        },
      );
    }
    return fenced;
  }
}
