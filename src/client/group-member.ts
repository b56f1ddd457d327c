/**
 * A member of a classic consumer group that reads one topic. It is an eager one also where the group's assignor is a cooperative one:
 * it stops reading and commits before it joins again, which every assignor allows.
 *
 * ```
 * join ──JoinGroup──► (79: once more, with the member id given) ──SyncGroup──► member of a generation
 * member ──Heartbeat: 27, 22, 25, 16 or no coordinator──► `rebalance` aborts; the caller commits and joins again
 * ```
 * The coordinator is spoken to on a connection of its own, because JoinGroup waits for the other members and a long Fetch must never
 * keep a heartbeat waiting.
 */
import { ErrorCode } from "#common/error-code.ts";
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
import {
  decodeConsumerAssignment,
  decodeConsumerSubscription,
  encodeVersioned,
} from "#protocol/records/framing.ts";
import { ASSIGNORS, assignorOf, type Subscription } from "./assignor.ts";
import { ClientError, refused } from "./client-error.ts";
import type { Cluster } from "./cluster.ts";
import type { Connection } from "./connection.ts";
import { commitAsMember, fetchMemberOffsets } from "./member-offsets.ts";
import { isLostMembership, type Membership } from "./membership.ts";
import { retrying } from "./retry.ts";

/** Which group, and how patient it is. */
export interface GroupMemberOptions {
  readonly groupId: string;
  readonly topic: string;
  /** A member that is silent this long is taken for dead. */
  readonly sessionTimeoutMs?: number;
  /** How long a rebalance waits for members to come back. */
  readonly rebalanceTimeoutMs?: number;
  readonly heartbeatIntervalMs?: number;
}

const DEFAULT_SESSION_TIMEOUT_MS = 10_000;
const DEFAULT_REBALANCE_TIMEOUT_MS = 60_000;
const DEFAULT_HEARTBEAT_INTERVAL_MS = 1_000;
/** Past the rebalance timeout the broker answers in any case; this much later it does not answer at all. */
const JOIN_SLACK_MS = 10_000;
const LEAVE_TIMEOUT_MS = 3_000;
const CONSUMER_PROTOCOL = "consumer";
const SUBSCRIPTION_VERSION = 0;
/** Since version 3 members leave by a list. */
const LEAVE_BY_LIST_VERSION = 3;

/** See the head of the file. */
export class GroupMember implements Membership {
  readonly #cluster: Cluster;
  readonly #groupId: string;
  readonly #topic: string;
  readonly #options: GroupMemberOptions;
  #connection: Connection | null = null;
  #memberId = "";
  #generationId = -1;
  #heartbeats: ReturnType<typeof setInterval> | null = null;
  #rebalance: AbortController = new AbortController();

  constructor(cluster: Cluster, options: GroupMemberOptions) {
    this.#cluster = cluster;
    this.#groupId = options.groupId;
    this.#topic = options.topic;
    this.#options = options;
  }

  get rebalance(): AbortSignal {
    return this.#rebalance.signal;
  }

  join(): Promise<readonly number[]> {
    this.#stopHeartbeats();
    return retrying(
      async () => {
        const joined = await this.#joinGroup();
        const partitions = await this.#syncGroup(joined);
        this.#rebalance = new AbortController();
        this.#startHeartbeats();
        return partitions;
      },
      this.#cluster.retryTimeoutMs + this.#rebalanceTimeoutMs,
      (error) => {
        this.#forgetWhatWasRefused(error);
        return error.isRetriable || isLostMembership(error.errorCode);
      },
    );
  }

  committed(partitions: readonly number[]): Promise<ReadonlyMap<number, number>> {
    return retrying(
      async () =>
        fetchMemberOffsets(await this.#coordinator(), this.#groupId, this.#topic, partitions),
      this.#cluster.retryTimeoutMs,
    );
  }

  async commit(offsets: ReadonlyMap<number, number>): Promise<void> {
    if (offsets.size === 0) return;
    await retrying(
      async () => {
        const member = {
          groupId: this.#groupId,
          memberId: this.#memberId,
          epoch: this.#generationId,
        };
        await commitAsMember(await this.#coordinator(), member, this.#topic, offsets);
      },
      this.#cluster.retryTimeoutMs,
      (error) => {
        this.#forgetWhatWasRefused(error);
        return error.isRetriable && !isLostMembership(error.errorCode);
      },
    );
  }

  /** Leaves, so that the others need not wait for the session to end. Never fails: the session ends by itself. */
  async leave(): Promise<void> {
    this.#stopHeartbeats();
    const connection = this.#connection;
    if (connection?.isOpen === true && this.#memberId !== "") {
      const isByList = (connection.versionOf(LeaveGroupApi) ?? 0) >= LEAVE_BY_LIST_VERSION;
      const request = isByList
        ? makeLeaveGroupRequest({
            groupId: this.#groupId,
            members: [makeMemberIdentity({ memberId: this.#memberId })],
          })
        : makeLeaveGroupRequest({ groupId: this.#groupId, memberId: this.#memberId });
      await connection
        .send(LeaveGroupApi, request, { timeoutMs: LEAVE_TIMEOUT_MS })
        .catch(() => null);
    }
    connection?.close();
  }

  get #sessionTimeoutMs(): number {
    return this.#options.sessionTimeoutMs ?? DEFAULT_SESSION_TIMEOUT_MS;
  }

  get #rebalanceTimeoutMs(): number {
    return this.#options.rebalanceTimeoutMs ?? DEFAULT_REBALANCE_TIMEOUT_MS;
  }

  async #coordinator(): Promise<Connection> {
    if (this.#connection?.isOpen === true) return this.#connection;
    const address = await this.#cluster.coordinatorOf(this.#groupId);
    this.#connection = await this.#cluster.ownConnectionTo(address);
    return this.#connection;
  }

  async #joinGroup(): Promise<JoinGroupResponse> {
    const connection = await this.#coordinator();
    const request = (): ReturnType<typeof makeJoinGroupRequest> =>
      makeJoinGroupRequest({
        groupId: this.#groupId,
        sessionTimeoutMs: this.#sessionTimeoutMs,
        rebalanceTimeoutMs: this.#rebalanceTimeoutMs,
        memberId: this.#memberId,
        protocolType: CONSUMER_PROTOCOL,
        // What it says of itself is the same for each: it gives up what it reads before it joins again, and so owns nothing.
        protocols: ASSIGNORS.map(({ name }) =>
          makeJoinGroupRequestProtocol({
            name,
            metadata: encodeVersioned(
              ConsumerProtocolSubscriptionCodec,
              makeConsumerProtocolSubscription({ topics: [this.#topic] }),
              SUBSCRIPTION_VERSION,
            ),
          }),
        ),
      });
    const timeoutMs = this.#rebalanceTimeoutMs + JOIN_SLACK_MS;
    let answer = await connection.send(JoinGroupApi, request(), { timeoutMs });
    if (answer.errorCode === ErrorCode.MEMBER_ID_REQUIRED) {
      this.#memberId = answer.memberId;
      answer = await connection.send(JoinGroupApi, request(), { timeoutMs });
    }
    this.#check(answer.errorCode);
    this.#memberId = answer.memberId;
    this.#generationId = answer.generationId;
    return answer;
  }

  async #syncGroup(joined: JoinGroupResponse): Promise<readonly number[]> {
    const connection = await this.#coordinator();
    const isLeader = joined.leader === this.#memberId;
    const answer = await connection.send(
      SyncGroupApi,
      makeSyncGroupRequest({
        groupId: this.#groupId,
        generationId: this.#generationId,
        memberId: this.#memberId,
        protocolType: CONSUMER_PROTOCOL,
        protocolName: joined.protocolName,
        assignments: isLeader ? await this.#assign(joined) : [],
      }),
      { timeoutMs: this.#rebalanceTimeoutMs + JOIN_SLACK_MS },
    );
    this.#check(answer.errorCode);
    // A member that nothing is left for may get no bytes at all.
    if (answer.assignment.length === 0) return [];
    const decoded = decodeConsumerAssignment(answer.assignment);
    if (decoded.kind !== "record") {
      throw new ClientError(
        "BAD_ANSWER",
        `group '${this.#groupId}': the assignment cannot be read${decoded.kind === "failure" ? `: ${decoded.reason}` : ""}`,
      );
    }
    return decoded.record.assignedPartitions
      .filter(({ topic }) => topic === this.#topic)
      .flatMap(({ partitions }) => partitions);
  }

  /** The leader's part: who reads what. */
  async #assign(
    joined: JoinGroupResponse,
  ): Promise<ReturnType<typeof makeSyncGroupRequestAssignment>[]> {
    const subscriptions: Subscription[] = joined.members.map(({ memberId, metadata }) => {
      const decoded = decodeConsumerSubscription(metadata);
      if (decoded.kind !== "record")
        return { memberId, topics: [], owned: new Map(), generation: -1 };
      const { topics: wanted, ownedPartitions, generationId } = decoded.record;
      return {
        memberId,
        topics: wanted,
        owned: new Map(ownedPartitions.map(({ topic, partitions }) => [topic, partitions])),
        generation: generationId,
      };
    });
    const topics = [...new Set(subscriptions.flatMap((subscription) => subscription.topics))];
    const { topics: rows } = await this.#cluster.refresh({ topics });
    const counts = new Map(
      rows
        .filter(({ errorCode }) => errorCode === 0)
        .map(({ name, partitions }) => [name ?? "", partitions.length]),
    );
    const assign = assignorOf(joined.protocolName);
    if (assign === null) {
      throw new ClientError(
        "BAD_ANSWER",
        `group '${this.#groupId}' chose the assignor '${joined.protocolName}', which this member did not offer`,
      );
    }
    return [...assign(subscriptions, counts)].map(([memberId, byTopic]) =>
      makeSyncGroupRequestAssignment({
        memberId,
        assignment: encodeVersioned(
          ConsumerProtocolAssignmentCodec,
          makeConsumerProtocolAssignment({
            assignedPartitions: [...byTopic].map(([topic, partitions]) =>
              makeTopicPartition({ topic, partitions: [...partitions] }),
            ),
          }),
          SUBSCRIPTION_VERSION,
        ),
      }),
    );
  }

  #startHeartbeats(): void {
    let isWaiting = false;
    this.#heartbeats = setInterval(() => {
      if (isWaiting) return;
      isWaiting = true;
      this.#heartbeat().then(
        () => {
          isWaiting = false;
        },
        () => this.#endGeneration(),
      );
    }, this.#options.heartbeatIntervalMs ?? DEFAULT_HEARTBEAT_INTERVAL_MS);
  }

  async #heartbeat(): Promise<void> {
    const connection = this.#connection;
    if (connection === null) throw new ClientError("CONNECTION_CLOSED", "no coordinator");
    const answer = await connection.send(
      HeartbeatApi,
      makeHeartbeatRequest({
        groupId: this.#groupId,
        generationId: this.#generationId,
        memberId: this.#memberId,
      }),
      { timeoutMs: this.#sessionTimeoutMs },
    );
    this.#check(answer.errorCode);
  }

  #endGeneration(): void {
    this.#stopHeartbeats();
    this.#rebalance.abort();
  }

  #stopHeartbeats(): void {
    if (this.#heartbeats !== null) clearInterval(this.#heartbeats);
    this.#heartbeats = null;
  }

  #check(errorCode: number): void {
    if (errorCode !== 0) throw refused(`group '${this.#groupId}'`, errorCode);
  }

  /** Lets go of a member id or a coordinator that the broker no longer knows. */
  #forgetWhatWasRefused(error: ClientError): void {
    if (error.errorCode === ErrorCode.UNKNOWN_MEMBER_ID) this.#memberId = "";
    if (
      error.errorCode === ErrorCode.NOT_COORDINATOR ||
      error.errorCode === ErrorCode.COORDINATOR_NOT_AVAILABLE
    ) {
      this.#connection?.close();
    }
  }
}
