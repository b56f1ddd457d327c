/**
 * A member of a next-generation group (KIP-848): heartbeats carry everything. A new assignment is taken, and what is no longer
 * in it given up, at once, and the next heartbeat says so without waiting; otherwise the broker's interval passes.
 */
import { randomUUID } from "node:crypto";
import {
  ConsumerGroupHeartbeatApi,
  type ConsumerGroupHeartbeatRequest,
  makeConsumerGroupHeartbeatRequest,
  makeConsumerGroupHeartbeatRequestTopicPartitions,
} from "#protocol/generated/consumer-group-heartbeat.ts";
import type { Wire } from "../../test/differential/wire.ts";
import { expectNone } from "./admin.ts";
import { type Member, type MemberOptions, Pauser, SESSION_TIMEOUT_MS } from "./members.ts";

/** v1: the member brings its id. */
export const CONSUMER_HEARTBEAT_VERSION = 1;
const JOIN_EPOCH = 0;
const LEAVE_EPOCH = -1;

/** See the head of the file. */
export class ConsumerMember implements Member {
  readonly #options: MemberOptions;
  readonly #pauser = new Pauser();
  readonly memberId: string = randomUUID();
  epoch = -1;
  owned: readonly number[] = [];
  isStable = false;

  constructor(options: MemberOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { topic, topicId } = this.#options;
    let next = this.#request({
      memberEpoch: JOIN_EPOCH,
      rebalanceTimeoutMs: SESSION_TIMEOUT_MS,
      subscribedTopicNames: [topic],
      topicPartitions: [],
    });
    while (!this.#pauser.isPaused) {
      const intervalMs = await this.#heartbeat(next);
      if (this.#hasChanged) {
        this.#hasChanged = false;
        const partitions = [...this.owned];
        const topicPartitions =
          partitions.length === 0
            ? []
            : [makeConsumerGroupHeartbeatRequestTopicPartitions({ topicId, partitions })];
        next = this.#request({ memberEpoch: this.epoch, topicPartitions });
      } else {
        this.isStable = true;
        this.#options.onChange();
        await this.#pauser.sleep(intervalMs);
        next = this.heartbeatRequest();
      }
    }
  }

  pause(): void {
    this.#pauser.pause();
  }

  async leave(wire: Wire): Promise<void> {
    const request = this.#request({ memberEpoch: LEAVE_EPOCH });
    await wire.send(ConsumerGroupHeartbeatApi, CONSUMER_HEARTBEAT_VERSION, request);
  }

  /** The heartbeat of a member for which nothing changes. */
  heartbeatRequest(): ConsumerGroupHeartbeatRequest {
    return this.#request({ memberEpoch: this.epoch });
  }

  /** An assignment came that the broker has not been told about. */
  #hasChanged = false;

  /** @returns the interval that the broker asks for, ms. */
  async #heartbeat(request: ConsumerGroupHeartbeatRequest): Promise<number> {
    const { wire, groupId } = this.#options;
    const answer = await wire.send(ConsumerGroupHeartbeatApi, CONSUMER_HEARTBEAT_VERSION, request);
    expectNone(answer.errorCode, `heartbeat in ${groupId} (${answer.errorMessage ?? ""})`);
    if (answer.memberEpoch !== this.epoch) this.isStable = false;
    this.epoch = answer.memberEpoch;
    if (answer.assignment !== null) {
      const assigned = answer.assignment.topicPartitions.flatMap(({ partitions }) => partitions);
      const isSame =
        assigned.length === this.owned.length &&
        assigned.every((each) => this.owned.includes(each));
      if (!isSame) {
        this.owned = assigned;
        this.#hasChanged = true;
        this.isStable = false;
      }
    }
    return answer.heartbeatIntervalMs;
  }

  #request(init: Partial<ConsumerGroupHeartbeatRequest>): ConsumerGroupHeartbeatRequest {
    const { groupId } = this.#options;
    return makeConsumerGroupHeartbeatRequest({ groupId, memberId: this.memberId, ...init });
  }
}
