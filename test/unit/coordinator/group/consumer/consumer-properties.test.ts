/**
 * Random lives of a group with members of both protocols: over joins, silence, topics that come, grow and go, restarts and failed appends.
 * After each step nobody holds what another holds, epochs have not gone back, and what the log says is what the coordinator shows. In the
 * end, when everybody cooperates, everybody has what the target says.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ErrorCode } from "#common/error-code.ts";
import type { DescribedAssignment, DescribedConsumerGroup } from "#coordinator/group/messages.ts";
import { ConsumerGroupContext } from "../../../../support/consumer-group-context.ts";

const CONSUMERS = ["a", "b", "s"] as const;
const CLASSICS = ["c", "d"] as const;
const TOPICS = ["orders", "payments"] as const;

const command = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant("beat" as const),
      name: fc.constantFrom(...CONSUMERS),
      isSilent: fc.boolean(),
      topics: fc.option(fc.subarray([...TOPICS]), { freq: 5, nil: undefined }),
      assignor: fc.option(fc.constantFrom("uniform", "range"), { freq: 8, nil: undefined }),
      pattern: fc.option(fc.constantFrom("", "o.*", ".*"), { freq: 8, nil: undefined }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("leave" as const),
      name: fc.constantFrom(...CONSUMERS),
      isBackSoon: fc.boolean(),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant("join" as const), name: fc.constantFrom(...CLASSICS) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("heartbeat" as const),
      name: fc.constantFrom(...CLASSICS),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("part" as const), name: fc.constantFrom(...CLASSICS) }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.nat(4_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.nat(50_000) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("topic" as const),
      name: fc.constantFrom(...TOPICS),
      partitionCount: fc.integer({ min: 1, max: 5 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("drop" as const), name: fc.constantFrom(...TOPICS) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("fail" as const),
      errorCode: fc.constantFrom(ErrorCode.KAFKA_STORAGE_ERROR, ErrorCode.NOT_ENOUGH_REPLICAS),
    }),
  },
);
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

/** What was seen, to know that the lives were lives. */
interface Sightings {
  assigned: number;
  mixed: number;
  upgraded: number;
  downgraded: number;
  /** Logs that were compacted. */
  compacted: number;
}

async function take(group: ConsumerGroupContext, step: Command): Promise<void> {
  switch (step.do) {
    case "beat": {
      const { name, isSilent, topics, assignor, pattern } = step;
      await group.beat(name, {
        isSilent,
        ...(topics === undefined ? {} : { topics }),
        ...(assignor === undefined ? {} : { assignor }),
        ...(pattern === undefined ? {} : { pattern }),
        ...(name === "s" ? { instance: "i" } : {}),
      });
      break;
    }
    case "leave":
      await group.leave(step.name, step.isBackSoon && step.name === "s");
      break;
    case "join":
      void group.classicJoin(step.name);
      await group.settle();
      group.time.advance(0);
      break;
    case "heartbeat":
      await group.classicBeat(step.name);
      break;
    case "part":
      await group.classicLeave(step.name);
      break;
    case "advance":
      await group.advance(step.ms);
      break;
    case "topic": {
      const known = group.topics.get(step.name)?.partitionCount ?? 0;
      group.setTopic(step.name, Math.max(known, step.partitionCount));
      break;
    }
    case "drop":
      group.deleteTopic(step.name);
      break;
    case "restart":
      await group.restart();
      break;
    case "fail":
      group.log.failNext(step.errorCode);
      break;
  }
  await group.settle();
}

async function play(
  commands: readonly Command[],
  compactionMinBytes: number,
  sightings: Sightings,
): Promise<void> {
  const group = await ConsumerGroupContext.start();
  group.compactionMinBytes = compactionMinBytes;
  await group.restart();
  group.setTopic("orders", 3);
  let epoch = 0;
  let type = "no group";
  for (const [index, step] of commands.entries()) {
    await take(group, step);
    group.coordinator.checkInvariants();
    const [listedType = ""] = group.listed().split(" ");
    if (type === "classic" && listedType === "consumer") sightings.upgraded += 1;
    if (type === "consumer" && listedType === "classic") sightings.downgraded += 1;
    type = listedType;
    const described = group.described();
    if (index % 3 === 0) expect(inOrder(await group.reloaded())).toEqual(inOrder(described));
    if (described.errorCode !== 0) {
      epoch = 0;
      continue;
    }
    expect(described.groupEpoch).toBeGreaterThanOrEqual(epoch);
    epoch = described.groupEpoch;
    const kinds = new Set(described.members.map(({ memberType }) => memberType));
    if (kinds.size === 2) sightings.mixed += 1;
    // A client that is in its epoch reads nothing that the coordinator does not think it has.
    for (const client of group.clients.values()) {
      const member = described.members.find(({ memberId }) => memberId === client.memberId);
      if (member === undefined || member.memberEpoch !== client.epoch || client.epoch <= 0)
        continue;
      const held = new Set(
        member.assignment.topicPartitions.flatMap(({ topicName, partitions }) =>
          partitions.map((partition) => `${topicName}-${partition}`),
        ),
      );
      for (const row of client.owned) expect([...held]).toContain(row);
      if (client.owned.size > 0) sightings.assigned += 1;
    }
  }
  await converge(group);
  sightings.compacted += group.log.dropCount;
}

/** Everybody does what it should for as long as it takes. */
async function converge(group: ConsumerGroupContext): Promise<void> {
  if (!group.listed().startsWith("consumer")) return;
  // Members whose clients have gone are dropped first.
  await group.advance(61_000);
  for (const client of group.clients.values()) client.epoch = 0;
  for (let round = 0; round < 40; round++) {
    for (const name of CONSUMERS) {
      await group.beat(name, { isSilent: false, ...(name === "s" ? { instance: "i" } : {}) });
    }
    await group.advance(1_500);
  }
  const described = group.described();
  expect([described.groupState, group.takeEvents().slice(-3)]).toEqual([
    "Stable",
    expect.anything(),
  ]);
  for (const { assignment, targetAssignment } of described.members) {
    expect(byName(assignment)).toEqual(byName(targetAssignment));
  }
}

/** Members by id: a compacted log has them in the order of their last records. */
function inOrder(described: DescribedConsumerGroup): DescribedConsumerGroup {
  const members = described.members.toSorted((one, other) =>
    one.memberId < other.memberId ? -1 : 1,
  );
  return { ...described, members };
}

function byName({ topicPartitions }: DescribedAssignment): unknown {
  return topicPartitions.toSorted((one, other) => (one.topicName < other.topicName ? -1 : 1));
}

describe("a consumer group under random load", () => {
  test("shares without overlap, follows its log, and comes to rest", async () => {
    const sightings: Sightings = {
      assigned: 0,
      mixed: 0,
      upgraded: 0,
      downgraded: 0,
      compacted: 0,
    };
    const lives = fc.array(command, { minLength: 10, maxLength: 100, size: "max" });
    const limits = fc.constantFrom(Number.MAX_SAFE_INTEGER, 500, 3000);
    const property = fc.asyncProperty(lives, limits, (commands, compactionMinBytes) =>
      play(commands, compactionMinBytes, sightings),
    );
    await fc.assert(property, { numRuns: 40 });
    // Lives in which nothing happens would prove little.
    for (const count of Object.values(sightings)) expect(count).toBeGreaterThan(0);
  }, 120_000);
});
