/**
 * Lives of groups and the targets that Kafka's own assignors gave at each step (`java/KafkaAssignors.java`).
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { AssignorMember, AssignorTopics } from "#coordinator/group/consumer/assignor/assignor.ts";

type Partitions = Readonly<Record<string, readonly number[]>>;

interface SampleMember {
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly rackId: string | null;
  readonly topics: readonly string[];
}

interface Step {
  readonly topics: Readonly<Record<string, number>>;
  readonly members: readonly SampleMember[];
}

/** What the referee reads: a group's life from one step to the next. */
export interface GroupLife {
  readonly assignor: string;
  readonly steps: readonly Step[];
}

/** One step with what members had before and what Kafka gave them. */
export interface AssignorSample {
  readonly assignor: string;
  readonly topics: Readonly<Record<string, number>>;
  readonly members: readonly (SampleMember & { readonly assigned: Partitions })[];
  readonly target: Readonly<Record<string, Partitions>>;
}

export const ASSIGNORS_FILE: string = join(import.meta.dirname, "assignors.ndjson.zst");

/** Reads the committed steps. */
export function readAssignorSamples(): AssignorSample[] {
  const text = Bun.zstdDecompressSync(readFileSync(ASSIGNORS_FILE)).toString();
  return text.trimEnd().split("\n").map(parseAssignorSample);
}

export function parseAssignorSample(line: string): AssignorSample {
  return JSON.parse(line) as AssignorSample;
}

/** A step as our assignors take it. */
export function assignorInput(sample: AssignorSample): {
  members: ReadonlyMap<string, AssignorMember>;
  topics: AssignorTopics;
} {
  const members = new Map<string, AssignorMember>(
    sample.members.map(({ memberId, instanceId, rackId, topics, assigned }) => [
      memberId,
      {
        memberId,
        instanceId,
        rackId,
        subscribedTopicIds: new Set(topics),
        assigned: new Map(
          Object.entries(assigned).map(([topicId, partitions]) => [topicId, new Set(partitions)]),
        ),
      },
    ]),
  );
  return {
    members,
    topics: {
      partitionCount: (topicId) => sample.topics[topicId] ?? -1,
      racks: (_, partition) => new Set([`rack-${partition % 3}`]),
    },
  };
}

/** Random lives: members come, go and change their minds, topics grow. The same seed gives the same lives. */
export function makeGroupLives(seed: number, count: number): GroupLife[] {
  let state = seed >>> 0;
  const next = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const topicId = (): string =>
    Buffer.from(Array.from({ length: 16 }, () => next(256))).toString("base64url");
  const lives: GroupLife[] = [];
  for (let index = 0; index < count; index += 1) {
    const isMixed = next(2) === 0;
    const size = 1 + next(index % 10 === 0 ? 12 : 5);
    const topics: Record<string, number> = {};
    const shared = next(3) === 0 ? 1 + next(12) : 0;
    for (let made = 0; made < size; made += 1) topics[topicId()] = shared || 1 + next(16);
    const ids = Object.keys(topics);
    const wanted = (): string[] =>
      isMixed ? ids.filter(() => next(3) > 0).concat(next(4) === 0 ? [] : [ids[0] ?? ""]) : ids;
    let made = 0;
    const newcomer = (): SampleMember => {
      made += 1;
      const memberId = `${["m", "Z", "é"][next(3)]}${next(100)}-${made}`;
      const rackId = next(3) === 0 ? null : `rack-${next(3)}`;
      const instanceId = next(4) === 0 ? `i${next(1000)}-${made}` : null;
      return { memberId, instanceId, rackId, topics: [...new Set(wanted())] };
    };
    let members = Array.from({ length: 1 + next(9) }, newcomer);
    const steps: Step[] = [{ topics: { ...topics }, members }];
    while (steps.length < 6) {
      const what = next(5);
      if (what <= 1) members = members.concat(Array.from({ length: 1 + next(3) }, newcomer));
      else if (what === 2 && members.length > 1) members = members.filter(() => next(3) > 0);
      else if (what === 3) {
        const grows = ids[next(ids.length)] ?? "";
        topics[grows] = (topics[grows] ?? 0) + 1 + next(8);
      }
      else if (isMixed) members = members.map((each) => (next(3) > 0 ? each : { ...each, topics: [...new Set(wanted())] }));
      if (members.length === 0) members = [newcomer()];
      steps.push({ topics: { ...topics }, members });
    }
    lives.push({ assignor: index % 3 === 0 ? "range" : "uniform", steps });
  }
  return lives;
}
