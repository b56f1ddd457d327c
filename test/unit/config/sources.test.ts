/**
 * The sources of a configuration together: file, environment, overrides; which wins, what is said about each, and that secrets
 * never show. What a variable's name stands for is what the wrapper in Kafka's own container image made of the same names.
 */
import { describe, expect, test } from "bun:test";
import { type BrokerConfig, resolveBrokerConfig } from "#config/broker-config.ts";
import { brokerSettings } from "#config/broker-settings.ts";
import { keyOfVariable, readEnvironment, variableOfKey } from "#config/environment.ts";
import { explainConfig } from "#config/explain-config.ts";
import { editDistance, nearestKey } from "#config/nearest-key.ts";
import { parseProperties } from "#config/properties.ts";
import type { PropertiesFile } from "#config/broker-config.ts";

function file(...lines: string[]): PropertiesFile {
  const { values, lines: numbers, repeated, error } = parseProperties(lines.join("\n"));
  if (values === null) throw new Error(error);
  return { path: "server.properties", values, lines: numbers, repeated };
}

function resolved(...sources: Parameters<typeof resolveBrokerConfig>): BrokerConfig {
  const { config, errors } = resolveBrokerConfig(...sources);
  if (config === null) throw new Error(errors.join("; "));
  return config;
}

describe("order of sources", () => {
  test("defaults, file, environment, --override: the later wins, and each is named", () => {
    const config = resolved({
      file: file(
        "# four keys",
        "num.partitions=2",
        "log.segment.bytes: 2097152",
        "log.retention.hours 7",
        "log.dirs=/one,\\",
        "  /two",
      ),
      environment: readEnvironment({
        KAFKA_LOG_SEGMENT_BYTES: "3145728",
        KAFKA_LOG_RETENTION_HOURS: "8",
        SLUICE_ACKS_ALL_FSYNC: "false",
      }),
      overrides: new Map([["log.retention.hours", "9"]]),
    });
    expect(explainConfig(config)).toEqual([
      "num.partitions=2             (server.properties line 2)",
      "log.dirs=/one,/two           (server.properties line 5)",
      "log.segment.bytes=3145728    (environment KAFKA_LOG_SEGMENT_BYTES)",
      "log.retention.hours=9        (--override)",
      "sluice.acks.all.fsync=false  (environment SLUICE_ACKS_ALL_FSYNC)",
    ]);
  });

  test("what equals the default is left out, however it is written", () => {
    expect(
      explainConfig(resolved({ file: file("num.partitions= 1 ", "delete.topic.enable=TRUE") })),
    ).toEqual([]);
  });

  test("secrets are masked in what is shown and in errors", () => {
    const secret = file("ssl.key.password=hunter2");
    expect(explainConfig(resolved({ file: secret }))).toEqual([
      "ssl.key.password=[hidden]  (server.properties line 1; no effect: TLS, SASL and authorization are not offered yet)",
    ]);
  });
});

describe("what is said", () => {
  test("a wrong value names place, key, value, what is valid and what to do", () => {
    const { errors } = resolveBrokerConfig({
      file: file("", "num.partitions=0", "compression.type=brotli"),
      environment: readEnvironment({ KAFKA_DELETE_TOPIC_ENABLE: "maybe" }),
    });
    expect(errors).toEqual([
      "num.partitions=0 (server.properties line 2): Value must be at least 1; valid is a whole number from 1 (default 1); " +
        "correct or remove line 2 of server.properties",
      "compression.type=brotli (server.properties line 3): String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer; " +
        "valid is one of uncompressed, zstd, lz4, snappy, gzip, producer (default producer); correct or remove line 3 of server.properties",
      "delete.topic.enable=maybe (environment KAFKA_DELETE_TOPIC_ENABLE): Expected value to be either true or false; " +
        "valid is true or false (default true); correct or unset KAFKA_DELETE_TOPIC_ENABLE",
    ]);
  });

  test("keys that do not go together are named with the place of the first", () => {
    const { errors } = resolveBrokerConfig({ file: file("broker.id=2", "node.id=1") });
    expect(errors).toEqual([
      "node.id is 1 and broker.id is 2: they must be the same, or one of them left out " +
        "(server.properties line 2; correct or remove line 2 of server.properties)",
    ]);
    const config = resolved({ file: file("listeners=SSL://:9093") });
    expect(brokerSettings(config).errors).toEqual([
      "listeners: SSL asks for SSL, and only PLAINTEXT is served yet " +
        "(server.properties line 1; correct or remove line 1 of server.properties)",
    ]);
  });

  test("unknown keys are warned about with what was probably meant", () => {
    const { warnings } = resolveBrokerConfig({
      file: file(
        "num.partitons=3",
        "retention.ms=1",
        "zookeeper.connect=x",
        "quite.other=1",
        "node.id=1",
        "node.id=2",
      ),
    });
    expect(warnings).toEqual([
      "node.id of server.properties line 5 is ignored: line 6 sets it again",
      "num.partitons (server.properties line 1) is ignored: there is no such key; did you mean num.partitions?",
      "retention.ms (server.properties line 2) is ignored: it is a key of topics; the default for all topics is log.retention.ms",
      "zookeeper.connect (server.properties line 3) is ignored: Kafka 4 runs without ZooKeeper, and so do we",
      "quite.other (server.properties line 4) is ignored: there is no such key",
    ]);
  });

  test("a key that is read without effect says why where it is shown", () => {
    expect(explainConfig(resolved({ file: file("num.io.threads=16") }))).toEqual([
      "num.io.threads=16  (server.properties line 1; no effect: the broker has no such pool, thread or buffer to size)",
    ]);
  });
});

describe("environment", () => {
  test.each([
    ["KAFKA_NODE_ID", "node.id"],
    ["KAFKA_LISTENERS", "listeners"],
    ["KAFKA_A_B__C___D____E", "a.b_c-d-.e"],
    ["KAFKA_Advertised_LISTENERS", "advertised.listeners"],
    ["KAFKA_KAFKA_METRICS_REPORTERS", "kafka.metrics.reporters"],
    ["SLUICE_ACKS_ALL_FSYNC", "sluice.acks.all.fsync"],
    ["PATH", null],
    ["KAFKA_", null],
  ])("%s stands for %s", (variable, key) => expect(keyOfVariable(variable)).toBe(key));

  test("only names of the table count, near misses are warned about, the rest is silent", () => {
    const { values, warnings } = readEnvironment({
      PATH: "/bin",
      KAFKA_ADVERTISED_LISTENER: "x",
      KAFKA_CLUSTER_ID: "x",
      KAFKA_DEBUG: "y",
      KAFKA_DIR: "x",
      KAFKA_GC_LOG_OPTS: "x",
      KAFKA_HEAP_OPTS: "-Xmx1G",
      KAFKA_HOME: "/opt",
      KAFKA_JMX_HOSTNAME: "x",
      KAFKA_JMX_OPTS: "x",
      KAFKA_JMX_PORT: "1",
      KAFKA_JVM_PERFORMANCE_OPTS: "x",
      KAFKA_LIBS: "x",
      KAFKA_LISTENERS: "PLAINTEXT://:0",
      KAFKA_LOG4J_LOGGERS: "x",
      KAFKA_LOG4J_OPTS: "x",
      KAFKA_LOG4J_ROOT_LOGLEVEL: "INFO",
      KAFKA_MODE: "kraft",
      KAFKA_OPTS: "",
      KAFKA_PORT: "tcp://10.0.0.1:9092",
      KAFKA_PORT_9092_TCP_ADDR: "10.0.0.1",
      KAFKA_SERVICE_HOST: "10.0.0.1",
      KAFKA_SLUICE_IN_MEMORY: "true",
      KAFKA_TOOLS_LOG4J_LOGLEVEL: "x",
      KAFKA_VERSION: "4.4.0",
      SLUICE_IN_MEMORIES: "true",
      SLUICE_PORT: "tcp://10.0.0.1:9092",
      SLUICE_WHATEVER: "1",
    });
    expect({ values: Object.fromEntries(values), warnings }).toEqual({
      values: { listeners: { variable: "KAFKA_LISTENERS", value: "PLAINTEXT://:0" } },
      warnings: [
        "environment KAFKA_ADVERTISED_LISTENER is ignored: it names no key; did you mean KAFKA_ADVERTISED_LISTENERS (advertised.listeners)?",
        "environment KAFKA_SLUICE_IN_MEMORY is ignored: it names no key; did you mean SLUICE_IN_MEMORY (sluice.in.memory)?",
        "environment SLUICE_IN_MEMORIES is ignored: it names no key; did you mean SLUICE_IN_MEMORY (sluice.in.memory)?",
        "environment SLUICE_WHATEVER is ignored: there is no key sluice.whatever",
      ],
    });
  });

  test("variableOfKey is the way back", () => {
    for (const key of ["num.partitions", "a.b_c-d.e", "sluice.in.memory"])
      expect(keyOfVariable(variableOfKey(key))).toBe(key);
  });
});

describe("nearestKey", () => {
  test.each([
    ["num.partition", "num.partitions"],
    ["numPartitions", "num.partitions"],
    ["log_dirs", "log.dirs"],
    ["ndoe.id", "node.id"],
    ["message.max.byte", "message.max.bytes"],
    ["retention.bytes", "log.retention.bytes"],
    ["dir", null],
    ["home", null],
    ["frobnicate.the.widget", null],
  ])("%s → %s", (unknown, expected) => expect(nearestKey(unknown)).toBe(expected));

  test("editDistance counts a swap of neighbours once", () => {
    expect([
      editDistance("ab", "ba", 9),
      editDistance("kitten", "sitting", 9),
      editDistance("same", "same", 9),
      editDistance("", "abc", 9),
      editDistance("kitten", "sitting", 2),
    ]).toEqual([1, 3, 0, 3, 2]);
  });
});
