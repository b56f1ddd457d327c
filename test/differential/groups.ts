/**
 * Tells the group scenarios to two brokers and compares their answers.
 *
 *   bun test/differential/groups.ts --reference 127.0.0.1:9092 [--bootstrap 127.0.0.1:19192] [--only NAME] [--print]
 *
 * `--reference` is real Kafka. Without `--bootstrap` our side is the coordinator and its handlers in this process, on an
 * in-memory log. Prints each difference; exits with 1 when there is any that `KNOWN_DIFFERENCES` does not list.
 */
import { ZERO_UUID } from "#common/uuid.ts";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  DescribeGroupsApi,
  makeDescribeGroupsRequest,
} from "#protocol/generated/describe-groups.ts";
import {
  FindCoordinatorApi,
  makeFindCoordinatorRequest,
} from "#protocol/generated/find-coordinator.ts";
import { MemoryGroups } from "../support/memory-groups.ts";
import { SCENARIOS } from "./scenarios/index.ts";
import { Scene, type Target } from "./scenarios/scene.ts";
import { Wire } from "./wire.ts";

/** Answers that differ on purpose, as "scenario / label" with the reason. */
export const KNOWN_DIFFERENCES: Readonly<Record<string, string>> = {
  "consumer-empty-conversions / topic":
    "a refused JoinGroup makes Kafka forget an empty consumer group, though not in its log; ours stays",
};

/** Real Kafka's coordinator hears of a new topic a moment after who created it. */
const TOPIC_KNOWN_MS = 1_500;

/** A broker behind an address, with a topic made for this run. */
async function remoteTarget(address: string, run: string): Promise<Target> {
  using wire = await Wire.connect(address);
  const topic = `groups-${run}`;
  const topics = [makeCreatableTopic({ name: topic, numPartitions: 2, replicationFactor: 1 })];
  const request = makeCreateTopicsRequest({ topics, timeoutMs: 10_000 });
  const created = await wire.send(CreateTopicsApi, 7, request);
  const topicId = created.topics[0]?.topicId ?? ZERO_UUID;
  if (topicId === ZERO_UUID) throw new Error(`no topic on ${address}: ${JSON.stringify(created)}`);
  await awaitGroups(
    wire,
    Object.keys(SCENARIOS).map((name) => `${name}-${run}`),
  );
  await new Promise((resolve) => setTimeout(resolve, TOPIC_KNOWN_MS));
  return { topic, topicId, connect: () => Wire.connect(address) };
}

/** Waits until a fresh broker, which makes its internal topic when it is first asked, serves `groups`. */
export async function awaitGroups(wire: Wire, groups: readonly string[]): Promise<void> {
  const coordinatorKeys = [...groups];
  for (let attempt = 0; attempt < 600; attempt++) {
    const request = makeFindCoordinatorRequest({ coordinatorKeys });
    const found = await wire.send(FindCoordinatorApi, 4, request);
    const described = await wire.send(
      DescribeGroupsApi,
      0,
      makeDescribeGroupsRequest({ groups: coordinatorKeys }),
    );
    const isFound = found.coordinators.every(({ errorCode }) => errorCode === 0);
    if (isFound && described.groups.every(({ errorCode }) => errorCode === 0)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("no coordinator after a minute");
}

async function tell(
  target: Target,
  run: string,
  only: string | null,
): Promise<Map<string, string[]>> {
  const scenes = Object.entries(SCENARIOS)
    .filter(([name]) => only === null || name === only)
    .map(([name, play]) => ({ name, play, scene: new Scene(target, name, run) }));
  await Promise.all(
    scenes.map(async ({ play, scene }) => {
      try {
        await play(scene);
      } catch (error) {
        scene.note("broke off", error instanceof Error ? error.message : String(error));
      }
    }),
  );
  return new Map(scenes.map(({ name, scene }) => [name, scene.notes]));
}

function option(name: string): string | null {
  const at = process.argv.indexOf(`--${name}`);
  return at === -1 ? null : (process.argv[at + 1] ?? null);
}

async function main(): Promise<number> {
  const reference = option("reference");
  const bootstrap = option("bootstrap");
  const only = option("only");
  const run = Math.random().toString(36).slice(2, 10);
  const ours =
    bootstrap === null
      ? await MemoryGroups.start({ topic: `groups-${run}` })
      : await remoteTarget(bootstrap, run);
  const mine = tell(ours, run, only);
  if (reference === null) {
    for (const [name, notes] of await mine) console.log(`# ${name}\n${notes.join("\n")}\n`);
    return 0;
  }
  const theirs = await tell(await remoteTarget(reference, run), run, only);
  let answers = 0;
  let differences = 0;
  for (const [name, notes] of await mine) {
    const expected = theirs.get(name) ?? [];
    for (let index = 0; index < Math.max(notes.length, expected.length); index++) {
      answers += 1;
      const label = `${name} / ${(expected[index] ?? notes[index] ?? "").split(":")[0]}`;
      if (process.argv.includes("--print")) console.log(`${name} / ${expected[index]}`);
      if (notes[index] === expected[index]) continue;
      const reason = KNOWN_DIFFERENCES[label];
      if (reason === undefined) differences += 1;
      const verdict = reason === undefined ? "DIFFERENT" : `different by intent (${reason})`;
      console.log(`${verdict}: ${label}\n  kafka ${expected[index]}\n  ours  ${notes[index]}`);
    }
  }
  console.log(`${answers} answers compared, ${differences} unexpected differences`);
  return differences === 0 ? 0 : 1;
}

if (import.meta.main) process.exit(await main());
