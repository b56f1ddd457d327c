/** kafka-topics, kafka-get-offsets, kafka-log-dirs, kafka-delete-records and what else looks at topics. */
import { run, type Step } from "../steps.ts";

/** Timestamp of the first record of each partition; records are a minute apart. */
export const FIRST_TIMESTAMP: number = Date.UTC(2024, 0, 1);

const ENDLESS = "--config retention.ms=-1";

export const TOPICS: readonly Step[] = [
  run("kafka-topics --list"),
  run(`kafka-topics --create --topic apples --partitions 3 --replication-factor 1 ${ENDLESS}`),
  run(`kafka-topics --create --topic pears ${ENDLESS} --config segment.bytes=1048576`),
  run("kafka-topics --create --topic dotted.name_and_underscore --partitions 2"),
  run("kafka-topics --create --topic apples"),
  run("kafka-topics --create --topic apples --if-not-exists"),
  run("kafka-topics --create --topic 'bad name'"),
  run("kafka-topics --create --topic too-many-replicas --replication-factor 2"),
  run("kafka-topics --create --topic no-partitions --partitions 0"),
  run("kafka-topics --create --topic bad-config --config retention.ms=never"),
  run("kafka-topics --create --topic unknown-config --config no.such.key=1"),
  run("kafka-topics --create --topic assigned --replica-assignment 1,1"),
  run("kafka-topics --create --topic misassigned --replica-assignment 7"),
  {
    op: "produce",
    topic: "apples",
    counts: [10, 5, 0],
    firstTimestamp: FIRST_TIMESTAMP,
    stepMs: 60_000,
  },
  { op: "produce", topic: "pears", counts: [4], firstTimestamp: FIRST_TIMESTAMP, stepMs: 60_000 },
  run("kafka-topics --list"),
  run("kafka-topics --list --exclude-internal"),
  run("kafka-topics --list --topic 'a.*'"),
  run("kafka-topics --describe --topic apples"),
  run("kafka-topics --describe --topic pears"),
  run("kafka-topics --describe"),
  run("kafka-topics --describe --topic nowhere"),
  run("kafka-topics --describe --topic nowhere --if-exists"),
  run("kafka-topics --describe --topics-with-overrides"),
  run("kafka-topics --describe --under-replicated-partitions"),
  run("kafka-topics --describe --unavailable-partitions"),
  run("kafka-topics --describe --under-min-isr-partitions"),
  run("kafka-topics --describe --at-min-isr-partitions"),
  run("kafka-topics --describe --topic-id AAAAAAAAAAAAAAAAAAAAAB"),
  run("kafka-topics --describe --topic apples --partition-size-limit-per-response 2"),
  run("kafka-topics --alter --topic pears --partitions 2"),
  run("kafka-topics --alter --topic pears --partitions 1"),
  run("kafka-topics --alter --topic pears --partitions 2"),
  run("kafka-topics --alter --topic nowhere --partitions 2"),
  run("kafka-topics --alter --topic nowhere --partitions 2 --if-exists"),
  run("kafka-topics --describe --topic pears"),
  run("kafka-topics --delete --topic nowhere"),
  run("kafka-topics --delete --topic nowhere --if-exists"),
  run("kafka-topics --delete --topic assigned"),
  run("kafka-topics --list"),

  run("kafka-get-offsets"),
  run("kafka-get-offsets --topic apples"),
  run("kafka-get-offsets --topic apples --time earliest"),
  run("kafka-get-offsets --topic apples --time -2"),
  run("kafka-get-offsets --topic apples --time max-timestamp"),
  run("kafka-get-offsets --topic apples --time earliest-local"),
  run("kafka-get-offsets --topic apples --time latest-tiered"),
  run("kafka-get-offsets --topic apples --time earliest-pending-upload"),
  run(`kafka-get-offsets --topic apples --time ${FIRST_TIMESTAMP + 120_000}`),
  run("kafka-get-offsets --topic apples --time whenever"),
  run("kafka-get-offsets --topic apples --partitions 0,2"),
  run("kafka-get-offsets --topic apples --partitions 9"),
  run("kafka-get-offsets --topic-partitions apples:0-2,pears:1"),
  run("kafka-get-offsets --exclude-internal-topics"),
  run("kafka-get-offsets --topic nowhere"),

  run("kafka-log-dirs --describe --topic-list pears"),
  run("kafka-log-dirs --describe --topic-list apples --broker-list 1", { isUnordered: true }),
  run("kafka-log-dirs --describe --topic-list nowhere"),
  run("kafka-log-dirs --describe --broker-list 9"),

  run("kafka-delete-records --offset-json-file {directory}/delete.json", {
    isUnordered: true,
    files: {
      "delete.json":
        '{"partitions":[{"topic":"apples","partition":0,"offset":3},{"topic":"apples","partition":1,"offset":-1}],"version":1}',
    },
  }),
  run("kafka-delete-records --offset-json-file {directory}/beyond.json", {
    files: {
      "beyond.json": '{"partitions":[{"topic":"apples","partition":0,"offset":1000}],"version":1}',
    },
  }),
  run("kafka-get-offsets --topic apples --time earliest"),

  run("kafka-leader-election --election-type preferred --all-topic-partitions"),
  run("kafka-leader-election --election-type preferred --topic apples --partition 0"),
  run("kafka-leader-election --election-type unclean --topic apples --partition 0"),
  run("kafka-leader-election --election-type preferred --topic nowhere --partition 0"),
  run("kafka-reassign-partitions --list"),
  run(
    "kafka-reassign-partitions --generate --broker-list 1 --topics-to-move-json-file {directory}/move.json",
    { files: { "move.json": '{"topics":[{"topic":"apples"}],"version":1}' } },
  ),
  run("kafka-reassign-partitions --execute --reassignment-json-file {directory}/plan.json", {
    files: {
      "plan.json":
        '{"version":1,"partitions":[{"topic":"apples","partition":0,"replicas":[1],"log_dirs":["any"]}]}',
    },
  }),
  run("kafka-reassign-partitions --verify --reassignment-json-file {directory}/plan.json"),
  run("kafka-reassign-partitions --execute --reassignment-json-file {directory}/absent.json", {
    files: {
      "absent.json":
        '{"version":1,"partitions":[{"topic":"apples","partition":0,"replicas":[9],"log_dirs":["any"]}]}',
    },
  }),

  run("kafka-transactions describe-producers --topic apples --partition 0"),
  run("kafka-transactions describe-producers --topic apples --partition 2"),
  run("kafka-transactions list"),
  run("kafka-transactions find-hanging --broker-id 1"),
];
