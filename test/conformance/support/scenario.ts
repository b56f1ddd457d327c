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
  readonly topic: string;
  readonly wanted: readonly WantedRecord[];
}

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
export async function runScenario(client: Client, bootstrap: string, topic: string, count: number): Promise<ScenarioRun> {
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
      if (error instanceof Unsupported) outcomes.push({ check: name, problem: null, unsupported: message });
      else outcomes.push({ check: name, problem: message });
      return error instanceof Unsupported;
    }
  };
  const finish = (): ScenarioRun => ({ description, outcomes, topic, wanted });

  const isThere = await check("starts", async () => {
    description = (await client.ask({ op: "describe" })) as Description;
  });
  const about = description as Description | null;
  if (!isThere || about === null) return finish();
  const limits = new Set<Limit>(about.limits);

  const isMade = await check(`creates a topic of ${PARTITIONS} partitions`, async () => {
    try {
      await client.ask({ op: "create", topic, partitions: PARTITIONS });
    } catch (error) {
      if (!(error instanceof Unsupported)) throw error;
      await createFor(bootstrap, topic);
      throw error;
    }
    const { partitions } = await client.ask({ op: "watermarks", topic, partitions: ALL_PARTITIONS });
    const sorted = [...(partitions ?? [])].sort((left, right) => left.partition - right.partition);
    demandEqual("watermarks of the new topic", ALL_PARTITIONS.map((partition) => ({ partition, low: 0, high: 0 })), sorted);
  });
  if (!isMade) return finish();

  const placed: (readonly [number, number] | null)[] = [];
  const produce = async (codec: string, isIdempotent: boolean): Promise<void> => {
    const made = recordSet(placed.length === 0 && wanted.length === 0 ? 0 : wanted.length, count, limits);
    const batch = isConsole(about) ? made.map((record): WantedRecord => ({ ...record, partition: null })) : made;
    const answer = await client.ask({ op: "produce", topic, codec, idempotent: isIdempotent, records: batch });
    wanted.push(...batch);
    placed.push(...(answer.placed ?? batch.map(() => null)));
  };
  for (const codec of about.codecs) await check(`produces with ${codec}`, async () => await produce(codec, false));
  if (!limits.has("noIdempotence")) await check("produces as an idempotent producer", async () => await produce("none", true));
  if (wanted.length === 0) return finish();

  let found: readonly FoundRecord[] = [];
  if (!limits.has("noGroup")) {
    await check("consumes all through a group: equal bytes, in order", async () => {
      found = recordsOf(await client.ask({ op: "consume", topic, group: `${topic}-all`, count: wanted.length }));
      demand(compareRecords(wanted, found, limits));
    });
  }
  if (!limits.has("noAssign")) {
    await check("consumes all by assignment: equal bytes, in order", async () => {
      const assigned = recordsOf(await client.ask({ op: "assign", topic, partitions: ALL_PARTITIONS, count: wanted.length }));
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
    const places = new Map(found.map(({ timestamp, partition, offset }) => [timestamp, [partition, offset]]));
    demand(
      wanted.flatMap(({ timestamp }, at) =>
        JSON.stringify(places.get(timestamp)) === JSON.stringify(placed[at])
          ? []
          : [`record ${at}: said ${JSON.stringify(placed[at])}, is at ${JSON.stringify(places.get(timestamp))}`],
      ).slice(0, 5),
    );
  });
  if (!limits.has("noGroup")) {
    await check("continues from the committed offsets", async () => {
      const group = `${topic}-parts`;
      const first = Math.floor(wanted.length / 3);
      const before = recordsOf(await client.ask({ op: "consume", topic, group, count: first }));
      demandEqual("records before", first, before.length);
      await demandCommitted(client, bootstrap, topic, group, before);
      const after = recordsOf(await client.ask({ op: "consume", topic, group, count: wanted.length - first }));
      demand(compareRecords(wanted, [...before, ...after], limits));
      await demandCommitted(client, bootstrap, topic, group, [...before, ...after]);
    });
  }
  await check("sees the first and last offsets", async () => {
    const { partitions } = await client.ask({ op: "watermarks", topic, partitions: ALL_PARTITIONS });
    const ends = ALL_PARTITIONS.map((partition) => ({
      partition, low: 0, high: found.filter((record) => record.partition === partition).length,
    }));
    demandEqual("watermarks", ends, [...(partitions ?? [])].sort((left, right) => left.partition - right.partition));
  });
  await check("finds offsets by timestamp", async () => {
    const middle = found[Math.floor(found.length / 2)];
    if (middle === undefined) throw new Problem("nothing was consumed");
    const { timestamp } = middle;
    const answer = await client.ask({ op: "offsetsForTimes", topic, partitions: ALL_PARTITIONS, timestamp });
    const wantedOffsets = ALL_PARTITIONS.map((partition) => {
      const here = found.filter((record) => record.partition === partition);
      const first = here.find((record) => record.timestamp >= timestamp);
      return first?.offset ?? (answer.endInsteadOfNone === true ? here.length : -1);
    });
    demandEqual("offsets", wantedOffsets, ALL_PARTITIONS.map((partition) => answer.offsets?.[partition]));
  });
  return finish();
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
  demandEqual(
    "committed offsets",
    ALL_PARTITIONS.map((partition) => next.get(partition) ?? -1),
    ALL_PARTITIONS.map((partition) => offsets[partition] ?? -1),
  );
}

/** `reader` reads what `writer` filled. */
export async function runCross(reader: Client, about: Description, writer: ScenarioRun): Promise<Outcome> {
  const check = `reads what ${writer.description?.client ?? "another client"} ${writer.description?.version ?? ""} wrote`;
  try {
    const limits = new Set<Limit>([...about.limits, ...(writer.description?.limits ?? [])]);
    const { topic, wanted } = writer;
    const count = wanted.length;
    const answer = about.limits.includes("noAssign")
      ? await reader.ask({ op: "consume", topic, group: `${topic}-read-${Math.random().toString(36).slice(2)}`, count })
      : await reader.ask({ op: "assign", topic, partitions: ALL_PARTITIONS, count });
    demand(compareRecords(wanted, recordsOf(answer), limits));
    return { check, problem: null };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return error instanceof Unsupported ? { check, problem: null, unsupported: message } : { check, problem: message };
  }
}

const kafkaFor = (bootstrap: string): Kafka =>
  new Kafka({ clientId: "conformance-driver", brokers: bootstrap.split(","), logLevel: logLevel.NOTHING });

/** Makes the topic for a client that cannot. */
async function createFor(bootstrap: string, topic: string): Promise<void> {
  const admin = kafkaFor(bootstrap).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS }] });
  await admin.disconnect();
}

async function committedFor(bootstrap: string, topic: string, group: string): Promise<Record<string, number>> {
  const admin = kafkaFor(bootstrap).admin();
  await admin.connect();
  const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
  await admin.disconnect();
  return Object.fromEntries((found?.partitions ?? []).map(({ partition, offset }) => [String(partition), Number(offset)]));
}
