/** kafka-configs and kafka-client-metrics: topics, brokers, groups, client metrics, quotas. */
import { run, type Step } from "../steps.ts";

const configs = (words: string): Step => run(`kafka-configs ${words}`);

/** Sets, looks, refuses and unsets for one entity; `until` is what the first look waits for. */
function entity(
  words: string,
  set: string,
  names: string,
  refused: readonly string[],
  until?: string,
): Step[] {
  return [
    configs(`--describe ${words}`),
    configs(`--alter ${words} --add-config ${set}`),
    run(`kafka-configs --describe ${words}`, until === undefined ? {} : { until }),
    ...refused.map((each) => configs(`--alter ${words} --add-config ${each}`)),
    configs(`--alter ${words} --delete-config ${names}`),
    configs(`--alter ${words} --delete-config ${names}`),
    configs(`--describe ${words}`),
  ];
}

export const CONFIGS: readonly Step[] = [
  configs("--describe --entity-type topics --entity-name apples"),
  configs("--describe --entity-type topics --entity-name apples --all"),
  configs("--describe --entity-type topics --entity-name nowhere"),
  run("kafka-configs --describe --entity-type topics", { isUnordered: true }),
  ...entity(
    "--entity-type topics --entity-name apples",
    "max.message.bytes=2000,cleanup.policy=[compact,delete],compression.type=zstd",
    "max.message.bytes,cleanup.policy,compression.type",
    [
      "no.such.key=1",
      "retention.ms=soon",
      "min.insync.replicas=0",
      "cleanup.policy=burn",
      "segment.bytes=1",
      "=1",
    ],
  ),
  configs("--alter --entity-type topics --entity-name nowhere --add-config retention.ms=1"),

  configs("--describe --entity-type brokers --entity-name 1"),
  configs("--describe --entity-type brokers --entity-default"),
  configs("--describe --entity-type brokers"),
  configs("--describe --entity-type brokers --entity-name 1 --all"),
  configs("--describe --entity-type brokers --entity-default --all"),
  configs("--describe --entity-type brokers --entity-name 9"),
  configs("--describe --entity-type brokers --entity-name one"),
  ...entity(
    "--entity-type brokers --entity-name 1",
    "log.cleaner.threads=2,log.retention.ms=86400000",
    "log.cleaner.threads,log.retention.ms",
    [
      "num.io.threads=many",
      "broker.id=3",
      "process.roles=broker",
      "no.such.key=1",
      "log.segment.bytes=1",
      "log.cleaner.threads=9",
    ],
    "log.retention.ms=86400000 sensitive",
  ),
  ...entity(
    "--entity-type brokers --entity-default",
    "log.retention.ms=3600000,message.max.bytes=2000000",
    "log.retention.ms,message.max.bytes",
    ["log.retention.ms=x", "broker.id=3", "no.such.key=1", "listeners=PLAINTEXT://:1"],
  ),
  configs("--alter --entity-type brokers --entity-default --add-config log.retention.ms=3600000"),
  run("kafka-configs --describe --entity-type topics --entity-name pears --all", {
    until: "DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=3600000",
  }),
  run("kafka-configs --describe --entity-type brokers --entity-name 1", {
    until: "log.retention.ms=3600000 sensitive",
  }),
  configs("--alter --entity-type brokers --entity-default --delete-config log.retention.ms"),
  configs(
    "--alter --entity-type brokers --entity-name 1 --add-config-file {directory}/none.properties",
  ),
  run(
    "kafka-configs --alter --entity-type topics --entity-name pears --add-config-file {directory}/pears.properties",
    { files: { "pears.properties": "retention.bytes=1000000\nflush.ms=5000\n" } },
  ),
  configs("--describe --entity-type topics --entity-name pears"),

  configs("--describe --entity-type topics --entity-name __consumer_offsets"),
  ...[
    "num.io.threads=1",
    "background.threads=1",
    "num.replica.fetchers=3",
    "max.connections.per.ip.overrides=nonsense",
    "log.cleaner.dedupe.buffer.size=1",
    "unclean.leader.election.enable=maybe",
    "log.message.timestamp.type=Never",
    "follower.replication.throttled.rate=-1",
    "group.coordinator.threads=9",
    "offsets.retention.minutes=5",
    "transaction.partition.verification.enable=false",
    "remote.log.reader.threads=0",
    "ssl.keystore.location=/nowhere",
    "log.dirs=/elsewhere",
    "group.consumer.session.timeout.ms=1",
  ].map((each) => configs(`--alter --entity-type brokers --entity-name 1 --add-config ${each}`)),
  configs("--describe --entity-type brokers --entity-name 1"),

  configs("--describe --entity-type groups"),
  configs("--describe --entity-type groups --entity-name team --all"),
  ...entity(
    "--entity-type groups --entity-name team",
    "consumer.session.timeout.ms=50000,consumer.heartbeat.interval.ms=6000",
    "consumer.session.timeout.ms,consumer.heartbeat.interval.ms",
    [
      "consumer.session.timeout.ms=1",
      "consumer.heartbeat.interval.ms=100000",
      "no.such.key=1",
      "share.auto.offset.reset=sometimes",
    ],
  ),

  configs("--describe --entity-type client-metrics"),
  configs("--describe --entity-type client-metrics --entity-name basics"),
  ...entity(
    "--entity-type client-metrics --entity-name basics",
    "metrics=[org.apache.kafka.producer.,org.apache.kafka.consumer.],interval.ms=15000,match=[client_id=app.*]",
    "metrics,interval.ms,match",
    ["interval.ms=1", "match=[colour=red]", "match=[client_id=(]", "no.such.key=1"],
  ),
  run("kafka-client-metrics --list"),
  run("kafka-client-metrics --describe"),
  run(
    "kafka-client-metrics --alter --name steady --metrics org.apache.kafka. --interval 30000 --match client_software_name=java",
  ),
  run("kafka-client-metrics --describe --name steady"),
  run("kafka-client-metrics --describe"),
  run("kafka-client-metrics --list"),
  run("kafka-client-metrics --alter --name steady --interval 99"),
  run("kafka-client-metrics --delete --name steady"),
  run("kafka-client-metrics --delete --name steady"),
  run("kafka-client-metrics --list"),

  configs("--describe --entity-type users"),
  ...entity(
    "--entity-type users --entity-name alice",
    "producer_byte_rate=1024,consumer_byte_rate=2048,request_percentage=50.5",
    "producer_byte_rate,consumer_byte_rate,request_percentage",
    ["producer_byte_rate=-1", "producer_byte_rate=fast", "no.such.key=1"],
    "producer_byte_rate=1024",
  ),
  ...entity(
    "--entity-type clients --entity-default",
    "producer_byte_rate=4096,controller_mutation_rate=10",
    "producer_byte_rate,controller_mutation_rate",
    ["request_percentage=x"],
    "producer_byte_rate=4096",
  ),
  ...entity(
    "--entity-type users --entity-name alice --entity-type clients --entity-name app",
    "consumer_byte_rate=10",
    "consumer_byte_rate",
    [],
    "consumer_byte_rate=10",
  ),
  configs("--alter --entity-type users --entity-default --add-config producer_byte_rate=1000"),
  configs(
    "--alter --entity-type users --entity-name alice --entity-type clients --entity-default --add-config consumer_byte_rate=5",
  ),
  configs(
    "--alter --entity-type users --entity-default --entity-type clients --entity-name app --add-config consumer_byte_rate=6",
  ),
  run("kafka-configs --describe --entity-type users --entity-type clients --entity-name app", {
    until: "consumer_byte_rate=6",
  }),
  configs("--describe --entity-type users"),
  configs("--describe --entity-type clients"),
  configs("--describe --entity-type users --entity-default"),
  configs("--describe --entity-type users --entity-type clients"),
  configs("--describe --entity-type users --entity-name alice --entity-type clients"),
  configs("--describe --entity-type clients --entity-name app"),
  configs("--describe --user alice"),
  configs("--describe --user-defaults"),
  configs("--describe --client app"),
  configs("--describe --client-defaults"),
  ...entity(
    "--entity-type ips --entity-name 127.0.0.9",
    "connection_creation_rate=100",
    "connection_creation_rate",
    ["connection_creation_rate=x", "producer_byte_rate=1"],
    "connection_creation_rate=100",
  ),
  configs("--alter --entity-type ips --entity-default --add-config connection_creation_rate=1000"),
  run("kafka-configs --describe --entity-type ips", { until: "connection_creation_rate=1000" }),
  configs("--alter --entity-type ips --entity-default --delete-config connection_creation_rate"),
  configs(
    "--alter --entity-type ips --entity-name not.an.address --add-config connection_creation_rate=1",
  ),
  configs(
    "--alter --entity-type users --entity-name alice --add-config SCRAM-SHA-256=[password=secret]",
  ),
  configs("--describe --entity-type broker-loggers --entity-name 1"),
];
