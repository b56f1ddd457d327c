/**
 * What every client goes through: create, produce in every codec, consume through a group and by assignment, continue from committed
 * offsets, look offsets up. Each step is a check with a name; a step the client has no means for is left out and said so. Afterwards clients
 * read each other's topics.
 */
import { Kafka, logLevel } from "kafkajs";
import { Unsupported, type Answer, type Client, type Command, type Description } from "./client.ts";
import {
  compareRecords,
  comparePlaces,
  PARTITIONS,
  recordSet,
  type FoundRecord,
  type Limit,
  type WantedRecord,
} from "./records.ts";

/** The outcome of one check: `problem` is null when it held; `unsupported` is the reason when the client cannot do it. */
export interface Outcome {
  readonly check: string;
  readonly problem: string | null;
  readonly unsupported?: string;
}

/** A client's run: its checks, and the topic it filled, for others to read. */
export interface ScenarioRun {
  readonly description: Description | null;
  readonly outcomes: readonly Outcome[];
  /** Holds records in every codec of the client. */
  readonly all: FilledTopic;
  /** Holds what every client can read: plain text in the codecs that all have. */
  readonly common: FilledTopic;
}

/** A topic and what was produced to it, in order. */
export interface FilledTopic {
  readonly topic: string;
  readonly wanted: readonly WantedRecord[];
}

const COMMON_CODECS: ReadonlySet<string> = new Set(["none", "gzip", "lz4"]);

const ALL_PARTITIONS = Array.from({ length: PARTITIONS }, (_, at) => at);

/** Thrown where a check does not hold. */
class Problem extends Error {}

function demand(problems: readonly string[]): void {
  if (problems.length > 0) throw new Problem(problems.join("\n"));
}

function demandEqual(what: string, wanted: unknown, found: unknown): void {
  const [left, right] = [JSON.stringify(wanted), JSON.stringify(found)];
  if (left !== right) throw new Problem(`${what}: wanted ${left}, found ${right}`);
}

/** Runs all checks of one client; `count` ordinary records go into each batch. Never throws. */
export async function runScenario(
  client: Client,
  bootstrap: string,
  topic: string,
  count: number,
): Promise<ScenarioRun> {
  const outcomes: Outcome[] = [];
  const wanted: WantedRecord[] = [];
  let description: Description | null = null;
  const check = async (name: string, body: () => Promise<void>): Promise<boolean> => {
    try {
      await body();
      outcomes.push({ check: name, problem: null });
      return true;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (error instanceof Unsupported)
        outcomes.push({ check: name, problem: null, unsupported: message });
      else outcomes.push({ check: name, problem: message });
      return error instanceof Unsupported;
    }
  };
  const commonTopic = `${topic}-common`;
  const commonWanted: WantedRecord[] = [];
  const finish = (): ScenarioRun => ({
    description,
    outcomes,
    all: { topic, wanted },
    common: { topic: commonTopic, wanted: commonWanted },
  });

  const isThere = await check("starts", async () => {
    description = (await client.ask({ op: "describe" })) as Description;
  });
  const about = description as Description | null;
  if (!isThere || about === null) return finish();
  const limits = new Set<Limit>(about.limits);

  const isMade = await check(`creates a topic of ${PARTITIONS} partitions`, async () => {
    try {
      for (const name of [topic, commonTopic])
        await client.ask({ op: "create", topic: name, partitions: PARTITIONS });
    } catch (error) {
      if (!(error instanceof Unsupported)) throw error;
      for (const name of [topic, commonTopic]) await createFor(bootstrap, name);
      throw error;
    }
    await demandWatermarks(client, topic, () => 0);
  });
  if (!isMade) return finish();

  const placed: (readonly [number, number] | null)[] = [];
  let batches = 0;
  const makeBatch = (more: readonly Limit[] = []): WantedRecord[] => {
    const made = recordSet(batches, count, new Set([...limits, ...more]));
    batches += 1;
    return isConsole(about)
      ? made.map((record): WantedRecord => ({ ...record, partition: null }))
      : made;
  };
  const produce = async (codec: string, isIdempotent: boolean): Promise<void> => {
    const batch = makeBatch();
    const answer = await client.ask({
      op: "produce",
      topic,
      codec,
      idempotent: isIdempotent,
      records: batch,
    });
    wanted.push(...batch);
    placed.push(...(answer.placed ?? batch.map(() => null)));
  };
  for (const codec of about.codecs)
    await check(`produces with ${codec}`, async () => await produce(codec, false));
  if (!limits.has("noIdempotence"))
    await check("produces as an idempotent producer", async () => await produce("none", true));
  if (wanted.length === 0) return finish();
  await check("produces for the other clients", async () => {
    for (const codec of about.codecs.filter((one) => COMMON_CODECS.has(one))) {
      const batch = makeBatch(["textOnly"]);
      await client.ask({ op: "produce", topic: commonTopic, codec, records: batch });
      commonWanted.push(...batch);
    }
  });

  let found: readonly FoundRecord[] = [];
  if (!limits.has("noGroup")) {
    await check("consumes all through a group: equal bytes, in order", async () => {
      found = recordsOf(
        await client.ask({ op: "consume", topic, group: `${topic}-all`, count: wanted.length }),
      );
      demand(compareRecords(wanted, found, limits));
    });
  }
  if (!limits.has("noAssign")) {
    await check("consumes all by assignment: equal bytes, in order", async () => {
      const assigned = recordsOf(
        await client.ask({ op: "assign", topic, partitions: ALL_PARTITIONS, count: wanted.length }),
      );
      demand(compareRecords(wanted, assigned, limits));
      if (found.length === 0) found = assigned;
    });
  }
  await check("keeps a key in its partition, over runs of the producer", async () => {
    if (limits.has("noPartitioner")) throw new Unsupported("the client has no partitioner");
    demand(comparePlaces(wanted, found, about.partitioner === "murmur2"));
  });
  await check("tells where each record went", async () => {
    if (placed.every((where) => where === null)) throw new Unsupported("the client does not tell");
    const places = new Map(
      found.map(({ timestamp, partition, offset }) => [timestamp, [partition, offset]]),
    );
    demand(
      wanted
        .flatMap(({ timestamp }, at) =>
          JSON.stringify(places.get(timestamp)) === JSON.stringify(placed[at])
            ? []
            : [
                `record ${at}: said ${JSON.stringify(placed[at])}, is at ${JSON.stringify(places.get(timestamp))}`,
              ],
        )
        .slice(0, 5),
    );
  });
  if (!limits.has("noGroup")) {
    await check("continues from the committed offsets", async () => {
      const group = `${topic}-parts`;
      const first = Math.floor(wanted.length / 3);
      const before = recordsOf(await client.ask({ op: "consume", topic, group, count: first }));
      demandEqual("records before", first, before.length);
      await demandCommitted(
        client,
        bootstrap,
        topic,
        group,
        before,
        limits.has("commitsPositions"),
      );
      const after = recordsOf(
        await client.ask({ op: "consume", topic, group, count: wanted.length - first }),
      );
      demand(compareRecords(wanted, [...before, ...after], limits));
      await demandCommitted(
        client,
        bootstrap,
        topic,
        group,
        [...before, ...after],
        limits.has("commitsPositions"),
      );
    });
  }
  await check("sees the first and last offsets", async () => {
    await demandWatermarks(
      client,
      topic,
      (partition) => found.filter((record) => record.partition === partition).length,
    );
  });
  await check("finds offsets by timestamp", async () => {
    const middle = found[Math.floor(found.length / 2)];
    if (middle === undefined) throw new Problem("nothing was consumed");
    const { timestamp } = middle;
    const answer = await client.ask({
      op: "offsetsForTimes",
      topic,
      partitions: ALL_PARTITIONS,
      timestamp,
    });
    const wantedOffsets = ALL_PARTITIONS.map((partition) => {
      const here = found.filter((record) => record.partition === partition);
      const first = here.find((record) => record.timestamp >= timestamp);
      return first?.offset ?? (answer.endInsteadOfNone === true ? here.length : -1);
    });
    demandEqual(
      "offsets",
      wantedOffsets,
      ALL_PARTITIONS.map((partition) => answer.offsets?.[partition]),
    );
  });
  return finish();
}

/** Low watermarks must be 0 and high ones as told; a topic made a moment ago may still be without leaders, in Kafka too. */
async function demandWatermarks(
  client: Client,
  topic: string,
  high: (partition: number) => number,
): Promise<void> {
  const ask = async (): Promise<Answer> =>
    await client.ask({ op: "watermarks", topic, partitions: ALL_PARTITIONS });
  let answer: Answer | null = null;
  for (let left = 10; answer === null; left -= 1) {
    try {
      answer = await ask();
    } catch (error) {
      if (error instanceof Unsupported || left === 0) throw error;
      await Bun.sleep(300);
    }
  }
  const found = new Map(
    (answer.partitions ?? []).map((one) => [one.partition, [one.low, one.high]]),
  );
  demandEqual(
    "watermarks",
    ALL_PARTITIONS.map((partition) => [0, high(partition)]),
    ALL_PARTITIONS.map((partition) => found.get(partition)),
  );
}

const isConsole = ({ client }: Description): boolean => client === "java console tools";

const recordsOf = ({ records }: Answer): readonly FoundRecord[] => records ?? [];

/** What the group has committed must be the offsets that follow the consumed records; asked of the client or else of kafkajs. */
async function demandCommitted(
  client: Client,
  bootstrap: string,
  topic: string,
  group: string,
  consumed: readonly FoundRecord[],
  commitsPositions: boolean,
): Promise<void> {
  const next = new Map<number, number>();
  for (const { partition, offset } of consumed) next.set(partition, offset + 1);
  const command: Command = { op: "committed", topic, group, partitions: ALL_PARTITIONS };
  let offsets: Record<string, number>;
  try {
    offsets = (await client.ask(command)).offsets ?? {};
  } catch (error) {
    if (!(error instanceof Unsupported)) throw error;
    offsets = await committedFor(bootstrap, topic, group);
  }
  // A client that commits its positions commits 0 for a partition of which it read nothing yet.
  const none = (partition: number): number =>
    commitsPositions && offsets[partition] === 0 ? 0 : -1;
  demandEqual(
    "committed offsets",
    ALL_PARTITIONS.map((partition) => next.get(partition) ?? none(partition)),
    ALL_PARTITIONS.map((partition) => offsets[partition] ?? -1),
  );
}

/** `reader` reads what `writer` filled. */
export async function runCross(
  reader: Client,
  about: Description,
  writer: ScenarioRun,
): Promise<Outcome> {
  const check = `reads what ${writer.description?.client ?? "another client"} ${writer.description?.version ?? ""} wrote`;
  try {
    const limits = new Set<Limit>([
      ...about.limits.filter((limit) => limit !== "noTimestamp"),
      ...(writer.description?.limits ?? []),
    ]);
    const canRead = (codec: string): boolean =>
      about.codecs.includes(codec) && (codec !== "snappy" || !about.limits.includes("bareSnappy"));
    const isPlain = about.limits.includes("textOnly") || about.limits.includes("noNullHeaderRead");
    const isReadable = !isPlain && (writer.description?.codecs ?? []).every(canRead);
    const { topic, wanted } = isReadable ? writer.all : writer.common;
    const count = wanted.length;
    const answer = about.limits.includes("noAssign")
      ? await reader.ask({
          op: "consume",
          topic,
          group: `${topic}-read-${Math.random().toString(36).slice(2)}`,
          count,
        })
      : await reader.ask({ op: "assign", topic, partitions: ALL_PARTITIONS, count });
    demand(compareRecords(wanted, recordsOf(answer), limits));
    return { check, problem: null };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return error instanceof Unsupported
      ? { check, problem: null, unsupported: message }
      : { check, problem: message };
  }
}

const kafkaFor = (bootstrap: string): Kafka =>
  new Kafka({
    clientId: "conformance-driver",
    brokers: bootstrap.split(","),
    logLevel: logLevel.NOTHING,
  });

/** Makes the topic for a client that cannot. */
async function createFor(bootstrap: string, topic: string): Promise<void> {
  const admin = kafkaFor(bootstrap).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS }] });
  await admin.disconnect();
}

async function committedFor(
  bootstrap: string,
  topic: string,
  group: string,
): Promise<Record<string, number>> {
  const admin = kafkaFor(bootstrap).admin();
  await admin.connect();
  const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
  await admin.disconnect();
  return Object.fromEntries(
    (found?.partitions ?? []).map(({ partition, offset }) => [String(partition), Number(offset)]),
  );
}
