/**
 * A member of a next-generation group (KIP-848) that reads one topic. The coordinator decides who reads what; one request does everything:
 *
 * ```
 * epoch 0   ──Heartbeat: topic, nothing owned──► member, epoch n, an assignment
 * epoch n   ──Heartbeat every interval─────────► nothing new, or another assignment: `rebalance` aborts; the caller stops and commits
 * join      ──Heartbeat: owns the new one──────► perhaps more, which others have given up by now
 * 25, 110   ─────────────────────────────────────► the membership is over: `rebalance` aborts, and `join` begins with epoch 0
 * leave     ──Heartbeat: epoch -1
 * ```
 * What is assigned counts as owned once `join` has told the coordinator so; before that nobody else gets what was given up.
 */
import { ErrorCode } from "#common/error-code.ts";
import {
  ConsumerGroupHeartbeatApi,
  type ConsumerGroupHeartbeatRequest,
  type ConsumerGroupHeartbeatResponse,
  makeConsumerGroupHeartbeatRequest,
  makeConsumerGroupHeartbeatRequestTopicPartitions,
} from "#protocol/generated/consumer-group-heartbeat.ts";
import { ClientError, refused } from "./client-error.ts";
import type { Cluster } from "./cluster.ts";
import type { Connection } from "./connection.ts";
import type { GroupMemberOptions } from "./group-member.ts";
import { commitAsMember, fetchMemberOffsets } from "./member-offsets.ts";
import { isLostMembership, type Membership } from "./membership.ts";
import { pause, retrying } from "./retry.ts";

const JOINING_EPOCH = 0;
const LEAVING_EPOCH = -1;
const DEFAULT_REBALANCE_TIMEOUT_MS = 60_000;
const LEAVE_TIMEOUT_MS = 3_000;
const MEMBER_ID_BYTES = 16;
/** The first version in which members name themselves. */
const OWN_MEMBER_ID_VERSION = 1;
/** So many heartbeats a member without partitions waits for others to give some up. */
const PATIENT_HEARTBEATS = 3;

/** See the head of the file. */
export class ConsumerGroupMember implements Membership {
  readonly #cluster: Cluster;
  readonly #groupId: string;
  readonly #topic: string;
  readonly #rebalanceTimeoutMs: number;
  #connection: Connection | null = null;
  #topicId = "";
  #memberId: string = Buffer.from(crypto.getRandomValues(new Uint8Array(MEMBER_ID_BYTES))).toString(
    "base64url",
  );
  #epoch: number = JOINING_EPOCH;
  #intervalMs = 1_000;
  /** What this member has told that it reads. */
  #owned: readonly number[] = [];
  /** What the coordinator said last. */
  #assigned: readonly number[] = [];
  /** Heartbeats go out one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #rebalance: AbortController = new AbortController();

  constructor(
    cluster: Cluster,
    options: Pick<GroupMemberOptions, "groupId" | "topic" | "rebalanceTimeoutMs">,
  ) {
    this.#cluster = cluster;
    this.#groupId = options.groupId;
    this.#topic = options.topic;
    this.#rebalanceTimeoutMs = options.rebalanceTimeoutMs ?? DEFAULT_REBALANCE_TIMEOUT_MS;
  }

  get rebalance(): AbortSignal {
    return this.#rebalance.signal;
  }

  join(): Promise<readonly number[]> {
    this.#stopTimer();
    return retrying(
      async () => {
        if (this.#epoch === JOINING_EPOCH) await this.#enter();
        else await this.#own();
        for (let beats = 0; this.#assigned.length === 0 && beats < PATIENT_HEARTBEATS; beats++) {
          await pause(this.#intervalMs);
          await this.#beat({});
        }
        await this.#own();
        this.#rebalance = new AbortController();
        this.#startTimer();
        return this.#owned;
      },
      this.#cluster.retryTimeoutMs + this.#rebalanceTimeoutMs,
      (error) => {
        this.#forgetWhatWasRefused(error);
        return (
          error.isRetriable ||
          isLostMembership(error.errorCode) ||
          error.errorCode === ErrorCode.UNRELEASED_INSTANCE_ID
        );
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
    let epoch = this.#epoch;
    await retrying(
      async () => {
        epoch = this.#epoch;
        const member = { groupId: this.#groupId, memberId: this.#memberId, epoch };
        await commitAsMember(await this.#coordinator(), member, this.#topic, offsets);
      },
      this.#cluster.retryTimeoutMs,
      (error) => {
        // A heartbeat that was under way has brought a new epoch.
        if (error.errorCode === ErrorCode.STALE_MEMBER_EPOCH) return epoch !== this.#epoch;
        this.#forgetWhatWasRefused(error);
        return error.isRetriable && !isLostMembership(error.errorCode);
      },
    );
  }

  async leave(): Promise<void> {
    this.#stopTimer();
    const connection = this.#connection;
    if (connection?.isOpen === true && this.#epoch !== JOINING_EPOCH) {
      const request = makeConsumerGroupHeartbeatRequest({
        groupId: this.#groupId,
        memberId: this.#memberId,
        memberEpoch: LEAVING_EPOCH,
      });
      await connection
        .send(ConsumerGroupHeartbeatApi, request, { timeoutMs: LEAVE_TIMEOUT_MS })
        .catch(() => null);
    }
    connection?.close();
  }

  /** Becomes a member. */
  async #enter(): Promise<void> {
    const topic = await this.#cluster.topic(this.#topic);
    this.#topicId = topic.topicId;
    this.#owned = [];
    this.#assigned = [];
    const connection = await this.#coordinator();
    const version = connection.versionOf(ConsumerGroupHeartbeatApi) ?? OWN_MEMBER_ID_VERSION;
    if (version < OWN_MEMBER_ID_VERSION) this.#memberId = "";
    await this.#beat({
      rebalanceTimeoutMs: this.#rebalanceTimeoutMs,
      subscribedTopicNames: [this.#topic],
      topicPartitions: [],
    });
  }

  /** Tells that it reads what it was assigned, until nothing new comes back. */
  async #own(): Promise<void> {
    while (!isSame(this.#owned, this.#assigned)) {
      const owned = this.#assigned;
      await this.#beat({
        topicPartitions: [
          makeConsumerGroupHeartbeatRequestTopicPartitions({
            topicId: this.#topicId,
            partitions: [...owned],
          }),
        ].filter(({ partitions }) => partitions.length > 0),
      });
      this.#owned = owned;
    }
  }

  #beat(news: Partial<ConsumerGroupHeartbeatRequest>): Promise<void> {
    const beat = this.#last
      .catch(() => {})
      .then(async () => {
        const connection = await this.#coordinator();
        const answer = await connection.send(
          ConsumerGroupHeartbeatApi,
          makeConsumerGroupHeartbeatRequest({
            groupId: this.#groupId,
            memberId: this.#memberId,
            memberEpoch: this.#epoch,
            ...news,
          }),
        );
        this.#take(answer);
      });
    this.#last = beat;
    return beat;
  }

  #take(answer: ConsumerGroupHeartbeatResponse): void {
    if (answer.errorCode !== 0)
      throw refused(`group '${this.#groupId}'`, answer.errorCode, answer.errorMessage);
    this.#memberId = answer.memberId ?? this.#memberId;
    this.#epoch = answer.memberEpoch;
    this.#intervalMs = answer.heartbeatIntervalMs;
    if (answer.assignment === null) return;
    this.#assigned = answer.assignment.topicPartitions
      .filter(({ topicId }) => topicId === this.#topicId)
      .flatMap(({ partitions }) => partitions)
      .sort((a, b) => a - b);
  }

  #startTimer(): void {
    this.#timer = setTimeout(() => {
      this.#beat({}).then(
        () => {
          if (!isSame(this.#owned, this.#assigned)) this.#rebalance.abort();
          // Also while the caller finishes what it was doing: the session must not end over that.
          if (this.#timer !== null) this.#startTimer();
        },
        (error: unknown) => {
          const hasPassed = error instanceof ClientError && error.isRetriable;
          if (error instanceof ClientError) this.#forgetWhatWasRefused(error);
          if (!hasPassed) this.#rebalance.abort();
          else if (this.#timer !== null) this.#startTimer();
        },
      );
    }, this.#intervalMs);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #coordinator(): Promise<Connection> {
    if (this.#connection?.isOpen === true) return this.#connection;
    const address = await this.#cluster.coordinatorOf(this.#groupId);
    this.#connection = await this.#cluster.ownConnectionTo(address);
    return this.#connection;
  }

  /** Begins anew where the coordinator no longer knows the member, and looks for another coordinator where this one is none. */
  #forgetWhatWasRefused({ errorCode }: ClientError): void {
    if (errorCode === ErrorCode.UNKNOWN_MEMBER_ID || errorCode === ErrorCode.FENCED_MEMBER_EPOCH) {
      this.#epoch = JOINING_EPOCH;
    }
    if (
      errorCode === ErrorCode.NOT_COORDINATOR ||
      errorCode === ErrorCode.COORDINATOR_NOT_AVAILABLE
    )
      this.#connection?.close();
  }
}

function isSame(left: readonly number[], right: readonly number[]): boolean {
  return (
    left.length === right.length && left.every((partition, index) => partition === right[index])
  );
}
