/**
 * Every entry of DescribeConfigs as real Kafka tells it, written down: what the unit test of the same name holds ours against.
 *
 *   bun test/differential/config-entries.ts --reference HOST:PORT > test/golden/config-entries.tsv
 *
 * The Kafka must be fresh. One line an entry, in Kafka's order, with tabs between: resource, name, value, source, "read-only" or empty,
 * "sensitive" or empty, type, and the synonyms as `name=value@source` with " ; " between. A value that is none is `<null>`.
 */
import { parseArgs } from "node:util";
import {
  DescribeConfigsApi,
  makeDescribeConfigsRequest,
} from "#protocol/generated/describe-configs.ts";
import {
  CreateTopicsApi,
  makeCreatableTopic,
  makeCreateTopicsRequest,
} from "#protocol/generated/create-topics.ts";
import { Wire } from "./wire.ts";

const TOPIC = "config-entries";

/** Resources by the word that stands for them in the file. */
const RESOURCES = [
  ["topic", 2, TOPIC],
  ["broker", 4, "1"],
  ["client-metrics", 16, "any"],
  ["group", 32, "any"],
] as const;

const { values } = parseArgs({ options: { reference: { type: "string" } } });
if (values.reference === undefined) throw new Error("--reference HOST:PORT names a fresh Kafka");
using wire = await Wire.connect(values.reference);
await wire.send(
  CreateTopicsApi,
  7,
  makeCreateTopicsRequest({
    topics: [makeCreatableTopic({ name: TOPIC, numPartitions: 1, replicationFactor: 1 })],
    timeoutMs: 10_000,
  }),
);
for (const [word, resourceType, resourceName] of RESOURCES) {
  const { results } = await wire.send(
    DescribeConfigsApi,
    4,
    makeDescribeConfigsRequest({
      resources: [{ resourceType, resourceName, configurationKeys: null }],
      includeSynonyms: true,
    }),
  );
  for (const entry of results[0]?.configs ?? []) {
    const { name, value, configSource, readOnly, isSensitive, configType, synonyms } = entry;
    const shown = synonyms.map((each) => `${each.name}=${each.value ?? "<null>"}@${each.source}`);
    console.log(
      [
        word,
        name,
        value ?? "<null>",
        configSource,
        readOnly ? "read-only" : "",
        isSensitive ? "sensitive" : "",
        configType,
        shown.join(" ; "),
      ]
        .join("\t")
        // A directory is the machine's own.
        .replaceAll(/(?<=\t|log\.dirs=)\/[^\t@]*\/data(?=[\t@])/g, "/data"),
    );
  }
}
