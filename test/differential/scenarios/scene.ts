/**
 * What a conversation about groups works with: a broker, and notes of what it answered. The notes of two brokers must be equal, so what
 * differs by nature (random ids, the run's own names, addresses) is replaced before it is noted.
 */
import { ZERO_UUID } from "#common/uuid.ts";
import { type ApiMessages } from "#protocol/api.ts";
import {
  JoinGroupApi,
  type JoinGroupRequest,
  type JoinGroupResponse,
  makeJoinGroupRequest,
} from "#protocol/generated/join-group.ts";
import {
  makeOffsetCommitRequest,
  makeOffsetCommitRequestPartition,
  makeOffsetCommitRequestTopic,
  type OffsetCommitRequest,
} from "#protocol/generated/offset-commit.ts";

/** Something that answers requests, one connection of it. */
export interface Speaker {
  send<Req, Res>(api: ApiMessages<Req, Res>, version: number, request: Req): Promise<Res>;
}

/** A broker under test. */
export interface Target {
  /** A connection of its own: parked requests block theirs. */
  connect(): Promise<Speaker>;
  /** A topic with two partitions, ready for use, and its id. */
  readonly topic: string;
  readonly topicId: string;
}

/** What a scenario works with. */
export class Scene {
  readonly notes: string[] = [];
  readonly target: Target;
  /** Group id of this scenario, unique to the run. */
  readonly group: string;
  readonly #run: string;
  #main: Promise<Speaker> | null = null;

  constructor(target: Target, name: string, run: string) {
    this.target = target;
    this.#run = run;
    this.group = `${name}-${run}`;
  }

  /** The scenario's main connection. */
  get main(): Promise<Speaker> {
    this.#main ??= this.target.connect();
    return this.#main;
  }

  /** Notes an answer under a label; equal answers of two brokers become equal lines. */
  note(label: string, answer: unknown): void {
    const text = JSON.stringify(answer, (key, value: unknown) => {
      if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1");
      if (key === "throttleTimeMs") return undefined;
      // Kafka answers by coordinator partition; the order means nothing.
      if (Array.isArray(value) && key === "groups") return value.toSorted(byGroupId);
      return value;
    });
    const plain = text
      .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<uuid>")
      .replaceAll(this.target.topic, "<topic>")
      .replaceAll(this.target.topicId, "<topic-id>")
      .replaceAll(this.#run, "<run>");
    this.notes.push(`${label}: ${plain}`);
  }

  /** Sends on the main connection and notes the answer, or that there was none. */
  async ask<Req, Res>(
    label: string,
    api: ApiMessages<Req, Res>,
    version: number,
    request: Req,
  ): Promise<Res | null> {
    try {
      const answer = await (await this.main).send(api, version, request);
      this.note(label, answer);
      return answer;
    } catch (error) {
      this.note(label, `no answer: ${error instanceof Error ? error.message : String(error)}`);
      this.#main = null;
      return null;
    }
  }

  /** Joins through both round trips; does not note anything. */
  async join(
    speaker: Speaker,
    init: Partial<JoinGroupRequest>,
    version = 9,
  ): Promise<JoinGroupResponse> {
    const request = joinRequest(this.group, init);
    const first = await speaker.send(JoinGroupApi, version, request);
    if (first.errorCode !== 79) return first;
    return speaker.send(JoinGroupApi, version, { ...request, memberId: first.memberId });
  }
}

function byGroupId(one: { groupId: string }, other: { groupId: string }): number {
  return one.groupId < other.groupId ? -1 : Number(one.groupId > other.groupId);
}

/** Bytes of a text. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Subscription of the consumer protocol, v0, to one topic. */
export function subscription(topic: string): Uint8Array {
  const name = utf8(topic);
  return new Uint8Array([0, 0, 0, 0, 0, 1, 0, name.length, ...name, 255, 255, 255, 255]);
}

/** A JoinGroup that offers one protocol. */
export function joinRequest(groupId: string, init: Partial<JoinGroupRequest>): JoinGroupRequest {
  return makeJoinGroupRequest({
    groupId,
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 10_000,
    protocolType: "consumer",
    protocols: [{ name: "range", metadata: subscription("some-topic") }],
    ...init,
  });
}

/** An OffsetCommit of rows to one topic. */
export function commitRequest(
  groupId: string,
  topic: string,
  rows: readonly (readonly [partition: number, offset: number, metadata: string | null])[],
  init: Partial<OffsetCommitRequest> = {},
  topicId: string = ZERO_UUID,
): OffsetCommitRequest {
  const partitions = rows.map(([partitionIndex, committedOffset, committedMetadata]) =>
    makeOffsetCommitRequestPartition({
      partitionIndex,
      committedOffset,
      committedMetadata,
    }),
  );
  const topics = [makeOffsetCommitRequestTopic({ name: topic, topicId, partitions })];
  return makeOffsetCommitRequest({ groupId, topics, ...init });
}

/** One conversation. */
export type Scenario = (scene: Scene) => Promise<void>;

/** Conversations by name. */
export type Scenarios = Readonly<Record<string, Scenario>>;
