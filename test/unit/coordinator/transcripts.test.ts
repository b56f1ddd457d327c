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
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ErrorCode } from "#common/error-code.ts";
import { GroupContext, type MemberOptions } from "../../support/group-context.ts";

const DIRECTORY = join(import.meta.dir, "transcripts");
const isUpdating = process.env["UPDATE_TRANSCRIPTS"] === "1";

for (const file of readdirSync(DIRECTORY).filter((name) => name.endsWith(".txt"))) {
  test(`transcript ${file}`, async () => {
    const path = join(DIRECTORY, file);
    const recorded = readFileSync(path, "utf8");
    const replayed = await replay(recorded);
    if (isUpdating) writeFileSync(path, replayed);
    else expect(replayed).toBe(recorded);
  });
}

/** Runs the commands of a transcript and returns it with fresh answers. */
async function replay(text: string): Promise<string> {
  const output: string[] = [];
  let group: GroupContext | null = null;
  for (const block of text.split(/\n\n+/)) {
    const lines = block.trim().split("\n");
    const cut = lines.indexOf("----");
    const head = cut === -1 ? lines : lines.slice(0, cut);
    const commands = head.filter((line) => line !== "" && !line.startsWith("#"));
    if (commands[0]?.startsWith("config") === true) {
      const pairs = options(commands[0].split(" ").slice(1));
      const numbers = Object.entries(pairs).map(([key, value]) => [key, Number(value)]);
      group = await GroupContext.start(Object.fromEntries(numbers) as Record<string, number>);
      output.push(head.join("\n"));
      continue;
    }
    group ??= await GroupContext.start();
    const answers: string[] = [];
    for (const command of commands) answers.push(...(await run(group, command)));
    const isProse = commands.length === 0;
    output.push(isProse ? head.join("\n") : [...head, "----", ...answers].join("\n"));
  }
  return `${output.join("\n\n")}\n`;
}

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

function options(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(words.map((word) => word.split(/=(.*)/s).slice(0, 2)));
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
