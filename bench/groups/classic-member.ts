/** A member of a classic group with the eager range assignor: joins, syncs, sends heartbeats, joins again when told so. */
import { ErrorCode, errorInfo } from "#common/error-code.ts";
import { HeartbeatApi, makeHeartbeatRequest } from "#protocol/generated/heartbeat.ts";
import {
  JoinGroupApi,
  type JoinGroupResponse,
  makeJoinGroupRequest,
  makeJoinGroupRequestProtocol,
} from "#protocol/generated/join-group.ts";
import {
  LeaveGroupApi,
  makeLeaveGroupRequest,
  makeMemberIdentity,
} from "#protocol/generated/leave-group.ts";
import {
  ConsumerProtocolAssignmentCodec,
  makeConsumerProtocolAssignment,
  makeTopicPartition,
} from "#protocol/generated/records/consumer-protocol-assignment.ts";
import {
  ConsumerProtocolSubscriptionCodec,
  makeConsumerProtocolSubscription,
} from "#protocol/generated/records/consumer-protocol-subscription.ts";
import {
  makeSyncGroupRequest,
  makeSyncGroupRequestAssignment,
  SyncGroupApi,
} from "#protocol/generated/sync-group.ts";
import { decodeConsumerAssignment, encodeVersioned } from "#protocol/records/framing.ts";
import { assignRanges } from "../../src/client/assignor.ts";
import type { Wire } from "../../test/differential/wire.ts";
import { expectNone } from "./admin.ts";
import { type Member, type MemberOptions, Pauser, SESSION_TIMEOUT_MS } from "./members.ts";

const JOIN_VERSION = 9;
const SYNC_VERSION = 5;
export const HEARTBEAT_VERSION = 4;
const LEAVE_VERSION = 5;
const CONSUMER_PROTOCOL_VERSION = 1;
const PROTOCOL_TYPE = "consumer";
const PROTOCOL_NAME = "range";
const LOADING_PAUSE_MS = 50;

/** Codes after which a member joins again; the id survives all but the last. */
const rejoinCodes: ReadonlySet<number> = new Set([
  ErrorCode.REBALANCE_IN_PROGRESS,
  ErrorCode.ILLEGAL_GENERATION,
  ErrorCode.UNKNOWN_MEMBER_ID,
]);

/** See the head of the file. */
export class ClassicMember implements Member {
  readonly #options: MemberOptions;
  readonly #pauser = new Pauser();
  memberId = "";
  epoch = -1;
  owned: readonly number[] = [];
  isStable = false;

  constructor(options: MemberOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    while (!this.#pauser.isPaused) {
      const joined = await this.#join();
      if (joined !== null && (await this.#sync(joined))) await this.#stay();
      this.isStable = false;
    }
  }

  pause(): void {
    this.#pauser.pause();
  }

  async leave(wire: Wire): Promise<void> {
    const members = [makeMemberIdentity({ memberId: this.memberId })];
    const request = makeLeaveGroupRequest({ groupId: this.#options.groupId, members });
    await wire.send(LeaveGroupApi, LEAVE_VERSION, request);
  }

  async #join(): Promise<JoinGroupResponse | null> {
    const { wire, groupId, topic } = this.#options;
    const subscription = makeConsumerProtocolSubscription({ topics: [topic] });
    const metadata = encodeVersioned(
      ConsumerProtocolSubscriptionCodec,
      subscription,
      CONSUMER_PROTOCOL_VERSION,
    );
    const request = makeJoinGroupRequest({
      groupId,
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      rebalanceTimeoutMs: SESSION_TIMEOUT_MS,
      memberId: this.memberId,
      protocolType: PROTOCOL_TYPE,
      protocols: [makeJoinGroupRequestProtocol({ name: PROTOCOL_NAME, metadata })],
    });
    let answer = await wire.send(JoinGroupApi, JOIN_VERSION, request);
    if (answer.errorCode === ErrorCode.MEMBER_ID_REQUIRED) {
      this.memberId = answer.memberId;
      const again = { ...request, memberId: answer.memberId };
      answer = await wire.send(JoinGroupApi, JOIN_VERSION, again);
    }
    if (this.#mustRejoin(answer.errorCode)) return null;
    if (answer.errorCode === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS) {
      // The first members of a fresh broker: its coordinator is not ready, and nothing is measured yet.
      await this.#pauser.sleep(LOADING_PAUSE_MS);
      return null;
    }
    expectNone(answer.errorCode, `joining ${groupId}`);
    this.memberId = answer.memberId;
    return answer;
  }

  async #sync(joined: JoinGroupResponse): Promise<boolean> {
    const { wire, groupId, topic, partitions } = this.#options;
    const isLeader = joined.leader === joined.memberId;
    const assignments = isLeader
      ? shareOut(
          joined.members.map(({ memberId }) => memberId),
          topic,
          partitions,
        )
      : [];
    const answer = await wire.send(
      SyncGroupApi,
      SYNC_VERSION,
      makeSyncGroupRequest({
        groupId,
        generationId: joined.generationId,
        memberId: this.memberId,
        protocolType: PROTOCOL_TYPE,
        protocolName: PROTOCOL_NAME,
        assignments,
      }),
    );
    if (this.#mustRejoin(answer.errorCode)) return false;
    expectNone(answer.errorCode, `syncing ${groupId}`);
    const decoded = decodeConsumerAssignment(answer.assignment);
    if (decoded.kind !== "record") throw new Error(`${groupId}: an assignment cannot be read`);
    this.epoch = joined.generationId;
    this.owned = decoded.record.assignedPartitions.flatMap((each) => each.partitions);
    this.isStable = true;
    this.#options.onChange();
    return true;
  }

  /** Heartbeats until the generation ends. */
  async #stay(): Promise<void> {
    const { wire, groupId, heartbeatMs } = this.#options;
    for (;;) {
      await this.#pauser.sleep(heartbeatMs);
      if (this.#pauser.isPaused) return;
      const answer = await wire.send(HeartbeatApi, HEARTBEAT_VERSION, this.heartbeatRequest());
      if (this.#mustRejoin(answer.errorCode)) return;
      if (answer.errorCode !== ErrorCode.NONE)
        throw new Error(`heartbeat in ${groupId}: ${errorInfo(answer.errorCode).name}`);
    }
  }

  /** The heartbeat of a stable member. */
  heartbeatRequest(): ReturnType<typeof makeHeartbeatRequest> {
    return makeHeartbeatRequest({
      groupId: this.#options.groupId,
      generationId: this.epoch,
      memberId: this.memberId,
    });
  }

  #mustRejoin(errorCode: number): boolean {
    if (errorCode === ErrorCode.UNKNOWN_MEMBER_ID) this.memberId = "";
    return rejoinCodes.has(errorCode);
  }
}

function shareOut(
  memberIds: readonly string[],
  topic: string,
  partitions: number,
): ReturnType<typeof makeSyncGroupRequestAssignment>[] {
  const subscriptions = memberIds.map((memberId) => ({ memberId, topics: [topic] }));
  return [...assignRanges(subscriptions, new Map([[topic, partitions]]))].map(
    ([memberId, byTopic]) => {
      const assignedPartitions = [
        makeTopicPartition({ topic, partitions: [...(byTopic.get(topic) ?? [])] }),
      ];
      const assignment = encodeVersioned(
        ConsumerProtocolAssignmentCodec,
        makeConsumerProtocolAssignment({ assignedPartitions }),
        CONSUMER_PROTOCOL_VERSION,
      );
      return makeSyncGroupRequestAssignment({ memberId, assignment });
    },
  );
}
