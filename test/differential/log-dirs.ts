/**
 * What a broker with two log directories answers to AlterReplicaLogDirs and DescribeLogDirs (KIP-113), as lines.
 *
 *   bun test/differential/log-dirs.ts --bootstrap HOST:PORT --dirs /first,/second        prints them
 *
 * `log-dirs.txt` is what Kafka 4.4.0 said. The directory that a partition was placed in is called `here`, the other one `there`.
 */
import { parseArgs } from "node:util";
import {
  AlterReplicaLogDirsApi,
  makeAlterReplicaLogDirsRequest,
} from "#protocol/generated/alter-replica-log-dirs.ts";
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
  DescribeLogDirsApi,
  makeDescribeLogDirsRequest,
} from "#protocol/generated/describe-log-dirs.ts";
import {
  IncrementalAlterConfigsApi,
  makeIncrementalAlterConfigsRequest,
} from "#protocol/generated/incremental-alter-configs.ts";
import {
  ListOffsetsApi,
  makeListOffsetsPartition,
  makeListOffsetsRequest,
  makeListOffsetsTopic,
} from "#protocol/generated/list-offsets.ts";
import {
  makePartitionProduceData,
  makeProduceRequest,
  makeTopicProduceData,
  ProduceApi,
} from "#protocol/generated/produce.ts";
import { encodeRecordBatch } from "#protocol/records/record-batch.ts";
import { Wire } from "./wire.ts";

const RATE = "replica.alter.log.dirs.io.max.bytes.per.second";
const LOOK_MS = 50;
const LOOKS_MAX = 600;

/** A broker with two log directories. */
export interface TwoDirectories {
  readonly address: string;
  readonly dirs: readonly [string, string];
  /** Its node id. */
  readonly nodeId: number;
}

type Rows = readonly (readonly [dir: string, topic: string, partitions: readonly number[]])[];

/** Plays the story; topics begin with `run`. */
export async function logDirStory(
  { address, dirs, nodeId }: TwoDirectories,
  run: string,
): Promise<string> {
  using wire = await Wire.connect(address);
  const [a, b] = dirs;
  const lines: string[] = [];
  const topic = (name: string): string => `${run}-${name}`;
  const say = (...words: readonly (string | number)[]): void => {
    lines.push(words.join(" ").replaceAll(run, "<run>"));
  };

  const alter = async (rows: Rows, version = 2): Promise<string> => {
    const byDir = new Map<string, { name: string; partitions: number[] }[]>();
    for (const [path, name, partitions] of rows) {
      const topics = byDir.get(path) ?? [];
      byDir.set(path, topics);
      topics.push({ name, partitions: [...partitions] });
    }
    const request = makeAlterReplicaLogDirsRequest({
      dirs: [...byDir].map(([path, topics]) => ({ path, topics })),
    });
    const answer = await wire.send(AlterReplicaLogDirsApi, version, request);
    const results = answer.results.flatMap(({ topicName, partitions }) =>
      partitions.map(
        ({ partitionIndex, errorCode }) => `${topicName}-${partitionIndex}=${errorCode}`,
      ),
    );
    return results.length === 0 ? "nothing" : results.sort().join(" ");
  };

  /** Where replicas of a topic are: `first`, `second`, a `*` for a future one, its lag. */
  const places = async (name: string, version = 4): Promise<[string, boolean, number][]> => {
    const answer = await wire.send(
      DescribeLogDirsApi,
      version,
      makeDescribeLogDirsRequest({ topics: null }),
    );
    return answer.results.flatMap(({ logDir, topics }) =>
      topics
        .filter((row) => row.name === name)
        .flatMap(({ partitions }) =>
          partitions.map(({ isFutureKey, offsetLag }): [string, boolean, number] => [
            logDir,
            isFutureKey,
            offsetLag,
          ]),
        ),
    );
  };
  const otherOf = (dir: string): string => (dir === a ? b : a);
  const here = async (name: string): Promise<string> =>
    (await places(name)).find(([, isFuture]) => !isFuture)?.[0] ?? "";
  const until = async (name: string, test: (rows: [string, boolean, number][]) => boolean) => {
    for (let look = 0; look < LOOKS_MAX; look += 1) {
      const rows = await places(name);
      if (test(rows)) return rows;
      await Bun.sleep(LOOK_MS);
    }
    throw new Error(`${name} is ${JSON.stringify(await places(name))}`);
  };
  const settled = (name: string, dir: string): Promise<unknown> =>
    until(name, (rows) => rows.length === 1 && rows[0]?.[0] === dir && !rows[0][1]);

  const create = async (name: string, count = 1): Promise<void> => {
    const creation = makeCreateTopicsRequest({
      topics: [makeCreatableTopic({ name, numPartitions: count, replicationFactor: 1 })],
      timeoutMs: 10_000,
    });
    const answer = await wire.send(CreateTopicsApi, 7, creation);
    if (answer.topics[0]?.errorCode !== 0)
      throw new Error(`${name}: ${answer.topics[0]?.errorCode}`);
    await until(name, (rows) => rows.length === count);
  };
  const produce = async (name: string, count: number, bytes: number): Promise<string> => {
    let last = "";
    for (let at = 0; at < count; at += 1) {
      const records = encodeRecordBatch({
        timestamp: Date.now(),
        records: [{ key: null, value: Buffer.alloc(bytes, at) }],
      });
      const partitionData = [makePartitionProduceData({ index: 0, records })];
      const topicData = [makeTopicProduceData({ name, partitionData })];
      const request = makeProduceRequest({ acks: -1, timeoutMs: 20_000, topicData });
      const answer = await wire.send(ProduceApi, 8, request);
      const row = answer.responses[0]?.partitionResponses[0];
      last = `error ${row?.errorCode} offset ${row?.baseOffset}`;
    }
    return last;
  };
  const endOf = async (name: string): Promise<string> => {
    const partitions = [makeListOffsetsPartition({ partitionIndex: 0, timestamp: -1 })];
    const request = makeListOffsetsRequest({
      replicaId: -1,
      topics: [makeListOffsetsTopic({ name, partitions })],
    });
    const answer = await wire.send(ListOffsetsApi, 5, request);
    const row = answer.topics[0]?.partitions[0];
    return `error ${row?.errorCode} end ${row?.offset}`;
  };
  const limit = async (rate: string | null): Promise<void> => {
    const configs = [{ name: RATE, configOperation: rate === null ? 1 : 0, value: rate }];
    const resources = [{ resourceType: 4, resourceName: String(nodeId), configs }];
    const answer = await wire.send(
      IncrementalAlterConfigsApi,
      1,
      makeIncrementalAlterConfigsRequest({ resources }),
    );
    say("rate", rate ?? "none", "error", answer.responses[0]?.errorCode ?? -1);
  };

  const t = topic("t");
  await create(t, 2);
  say("# what is not there");
  for (const version of [1, 2]) {
    say("no such directory", await alter([["/nowhere", t, [0]]], version));
    say("relative path", await alter([["data", t, [0]]], version));
    say("empty path", await alter([["", t, [0]]], version));
    say("slash at the end", await alter([[`${a}/`, t, [0]]], version));
    say("no such topic", await alter([[a, topic("none"), [0]]], version));
    say("no such topic nor directory", await alter([["/nowhere", topic("none"), [0]]], version));
    say("no such partition", await alter([[a, t, [2, -1]]], version));
    say("bad name", await alter([[a, "a b", [0]]], version));
    say("no name", await alter([[a, "", [0]]], version));
    say("no partitions", await alter([[a, t, []]], version));
    say("no directories", await alter([], version));
  }
  const long = `${run}-${"l".repeat(213 - run.length)}`;
  await create(long);
  say("a name of", long.length, (await alter([[a, long, [0]]])).replace(/^.*=/, ""));
  const longer = `${run}-${"m".repeat(230 - run.length)}`;
  say("a name of", longer.length, (await alter([[a, longer, [0]]])).replace(/^.*=/, ""));
  say("a name of", longer.length, (await alter([["/nowhere", longer, [0]]])).replace(/^.*=/, ""));

  say("# to where it is, and to where it is not");
  const one = topic("one");
  await create(one);
  say("first records", await produce(one, 3, 100));
  const home = await here(one);
  const away = otherOf(home);
  say("where it is", await alter([[home, one, [0]]]));
  say("replicas", (await places(one)).length);
  say("to the other", await alter([[away, one, [0]]]));
  await settled(one, away);
  say("there", await endOf(one), "then", await produce(one, 1, 100));
  say("twice in a request", await alter([[home, one, [0, 0]]]));
  await settled(one, home);
  say("back", await endOf(one), "then", await produce(one, 1, 100));
  say(
    "to both at once",
    await alter([
      [home, one, [0]],
      [away, one, [0]],
    ]),
  );
  await settled(one, away);
  say("the second one counts", await endOf(one));

  say("# under way");
  await limit("1000");
  const slow = topic("slow");
  await create(slow);
  say("records", await produce(slow, 60, 50_000));
  const from = await here(slow);
  const to = otherOf(from);
  const named = (dir: string): string => (dir === from ? "here" : "there");
  const shown = (rows: [string, boolean, number][]): string =>
    rows
      .map(
        ([dir, isFuture, lag]) =>
          `${named(dir)} ${isFuture ? "future" : "current"} ${lag > 0 ? "behind" : lag}`,
      )
      .sort()
      .join(", ");
  say("to the other", await alter([[to, slow, [0]]]));
  say("is", shown(await until(slow, (rows) => rows.length === 2)));
  say("is", shown(await places(slow, 1)));
  say("again", await alter([[to, slow, [0]]]));
  say("is", shown(await places(slow)));
  say("more records", await produce(slow, 1, 100));
  say("called off", await alter([[from, slow, [0]]]));
  say("is", shown(await until(slow, (rows) => rows.length === 1)));
  say("to the other", await alter([[to, slow, [0]]]));
  say("is", shown(await until(slow, (rows) => rows.length === 2)));
  await limit(null);
  await settled(slow, to);
  say("is", shown(await places(slow)), await endOf(slow), "then", await produce(slow, 1, 100));
  await limit("1000");
  const gone = topic("gone");
  await create(gone);
  await produce(gone, 60, 50_000);
  say("to the other", await alter([[otherOf(await here(gone)), gone, [0]]]));
  await until(gone, (rows) => rows.length === 2);
  const topics = [makeDeleteTopicState({ name: gone })];
  await wire.send(DeleteTopicsApi, 6, makeDeleteTopicsRequest({ topics, timeoutMs: 10_000 }));
  await until(gone, (rows) => rows.length === 0);
  say("deleted with its topic");
  await limit(null);

  say("# before it is there");
  for (const [index, dir] of [a, a, a, b, b, b, a].entries()) {
    const later = topic(`later-${index}`);
    say("asked for", await alter([[dir, later, [0]]]));
    await create(later);
    say("made", (await here(later)) === dir ? "there" : "elsewhere");
  }
  for (const name of [t, one, slow, long]) {
    await wire.send(
      DeleteTopicsApi,
      6,
      makeDeleteTopicsRequest({ topics: [makeDeleteTopicState({ name })], timeoutMs: 10_000 }),
    );
  }
  return `${lines.join("\n")}\n`;
}

/** Plays a story of two directories on the broker that the command line names, prints its lines and ends. */
export async function printStory(
  story: (broker: TwoDirectories, run: string) => Promise<string>,
): Promise<never> {
  const { values } = parseArgs({
    options: { bootstrap: { type: "string" }, dirs: { type: "string" }, node: { type: "string" } },
  });
  const [first = "", second = ""] = (values.dirs ?? "").split(",");
  const run = Math.random().toString(36).slice(2, 10).padEnd(8, "0");
  const address = values.bootstrap ?? "127.0.0.1:9092";
  const nodeId = Number(values.node ?? "1");
  process.stdout.write(await story({ address, dirs: [first, second], nodeId }, run));
  process.exit(0);
}

if (import.meta.main) await printStory(logDirStory);
