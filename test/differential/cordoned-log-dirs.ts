/**
 * What a broker with two log directories does while some of them are cordoned (KIP-1066), as lines.
 *
 *   bun test/differential/cordoned-log-dirs.ts --bootstrap HOST:PORT --dirs /first,/second --node 1        prints them
 *
 * `cordoned-log-dirs.txt` is what Kafka 4.4.0 said.
 */
import { AlterConfigsApi, makeAlterConfigsRequest } from "#protocol/generated/alter-configs.ts";
import {
  AlterPartitionReassignmentsApi,
  makeAlterPartitionReassignmentsRequest,
} from "#protocol/generated/alter-partition-reassignments.ts";
import {
  AlterReplicaLogDirsApi,
  makeAlterReplicaLogDirsRequest,
} from "#protocol/generated/alter-replica-log-dirs.ts";
import {
  CreatePartitionsApi,
  makeCreatePartitionsRequest,
} from "#protocol/generated/create-partitions.ts";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import {
  DeleteTopicsApi,
  makeDeleteTopicsRequest,
  makeDeleteTopicState,
} from "#protocol/generated/delete-topics.ts";
import {
  DescribeConfigsApi,
  makeDescribeConfigsRequest,
} from "#protocol/generated/describe-configs.ts";
import {
  DescribeLogDirsApi,
  makeDescribeLogDirsRequest,
} from "#protocol/generated/describe-log-dirs.ts";
import {
  IncrementalAlterConfigsApi,
  makeIncrementalAlterConfigsRequest,
} from "#protocol/generated/incremental-alter-configs.ts";
import { makeMetadataRequest, MetadataApi } from "#protocol/generated/metadata.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { printStory, type TwoDirectories } from "./log-dirs.ts";
import { Wire } from "./wire.ts";

const KEY = "cordoned.log.dirs";
const BROKER = 4;
const LOOK_MS = 20;
const LOOKS_MAX = 1500;
const Operation = { SET: 0, DELETE: 1, APPEND: 2, SUBTRACT: 3 } as const;

interface Outcome {
  readonly errorCode: number;
  readonly errorMessage?: string | null;
}

/** Plays the story; topics begin with `run`. Leaves no directory cordoned. */
export async function cordonStory(
  { address, dirs, nodeId }: TwoDirectories,
  run: string,
): Promise<string> {
  using wire = await Wire.connect(address);
  const [first, second] = dirs;
  const both = dirs.join(",");
  const lines: string[] = [];
  const topic = (name: string): string => `${run}-${name}`;
  const say = (...words: readonly (string | number)[]): void => {
    const line = words.join(" ").replaceAll(run, "<run>");
    lines.push(line.replaceAll(first, "<first>").replaceAll(second, "<second>"));
  };
  const told = ({ errorCode, errorMessage }: Outcome): string =>
    errorMessage === undefined || errorMessage === null
      ? String(errorCode)
      : `${errorCode} ${errorMessage}`;

  const alter = async (
    value: string | null,
    configOperation: number,
    { resourceName = String(nodeId), validateOnly = false } = {},
  ): Promise<string> => {
    const configs = [{ name: KEY, configOperation, value }];
    const resources = [{ resourceType: BROKER, resourceName, configs }];
    const request = makeIncrementalAlterConfigsRequest({ resources, validateOnly });
    const { responses } = await wire.send(IncrementalAlterConfigsApi, 1, request);
    return told(responses[0] ?? { errorCode: -1 });
  };
  const set = (value: string): Promise<string> => alter(value, Operation.SET);
  const replace = async (value: string): Promise<string> => {
    const configs = [{ name: KEY, value }];
    const resources = [{ resourceType: BROKER, resourceName: String(nodeId), configs }];
    const request = makeAlterConfigsRequest({ resources });
    const { responses } = await wire.send(AlterConfigsApi, 2, request);
    return told(responses[0] ?? { errorCode: -1 });
  };
  const describe = async (): Promise<string> => {
    const resources = [
      { resourceType: BROKER, resourceName: String(nodeId), configurationKeys: [KEY] },
    ];
    const request = makeDescribeConfigsRequest({ resources });
    const { results } = await wire.send(DescribeConfigsApi, 4, request);
    const entry = results[0]?.configs[0];
    return `${JSON.stringify(entry?.value)} source ${entry?.configSource}`;
  };
  /** The value in force once it is `text` of `source`, 2 for a broker's own and 5 for the default. */
  const value = async (text: string, source = 2): Promise<string> => {
    const wanted = `${JSON.stringify(text)} source ${source}`;
    for (let look = 0; look < LOOKS_MAX; look += 1) {
      if ((await describe()) === wanted) return wanted;
      await Bun.sleep(LOOK_MS);
    }
    throw new Error(`the value is ${await describe()}, not ${wanted}`);
  };
  const results = async (version = 5) => {
    const request = makeDescribeLogDirsRequest({ topics: null });
    return (await wire.send(DescribeLogDirsApi, version, request)).results;
  };
  const cordoned = async (): Promise<string> => {
    const paths = (await results()).filter(({ isCordoned }) => isCordoned);
    return paths.length === 0
      ? "none"
      : paths
          .map(({ logDir }) => logDir)
          .sort()
          .join(" ");
  };
  const cordonedBecomes = async (wanted: string): Promise<void> => {
    for (let look = 0; look < LOOKS_MAX; look += 1) {
      if ((await cordoned()) === wanted) return;
      await Bun.sleep(LOOK_MS);
    }
    throw new Error(`cordoned: ${await cordoned()}, not ${wanted}`);
  };
  const spread = async (name: string, count: number): Promise<string> => {
    for (let look = 0; look < LOOKS_MAX; look += 1) {
      const counts = (await results()).map(({ logDir, topics }): [string, number] => [
        logDir,
        topics.find((row) => row.name === name)?.partitions.length ?? 0,
      ]);
      if (counts.reduce((sum, [, each]) => sum + each, 0) === count) {
        return counts
          .map(([path, each]) => `${path} ${each}`)
          .sort()
          .join(" ");
      }
      await Bun.sleep(LOOK_MS);
    }
    throw new Error(`${name} has not ${count} replicas`);
  };

  const create = async (
    name: string,
    {
      count = 1,
      factor = 1,
      validateOnly = false,
      replicas = null as readonly number[] | null,
    } = {},
  ): Promise<Outcome> => {
    const assignments = replicas === null ? [] : [{ partitionIndex: 0, brokerIds: [...replicas] }];
    const [numPartitions, replicationFactor] = replicas === null ? [count, factor] : [-1, -1];
    const row = makeCreatableTopic({ name, numPartitions, replicationFactor, assignments });
    const request = makeCreateTopicsRequest({ topics: [row], timeoutMs: 10_000, validateOnly });
    const { topics } = await wire.send(CreateTopicsApi, 7, request);
    return topics[0] ?? { errorCode: -1 };
  };
  /** Waits until the controller knows whether there is a directory to place anything in. */
  const untilPlaceable = async (isPlaceable: boolean): Promise<void> => {
    for (let look = 0; look < LOOKS_MAX; look += 1) {
      const { errorCode } = await create(topic("probe"), { validateOnly: true });
      if ((errorCode === 0) === isPlaceable) return;
      await Bun.sleep(LOOK_MS);
    }
    throw new Error(`nothing was to be ${isPlaceable ? "placed" : "refused"}`);
  };
  const grow = async (name: string, count: number, replicas?: number[]): Promise<string> => {
    const assignments = replicas === undefined ? null : [{ brokerIds: replicas }];
    const request = makeCreatePartitionsRequest({
      topics: [{ name, count, assignments }],
      timeoutMs: 10_000,
    });
    const answer = await wire.send(CreatePartitionsApi, 3, request);
    return told(answer.results[0] ?? { errorCode: -1 });
  };
  const move = async (path: string, name: string, partition = 0): Promise<number> => {
    const topics = [{ name, partitions: [partition] }];
    const request = makeAlterReplicaLogDirsRequest({ dirs: [{ path, topics }] });
    const answer = await wire.send(AlterReplicaLogDirsApi, 2, request);
    return answer.results[0]?.partitions[0]?.errorCode ?? -1;
  };
  const reassign = async (name: string, replicas: number[]): Promise<string> => {
    const partitions = [{ partitionIndex: 0, replicas }];
    const request = makeAlterPartitionReassignmentsRequest({ topics: [{ name, partitions }] });
    const answer = await wire.send(AlterPartitionReassignmentsApi, 0, request);
    const row = answer.responses[0]?.partitions[0];
    return `${answer.errorCode} ${told(row ?? { errorCode: -1 })}`;
  };
  const produce = async (name: string): Promise<number> => {
    const records = encodeRecordBatch({
      timestamp: Date.now(),
      records: [{ key: null, value: Buffer.alloc(10) }],
    });
    const topicData = [
      makeTopicProduceData({
        name,
        partitionData: [makePartitionProduceData({ index: 0, records })],
      }),
    ];
    const request = makeProduceRequest({ acks: -1, timeoutMs: 20_000, topicData });
    const answer = await wire.send(ProduceApi, 8, request);
    return answer.responses[0]?.partitionResponses[0]?.errorCode ?? -1;
  };
  const remove = async (name: string): Promise<void> => {
    const topics = [makeDeleteTopicState({ name })];
    await wire.send(DeleteTopicsApi, 6, makeDeleteTopicsRequest({ topics, timeoutMs: 10_000 }));
  };

  const old = topic("old");
  await create(old);
  const home = (await spread(old, 1)).startsWith(`${first} 1`) ? first : second;
  const away = home === first ? second : first;

  say("# values");
  say("at first", await value("", 5), "cordoned", await cordoned());
  for (const text of [
    "/nowhere",
    `${first}/`,
    `${first},/nowhere,/elsewhere`,
    `*,/nowhere`,
    `*,${first}`,
    `${first},${first}`,
    `${first},`,
    "data",
  ]) {
    say("set", JSON.stringify(text), await set(text));
  }
  say("replaced", await replace("/nowhere"));
  say("appended", await alter("/nowhere", Operation.APPEND));
  say("for all brokers", await alter(first, Operation.SET, { resourceName: "" }));
  say("only checked", await alter("*", Operation.SET, { validateOnly: true }));
  say("still", await value("", 5), "cordoned", await cordoned());
  say("empty", await set(""), "is", await value(""));
  say("removed", await alter(null, Operation.DELETE), "is", await value("", 5));

  say("# all of them");
  say("set", await set("*"), "is", await value("*"));
  await cordonedBecomes([first, second].sort().join(" "));
  await untilPlaceable(false);
  say("shown to version 4", (await results(4)).filter(({ isCordoned }) => isCordoned).length);
  say("new topic", told(await create(topic("new"))));
  say("two replicas", told(await create(topic("new"), { factor: 2 })));
  say("on this broker", told(await create(topic("new"), { replicas: [nodeId] })));
  say("on none", told(await create(topic("new"), { replicas: [nodeId + 70] })));
  say("more partitions", await grow(old, 2));
  say("more on this broker", await grow(old, 2, [nodeId]));
  say("reassigned to where it is", await reassign(old, [nodeId]));
  say("reassigned elsewhere", await reassign(old, [nodeId + 70]));
  say("to the other directory", await move(away, old));
  say("to its own directory", await move(home, old));
  say("no such partition", await move(away, old, 7));
  say("no such topic", await move(away, topic("none")));
  say("no such directory", await move("/nowhere", old));
  const asked = makeMetadataRequest({
    topics: [{ topicId: "", name: topic("automatic") }],
    allowAutoTopicCreation: true,
  });
  const metadata = await wire.send(MetadataApi, 8, asked);
  say("made by itself", metadata.topics[0]?.errorCode ?? -1);
  say("records", await produce(old));

  say("# one of them");
  await set("");
  await untilPlaceable(true);
  const wished = topic("wished");
  say("asked for in the first one", await move(first, wished));
  say("set", await set(first), "is", await value(first));
  await cordonedBecomes(first);
  await untilPlaceable(true);
  const half = topic("half");
  say("new topic", told(await create(half, { count: 4 })));
  say("lies in", await spread(half, 4));
  say("more partitions", await grow(half, 6));
  say("lies in", await spread(half, 6));
  const placed = topic("placed");
  say("on this broker", told(await create(placed, { replicas: [nodeId] })));
  say("lies in", await spread(placed, 1));
  say("to the cordoned one", await move(first, half), await move(first, half, 9));
  say("to the open one", await move(second, half));
  say("asked for before it is there", await move(first, topic("later")));
  say("the one asked for", told(await create(wished)));
  say("lies in", await spread(wished, 1));
  say("added", await alter(second, Operation.APPEND), "is", await value(both));
  await untilPlaceable(false);
  say("cordoned", await cordoned());
  say("taken away", await alter(first, Operation.SUBTRACT), "is", await value(second));
  await untilPlaceable(true);
  say("cordoned", await cordoned());
  say("blanks", await set(` ${first} , ${second} `), "is", await value(both));
  await untilPlaceable(false);
  say("cordoned", await cordoned());

  say("# none of them");
  say("removed", await alter(null, Operation.DELETE), "is", await value("", 5));
  await cordonedBecomes("none");
  await untilPlaceable(true);
  say("on this broker", told(await create(topic("again"), { replicas: [nodeId] })));
  say("more partitions", await grow(old, 2));
  for (const name of [old, half, placed, wished, topic("again")]) await remove(name);
  return `${lines.join("\n")}\n`;
}

if (import.meta.main) await printStory(cordonStory);
