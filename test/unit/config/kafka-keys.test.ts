/**
 * The table against Kafka 4.4's own definitions, which `test/golden/java/KafkaConfigKeys.java` printed into
 * `test/golden/config-keys.tsv`: name, type, default, valid values, whether internal, how it may change. What differs on purpose is
 * listed here.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BROKER_KEYS } from "#config/broker-keys.ts";
import { CLIENT_METRICS_KEYS } from "#config/client-metrics-keys.ts";
import { GROUP_KEYS } from "#config/group-keys.ts";
import type { KeyDefinition } from "#config/key-definition.ts";
import { REFERENCE_PATH, referencePage } from "#config/reference-page.ts";
import { TOPIC_KEYS } from "#config/topic-keys.ts";
import type { ValidValues } from "#config/valid-values.ts";

const KAFKA_KEYS = join(import.meta.dir, "..", "..", "golden", "config-keys.tsv");

/** Columns of Kafka's line that ours need not equal, with the reason. */
const INTENDED: Readonly<Record<string, string>> = {
  "broker authorizer.class.name valid": "text is never null here",
  "broker controller.quorum.bootstrap.servers valid": "only says that the list may not be null",
  "broker controller.quorum.voters valid": "only says that the list may not be null",
};

/** Our defaults where they differ, each stated on the compatibility page. */
const OUR_DEFAULTS: Readonly<Record<string, string>> = {
  "process.roles": "broker,controller",
  "node.id": "1",
  "controller.listener.names": "CONTROLLER",
  listeners: "PLAINTEXT://127.0.0.1:9092",
  "log.dir": "./data",
  "num.network.threads": "1",
  "socket.send.buffer.bytes": "262144",
  "socket.receive.buffer.bytes": "262144",
};

function kafkaText(valid: ValidValues | undefined): string {
  switch (valid?.kind) {
    case undefined:
      return "";
    case "range":
      return valid.max === null ? `[${valid.min},...]` : `[${valid.min},...,${valid.max}]`;
    case "range-or":
      return `[${valid.min},...,${valid.max}] or ${valid.other}`;
    case "one-of":
      return `${valid.ignoreCase ? "(case insensitive) " : ""}[${valid.values.join(", ")}]`;
    case "list-of":
      return `[${valid.values.join(", ")}]`;
    case "non-empty":
      return "non-empty string";
    case "no-empty-elements":
      return "";
    case "offset-reset":
      return "[latest, earliest, by_duration:PnDTnHnMn.nS]";
    case "throttled-replicas":
      return "[partitionId]:[brokerId],[partitionId]:[brokerId],...";
  }
}

function columns(table: string, definition: KeyDefinition): Record<string, string> {
  const { name, type, valid, isInternal, update } = definition;
  const byDefault =
    definition.kafkaDefault === undefined ? definition.default : definition.kafkaDefault;
  return {
    table,
    name,
    type,
    default: byDefault ?? "",
    valid: kafkaText(valid),
    internal: isInternal === true ? "internal" : "",
    update: table === "broker" ? (update ?? "read-only") : "read-only",
  };
}

const tables: readonly (readonly [string, readonly KeyDefinition[]])[] = [
  ["broker", BROKER_KEYS],
  ["topic", TOPIC_KEYS],
  ["group", GROUP_KEYS],
  ["client-metrics", CLIENT_METRICS_KEYS],
];

test("every key of Kafka is in the table as Kafka has it, and no other but ours", () => {
  const kafka: Record<string, string>[] = readFileSync(KAFKA_KEYS, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [
        table = "",
        name = "",
        type = "",
        byDefault = "",
        valid = "",
        internal = "",
        update = "",
      ] = line.split("\t");
      return { table, name, type, default: byDefault, valid, internal, update };
    });
  const identity = (row: Record<string, string>): string => `${row["table"]} ${row["name"]}`;
  const ours = new Map<string, Record<string, string>>(
    tables.flatMap(([table, keys]) =>
      keys
        .filter(({ name }) => !name.startsWith("sluice."))
        .map((definition) => [`${table} ${definition.name}`, columns(table, definition)] as const),
    ),
  );
  const differences: string[] = [];
  for (const row of kafka) {
    const own = ours.get(identity(row));
    ours.delete(identity(row));
    for (const [column, text] of Object.entries(row)) {
      const where = `${identity(row)} ${column}`;
      if (own?.[column] !== text && INTENDED[where] === undefined)
        differences.push(`${where}: Kafka '${text}', here '${own?.[column]}'`);
    }
  }
  expect({ differences, notInKafka: [...ours.keys()] }).toEqual({
    differences: [],
    notInKafka: [],
  });
  expect(kafka.length).toBeGreaterThan(400);
});

test("defaults that differ from Kafka's are these", () => {
  const own = BROKER_KEYS.filter(({ kafkaDefault }) => kafkaDefault !== undefined);
  expect(Object.fromEntries(own.map(({ name, default: text }) => [name, text ?? ""]))).toEqual(
    OUR_DEFAULTS,
  );
});

test("the reference page is written from this table (bun build.ts docs)", () => {
  const page = readFileSync(join(import.meta.dir, "..", "..", "..", REFERENCE_PATH), "utf8");
  expect(page === referencePage() ? "up to date" : "run: bun build.ts docs").toBe("up to date");
});

test("every row says what the key is, in a few plain sentences", () => {
  const wrong = tables
    .flatMap(([, keys]) => keys)
    .filter(({ doc }) => doc === undefined || !/^[A-Z*].{9,400}[.]$/.test(doc))
    .map(({ name, doc }) => `${name}: ${doc}`);
  expect(wrong).toEqual([]);
});
