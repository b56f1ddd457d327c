/**
 * All rules of a run together, and what brings them the state of the nodes: after each event the replicas that it may have changed are
 * looked at, and what is said of several replicas is checked of the partitions where one of them, or the metadata, did change.
 */
import { OFFSETS_TOPIC } from "#coordinator/group/group-coordinator.ts";
import { Columns, Isolation } from "#log/log.ts";
import type { ClusterImage } from "#metadata/cluster-image.ts";
import { FETCH_RESULT_COLUMNS, FetchColumn } from "#replica/log-port.ts";
import { type LoggedRecord, recordsOf } from "./batches.ts";
import type { SimulatedStore } from "./disk.ts";
import { GroupRules } from "./group-rules.ts";
import { History } from "./history.ts";
import { MetadataRules } from "./metadata-rules.ts";
import { slotOf, TOPIC } from "./names.ts";
import { SwimRules } from "./swim-rules.ts";
import { PartitionRules, type ReplicaLook } from "./replica-rules.ts";

const READ_BYTES = 1 << 24;

/** A replica that can be looked at. */
export interface Lookable {
  /** See `slotOf`. */
  readonly slot: number;
  readonly store: SimulatedStore;
  readonly handle: number;
  /** @param before - comes back when nothing has changed since. */
  look(before?: ReplicaLook | null): ReplicaLook | null;
}

/** See the head of the file. */
export class Rules {
  readonly history: History;
  readonly metadata: MetadataRules;
  readonly swim: SwimRules = new SwimRules();
  /** By slot. */
  readonly partitions: readonly PartitionRules[];
  /** Null where there is no group. */
  readonly group: GroupRules | null;
  readonly #changed: Set<PartitionRules> = new Set();
  /** Metadata that all partitions were checked against. */
  #checkedTruth: ClusterImage | null = null;

  constructor(options: {
    readonly partitionCount: number;
    readonly hasGroup: boolean;
    readonly minIsr: number;
    readonly allowsUnclean: boolean;
    /** Told of what is worth meeting; see `coverage.ts`. */
    readonly count: (name: string) => void;
    readonly onStep?: (before: ClusterImage, image: ClusterImage) => void;
  }) {
    const { partitionCount, hasGroup } = options;
    this.history = new History(options.minIsr);
    this.metadata = new MetadataRules({
      hasUncleanElections: options.allowsUnclean,
      count: options.count,
      ...(options.onStep === undefined ? {} : { onStep: options.onStep }),
      onUncleanElection: (topic, partition, leader, leaderEpoch) => {
        const slot = slotOf(topic, partition, partitionCount) ?? -1;
        this.partitions[slot]?.onUncleanElection(leader, leaderEpoch);
      },
    });
    this.group = hasGroup ? new GroupRules(this.history, partitionCount) : null;
    this.partitions = Array.from(
      { length: partitionCount + (hasGroup ? 1 : 0) },
      (_, slot) =>
        new PartitionRules({
          topic: slot < partitionCount ? TOPIC : OFFSETS_TOPIC,
          partition: slot < partitionCount ? slot : slot - partitionCount,
          slot,
          minIsr: options.minIsr,
          count: options.count,
          history: this.history,
          truth: () => this.metadata.truth,
        }),
    );
  }

  onApplied(nodeId: number, bytes: Uint8Array, image: ClusterImage): void {
    this.metadata.onApplied(nodeId, bytes, image);
  }

  onSnapshot(nodeId: number, image: ClusterImage): void {
    this.metadata.onSnapshot(nodeId, image);
  }

  onTerm(nodeId: number, term: number): void {
    this.metadata.onTerm(nodeId, term);
  }

  onTermWritten(nodeId: number, term: number): void {
    this.metadata.onTermWritten(nodeId, term);
  }

  /** A node found this log on its disk. */
  onRecovered(nodeId: number, slot: number, logEndOffset: number): void {
    this.partitions[slot]?.onRecovered(nodeId, logEndOffset);
  }

  /** A node deleted its replica of a partition. */
  onDeleted(nodeId: number, slot: number): void {
    this.partitions[slot]?.onDeleted(nodeId);
  }

  onStopped(nodeId: number): void {
    for (const partition of this.partitions) partition.onStopped(nodeId);
  }

  /** An acks=all write of this node is about to be answered with success. */
  onAcknowledged(nodeId: number, slot: number, lastOffset: number): void {
    this.partitions[slot]?.onAcknowledged(nodeId, lastOffset);
  }

  /** Looks at the replicas of a node that may have changed. */
  look(nodeId: number, replicas: Iterable<Lookable>, touched: ReadonlySet<number> | "all"): void {
    for (const replica of replicas) {
      if (touched !== "all" && !touched.has(replica.handle)) continue;
      const rules = this.partitions[replica.slot];
      if (rules === undefined) continue;
      const before = rules.lookOf(nodeId);
      const look = replica.look(before);
      if (look === null) continue;
      const end = Math.min(look.logEndOffset, replica.store.takeCut(replica.handle));
      if (end < rules.lengthOf(nodeId)) rules.onTruncated(nodeId, end);
      const known = rules.lengthOf(nodeId);
      if (look.logEndOffset > known) rules.onAppended(nodeId, readFrom(replica, known));
      else if (look === before) continue;
      rules.onLook(nodeId, look);
      this.#changed.add(rules);
    }
  }

  /** Checks what is said of several replicas together, where anything of it changed since the last call. */
  checkChanged(): void {
    if (this.#changed.size === 0 && this.#checkedTruth === this.metadata.truth) return;
    if (this.#checkedTruth !== this.metadata.truth) {
      this.#checkedTruth = this.metadata.truth;
      for (const rules of this.partitions) rules.checkStrongIsr();
    } else for (const rules of this.#changed) rules.checkStrongIsr();
    this.#changed.clear();
  }
}

const request: Float64Array = new Float64Array(Columns.FETCH_REQUEST);
const out: Float64Array = new Float64Array(FETCH_RESULT_COLUMNS);
/** What was read last. */
let buffer: Uint8Array = new Uint8Array(1 << 12);

/** The records of a log from an offset to its end. */
export function readFrom(
  { store, handle }: Pick<Lookable, "store" | "handle">,
  offset: number,
): LoggedRecord[] {
  request[0] = handle;
  request[1] = offset;
  request[2] = READ_BYTES;
  request.fill(-1, 3);
  const plan = store.fetch(request, 1, READ_BYTES, true, Isolation.LOG_END, out);
  if (out[FetchColumn.ERROR] !== 0) {
    throw new Error(`the log cannot be read at ${offset}: ${out[FetchColumn.ERROR]}`);
  }
  if (plan === 0) return [];
  const length = out[FetchColumn.BYTES] as number;
  if (length > buffer.length) buffer = new Uint8Array(2 * length);
  store.planCopy(plan, 0, buffer, 0);
  store.planDrop(plan);
  const records = recordsOf(buffer.subarray(0, length));
  // A batch may begin before the offset asked for.
  while (records[0] !== undefined && records[0].offset < offset) records.shift();
  return records;
}
