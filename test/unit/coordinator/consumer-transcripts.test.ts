/**
 * Stories of one consumer group (KIP-848) as text: a command, what it was answered. Read them as documentation; a change in behaviour
 * shows as a diff.
 *
 *   UPDATE_TRANSCRIPTS=1 bun test test/unit/coordinator/consumer-transcripts.test.ts     writes the answers anew
 *
 * ```
 * config KEY=VALUE …                            before anything else
 * topic NAME COUNT | drop NAME
 * beat NAME [topics=T,U] [pattern=P] [instance=I] [assignor=A] [rebalance=MS] [owns=T-0,T-1|nothing] [epoch=N] [silent]
 * leave NAME | away NAME                        away: a static member that will be back
 * join NAME … | heartbeat NAME | part NAME      the same by the classic protocol
 * commit NAME|- TOPIC-PARTITION [epoch=N] | offsets | delete
 * advance MS | state | listed | records | restart | fail ERROR
 * ```
 */
import { join } from "node:path";
import { ErrorCode } from "#common/error-code.ts";
import type { MigrationPolicy } from "#coordinator/group/config.ts";
import {
  ConsumerGroupContext,
  type ConsumerOptions,
} from "../../support/consumer-group-context.ts";
import { options, transcripts } from "../../support/transcripts.ts";

const DIRECTORY = join(import.meta.dir, "transcripts", "consumer");

transcripts<ConsumerGroupContext>(DIRECTORY, {
  start({ policy, ...numbers }) {
    const config = Object.entries(numbers).map(([key, value]) => [key, Number(value)]);
    return ConsumerGroupContext.start({
      ...(Object.fromEntries(config) as Record<string, number>),
      ...(policy === undefined ? {} : { groupConsumerMigrationPolicy: policy as MigrationPolicy }),
    });
  },
  run,
  check: (group) => group.coordinator.checkInvariants(),
});

async function run(group: ConsumerGroupContext, command: string): Promise<string[]> {
  const [verb = "", name = "", ...rest] = command.split(" ");
  const given = options(rest);
  const extra: string[] = [];
  switch (verb) {
    case "topic":
      group.setTopic(name, Number(rest[0]));
      break;
    case "drop":
      group.deleteTopic(name);
      break;
    case "beat":
      await group.beat(name, memberOptions(given));
      break;
    case "leave":
      await group.leave(name);
      break;
    case "away":
      await group.leave(name, true);
      break;
    case "join":
      // May wait for others.
      void group.classicJoin(name, memberOptions(given));
      await group.settle();
      group.time.advance(0);
      break;
    case "heartbeat":
      await group.classicBeat(name);
      break;
    case "part":
      await group.classicLeave(name);
      break;
    case "commit": {
      const epoch = given["epoch"] === undefined ? undefined : Number(given["epoch"]);
      await group.commit(name === "-" ? null : name, rest[0] ?? "", epoch);
      break;
    }
    case "offsets":
      extra.push(`offsets: ${(await group.offsets()).join(" ") || "none"}`);
      break;
    case "delete":
      await group.deleteGroup();
      break;
    case "advance":
      await group.advance(Number(name));
      break;
    case "state":
      extra.push(...group.describe());
      break;
    case "listed":
      extra.push(group.listed());
      break;
    case "records":
      extra.push(...group.takeRecords());
      break;
    case "restart":
      await group.restart();
      break;
    case "fail":
      group.log.failNext(ErrorCode[name as keyof typeof ErrorCode]);
      break;
    default:
      throw new Error(`unknown command: ${command}`);
  }
  await group.settle();
  return [...group.takeEvents(), ...extra];
}

function memberOptions(given: Record<string, string>): ConsumerOptions {
  const made: Record<string, unknown> = {};
  if (given["topics"] !== undefined) made["topics"] = given["topics"].split(",").filter(Boolean);
  if (given["owns"] !== undefined) {
    made["owns"] = given["owns"] === "nothing" ? [] : given["owns"].split(",");
  }
  for (const key of ["pattern", "instance", "assignor"]) {
    if (given[key] !== undefined) made[key] = given[key];
  }
  if (given["rebalance"] !== undefined) made["rebalanceMs"] = Number(given["rebalance"]);
  if (given["epoch"] !== undefined) made["epoch"] = Number(given["epoch"]);
  if (given["silent"] !== undefined) made["isSilent"] = true;
  return made;
}
