/**
 * Stories of one group as text: a command, what it was answered, and what else happened meanwhile. Read them as
 * documentation; a change in behaviour shows as a diff.
 *
 *   UPDATE_TRANSCRIPTS=1 bun test test/unit/coordinator/transcripts.test.ts     writes the answers anew
 *
 * ```
 * config KEY=NUMBER …                           before anything else
 * join NAME [instance=I] [protocols=P,Q] [topics=T,U] [session=MS] [rebalance=MS] [version=V] [type=T] [as=MEMBER]
 * restart-member NAME | sync NAME [MEMBER=TEXT …] | heartbeat NAME | leave NAME
 * commit NAME|- TOPIC-PARTITION@OFFSET [retention=MS] | fetch [stable] | delete
 * advance MS | state | restart | hold | release | fail ERROR
 * ```
 */
import { join } from "node:path";
import { ErrorCode } from "#common/error-code.ts";
import { GroupContext, type MemberOptions } from "../../support/group-context.ts";
import { options, transcripts } from "../../support/transcripts.ts";

const DIRECTORY = join(import.meta.dir, "transcripts");

transcripts<GroupContext>(DIRECTORY, {
  start(config) {
    const numbers = Object.entries(config).map(([key, value]) => [key, Number(value)]);
    return GroupContext.start(Object.fromEntries(numbers) as Record<string, number>);
  },
  run,
});

async function run(group: GroupContext, command: string): Promise<string[]> {
  const [verb = "", name = "", ...rest] = command.split(" ");
  const extra: string[] = [];
  switch (verb) {
    case "join":
      group.join(name, memberOptions(options(rest)));
      break;
    case "restart-member":
      group.restartMember(name);
      break;
    case "sync":
      group.sync(name, options(rest));
      break;
    case "heartbeat":
      group.heartbeat(name);
      break;
    case "leave":
      group.leave(name);
      break;
    case "commit": {
      const [, topic = "", partition = "", offset = ""] =
        /^(.+)-(\d+)@(-?\d+)$/.exec(rest[0] ?? "") ?? [];
      const retention = Number(options(rest.slice(1))["retention"] ?? -1);
      const who = name === "-" ? null : name;
      void group.commit(who, topic, Number(partition), Number(offset), retention);
      break;
    }
    case "fetch":
      group.fetch(name === "stable");
      break;
    case "delete":
      void group.deleteGroup();
      break;
    case "advance":
      await group.advance(Number(name));
      break;
    case "state":
      extra.push(group.describe());
      break;
    case "restart":
      await group.restart();
      break;
    case "hold":
      group.log.hold();
      break;
    case "release":
      group.log.release();
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

function memberOptions(given: Record<string, string>): MemberOptions {
  const made: Record<string, unknown> = {};
  if (given["instance"] !== undefined) made["instance"] = given["instance"];
  if (given["protocols"] !== undefined) made["protocols"] = given["protocols"].split(",");
  if (given["topics"] !== undefined) made["topics"] = given["topics"].split(",");
  if (given["session"] !== undefined) made["sessionMs"] = Number(given["session"]);
  if (given["rebalance"] !== undefined) made["rebalanceMs"] = Number(given["rebalance"]);
  if (given["version"] !== undefined) made["version"] = Number(given["version"]);
  if (given["type"] !== undefined) made["protocolType"] = given["type"];
  if (given["as"] !== undefined) made["as"] = given["as"];
  return made;
}
