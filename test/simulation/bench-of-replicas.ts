/**
 * A few replicas of one partition on a bench, moved by hand: for stories in which every step matters. The logs are the native ones, and who
 * follows is production's state machine; there is no controller and no network, a story is both.
 *
 * ```ts
 * using bench = new Bench(2);
 * bench.lead(0, { leaderEpoch: 0, partitionEpoch: 0, isr: [0, 1] });
 * bench.follow(1, { leaderEpoch: 0, leaderId: 0 });
 * bench.write(0, "m1");
 * bench.fetch(1);                     // one request and its answer
 * bench.values(1);                    // ["m1"]
 * ```
 */
import { ErrorCode } from "#common/error-code.ts";
import { Isolation } from "#log/log.ts";
import { makeEpochEndOffset, makePartitionData } from "#protocol/generated/fetch.ts";
import { FollowerPartition, type FollowerRules } from "#replica/following/follower-partition.ts";
import { NativeReplicas } from "#replica/following/native-replicas.ts";
import type { LocalReplica } from "#replica/following/ports.ts";
import { AppendOrigin, FetchColumn } from "#replica/log-port.ts";
import { FetchRows, ReplicaManager } from "#replica/replica-manager.ts";
import { oneRecordBatch } from "./batches.ts";
import { type CrashMode, Disk, type SimulatedStore } from "./disk.ts";
import { CLUSTER_ID } from "./names.ts";
import { lookAt } from "./replica-look.ts";
import { readFrom } from "./rules.ts";
import { Machine, World } from "./world.ts";

const TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAQ";
const BROKER_EPOCH = 100;
const FETCH_BYTES = 1 << 20;
const LAG_TIME_MAX_MS = 10_000;

/** A replica that leads. */
export interface Leading {
  readonly leaderEpoch: number;
  readonly partitionEpoch: number;
  readonly isr: readonly number[];
}

/** A replica that follows. */
export interface Following {
  readonly leaderEpoch: number;
  readonly leaderId: number;
  readonly rules?: FollowerRules;
}

/** How a fetch is sent, where not as it should be. */
export interface FetchChange {
  readonly to?: number;
  readonly currentLeaderEpoch?: number;
  readonly lastFetchedEpoch?: number;
}

interface Place {
  readonly disk: Disk;
  readonly machine: Machine;
  readonly config: { readonly minInsyncReplicas: number };
  store: SimulatedStore;
  handle: number;
  replica: LocalReplica;
  manager: ReplicaManager;
  follower: FollowerPartition | null;
}

/** See the head of the file. */
export class Bench implements Disposable {
  readonly #world: World = new World(1);
  readonly #places: Place[];

  constructor(count: number, minIsr = 1) {
    this.#places = Array.from({ length: count }, (_, id) => {
      const disk = new Disk();
      const machine = new Machine(this.#world, id, { rate: 1, offsetMs: 0 });
      machine.start();
      const store = disk.open(id, CLUSTER_ID);
      const config = { minInsyncReplicas: minIsr };
      const handle = store.createPartition({ topic: "t", partition: 0, topicId: TOPIC_ID, config });
      return { disk, machine, config, ...this.#open(store, handle, machine), follower: null };
    });
  }

  /** The process dies and starts again; it has no role until it is told one. */
  crash(id: number, mode: CrashMode): void {
    const place = this.#at(id);
    place.disk.crash(mode, 1);
    const store = place.disk.open(id, CLUSTER_ID);
    const handle = store.report.partitions[0]?.handle ?? 0;
    store.configurePartition(handle, place.config);
    Object.assign(place, this.#open(store, handle, place.machine), { follower: null });
  }

  lead(id: number, { leaderEpoch, partitionEpoch, isr }: Leading): void {
    const replicas = this.#places.map((_, at) => at);
    const place = this.#at(id);
    place.follower = null;
    place.replica.lead({ leaderEpoch, partitionEpoch, isr, replicas });
  }

  follow(id: number, { leaderEpoch, leaderId, rules }: Following): void {
    const place = this.#at(id);
    place.replica.follow(leaderEpoch, leaderId);
    const nobody = (): void => {};
    place.follower = new FollowerPartition(
      { topic: "t", topicId: TOPIC_ID, partition: 0, leaderId, leaderEpoch },
      place.replica.followerLog,
      { onTruncated: nobody, onRestarted: nobody, onFailed: nobody, onRefused: nobody },
      100,
      rules,
    );
    place.follower.start();
  }

  /** A client's write; how it was answered (acks=1). */
  write(id: number, value: string): number {
    const batch = oneRecordBatch({
      value,
      producerId: -1,
      producerEpoch: -1,
      sequence: -1,
      nowMs: this.#at(id).machine.nowMs(),
    });
    const { manager, handle } = this.#at(id);
    return manager.append(handle, batch, -1, 1, AppendOrigin.CLIENT).errorCode;
  }

  /** One fetch of a follower and what it does with the answer; returns the answer's code. */
  fetch(id: number, change: FetchChange = {}): number {
    const { follower, machine } = this.#at(id);
    if (follower === null) throw new Error(`${id} follows nobody`);
    const leader = this.#at(change.to ?? follower.assignment.leaderId);
    const rows = new FetchRows();
    rows.add(
      leader.handle,
      follower.fetchOffset,
      FETCH_BYTES,
      change.currentLeaderEpoch ?? follower.assignment.leaderEpoch,
      change.lastFetchedEpoch ?? follower.lastFetchedEpoch,
      follower.logStartOffset,
    );
    const plan = leader.manager.read(rows, {
      minBytes: 0,
      maxBytes: FETCH_BYTES,
      hasMinOneMessage: true,
      isolation: Isolation.LOG_END,
      replica: { id, brokerEpoch: BROKER_EPOCH },
    });
    const records = new Uint8Array(rows.result(0, FetchColumn.BYTES));
    if (plan !== 0 && records.length > 0) leader.store.planCopy(plan, 0, records, 0);
    leader.manager.drop(plan);
    const errorCode = rows.result(0, FetchColumn.ERROR);
    const answer = makePartitionData({
      partitionIndex: 0,
      errorCode,
      highWatermark: rows.result(0, FetchColumn.HIGH_WATERMARK),
      logStartOffset: rows.result(0, FetchColumn.LOG_START_OFFSET),
      divergingEpoch: makeEpochEndOffset({
        epoch: rows.result(0, FetchColumn.DIVERGING_EPOCH),
        endOffset: rows.result(0, FetchColumn.DIVERGING_END_OFFSET),
      }),
      records,
    });
    if (leader.machine.id === follower.assignment.leaderId)
      follower.onAnswer(answer, machine.nowMs());
    return errorCode;
  }

  /** Fetches until the follower has what the leader has. */
  catchUp(id: number): void {
    for (let round = 0; round < 10; round += 1) {
      const code = this.fetch(id);
      if (code !== ErrorCode.NONE) throw new Error(`${id} is refused: ${code}`);
    }
  }

  /** Time passes. */
  wait(ms: number): void {
    this.#world.runUntil(this.#world.nowMs + ms);
  }

  /** Replicas count as proposed to join the ISR. */
  propose(id: number, leading: Leading, additions: readonly number[]): void {
    this.#at(id).replica.leaderLog.setPendingIsr(
      leading.leaderEpoch,
      leading.partitionEpoch,
      additions,
    );
  }

  highWatermark(id: number): number {
    const { store, handle } = this.#at(id);
    return lookAt(store, handle)?.highWatermark ?? -1;
  }

  /** What the log holds, in order. */
  values(id: number): string[] {
    const { store, handle } = this.#at(id);
    return readFrom({ store, handle }, 0).map(({ value }) => value);
  }

  [Symbol.dispose](): void {
    for (const { disk, manager } of this.#places) {
      manager.close();
      disk.drop();
    }
  }

  #open(
    store: SimulatedStore,
    handle: number,
    machine: Machine,
  ): Pick<Place, "store" | "handle" | "replica" | "manager"> {
    store.setBrokers(
      Array.from({ length: 5 }, (_, id) => ({ id, epoch: BROKER_EPOCH, isEligible: true })),
    );
    const replicas = new NativeReplicas({
      log: store,
      nodeId: machine.id,
      clock: machine,
      lagTimeMaxMs: LAG_TIME_MAX_MS,
      handleOf: () => handle,
    });
    const replica = replicas.find("t", TOPIC_ID, 0);
    if (replica === null) throw new Error("there is no replica");
    return { store, handle, replica, manager: new ReplicaManager(store, machine, machine) };
  }

  #at(id: number): Place {
    return this.#places[id] as Place;
  }
}
