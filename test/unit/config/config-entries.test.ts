/**
 * What DescribeConfigs tells of every key, entry by entry against real Kafka 4.4.0 (`test/golden/config-entries.tsv`, written by
 * `test/differential/config-entries.ts`): names, values, sources, synonyms, types, what may change and what is secret, in Kafka's
 * order. The broker's static values are taken from the same file.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { javaHashBucketOf } from "#common/java-hash.ts";
import { type BrokerConfig, resolveBrokerConfig } from "#config/broker-config.ts";
import {
  type DescribedConfig,
  describeBrokerConfig,
  describeClientMetricsConfig,
  describeGroupConfig,
  describeTopicConfig,
} from "#config/describe-config.ts";

const FILE = join(import.meta.dir, "..", "..", "golden", "config-entries.tsv");

/** Entries that differ on purpose, and why. */
const INTENDED: Readonly<Record<string, string>> = {
  "broker listeners":
    "our default names the loopback address and has no listener of the controller",
  "broker log.dir": "our default is below the working directory",
  "broker num.network.threads": "our default is 1",
  "broker socket.send.buffer.bytes": "our default is 262144",
  "broker socket.receive.buffer.bytes": "our default is 262144",
};

interface Entry {
  readonly resource: string;
  readonly name: string;
  readonly line: string;
}

const kafka: readonly Entry[] = readFileSync(FILE, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => {
    const [resource = "", name = ""] = line.split("\t");
    return { resource, name, line };
  });

/** The broker that Kafka was: what its file set, and what a new cluster of it stores for all brokers. */
function sameBroker(): BrokerConfig {
  const ofSource = (source: number): Map<string, string> => {
    const found = new Map<string, string>();
    for (const { line } of kafka) {
      for (const synonym of (line.split("\t")[7] ?? "").split(" ; ")) {
        const [, name = "", value = "", from] = /^([^=]+)=(.*)@(\d)$/.exec(synonym) ?? [];
        if (Number(from) === source) found.set(name, value);
      }
    }
    return found;
  };
  const { config, errors } = resolveBrokerConfig({ file: ofSource(4) });
  if (config === null) throw new Error(errors.join("\n"));
  return config.withDynamic(ofSource(3), new Map());
}

function entriesOf(resource: string, described: readonly DescribedConfig[]): Entry[] {
  return described.map((entry) => {
    const { name, value, source, isReadOnly, isSensitive, typeId, synonyms } = entry;
    const shown = synonyms.map((each) => `${each.name}=${each.value ?? "<null>"}@${each.source}`);
    const fields = [
      resource,
      name,
      value ?? "<null>",
      source,
      isReadOnly ? "read-only" : "",
      isSensitive ? "sensitive" : "",
      typeId,
      shown.join(" ; "),
    ];
    return { resource, name, line: fields.join("\t") };
  });
}

function ours(): readonly Entry[] {
  const broker = sameBroker();
  const none = new Map<string, string>();
  return [
    ...entriesOf("topic", describeTopicConfig(broker, none)),
    ...entriesOf("broker", describeBrokerConfig(broker)),
    ...entriesOf("client-metrics", describeClientMetricsConfig(none)),
    ...entriesOf("group", describeGroupConfig(broker, none)),
  ].filter(({ name }) => !name.startsWith("sluice."));
}

const keyOf = ({ resource, name }: Entry): string => `${resource} ${name}`;

test("every entry is as Kafka tells it", () => {
  const own = new Map(ours().map((entry) => [keyOf(entry), entry.line]));
  const differing = kafka.filter((entry) => own.get(keyOf(entry)) !== entry.line);
  const unexplained = differing
    .filter((entry) => INTENDED[keyOf(entry)] === undefined)
    .map((entry) => ({ kafka: entry.line, ours: own.get(keyOf(entry)) ?? null }));
  expect(unexplained).toEqual([]);
  expect(differing.map(keyOf).toSorted()).toEqual(Object.keys(INTENDED).toSorted());
});

test("the entries come in Kafka's order, and there are no others", () => {
  // Keys of a broker that share a bucket come in the order of our table: Kafka's is that of its definitions.
  const place = (entry: Entry): string =>
    entry.resource === "broker" ? `broker ${javaHashBucketOf(entry.name, 512)}` : keyOf(entry);
  expect(ours().map(place)).toEqual(kafka.map(place));
  expect(ours().map(keyOf).toSorted()).toEqual(kafka.map(keyOf).toSorted());
  expect(kafka.length).toBeGreaterThan(400);
});
