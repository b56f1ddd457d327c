/**
 * The conformance tests: real clients of every kind against one broker. `SLUICE_BOOTSTRAP=host:port` names a broker that runs already
 * (ours or real Kafka); without it Sluice is started from this checkout on a temporary directory. `SLUICE_CONFORMANCE=full` takes more records and
 * lets every client read every other's topic; quick (the default) has each read one. `SLUICE_CLIENTS=java,kcat` picks clients by part of their name.
 *
 * The scenarios run first, a few at a time, since they mostly wait; the tests below then report what was found.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { sluiceBroker, type BrokerProcess } from "../support/broker-process.ts";
import { temporaryDirectory } from "../support/process.ts";
import { ConsoleClient } from "./java/console.ts";
import { CLIENTS, type ClientEntry } from "./support/catalog.ts";
import type { Client, Description } from "./support/client.ts";
import { runCross, runScenario, type Outcome, type ScenarioRun } from "./support/scenario.ts";
import { Unavailable } from "./support/toolchains.ts";

const isFull = process.env["SLUICE_CONFORMANCE"] === "full";
const picked = process.env["SLUICE_CLIENTS"]?.split(",");
const given = process.env["SLUICE_BOOTSTRAP"];
const ORDINARY_RECORDS = isFull ? 400 : 30;
const AT_ONCE = 3;

interface Ready {
  readonly entry: ClientEntry;
  readonly open: (bootstrap: string) => Client;
}

interface Finished {
  readonly name: string;
  readonly run: ScenarioRun;
  readonly crosses: Outcome[];
}

const entries = CLIENTS.filter(
  ({ name, isQuick }) =>
    (isFull || isQuick) && (picked === undefined || picked.some((part) => name.includes(part))),
);
const skipped: string[] = [];
const directory = temporaryDirectory("conformance");
let own: BrokerProcess | null = null;

async function openBootstrap(): Promise<string> {
  if (given !== undefined) return given;
  // Not none: kafka-python 3.0.12 gives itself no partitions, for good, when it joins before it has the topic's metadata (seen with real Kafka too).
  const overrides = { "group.initial.rebalance.delay.ms": "500" };
  own = await sluiceBroker({ directory: directory.path, overrides });
  await own.start();
  return own.bootstrap;
}

/** Applies `work` to every item, at most `AT_ONCE` at a time, keeping order. */
async function inParallel<In, Out>(
  items: readonly In[],
  work: (item: In) => Promise<Out>,
): Promise<Out[]> {
  const out: Out[] = [];
  const queue = items.entries();
  const lane = async (): Promise<void> => {
    for (const [at, item] of queue) out[at] = await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return out;
}

/** Gets all clients ready in two lanes: those that are built, which take the processor, beside those that are fetched. */
async function prepare(): Promise<Ready[]> {
  const ready: Ready[] = [];
  const lane = async (isBuilt: boolean): Promise<void> => {
    for (const entry of entries) {
      if (entry.isBuilt !== isBuilt) continue;
      try {
        ready.push({ entry, open: await entry.prepare() });
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        skipped.push(entry.name);
        console.log(`skipped: ${entry.name}: ${error.message}`);
      }
    }
  };
  await Promise.all([lane(true), lane(false)]);
  return ready;
}

/** Who reads whose topic: in a full run everyone everyone's; in a quick one all read the first client's and the first two read all. */
function pairs(finished: readonly Finished[]): [reader: Finished, writer: Finished][] {
  const isHub = ({ name }: Finished): boolean =>
    name === "java" || name === "kafkajs on bun" || name === "confluent-kafka";
  return finished.flatMap((reader) =>
    finished
      .filter((writer) => writer !== reader && (isFull || isHub(reader) || isHub(writer)))
      .map((writer): [Finished, Finished] => [reader, writer]),
  );
}

const started = performance.now();
const seconds = (): string => ((performance.now() - started) / 1000).toFixed(0);
const ready = await prepare();
const bootstrap = await openBootstrap();
const stamp = Date.now().toString(36);
console.log(
  `${seconds()} s: ${ready.length} clients ready, ${skipped.length} skipped, against ${own === null ? bootstrap : `Sluice at ${bootstrap}`}`,
);
const clients = new Map<string, Client>();
const finished = await inParallel(ready, async ({ entry, open }): Promise<Finished> => {
  const client = open(bootstrap);
  clients.set(entry.name, client);
  const topic = `conformance-${entry.name.replaceAll(/[^a-z0-9]+/g, "-")}-${stamp}`;
  const run = await runScenario(client, bootstrap, topic, ORDINARY_RECORDS);
  for (const { check, problem } of run.outcomes) {
    if (problem !== null)
      console.log(`${seconds()} s: ${entry.name} ${check}: ${problem.slice(0, 300)}`);
  }
  return { name: entry.name, run, crosses: [] };
});
console.log(`${seconds()} s: scenarios done`);
await inParallel(finished, async (reader) => {
  const client = clients.get(reader.name);
  const about: Description | null = reader.run.description;
  if (client === undefined || about === null) return;
  for (const [one, writer] of pairs(finished)) {
    if (one !== reader || writer.run.common.wanted.length === 0) continue;
    const outcome = await runCross(client, about, writer.run);
    reader.crosses.push(outcome);
    if (outcome.problem !== null)
      console.log(
        `${seconds()} s: ${reader.name} ${outcome.check}: ${outcome.problem.slice(0, 300)}`,
      );
  }
});
console.log(`${seconds()} s: readings of each other's topics done`);
const perf: Outcome[] = [];
const console_ = clients.get("java console tools");
if (console_ instanceof ConsoleClient) {
  const count = isFull ? 200_000 : 20_000;
  try {
    const said = await console_.perf(`conformance-perf-${stamp}`, count);
    const isSent = said.producer.includes(`${count} records sent`);
    const consumed = Number(said.consumer.split("\n").at(-1)?.split(",")[4]?.trim() ?? 0);
    perf.push({
      check: "kafka-producer-perf-test sends all",
      problem: isSent ? null : said.producer,
    });
    perf.push({
      check: "kafka-consumer-perf-test reads all",
      problem: consumed >= count ? null : said.consumer,
    });
  } catch (error) {
    perf.push({
      check: "perf tests run",
      problem: error instanceof Error ? error.message : String(error),
    });
  }
}
await Promise.all([...clients.values()].map(async (client) => await client.close()));
if (own !== null) await (own as BrokerProcess).stop("SIGTERM");

afterAll(() => {
  directory.remove();
  const told = skipped.length === 0 ? "none" : skipped.join(", ");
  console.log(
    `conformance took ${seconds()} s; clients run: ${finished.length}; skipped: ${skipped.length} (${told})`,
  );
});

for (const { name, run, crosses } of finished) {
  const about = run.description;
  describe(about === null ? name : `${name} ${about.version} (${about.runtime})`, () => {
    for (const outcome of [
      ...run.outcomes,
      ...crosses,
      ...(name === "java console tools" ? perf : []),
    ]) {
      const label =
        outcome.unsupported === undefined
          ? outcome.check
          : `${outcome.check} [not in this client: ${outcome.unsupported}]`;
      test(label, () => {
        expect(outcome.problem).toBeNull();
      });
    }
  });
}

test("at least the clients that need nothing but this checkout ran", () => {
  expect(picked !== undefined || finished.some(({ name }) => name === "kafkajs on bun")).toBe(true);
});
