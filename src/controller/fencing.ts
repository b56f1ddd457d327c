/**
 * What follows when a broker stops serving, or serves again: its partitions get other leaders and it leaves their ISRs, in the
 * same batch that says so. A broker that is fenced leads nothing, and is in no ISR except as the last member where eligible leader
 * replicas are not kept.
 *
 * @see KIP-631, KIP-841 (fenced brokers leave the ISR), KIP-966 (eligible leader replicas)
 */
import type { BrokerImage, PartitionImage } from "#metadata/cluster-image.ts";
import { makeBrokerRegistrationChangeRecord } from "#protocol/generated/records/broker-registration-change-record.ts";
import type { BrokerRegistrationChangeRecord } from "#protocol/generated/records/broker-registration-change-record.ts";
import type { MetadataRecord } from "#protocol/generated/records/metadata-record-table.ts";
import type { BrokerIdAndEpoch } from "./broker-liveness.ts";
import type { Decision, DecisionInput } from "./decision.ts";
import { NO_LEADER } from "./partition-change.ts";
import { changeEach, hasElr, partitionsWhere, RuleBook } from "./partition-rules.ts";

/** What became of the wish to fence a broker. */
export type FenceOutcome =
  | "fenced"
  /** Nothing to do: it is fenced, gone, or in a later life. */
  | "not-needed"
  /** SWIM calls too many brokers down at once to be believed, or a session was renewed meanwhile. */
  | "not-believed"
  /** Another node decides. */
  | "not-controller";

/** Decides to fence one life of a broker. */
export function decideFence(
  { brokerId, brokerEpoch }: BrokerIdAndEpoch,
  input: DecisionInput,
): Decision<FenceOutcome> {
  const broker = input.image.brokers.get(brokerId);
  if (broker === undefined || broker.epoch !== brokerEpoch || broker.isFenced) {
    return { response: "not-needed", records: [] };
  }
  return { response: "fenced", records: fenceRecords(broker, input) };
}

/** Takes a broker out of service. */
export function fenceRecords(broker: BrokerImage, input: DecisionInput): MetadataRecord[] {
  return [...leaveRecords(broker.id, input), registrationChange(broker, { fenced: FENCE })];
}

/** Puts a broker into service: it leads what nobody leads, as far as it may. */
export function unfenceRecords(broker: BrokerImage, input: DecisionInput): MetadataRecord[] {
  const leaderless = partitionsWhere(input.image, ({ leader }) => leader === NO_LEADER);
  return [
    registrationChange(broker, { fenced: UNFENCE }),
    ...changeEach(leaderless, new RuleBook(input, { added: broker.id }), () => ({})),
  ];
}

/** Begins the controlled shutdown of a broker, or moves on what it leads still. */
export function shutdownRecords(broker: BrokerImage, input: DecisionInput): MetadataRecord[] {
  const left = leaveRecords(broker.id, input);
  return broker.isInControlledShutdown
    ? left
    : [registrationChange(broker, { inControlledShutdown: IN_CONTROLLED_SHUTDOWN }), ...left];
}

/** Takes a broker out of the ISRs it is in, and leadership from it. */
export function leaveRecords(brokerId: number, input: DecisionInput): MetadataRecord[] {
  const inSync = partitionsWhere(input.image, ({ isr }) => isr.includes(brokerId));
  return changeEach(inSync, new RuleBook(input, { removed: brokerId }), (partition) => ({
    isr: without(partition.isr, brokerId),
  }));
}

/** A broker went down without closing its logs: it may have lost records, and is neither in sync nor eligible (KIP-966). */
export function uncleanShutdownRecords(brokerId: number, input: DecisionInput): MetadataRecord[] {
  if (!hasElr(input.image)) return leaveRecords(brokerId, input);
  const concerned = partitionsWhere(
    input.image,
    ({ isr, eligibleLeaderReplicas }) =>
      isr.includes(brokerId) || eligibleLeaderReplicas.includes(brokerId),
  );
  return changeEach(concerned, new RuleBook(input, { removed: brokerId }), ({ isr }) => ({
    isr: without(isr, brokerId),
    uncleanReplicas: [brokerId],
  }));
}

/** Log directories of a broker failed: replicas in them are in sync with nothing and lead nothing. */
export function offlineDirectoryRecords(
  broker: BrokerImage,
  offline: readonly string[],
  input: DecisionInput,
): MetadataRecord[] {
  const failed = broker.logDirs.filter((id) => offline.includes(id));
  if (failed.length === 0) return [];
  const isIn = ({ replicas, directories }: PartitionImage): boolean =>
    failed.includes(directories[replicas.indexOf(broker.id)] ?? "");
  const lost = changeEach(
    partitionsWhere(input.image, isIn),
    new RuleBook(input, { removed: broker.id }),
    ({ isr }) => ({ isr: without(isr, broker.id) }),
  );
  const logDirs = broker.logDirs.filter((id) => !failed.includes(id));
  return [...lost, registrationChange(broker, { logDirs })];
}

/** A change of a broker's registration that leaves the rest of it alone. */
export function registrationChange(
  { id, epoch }: BrokerImage,
  change: Partial<BrokerRegistrationChangeRecord>,
): MetadataRecord {
  const record = makeBrokerRegistrationChangeRecord({
    brokerId: id,
    brokerEpoch: epoch,
    ...change,
  });
  return { kind: "BrokerRegistrationChangeRecord", record };
}

const FENCE = 1;
const UNFENCE = -1;
const IN_CONTROLLED_SHUTDOWN = 1;

function without(ids: readonly number[], id: number): readonly number[] {
  return ids.filter((each) => each !== id);
}
