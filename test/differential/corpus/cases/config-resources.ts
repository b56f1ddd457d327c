/**
 * Configurations of what is neither topic nor broker, or of a broker while it runs: groups, subscriptions to client metrics, loggers;
 * values out of their bounds, keys that nobody knows, and what DescribeConfigs and ListConfigResources make of them.
 */
import { AlterConfigsApi, makeAlterConfigsRequest } from "#protocol/generated/alter-configs.ts";
import {
  DescribeConfigsApi,
  makeDescribeConfigsRequest,
} from "#protocol/generated/describe-configs.ts";
import {
  IncrementalAlterConfigsApi,
  makeIncrementalAlterConfigsRequest,
} from "#protocol/generated/incremental-alter-configs.ts";
import {
  ListConfigResourcesApi,
  makeListConfigResourcesRequest,
} from "#protocol/generated/list-config-resources.ts";
import { ask } from "../bytes.ts";
import { type Case, one, type Place, several, type Turn } from "../case.ts";

const [SET, DELETE, APPEND, SUBTRACT] = [0, 1, 2, 3];
const [BROKER, LOGGER, METRICS, GROUP] = [4, 8, 16, 32];

type Change = readonly [name: string, value: string | null, operation?: number];
type Named = (place: Place) => string;

const own: Named = ({ group }) => group;

function alter(
  resourceType: number,
  name: Named,
  changes: readonly Change[],
  { version = 1, validateOnly = true }: { version?: number; validateOnly?: boolean } = {},
): (place: Place) => Turn {
  return (place) => {
    const configs = changes.map(([key, value, configOperation = SET]) => ({
      name: key,
      configOperation,
      value,
    }));
    const resources = [{ resourceType, resourceName: name(place), configs }];
    const request = makeIncrementalAlterConfigsRequest({ resources, validateOnly });
    return ask(IncrementalAlterConfigsApi, version, request);
  };
}

function replace(
  resourceType: number,
  name: Named,
  configs: readonly (readonly [string, string | null])[],
  version: number,
  validateOnly = true,
): (place: Place) => Turn {
  return (place) => {
    const rows = configs.map(([key, value]) => ({ name: key, value }));
    const resources = [{ resourceType, resourceName: name(place), configs: rows }];
    return ask(AlterConfigsApi, version, makeAlterConfigsRequest({ resources, validateOnly }));
  };
}

function describe(
  resourceType: number,
  name: Named,
  version: number,
  keys: string[] | null = null,
): (place: Place) => Turn {
  return (place) => {
    const resources = [{ resourceType, resourceName: name(place), configurationKeys: keys }];
    const request = makeDescribeConfigsRequest({
      resources,
      includeSynonyms: true,
      includeDocumentation: version >= 3,
    });
    return ask(DescribeConfigsApi, version, request);
  };
}

/** A case of one change that is only tried. */
function tried(resourceType: number, kind: string, name: Named, changes: readonly Change[]): Case {
  const [[key, value, operation = SET] = ["nothing", ""]] = changes;
  const sign = ["=", " deleted", "+=", "-="][operation] ?? ` op ${operation} `;
  const label = `${key}${sign}${operation === DELETE ? "" : (value ?? "null").slice(0, 40)}`;
  const rest = changes.slice(1).map(([other]) => other);
  return one(
    `config-resources/${kind} ${[label, ...rest].join(", ")}`,
    alter(resourceType, name, changes),
  );
}

const ofGroup = (...changes: readonly Change[]): Case => tried(GROUP, "group", own, changes);
const ofMetrics = (...changes: readonly Change[]): Case => tried(METRICS, "metrics", own, changes);
const ofLogger = (...changes: readonly Change[]): Case =>
  tried(LOGGER, "logger", () => "1", changes);
const ofBroker = (...changes: readonly Change[]): Case =>
  tried(BROKER, "broker", () => "1", changes);
const ofAll = (...changes: readonly Change[]): Case =>
  tried(BROKER, "all brokers", () => "", changes);

const list = (version: number, resourceTypes: number[]): Case =>
  one(
    `config-resources/list v${version} of types [${resourceTypes.join()}]`,
    ask(ListConfigResourcesApi, version, makeListConfigResourcesRequest({ resourceTypes })),
  );

/** What a group or subscription is after each of the ways to change it. */
const lives: readonly Case[] = [
  several("config-resources/life of a group's configuration", [
    describe(GROUP, own, 4),
    alter(GROUP, own, [["consumer.session.timeout.ms", " 50000 "]], { validateOnly: false }),
    describe(GROUP, own, 4, ["consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"]),
    alter(
      GROUP,
      own,
      [
        ["streams.num.warmup.replicas", "3"],
        ["streams.acceptable.recovery.lag", "7"],
        ["consumer.assignor.offload.enable", "false"],
        ["share.assignor.offload.enable", "false"],
        ["streams.assignor.offload.enable", "false"],
        ["streams.task.offset.interval.ms", "20000"],
      ],
      { version: 0, validateOnly: false },
    ),
    describe(GROUP, own, 4),
    replace(GROUP, own, [["consumer.heartbeat.interval.ms", "6000"]], 2, false),
    describe(GROUP, own, 3),
    replace(GROUP, own, [], 0, false),
    describe(GROUP, own, 1),
  ]),
  several(
    "config-resources/life of a subscription",
    [
      describe(METRICS, own, 4),
      alter(METRICS, own, [["metrics", "a,b,a"]], { validateOnly: false }),
      describe(METRICS, own, 4),
      replace(
        METRICS,
        own,
        [
          ["match", "client_id=nobody.at.all"],
          ["interval.ms", "1000"],
        ],
        1,
        false,
      ),
      describe(METRICS, own, 2),
      alter(
        METRICS,
        own,
        [
          ["match", null, DELETE],
          ["interval.ms", null, DELETE],
        ],
        {
          version: 0,
          validateOnly: false,
        },
      ),
      describe(METRICS, own, 1),
    ], // Alone: for a moment it concerns every client.
    { cost: "costly" },
  ),
];

/** All of them. */
export const CONFIG_RESOURCE_CASES: readonly Case[] = [
  ...lives,
  ...[1, 2, 3, 4].flatMap((version) => [
    one(`config-resources/describe v${version} group`, describe(GROUP, own, version)),
    one(`config-resources/describe v${version} subscription`, describe(METRICS, own, version)),
    one(
      `config-resources/describe v${version} broker keys`,
      describe(BROKER, () => "1", version, ["num.io.threads", "log.retention.ms", "no.such"]),
    ),
  ]),
  ofGroup(),
  ofGroup(["consumer.session.timeout.ms", "45000"]),
  ofGroup(["consumer.session.timeout.ms", "0"]),
  ofGroup(["consumer.session.timeout.ms", "44999"]),
  ofGroup(["consumer.session.timeout.ms", "60001"]),
  ofGroup(["consumer.session.timeout.ms", "99999999999"]),
  ofGroup(["consumer.session.timeout.ms", ""]),
  ofGroup(["consumer.session.timeout.ms", null]),
  ofGroup(["consumer.session.timeout.ms", "1", APPEND]),
  ofGroup(["consumer.session.timeout.ms", "1", 7]),
  ofGroup(["consumer.heartbeat.interval.ms", "4999"]),
  ofGroup(["consumer.heartbeat.interval.ms", "1"], ["consumer.session.timeout.ms", "1"]),
  ofGroup(["consumer.assignment.interval.ms", "15001"]),
  ofGroup(["share.delivery.count.limit", "11"]),
  ofGroup(["share.record.lock.duration.ms", "14999"]),
  ofGroup(["share.auto.offset.reset", "by_duration:P1W"]),
  ofGroup(["share.auto.offset.reset", "by_duration:PT1H"]),
  ofGroup(["share.isolation.level", "READ_COMMITTED"]),
  ofGroup(["streams.num.standby.replicas", "3"]),
  ofGroup(["streams.task.offset.interval.ms", "1"]),
  ofGroup(["streams.assignor.name", "none"]),
  ofGroup(["streams.rack.aware.assignment.tags", "a,b,a"]),
  ofGroup(["streams.rack.aware.assignment.tags", "a", APPEND]),
  ofGroup(["errors.deadletterqueue.topic.name", "__x"]),
  ofGroup(["no.such", "1"], ["consumer.session.timeout.ms", "x"]),
  ofGroup(["no.such", null, DELETE]),
  tried(GROUP, "no group", () => "", [["consumer.session.timeout.ms", "50000"]]),
  one(
    "config-resources/group of 30,000 letters",
    alter(GROUP, () => "g".repeat(30_000), [["consumer.session.timeout.ms", "50000"]]),
  ),
  one(
    "config-resources/group v0 sound",
    alter(GROUP, own, [["consumer.session.timeout.ms", "46000"]], { version: 0 }),
  ),
  ...[0, 1, 2].flatMap((version) => [
    one(
      `config-resources/replace v${version} group, out of bounds`,
      replace(GROUP, own, [["consumer.session.timeout.ms", "1"]], version),
    ),
    one(
      `config-resources/replace v${version} subscription, null`,
      replace(METRICS, own, [["metrics", null]], version),
    ),
    one(
      `config-resources/replace v${version} logger`,
      replace(LOGGER, () => "1", [["root", "INFO"]], version),
    ),
  ]),
  ofMetrics(),
  ofMetrics(["interval.ms", "99"]),
  ofMetrics(["interval.ms", "3600001"]),
  ofMetrics(["interval.ms", "soon"]),
  ofMetrics(["metrics", "a,,b"]),
  ofMetrics(["metrics", "a", APPEND]),
  ofMetrics(["metrics", "a", SUBTRACT]),
  ofMetrics(["match", "client_id"]),
  ofMetrics(["match", "client_id=a=b"]),
  ofMetrics(["match", "client_id=a="]),
  ofMetrics(["match", "client_id=["]),
  ofMetrics(["match", "CLIENT_ID=a"]),
  ofMetrics(["match", "client_instance_id=a,client_source_port=9.*"]),
  ofMetrics(["interval.ms", "1"], ["metrics", ",,"]),
  ofMetrics(["no.such", "1"]),
  ofMetrics(["no.such", null, DELETE]),
  tried(METRICS, "no subscription", () => "", [["interval.ms", "1000"]]),
  ofLogger(),
  ofLogger(["root", "INFO"]),
  ofLogger(["root", "info"]),
  ofLogger(["root", "OFF"]),
  ofLogger(["root", null]),
  ofLogger(["root", null, DELETE]),
  ofLogger(["root", "INFO", APPEND]),
  ofLogger(["root", "INFO", SUBTRACT]),
  ofLogger(["root", "INFO", 9]),
  ofLogger(["root", "INFO"], ["root", "WARN"]),
  ofLogger(["no.such", "INFO"]),
  ...["", "2", "x"].map((name) =>
    tried(LOGGER, `logger of '${name}'`, () => name, [["root", "INFO"]]),
  ),
  ofBroker(["foo.bar", "1"]),
  ofBroker(["foo.bar", "1", APPEND]),
  ofBroker(["num.io.threads", "100"]),
  ofBroker(["num.io.threads", "1"]),
  ofBroker(["background.threads", "100"]),
  ofBroker(["num.network.threads", "9"]),
  ofBroker(["num.network.threads", "2"]),
  ofBroker(["num.recovery.threads.per.data.dir", "3"]),
  ofBroker(["listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,X:SSL"]),
  ofBroker(["advertised.listeners", "PLAINTEXT://a:1"]),
  ofBroker(["metric.reporters", "a.b.C"]),
  ofBroker(["log.cleanup.policy", "compact,compact"]),
  ofBroker(["log.cleanup.policy", "nothing"]),
  ofBroker(["log.retention.ms", "5"], ["log.retention.minutes", "3"]),
  ofBroker(["log.retention.ms", "x"], ["num.io.threads", "0"]),
  ofBroker(["log.roll.ms", "0"]),
  ofBroker(["log.local.retention.ms", "99999999999"]),
  ofBroker(["log.cleaner.dedupe.buffer.size", "1"]),
  ofBroker(["max.connections.per.ip.overrides", "127.0.0.1"]),
  ofBroker(["max.connection.creation.rate", "0"]),
  ofBroker(["group.consumer.assignment.interval.ms", "20000"]),
  ofBroker(["ssl.keystore.password", "secret"]),
  ofBroker(["principal.builder.class", "a.b.C"]),
  ofBroker(["listener.name.plaintext.max.connections", "x"]),
  ofBroker(["listener.name.plaintext.ssl.keystore.password", "secret"]),
  ofAll(["listeners", "PLAINTEXT://127.0.0.1:1"]),
  ofAll(["max.connections", "-5"]),
  ofAll(["log.cleaner.threads", "0"]),
  ofAll(["ssl.keystore.type", "JKS"]),
  ofAll(["broker.id", "5"]),
  list(1, [BROKER]),
  list(1, [LOGGER]),
  list(1, [LOGGER, BROKER, BROKER]),
  list(1, [0]),
  list(1, [77]),
  list(1, [-1]),
  list(1, [BROKER, 64]),
];
