/**
 * The reference page of all keys, `docs/reference/configuration.md`, written from the table: what a person reads and what the broker
 * does cannot drift apart. `bun build.ts docs` writes it; a test compares.
 */
import { CLUSTER_KEYS } from "./broker-keys/cluster.ts";
import { GROUPS_KEYS } from "./broker-keys/groups.ts";
import { LOG_KEYS } from "./broker-keys/log.ts";
import { OWN_KEYS } from "./broker-keys/own.ts";
import { QUOTAS_AND_METRICS_KEYS } from "./broker-keys/quotas-and-metrics.ts";
import { REPLICATION_KEYS } from "./broker-keys/replication.ts";
import { SECURITY_KEYS } from "./broker-keys/security.ts";
import { SERVER_KEYS } from "./broker-keys/server.ts";
import { SHARE_GROUPS_KEYS } from "./broker-keys/share-groups.ts";
import { TIERED_STORAGE_KEYS } from "./broker-keys/tiered-storage.ts";
import { TRANSACTIONS_KEYS } from "./broker-keys/transactions.ts";
import { CLIENT_METRICS_KEYS } from "./client-metrics-keys.ts";
import { describeStatus, describeValidValues } from "./describe-key.ts";
import { GROUP_KEYS } from "./group-keys.ts";
import type { KeyDefinition } from "./key-definition.ts";
import { TOPIC_KEYS } from "./topic-keys.ts";

/** Where the page is kept, from the root of the repository. */
export const REFERENCE_PATH = "docs/reference/configuration.md";

interface Section {
  readonly title: string;
  readonly keys: readonly KeyDefinition[];
}

const SECTIONS: readonly Section[] = [
  { title: "Sluice's own keys", keys: OWN_KEYS },
  { title: "Node, controller and metadata", keys: CLUSTER_KEYS },
  { title: "Listeners, sockets, requests and topic creation", keys: SERVER_KEYS },
  { title: "Logs", keys: LOG_KEYS },
  { title: "Groups and committed offsets", keys: GROUPS_KEYS },
  { title: "Replication", keys: REPLICATION_KEYS },
  { title: "Transactions", keys: TRANSACTIONS_KEYS },
  { title: "Share groups", keys: SHARE_GROUPS_KEYS },
  { title: "TLS, SASL and authorization", keys: SECURITY_KEYS },
  { title: "Quotas and metrics", keys: QUOTAS_AND_METRICS_KEYS },
  { title: "Tiered storage", keys: TIERED_STORAGE_KEYS },
  { title: "Topic keys", keys: TOPIC_KEYS },
  { title: "Group keys", keys: GROUP_KEYS },
  { title: "Client-metrics keys", keys: CLIENT_METRICS_KEYS },
];

const OPENING = `# Configuration

<!-- Written by \`bun build.ts docs\` from src/config. Do not edit. -->

Every key of Apache Kafka 4.4 is known by its name, type, range and default, and so are ours, which begin with \`sluice.\`.

## Where values come from

Later ones win:

1. the defaults below;
2. the \`server.properties\` named on the command line, read as Kafka reads it (Java's properties format, Latin-1);
3. the environment, as in Kafka's own container image: \`KAFKA_LOG_RETENTION_HOURS\` is \`log.retention.hours\`; \`_\` stands for \`.\`, \`__\` for \`_\`,
   \`___\` for \`-\`. Ours keep their prefix: \`SLUICE_MAX_OPEN_FILES\` is \`sluice.max.open.files\`. Variables that name no key are left alone;
4. \`--override key=value\`;
5. for keys that may change while running: what \`kafka-configs\` stored for all brokers, then for this one.

The embedding API takes options and reads neither files nor the environment. Started without a file, \`group.initial.rebalance.delay.ms\`
is 0. A start prints every key that is not at its default and where it was set, warns of keys it does not know, and refuses values that do
not read.

## Reading the tables

"While running" says how Kafka lets the key change: for the whole cluster, for one broker, or not at all (–). The status says what
becomes of the key here. Kafka's own default is given where ours differs. Kafka's internal keys are left out.
`;

/** The page as Markdown. */
export function referencePage(): string {
  const parts = [OPENING, "<!-- prettier-ignore-start -->\n"];
  for (const { title, keys } of SECTIONS) {
    const isBroker = !RESOURCE_KEYS.has(keys);
    parts.push(`## ${title}\n`);
    parts.push(isBroker ? BROKER_TABLE_HEAD : RESOURCE_TABLE_HEAD);
    for (const key of keys) if (key.isInternal !== true) parts.push(row(key, isBroker));
    parts.push("");
  }
  parts.push("<!-- prettier-ignore-end -->\n");
  return parts.join("\n");
}

/** Keys of what a broker serves: each may change at any time, and has the broker's value by default. */
const RESOURCE_KEYS: ReadonlySet<readonly KeyDefinition[]> = new Set<readonly KeyDefinition[]>([
  TOPIC_KEYS,
  GROUP_KEYS,
  CLIENT_METRICS_KEYS,
]);

const BROKER_TABLE_HEAD =
  "| key | type | default | valid | while running | what it does | status |\n| --- | --- | --- | --- | --- | --- | --- |";
const RESOURCE_TABLE_HEAD =
  "| key | type | default | valid | broker's default | what it does | status |\n| --- | --- | --- | --- | --- | --- | --- |";

function row(
  key: KeyDefinition & { synonyms?: readonly { name: string }[]; synonym?: string },
  isBroker: boolean,
): string {
  const { name, type, update, doc, valid } = key;
  const inherited = key.synonym === undefined ? (key.synonyms ?? []) : [{ name: key.synonym }];
  const middle = !isBroker
    ? inherited.map((synonym) => code(synonym.name)).join(", ")
    : update === undefined
      ? "–"
      : update === "cluster-wide"
        ? "cluster"
        : "broker";
  const cells = [
    code(name),
    type,
    defaultCell(key),
    valid === undefined ? "" : describeValidValues(key),
    middle,
    doc ?? "",
    describeStatus(key),
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function defaultCell({ default: own, kafkaDefault }: KeyDefinition): string {
  const shown = valueCell(own);
  if (kafkaDefault === undefined) return shown;
  return `${shown} (Kafka: ${kafkaDefault === null ? "none" : valueCell(kafkaDefault)})`;
}

function valueCell(text: string | null): string {
  if (text === null) return "";
  return text === "" ? "empty" : code(text);
}

function code(text: string): string {
  return `\`${text}\``;
}
