/**
 * Random lives of a group: whatever members do, in whatever order, over restarts and failed appends, what the protocol
 * promises must hold.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ErrorCode } from "#common/error-code.ts";
import { GroupContext } from "../../../support/group-context.ts";

const NAMES = ["a", "b", "c", "s"] as const;
const name = fc.constantFrom(...NAMES);

const command = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("join" as const), name }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("sync" as const), name }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("heartbeat" as const), name }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("leave" as const), name }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("return" as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("commit" as const),
      name: fc.option(name, { nil: null }),
      partition: fc.nat(2),
      offset: fc.nat(1_000),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.nat(6_000) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cooperate" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("flush" as const), isWaitedFor: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("fail" as const),
      errorCode: fc.constantFrom(ErrorCode.KAFKA_STORAGE_ERROR, ErrorCode.NOT_ENOUGH_REPLICAS),
    }),
  },
);
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

/** What happened in a life. */
interface Life {
  readonly assignedCount: number;
  readonly dropCount: number;
}

/** Plays commands and checks after each of them. */
async function play(commands: readonly Command[], compactionMinBytes: number): Promise<Life> {
  const group = await GroupContext.start({ groupInitialRebalanceDelayMs: 500 });
  group.compactionMinBytes = compactionMinBytes;
  await group.restart();
  const leaders = new Map<number, string>();
  const acknowledged = new Map<number, number>();
  let assignedCount = 0;

  const check = async (): Promise<void> => {
    await group.settle();
    group.coordinator.checkInvariants();
    for (const event of group.takeEvents()) {
      const joined = /^(\w) joined generation (\d+) with range: (leads|follows)/.exec(event);
      if (joined !== null) {
        const generation = Number(joined[2]);
        if (joined[3] === "leads") {
          const known = leaders.get(generation);
          if (known !== undefined)
            expect(`${generation}: ${joined[1]}`).toBe(`${generation}: ${known}`);
          leaders.set(generation, String(joined[1]));
        }
      }
      const assigned = /^(\w) is assigned "(.*)"$/.exec(event);
      if (assigned === null) continue;
      // Each member is handed its own share of one generation, never somebody else's.
      const [, owner = "", text = ""] = assigned;
      expect(text).toMatch(new RegExp(`^${owner}@\\d+$`));
      assignedCount += 1;
    }
    const expected = [...acknowledged].map(
      ([partition, offset]) => `orders-${partition}@${offset}`,
    );
    expect(await group.offsets()).toEqual(expected.toSorted());
  };

  const sync = (member: string): void => {
    const { leads, sees, generationId } = group.members.get(member) ?? {
      leads: false,
      sees: [],
      generationId: -1,
    };
    const shares = leads ? sees : [];
    group.sync(member, Object.fromEntries(shares.map((one) => [one, `${one}@${generationId}`])));
  };

  for (const step of commands) {
    switch (step.do) {
      case "join": {
        const isKnown = group.members.has(step.name);
        const instance = step.name === "s" && !isKnown ? { instance: "i" } : {};
        group.join(step.name, { rebalanceMs: 15_000, ...instance });
        break;
      }
      case "sync":
        sync(step.name);
        break;
      case "cooperate":
        for (const member of group.members.keys()) group.join(member);
        await group.advance(1_500);
        for (const member of group.members.keys()) sync(member);
        break;
      case "heartbeat":
        group.heartbeat(step.name);
        break;
      case "leave":
        group.leave(step.name);
        break;
      case "return":
        if (group.members.has("s")) group.restartMember("s");
        break;
      case "commit": {
        const { partition, offset } = step;
        void group.commit(step.name, "orders", partition, offset).then((errorCode) => {
          if (errorCode === ErrorCode.NONE) acknowledged.set(partition, offset);
        });
        break;
      }
      case "advance":
        await group.advance(step.ms);
        break;
      case "restart":
        await group.restart();
        // A generation whose assignment was never stored is forgotten, and its number given again.
        leaders.clear();
        break;
      case "fail":
        group.log.failNext(step.errorCode);
        break;
      case "flush":
        group.log.isImmediate = !step.isWaitedFor;
        break;
    }
    await check();
  }
  // Loading what is in the log gives the same offsets once more, and a group that is whole.
  await group.restart();
  await check();
  return { assignedCount, dropCount: group.log.dropCount };
}

describe("a group under random load", () => {
  test("keeps one leader a generation, hands out each share once, and forgets no acknowledged commit", async () => {
    let assignedCount = 0;
    const lives = fc.array(command, { minLength: 20, maxLength: 120, size: "max" });
    let dropCount = 0;
    const limits = fc.constantFrom(Number.MAX_SAFE_INTEGER, 300, 2000);
    const property = fc.asyncProperty(lives, limits, async (commands, compactionMinBytes) => {
      const life = await play(commands, compactionMinBytes);
      assignedCount += life.assignedCount;
      dropCount += life.dropCount;
    });
    await fc.assert(property, { numRuns: 100 });
    // Lives in which nobody ever gets an assignment, or no log is compacted, would prove little.
    expect(assignedCount).toBeGreaterThan(100);
    expect(dropCount).toBeGreaterThan(50);
  }, 60_000);
});
