/**
 * Members of a consumer group of the classic protocol, as a client of Kafka behaves, in small: they join, the leader splits the partitions,
 * each reads what was committed for its own and goes on from there, committing one offset after another. Now and then one leaves, or dies
 * without a word. What they are told is held against the rules (`group-rules.ts`).
 */
import { ErrorCode } from "#common/error-code.ts";
import type { GroupCoordinator } from "#coordinator/group/group-coordinator.ts";
import type { MaybePromise } from "#common/maybe-promise.ts";
import { ZERO_UUID } from "#common/uuid.ts";
import { type ClientWorld, Routing } from "./clients.ts";
import type { GroupRules } from "./group-rules.ts";
import { TOPIC } from "./names.ts";
import type { SeededRandom } from "./random.ts";
import { CallFailure } from "./rpc.ts";
import { Machine } from "./world.ts";

export const GROUP = "g";

const SESSION_MS = 1500;
const REBALANCE_MS = 800;
const RETRY_MS = 50;
const HEARTBEAT_MS = 300;
const CALLER = { clientId: "simulated", clientHost: "/127.0.0.1" };
const NO_BYTES: Uint8Array = new Uint8Array(0);

/** After these another broker may be asked, or the same one later. */
const ELSEWHERE: ReadonlySet<number> = new Set([
  ErrorCode.NOT_COORDINATOR,
  ErrorCode.COORDINATOR_NOT_AVAILABLE,
  ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
  ErrorCode.REQUEST_TIMED_OUT,
]);

/** What members live in. */
export interface GroupWorld extends ClientWorld {
  readonly rules: GroupRules;
}

/** Calls of a group's coordinator, wherever it is; nothing is retried. */
class Coordinator {
  readonly #routing: Routing;
  readonly #slot: number;

  constructor(of: ClientWorld, machine: Machine, random: SeededRandom) {
    this.#routing = new Routing(of, machine, random);
    this.#slot = of.partitionCount;
  }

  /** Null when nobody has answered: another one is asked the next time. */
  async call<T>(call: (groups: GroupCoordinator) => MaybePromise<T>): Promise<T | null> {
    const { leader } = this.#routing.leaderOf(this.#slot);
    try {
      if (leader >= 0) return (await this.#routing.call(leader, { kind: "group", call })) as T;
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
    }
    await this.lookAnew();
    return null;
  }

  async lookAnew(): Promise<void> {
    await this.#routing.sleep(RETRY_MS);
    await this.#routing.refresh();
  }

  sleep(ms: number): Promise<void> {
    return this.#routing.sleep(ms);
  }
}

/** Asks for the committed offset of a partition; null when it was not told. */
async function committedOffset(
  of: GroupWorld,
  coordinator: Coordinator,
  partition: number,
  generation: number,
): Promise<number | null> {
  const onFetched = of.rules.onFetch(partition, generation);
  const topics = [{ name: TOPIC, topicId: ZERO_UUID, partitionIndexes: [partition] }];
  const answer = await coordinator.call((groups) =>
    groups.fetchOffsets({ groupId: GROUP, memberId: null, memberEpoch: -1, topics }, true),
  );
  if (answer === null) return null;
  if (answer.errorCode !== ErrorCode.NONE) {
    await coordinator.lookAnew();
    return null;
  }
  const offset = answer.topics[0]?.partitions[0]?.committedOffset ?? -1;
  of.world.trace(`group ${partition} is at ${offset} in generation ${generation}`);
  onFetched(offset);
  return offset;
}

/** See the head of the file. */
export class GroupMember {
  readonly #of: GroupWorld;
  readonly #id: number;
  readonly #random: SeededRandom;
  readonly #coordinator: Coordinator;
  readonly #untilMs: number;
  #memberId = "";
  #generation = -1;
  /** What it owns, and the last offset committed of each. */
  #positions: Map<number, number> = new Map();
  isDone = false;

  constructor(of: GroupWorld, id: number, untilMs: number) {
    this.#of = of;
    this.#id = id;
    this.#untilMs = untilMs;
    this.#random = of.world.random.split(`member ${id}`);
    const machine = new Machine(of.world, 3000 + id, { rate: 1, offsetMs: 0 });
    machine.start();
    of.network.add(machine);
    this.#coordinator = new Coordinator(of, machine, this.#random);
  }

  async run(): Promise<void> {
    await this.#coordinator.lookAnew();
    while (!this.#isOver) {
      if (await this.#joined()) await this.#work();
    }
    this.isDone = true;
  }

  get #isOver(): boolean {
    return this.#of.world.nowMs >= this.#untilMs;
  }

  /** One attempt to become an owner: join, sync, and read where to go on. */
  async #joined(): Promise<boolean> {
    const joined = await this.#coordinator.call((groups) =>
      groups.joinGroup({
        groupId: GROUP,
        sessionTimeoutMs: SESSION_MS,
        rebalanceTimeoutMs: REBALANCE_MS,
        memberId: this.#memberId,
        groupInstanceId: null,
        protocolType: "consumer",
        protocols: [{ name: "range", metadata: NO_BYTES }],
        isMemberIdRequired: true,
        canSkipAssignment: false,
        caller: CALLER,
      }),
    );
    if (joined === null) return false;
    if (joined.errorCode === ErrorCode.MEMBER_ID_REQUIRED) this.#memberId = joined.memberId;
    if (joined.errorCode !== ErrorCode.NONE) return await this.#refused(joined.errorCode);
    this.#memberId = joined.memberId;
    const { generationId, members, leader } = joined;
    const assignments =
      leader === joined.memberId ? this.#assign(members.map(({ memberId }) => memberId)) : [];
    this.#of.rules.onSync(generationId, this.#memberId);
    const synced = await this.#coordinator.call((groups) =>
      groups.syncGroup({
        groupId: GROUP,
        generationId,
        memberId: this.#memberId,
        groupInstanceId: null,
        protocolType: "consumer",
        protocolName: "range",
        assignments,
      }),
    );
    if (synced === null) return false;
    if (synced.errorCode !== ErrorCode.NONE) return await this.#refused(synced.errorCode);
    this.#generation = generationId;
    this.#of.world.count("generation of a group");
    this.#of.world.trace(
      `member ${this.#memberId} owns ${synced.assignment.join()} in generation ${generationId}`,
    );
    this.#of.rules.onAssigned(generationId, this.#memberId, synced.assignment);
    this.#positions = new Map();
    for (const partition of synced.assignment) {
      const offset = await this.#position(partition);
      if (offset === null) return false;
      this.#positions.set(partition, offset);
    }
    return true;
  }

  async #position(partition: number): Promise<number | null> {
    while (!this.#isOver) {
      const offset = await committedOffset(
        this.#of,
        this.#coordinator,
        partition,
        this.#generation,
      );
      if (offset !== null) return offset;
    }
    return null;
  }

  /** The partitions in turn, as each member's bytes. */
  #assign(memberIds: readonly string[]): { memberId: string; assignment: Uint8Array }[] {
    const ids = memberIds.toSorted();
    return ids.map((memberId, at) => {
      const all = Array.from({ length: this.#of.partitionCount }, (_, partition) => partition);
      const own = all.filter((partition) => partition % ids.length === at);
      return { memberId, assignment: new Uint8Array(own) };
    });
  }

  /** Commits until there is something else to do. */
  async #work(): Promise<void> {
    let heartbeatAtMs = this.#of.world.nowMs + HEARTBEAT_MS;
    while (!this.#isOver) {
      await this.#coordinator.sleep(this.#random.between(10, 80));
      if (this.#random.chance(0.02)) {
        await this.#leave();
        return;
      }
      for (const [partition, position] of this.#positions) {
        if (!(await this.#commit(partition, position + 1))) return;
      }
      if (this.#of.world.nowMs < heartbeatAtMs) continue;
      heartbeatAtMs = this.#of.world.nowMs + HEARTBEAT_MS;
      if (!(await this.#heartbeat())) return;
    }
  }

  /** Goes with a word or without one, and comes back as somebody else. */
  async #leave(): Promise<void> {
    const memberId = this.#memberId;
    this.#memberId = "";
    this.#of.world.trace(`member ${memberId} leaves`);
    if (this.#random.chance(0.5)) {
      await this.#coordinator.call((groups) =>
        groups.leaveGroup({ groupId: GROUP, members: [{ memberId, groupInstanceId: null }] }),
      );
    }
    await this.#coordinator.sleep(this.#random.between(0, 600));
  }

  async #heartbeat(): Promise<boolean> {
    const errorCode = await this.#coordinator.call((groups) =>
      groups.heartbeat({
        groupId: GROUP,
        generationId: this.#generation,
        memberId: this.#memberId,
        groupInstanceId: null,
      }),
    );
    if (errorCode === null || errorCode === ErrorCode.NONE) return true;
    if (!ELSEWHERE.has(errorCode)) return await this.#refused(errorCode);
    await this.#coordinator.lookAnew();
    return true;
  }

  /** Commits an offset, however often it takes; false when the generation is over. */
  async #commit(partition: number, offset: number): Promise<boolean> {
    const { rules, world } = this.#of;
    const generation = this.#generation;
    while (!this.#isOver) {
      rules.onCommit(partition, generation, offset);
      const errorCode = await this.#commitOnce(partition, offset);
      if (errorCode === ErrorCode.NONE) {
        rules.onCommitted(partition, generation, offset);
        this.#positions.set(partition, offset);
        world.count("offset committed");
        return true;
      }
      if (errorCode === null) continue;
      if (!ELSEWHERE.has(errorCode)) return await this.#refused(errorCode);
      await this.#coordinator.lookAnew();
    }
    return false;
  }

  async #commitOnce(partition: number, offset: number): Promise<number | null> {
    const row = {
      partitionIndex: partition,
      committedOffset: offset,
      committedLeaderEpoch: -1,
      commitTimestamp: -1,
      committedMetadata: "",
    };
    const answer = await this.#coordinator.call((groups) =>
      groups.commitOffsets({
        groupId: GROUP,
        generationIdOrMemberEpoch: this.#generation,
        memberId: this.#memberId,
        groupInstanceId: null,
        retentionTimeMs: -1,
        isUnknownGroupNamed: false,
        topics: [{ name: TOPIC, topicId: ZERO_UUID, partitions: [row] }],
      }),
    );
    if (answer === null) return null;
    const errorCode = answer.errorCode || (answer.topics[0]?.partitions[0]?.errorCode ?? 0);
    this.#of.world.trace(`member ${this.#id} commits ${offset} of ${partition}: ${errorCode}`);
    return errorCode;
  }

  /** Not as the member that it was: it joins anew. */
  async #refused(errorCode: number): Promise<false> {
    this.#of.world.trace(`member ${this.#memberId} is refused: ${errorCode}`);
    if (errorCode === ErrorCode.UNKNOWN_MEMBER_ID) this.#memberId = "";
    if (ELSEWHERE.has(errorCode)) await this.#coordinator.lookAnew();
    else await this.#coordinator.sleep(1);
    return false;
  }
}

/** Reads what a group has committed once all is calm; done when it was told of every partition. */
export class GroupReader {
  readonly #of: GroupWorld;
  readonly #coordinator: Coordinator;
  isDone = false;

  constructor(of: GroupWorld) {
    this.#of = of;
    const machine = new Machine(of.world, 3999, { rate: 1, offsetMs: 0 });
    machine.start();
    of.network.add(machine);
    this.#coordinator = new Coordinator(of, machine, of.world.random.split("group reader"));
  }

  async run(): Promise<void> {
    await this.#coordinator.lookAnew();
    for (let partition = 0; partition < this.#of.partitionCount;) {
      const generation = Number.POSITIVE_INFINITY;
      const offset = await committedOffset(this.#of, this.#coordinator, partition, generation);
      if (offset !== null) partition += 1;
    }
    this.isDone = true;
  }
}
