/** kafka-consumer-groups and kafka-groups, over groups of every kind and state. */
import { run, type Step } from "../steps.ts";

/** Each way to look at one group. */
function look(group: string): Step[] {
  return [
    run(`kafka-consumer-groups --describe --group ${group}`, { isUnordered: true }),
    run(`kafka-consumer-groups --describe --group ${group} --offsets --verbose`, {
      isUnordered: true,
    }),
    run(`kafka-consumer-groups --describe --group ${group} --members`, { isUnordered: true }),
    run(`kafka-consumer-groups --describe --group ${group} --members --verbose`, {
      isUnordered: true,
    }),
    run(`kafka-consumer-groups --describe --group ${group} --state`),
    run(`kafka-consumer-groups --describe --group ${group} --state --verbose`),
  ];
}

/** A member of a classic group, whose client sends these settings. */
function classic(name: string, group: string, partitions: number, more = {}): Step {
  const settings = {
    "group.id": group,
    "group.protocol": "classic",
    "session.timeout.ms": "45000",
    ...more,
  };
  return { op: "join", name, settings, topics: ["apples"], partitions };
}

const COOPERATIVE = {
  "partition.assignment.strategy": "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
};

/** A member of a group of the consumer protocol. */
function modern(name: string, group: string, partitions: number, more = {}): Step {
  const settings = { "group.id": group, "group.protocol": "consumer", ...more };
  return { op: "join", name, settings, topics: ["apples"], partitions };
}

/** What can be done to the offsets of a group without members; nothing changes but by --execute. */
function reset(group: string): Step[] {
  const tool = `kafka-consumer-groups --reset-offsets --group ${group}`;
  const offsets = run(`kafka-consumer-groups --describe --group ${group}`, { isUnordered: true });
  return [
    run(`${tool} --topic apples --to-earliest`),
    run(`${tool} --topic apples --to-earliest --dry-run`),
    run(`${tool} --topic apples --to-latest --dry-run`),
    run(`${tool} --topic apples --to-current --dry-run`),
    run(`${tool} --topic apples --to-offset 4 --dry-run`),
    run(`${tool} --topic apples --to-offset 400 --dry-run`),
    run(`${tool} --topic apples --to-offset -1 --dry-run`),
    run(`${tool} --topic apples --shift-by 2 --dry-run`),
    run(`${tool} --topic apples --shift-by -2 --dry-run`),
    run(`${tool} --topic apples --shift-by 1000 --dry-run`),
    run(`${tool} --topic apples --to-datetime 2024-01-01T00:03:00.000Z --dry-run`),
    run(`${tool} --topic apples --to-datetime 2030-01-01T00:00:00.000 --dry-run`),
    run(`${tool} --topic apples --to-datetime yesterday --dry-run`),
    run(`${tool} --topic apples --by-duration P1D --dry-run`),
    run(`${tool} --topic apples --by-duration P20000D --dry-run`),
    run(`${tool} --topic apples:0 --to-offset 5 --dry-run`),
    run(`${tool} --topic apples:0,1 --to-latest --export --dry-run`),
    run(`${tool} --all-topics --to-earliest --export`),
    run(`${tool} --all-topics --to-earliest --dry-run`),
    run(`${tool} --topic nowhere --to-earliest --dry-run`),
    run(`${tool} --topic apples:7 --to-earliest --dry-run`),
    run(`${tool} --topic pears --shift-by 1 --dry-run`),
    run(`${tool} --to-earliest --dry-run`),
    run(`${tool} --topic apples --to-earliest --to-latest --dry-run`),
    run(`${tool} --from-file {directory}/offsets.csv --dry-run`, {
      files: { "offsets.csv": "apples,0,6\napples,1,1\n" },
    }),
    run(`${tool} --from-file {directory}/bad.csv --dry-run`, {
      files: { "bad.csv": "apples,zero,6\n" },
    }),
    offsets,
    run(`${tool} --topic apples:0 --to-offset 5 --execute`),
    offsets,
    run(`${tool} --topic apples --shift-by 1 --execute`),
    offsets,
    run(`${tool} --from-file {directory}/offsets.csv --execute`, {
      files: { "offsets.csv": "apples,0,6\napples,1,1\n" },
    }),
    offsets,
    run(`${tool} --topic apples --to-datetime 2024-01-01T00:04:00.000Z --execute`),
    run(`${tool} --all-topics --to-latest --execute`),
    offsets,
  ];
}

export const GROUPS: readonly Step[] = [
  run("kafka-consumer-groups --list"),
  run("kafka-groups --list"),
  run("kafka-consumer-groups --describe --group nobody"),
  run("kafka-consumer-groups --describe --group nobody --members"),
  run("kafka-consumer-groups --describe --group nobody --state"),
  run("kafka-consumer-groups --describe --all-groups"),
  run("kafka-consumer-groups --delete --group nobody"),
  run("kafka-consumer-groups --delete-offsets --group nobody --topic apples"),
  run(
    "kafka-consumer-groups --reset-offsets --group newcomer --topic apples --to-earliest --dry-run",
  ),

  run("kafka-consumer-groups --validate-regex '(a+)+' --bootstrap-server {bootstrap}"),
  run("kafka-consumer-groups --validate-regex '[a' --bootstrap-server {bootstrap}"),

  // A group of offsets alone.
  {
    op: "commit",
    group: "idle",
    offsets: { "apples-0": 4, "apples-1": 2, "apples-2": 0, "pears-0": 1 },
  },
  run("kafka-consumer-groups --list"),
  run("kafka-consumer-groups --list --state"),
  run("kafka-consumer-groups --list --type"),
  ...look("idle"),
  ...reset("idle"),
  run("kafka-consumer-groups --delete-offsets --group idle --topic pears"),
  run("kafka-consumer-groups --delete-offsets --group idle --topic apples:1"),
  run("kafka-consumer-groups --delete-offsets --group idle --topic apples:1"),
  run("kafka-consumer-groups --delete-offsets --group idle --topic nowhere"),
  run("kafka-consumer-groups --describe --group idle"),
  run(
    "kafka-consumer-groups --reset-offsets --group created --topic apples --to-earliest --execute",
  ),
  run("kafka-consumer-groups --describe --group created", { isUnordered: true }),

  // A classic group with members, one of them static.
  classic("worker-1", "busy", 3, { "client.rack": "r1" }),
  { op: "commit", group: "idle", offsets: { "apples-0": 4 } },
  run("kafka-consumer-groups --list --state"),
  run("kafka-consumer-groups --list --state Stable"),
  run("kafka-consumer-groups --list --state Empty"),
  run("kafka-consumer-groups --list --type classic"),
  run("kafka-consumer-groups --list --type consumer"),
  run("kafka-consumer-groups --list --type whatever"),
  run("kafka-groups --list"),
  run("kafka-groups --list --protocol consumer"),
  run("kafka-groups --list --group-type classic"),
  run("kafka-groups --list --consumer"),
  run("kafka-groups --list --share"),
  run("kafka-groups --list --streams"),
  ...look("busy"),
  run("kafka-consumer-groups --describe --all-groups --state"),
  run("kafka-consumer-groups --describe --all-groups", { isUnordered: true }),
  run("kafka-consumer-groups --describe --group idle --group busy --members", {
    isUnordered: true,
  }),
  run("kafka-consumer-groups --reset-offsets --all-groups --all-topics --to-earliest --dry-run"),
  run("kafka-consumer-groups --reset-offsets --group busy --topic apples --to-earliest --dry-run"),
  run("kafka-consumer-groups --reset-offsets --group busy --topic apples --to-earliest --execute"),
  run("kafka-consumer-groups --delete --group busy"),
  run("kafka-consumer-groups --delete-offsets --group busy --topic apples"),
  run("kafka-consumer-groups --delete --all-groups", { isUnordered: true }),
  { op: "leave", name: "worker-1" },
  classic("worker-2", "static", 3, { "group.instance.id": "first", "session.timeout.ms": "6000" }),
  ...look("static"),
  { op: "leave", name: "worker-2" },
  run("kafka-consumer-groups --describe --group busy --state"),
  run("kafka-consumer-groups --describe --group busy --members"),
  run("kafka-consumer-groups --delete --group busy"),

  // Two members, and assignments of the cooperative protocol.
  classic("pair-1", "pair", 3, COOPERATIVE),
  classic("pair-2", "pair", 1, COOPERATIVE),
  run("kafka-consumer-groups --describe --group pair --members", { isUnordered: true }),
  run("kafka-consumer-groups --describe --group pair --members --verbose", { isUnordered: true }),
  run("kafka-consumer-groups --describe --group pair --state"),
  { op: "leave", name: "pair-1" },
  { op: "leave", name: "pair-2" },

  // Offsets of a topic that is gone.
  run("kafka-topics --create --topic plums --partitions 2"),
  { op: "commit", group: "orphan", offsets: { "plums-1": 0, "apples-0": 5 } },
  run("kafka-topics --delete --topic plums"),
  run("kafka-consumer-groups --describe --group orphan", { isUnordered: true }),
  run("kafka-consumer-groups --describe --group orphan --offsets --verbose", { isUnordered: true }),
  run("kafka-consumer-groups --delete-offsets --group orphan --topic plums"),
  run("kafka-consumer-groups --reset-offsets --group orphan --all-topics --to-earliest --dry-run"),

  run("kafka-consumer-groups --delete --group orphan --group pair --group nobody", {
    isUnordered: true,
  }),
  // A static member does not leave: its session runs out.
  run("kafka-consumer-groups --describe --group static --state", { until: "Empty" }),
  run("kafka-consumer-groups --delete --group static"),
  run("kafka-share-groups --list"),
  run("kafka-streams-groups --list"),
  ...[0, 1, 2].map((partition) =>
    run(
      `kafka-console-consumer --topic __consumer_offsets --partition ${partition} --offset earliest --timeout-ms 3000 --formatter org.apache.kafka.tools.consumer.OffsetsMessageFormatter`,
      { isUnordered: true },
    ),
  ),
  run("kafka-consumer-groups --list"),
];

/** Groups of the consumer protocol (KIP-848). */
export const MODERN_GROUPS: readonly Step[] = [
  modern("modern-1", "modern", 3),
  ...look("modern"),
  run("kafka-consumer-groups --list --state"),
  run("kafka-consumer-groups --list --type"),
  run("kafka-consumer-groups --list --type consumer --state Stable"),
  run("kafka-groups --list"),
  run("kafka-groups --list --group-type consumer"),
  run(
    "kafka-consumer-groups --reset-offsets --group modern --topic apples --to-earliest --dry-run",
  ),
  run("kafka-consumer-groups --delete --group modern"),
  run("kafka-consumer-groups --delete-offsets --group modern --topic apples"),
  {
    op: "join",
    name: "modern-2",
    settings: {
      "group.id": "patterned",
      "group.protocol": "consumer",
      "group.remote.assignor": "range",
      "group.instance.id": "rooted",
      "client.rack": "r2",
    },
    pattern: "(apples|pears)",
    partitions: 5,
  },
  ...look("patterned"),
  run("kafka-consumer-groups --describe --all-groups --members", { isUnordered: true }),
  { op: "leave", name: "modern-1" },
  { op: "leave", name: "modern-2" },
  ...look("modern"),
  run("kafka-consumer-groups --reset-offsets --group modern --topic apples --to-latest --execute"),
  run("kafka-consumer-groups --describe --group modern", { isUnordered: true }),
  run("kafka-consumer-groups --delete --group modern"),
  run("kafka-consumer-groups --list"),
  run(
    "kafka-configs --alter --entity-type groups --entity-name modern --add-config consumer.session.timeout.ms=50000",
  ),
  run("kafka-configs --describe --entity-type groups --entity-name modern"),
];
