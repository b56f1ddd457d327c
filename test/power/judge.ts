/**
 * What a broker owes after a power cut, compared with what it has: the records of the round's topic, the topics, the committed offsets, the producer
 * ids, the cluster id, and what earlier cuts had left. Only reads; the harness decides when.
 */
import type { LoggedRecord } from "../crash/checkers.ts";
import { readCommitted, readLog } from "../crash/load.ts";
import { readTopics, type PowerLoad } from "./load.ts";
import type { FlushPolicy } from "./policies.ts";

/** What one cut cost. */
export interface Losses {
  /** Records acknowledged before the power went. */
  readonly acknowledged: number;
  readonly lost: number;
  /** Age of the oldest lost acknowledgement when the power went; 0 when none is lost. */
  readonly windowMs: number;
  readonly topicsLost: number;
  readonly commitsLost: number;
}

/** The answer of {@link judge}. */
export interface Judgement {
  readonly findings: readonly string[];
  readonly losses: Losses;
  /** The logs by partition as they were found; empty when the topic is gone. */
  readonly logs: readonly (readonly LoggedRecord[])[];
}

/** Compares the broker at `address` with the promises that `load` collected; `cutMs` is when the power went. */
export async function judge(
  address: string,
  policy: FlushPolicy,
  load: PowerLoad,
  round: {
    readonly topic: string;
    readonly group: string;
    readonly partitions: number;
    readonly cutMs: number;
  },
): Promise<Judgement> {
  const findings: string[] = [];
  const { topics, clusterId } = await readTopics(address);
  if (policy.isMetadataStrict && load.clusterId !== null && clusterId !== load.clusterId)
    findings.push(`the cluster was ${load.clusterId}, is ${clusterId}`);
  let topicsLost = 0;
  for (const side of load.sideTopics) {
    const isThere = topics.has(side.name);
    if (side.isCreated && !side.isDeleting && !isThere) {
      topicsLost += 1;
      if (policy.isMetadataStrict) findings.push(`topic ${side.name} was created, is not there`);
    }
    if (side.isDeleted && isThere && policy.isMetadataStrict)
      findings.push(`topic ${side.name} was deleted, is there`);
  }

  const logs: LoggedRecord[][] = [];
  const found = new Map<string, number>();
  if (topics.has(round.topic)) {
    for (let partition = 0; partition < round.partitions; partition += 1) {
      const log = await readLog(address, round.topic, partition);
      logs.push(log);
      for (const { producer, number } of log)
        found.set(
          `${producer}/${partition}`,
          Math.max(found.get(`${producer}/${partition}`) ?? 0, number + 1),
        );
      const all = load.log.check(partition, log);
      findings.push(...all.filter((finding) => policy.isStrict || !finding.startsWith("lost:")));
    }
  } else {
    topicsLost += 1;
    if (policy.isMetadataStrict) findings.push(`topic ${round.topic} was created, is not there`);
  }
  const due = load.acknowledgements.filter(({ atMs }) => policy.isStrict || atMs <= round.cutMs);
  // A batch that was sent twice is acknowledged twice.
  const counted = new Map(
    due.map((one) => [`${one.producer}/${one.partition}/${one.first}`, one] as const),
  );
  let acknowledged = 0;
  let lost = 0;
  let oldestLostMs = round.cutMs;
  for (const { producer, partition, first, last, atMs } of counted.values()) {
    acknowledged += last - first + 1;
    if (last < (found.get(`${producer}/${partition}`) ?? 0)) continue;
    lost += last - first + 1;
    oldestLostMs = Math.min(oldestLostMs, atMs);
  }

  let commitsLost = 0;
  if (topics.has(round.topic)) {
    const held = await readCommitted(address, round.group, round.topic, round.partitions);
    const wrong = held.flatMap((offset, partition) => load.commits.check(partition, offset));
    commitsLost = wrong.length;
    if (policy.isMetadataStrict) findings.push(...wrong);
  } else if (load.commits.partitionCount > 0) commitsLost = round.partitions;
  const losses = {
    acknowledged,
    lost,
    windowMs: Math.max(0, round.cutMs - oldestLostMs),
    topicsLost,
    commitsLost,
  };
  return { findings, losses, logs };
}

/** Findings when what an earlier cut had left is not there any more, record by record. */
export async function judgeKept(
  address: string,
  topic: string,
  logs: readonly (readonly LoggedRecord[])[],
): Promise<string[]> {
  const findings: string[] = [];
  for (const [partition, kept] of logs.entries()) {
    const log = await readLog(address, topic, partition);
    const wrong = kept.findIndex((record, at) => {
      const now = log[at];
      return (
        now?.offset !== record.offset ||
        now.producer !== record.producer ||
        now.number !== record.number
      );
    });
    if (wrong >= 0)
      findings.push(
        `${topic}-${partition}: record ${wrong} of ${kept.length} survived the cut before and is gone or another`,
      );
  }
  return findings;
}
