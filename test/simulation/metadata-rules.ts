/**
 * What must hold of the metadata that a quorum commits (I6, I7, I9, I10): every node applies the same records in the same order, so each
 * step is checked once, by whoever is first to apply it, and compared by the others.
 */
import { imageRecords } from "#metadata/image-records.ts";
import { type ClusterImage, EMPTY_IMAGE, type PartitionImage } from "#metadata/cluster-image.ts";
import { Violation } from "./history.ts";

/** Images that are compared whole are those at offsets that this divides. */
const WHOLE_EVERY = 64;

/** Told who leads after it, and in which epoch. */
type UncleanElection = (
  topic: string,
  partition: number,
  leader: number,
  leaderEpoch: number,
) => void;

/** The step from one image to the next. */
interface Step {
  readonly image: ClusterImage;
  readonly digest: number | bigint;
  whole: number | bigint | null;
}

/** See the head of the file. */
export class MetadataRules {
  /** Steps by the offset of their last record. */
  readonly #steps: Map<number, Step> = new Map();
  readonly #terms: Map<number, number> = new Map();
  /** No partition may be led by who is in neither its ISR nor its ELR. */
  readonly #hasUncleanElections: boolean;
  #truth: ClusterImage = EMPTY_IMAGE;

  readonly #onUncleanElection: UncleanElection;
  readonly #count: (name: string) => void;
  readonly #onStep: (before: ClusterImage, image: ClusterImage) => void;

  /** @param options.onUncleanElection - told of a leader that need not have everything: one elected uncleanly, or the last one where nobody is left. */
  constructor(options: {
    readonly hasUncleanElections: boolean;
    readonly onUncleanElection?: UncleanElection;
    readonly count?: (name: string) => void;
    /** Told of each step of the metadata, once, when somebody applies it first. */
    readonly onStep?: (before: ClusterImage, image: ClusterImage) => void;
  }) {
    this.#onStep = options.onStep ?? (() => {});
    this.#count = options.count ?? (() => {});
    this.#hasUncleanElections = options.hasUncleanElections;
    this.#onUncleanElection = options.onUncleanElection ?? (() => {});
  }

  /** The newest image that any node has applied. */
  get truth(): ClusterImage {
    return this.#truth;
  }

  /** A node applied one commit. */
  onApplied(nodeId: number, bytes: Uint8Array, image: ClusterImage): void {
    const digest = Bun.hash(bytes, image.epoch);
    const known = this.#steps.get(image.offset);
    if (known !== undefined) {
      if (known.digest !== digest) {
        throw new Violation(
          "I10",
          `node ${nodeId} applied other records at offset ${image.offset}`,
        );
      }
      if (known.whole !== null && known.whole !== wholeDigest(image)) {
        throw new Violation(
          "I10",
          `the image of node ${nodeId} at offset ${image.offset} is another`,
        );
      }
      return;
    }
    if (image.offset <= this.#truth.offset) {
      throw new Violation(
        "I10",
        `node ${nodeId} ends a commit at ${image.offset}, where nobody else does`,
      );
    }
    const whole = image.offset % WHOLE_EVERY < 4 ? wholeDigest(image) : null;
    this.#steps.set(image.offset, { image, digest, whole });
    this.#onStep(this.#truth, image);
    this.#checkStep(this.#truth, image);
    this.#truth = image;
  }

  /** A node took over a whole state. */
  onSnapshot(nodeId: number, image: ClusterImage): void {
    const known = this.#steps.get(image.offset);
    if (known === undefined) {
      if (image.offset < 0) return;
      throw new Violation(
        "I10",
        `node ${nodeId} took a state at ${image.offset}, where no commit ends`,
      );
    }
    if (wholeDigest(known.image) !== wholeDigest(image)) {
      throw new Violation("I10", `node ${nodeId} took another state at ${image.offset}`);
    }
  }

  /** Images of two nodes at one offset, at the end of a run. */
  checkWhole(nodeId: number, image: ClusterImage): void {
    const known = this.#steps.get(image.offset);
    if (known !== undefined && wholeDigest(known.image) !== wholeDigest(image)) {
      throw new Violation(
        "I10",
        `the image of node ${nodeId} at offset ${image.offset} is another`,
      );
    }
  }

  /** A node's raft is in this term, in whichever of its lives. */
  onTerm(nodeId: number, term: number): void {
    const before = this.#terms.get(nodeId) ?? 0;
    if (term < before) {
      throw new Violation("I7", `the term of node ${nodeId} went from ${before} back to ${term}`);
    }
  }

  /** A node's raft has this term on disk: what it was told and had not written yet, a crash may take. */
  onTermWritten(nodeId: number, term: number): void {
    this.#terms.set(nodeId, Math.max(this.#terms.get(nodeId) ?? 0, term));
  }

  #checkStep(before: ClusterImage, image: ClusterImage): void {
    if (image.epoch < before.epoch) {
      throw new Violation(
        "I7",
        `the epoch of the metadata went from ${before.epoch} to ${image.epoch}`,
      );
    }
    for (const broker of image.brokers.values()) {
      const was = before.brokers.get(broker.id);
      if (was === broker) continue;
      if (was !== undefined && broker.epoch < was.epoch) {
        throw new Violation(
          "I7",
          `the epoch of broker ${broker.id} went from ${was.epoch} to ${broker.epoch}`,
        );
      }
    }
    for (const topic of image.topicsById.values()) {
      const was = before.topicsById.get(topic.id);
      for (const partition of topic.partitions) {
        const wasPartition = was?.partitions[partition.partitionId];
        this.#checkPartition(topic.name, partition, wasPartition, image, before.offset);
      }
    }
  }

  #countChanges(partition: PartitionImage, before: PartitionImage): void {
    const { isr, leader, replicas, addingReplicas } = partition;
    if (isr.length < before.isr.length) this.#count("ISR shrunk");
    if (isr.length > before.isr.length) this.#count("ISR grown");
    if (leader >= 0 && leader !== before.leader) {
      this.#count("leader elected");
      if (before.eligibleLeaderReplicas.includes(leader))
        this.#count("leader elected from the ELR");
    }
    if (addingReplicas.length > 0 && before.addingReplicas.length === 0)
      this.#count("reassignment begun");
    if (replicas.length < before.replicas.length && addingReplicas.length === 0)
      this.#count("reassignment done");
  }

  #checkPartition(
    topic: string,
    partition: PartitionImage,
    before: PartitionImage | undefined,
    image: ClusterImage,
    beforeOffset: number,
  ): void {
    const { leader, isr, leaderEpoch, partitionEpoch } = partition;
    const name = `${topic}-${partition.partitionId}@${image.offset}`;
    if (leader >= 0 && !isr.includes(leader)) {
      throw new Violation(
        "I6",
        `${name} is led by ${leader}, which is not in its ISR ${isr.join()}`,
      );
    }
    for (const id of isr) {
      const isLast = isr.length === 1 && leader < 0;
      if (image.brokers.get(id)?.isFenced === true && !isLast) {
        throw new Violation("I9", `${name} has the fenced broker ${id} in its ISR ${isr.join()}`);
      }
    }
    if (before === undefined || before === partition) return;
    const isSame = leader === before.leader && isr.join() === before.isr.join();
    const isOlder = partitionEpoch < before.partitionEpoch + (isSame ? 0 : 1);
    if (leaderEpoch < before.leaderEpoch || isOlder) {
      throw new Violation(
        "I7",
        `${name}: epochs went from ${before.leaderEpoch}/${before.partitionEpoch} to ${leaderEpoch}/${partitionEpoch}`,
      );
    }
    this.#countChanges(partition, before);
    // Who registers anew in this very step, after a crash, has left both sets before somebody is elected.
    const mayLead = [...before.isr, ...before.eligibleLeaderReplicas];
    const isNobodyLeft = mayLead.every((id) => (image.brokers.get(id)?.epoch ?? -1) > beforeOffset);
    // Where nobody is left who must have everything, Kafka goes back to the last leader (KIP-966).
    const isLast = isNobodyLeft && before.lastKnownElr.includes(leader);
    const isNew = leader >= 0 && leader !== before.leader;
    // A reassignment ends in the step that lets the last of the added into the ISR, and who is in it leads from then on.
    const isMoving = ({ addingReplicas, removingReplicas }: PartitionImage): boolean =>
      addingReplicas.length > 0 || removingReplicas.length > 0;
    const isArriving = isMoving(before) && !isMoving(partition) && !isNobodyLeft;
    if (isNew && !isArriving && (!mayLead.includes(leader) || isNobodyLeft)) {
      if (!isLast && !this.#hasUncleanElections) {
        throw new Violation(
          "I6",
          `${name} elected ${leader}, in neither ISR ${before.isr.join()} nor ELR ${before.eligibleLeaderReplicas.join()}`,
        );
      }
      this.#count(isLast ? "last leader elected, nobody left" : "unclean leader elected");
      this.#onUncleanElection(topic, partition.partitionId, leader, leaderEpoch);
    }
    if (leader !== before.leader && leaderEpoch === before.leaderEpoch) {
      throw new Violation("I7", `${name} changed its leader within epoch ${leaderEpoch}`);
    }
  }
}

function wholeDigest(image: ClusterImage): number | bigint {
  const text = JSON.stringify([...imageRecords(image)], (_, value: unknown) =>
    typeof value === "bigint" ? value.toString() : value,
  );
  return Bun.hash(text);
}
