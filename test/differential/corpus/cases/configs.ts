/** DescribeConfigs, AlterConfigs and IncrementalAlterConfigs: resources that are not, keys that are not, and too many of either. */
import { AlterConfigsApi, makeAlterConfigsRequest } from "#protocol/generated/alter-configs.ts";
import {
  DescribeConfigsApi,
  type DescribeConfigsResource,
  makeDescribeConfigsRequest,
} from "#protocol/generated/describe-configs.ts";
import {
  IncrementalAlterConfigsApi,
  makeIncrementalAlterConfigsRequest,
} from "#protocol/generated/incremental-alter-configs.ts";
import { ask } from "../bytes.ts";
import { type Case, type Cost, one, type Place } from "../case.ts";

const describe = (
  label: string,
  resources: (place: Place) => DescribeConfigsResource[],
  cost: Cost = "light",
): Case =>
  one(
    `configs/describe ${label}`,
    (place) =>
      ask(DescribeConfigsApi, 4, makeDescribeConfigsRequest({ resources: resources(place) })),
    { cost },
  );

const resource = (
  resourceType: number,
  resourceName: string,
  configurationKeys: string[] | null = ["retention.ms"],
): DescribeConfigsResource => ({ resourceType, resourceName, configurationKeys });

const TOPIC = 2;
const BROKER = 4;

type Change = readonly [name: string, operation: number, value: string | null];

const change = (
  label: string,
  resourceType: number,
  resourceName: (place: Place) => string,
  changes: readonly Change[],
): Case =>
  one(`configs/change ${label}`, (place) =>
    ask(
      IncrementalAlterConfigsApi,
      1,
      makeIncrementalAlterConfigsRequest({
        resources: [
          {
            resourceType,
            resourceName: resourceName(place),
            configs: changes.map(([name, configOperation, value]) => ({
              name,
              configOperation,
              value,
            })),
          },
        ],
        validateOnly: true,
      }),
    ),
  );

const onTopic = (label: string, ...changes: readonly Change[]): Case =>
  change(label, TOPIC, ({ topic }) => topic, changes);

const [SET, DELETE, APPEND, SUBTRACT] = [0, 1, 2, 3];

const alter = (
  label: string,
  resourceType: number,
  resourceName: (place: Place) => string,
  configs: readonly (readonly [string, string | null])[],
): Case =>
  one(`configs/replace ${label}`, (place) =>
    ask(
      AlterConfigsApi,
      2,
      makeAlterConfigsRequest({
        resources: [
          {
            resourceType,
            resourceName: resourceName(place),
            configs: configs.map(([name, value]) => ({ name, value })),
          },
        ],
        validateOnly: true,
      }),
    ),
  );

/** All of them. */
export const CONFIG_CASES: readonly Case[] = [
  describe("none", () => []),
  describe("unknown topic", () => [resource(TOPIC, "corpus-missing")]),
  describe("illegal topic", () => [resource(TOPIC, "a/b")]),
  describe("empty topic", () => [resource(TOPIC, "")]),
  describe("topic twice", ({ topic }) => [resource(TOPIC, topic), resource(TOPIC, topic)]),
  describe("unknown key", ({ topic }) => [resource(TOPIC, topic, ["no.such"])]),
  describe("empty keys", ({ topic }) => [resource(TOPIC, topic, [])]),
  describe("all keys", ({ topic }) => [resource(TOPIC, topic, null)]),
  describe("key twice", ({ topic }) => [resource(TOPIC, topic, ["retention.ms", "retention.ms"])]),
  describe(
    "50,000 keys",
    ({ topic }) => [
      resource(
        TOPIC,
        topic,
        Array.from({ length: 50_000 }, (_, index) => `key.${index}`),
      ),
    ],
    "costly",
  ),
  describe(
    "a flood of one topic",
    ({ topic }) => Array.from({ length: 1000 }, () => resource(TOPIC, topic, null)),
    "costly",
  ),
  describe(
    "a flood of missing topics",
    () => Array.from({ length: 5000 }, (_, index) => resource(TOPIC, `corpus-missing-${index}`)),
    "costly",
  ),
  describe(
    "a flood of the broker",
    () => Array.from({ length: 100 }, () => resource(BROKER, "1", null)),
    "costly",
  ),
  ...["", "1", "+1", " 1", "01", "2", "-1", "x", "99999999999"].map((name) =>
    describe(`broker '${name}'`, () => [resource(BROKER, name, ["log.dirs"])]),
  ),
  ...["", "1", "2", "x"].map((name) =>
    describe(`broker logger '${name}'`, () => [resource(8, name, ["no.such"])]),
  ),
  ...[0, 1, 3, 5, 9, 64, 127, -1].map((type) =>
    describe(`resource type ${type}`, () => [resource(type, "x")]),
  ),
  ...[16, 32].flatMap((type) =>
    ["", "x"].map((name) =>
      describe(`resource type ${type} '${name}'`, () => [resource(type, name, ["no.such"])]),
    ),
  ),
  onTopic("nothing"),
  onTopic("sound", ["retention.ms", SET, "1000"]),
  onTopic("null value", ["retention.ms", SET, null]),
  onTopic("deleted", ["retention.ms", DELETE, null]),
  onTopic("deleted with a value", ["retention.ms", DELETE, "5"]),
  onTopic("unknown operation", ["retention.ms", 9, "5"]),
  onTopic("negative operation", ["retention.ms", -1, "5"]),
  onTopic("append to a number", ["retention.ms", APPEND, "5"]),
  onTopic("append to a list", ["cleanup.policy", APPEND, "compact"]),
  onTopic("append null", ["cleanup.policy", APPEND, null]),
  onTopic("subtract what is not there", ["cleanup.policy", SUBTRACT, "compact"]),
  onTopic("subtract the last", ["cleanup.policy", SUBTRACT, "delete"]),
  onTopic("key twice", ["retention.ms", SET, "1"], ["retention.ms", SET, "2"]),
  onTopic("unknown key", ["no.such", SET, "1"]),
  onTopic("delete unknown key", ["no.such", DELETE, null]),
  onTopic("empty key", ["", SET, "1"]),
  onTopic("bad value", ["retention.ms", SET, "soon"]),
  onTopic("out of range", ["segment.bytes", SET, "1"]),
  change("unknown topic", TOPIC, () => "corpus-missing", [["retention.ms", SET, "1"]]),
  change("illegal topic", TOPIC, () => "a/b", [["retention.ms", SET, "1"]]),
  change("empty topic", TOPIC, () => "", [["retention.ms", SET, "1"]]),
  change("__cluster_metadata", TOPIC, () => "__cluster_metadata", [["retention.ms", SET, "1"]]),
  ...["x", "-1", "99"].map((name) =>
    change(`broker '${name}'`, BROKER, () => name, [["log.retention.ms", SET, "1000"]]),
  ),
  change("broker, unknown key", BROKER, () => "1", [["no.such", SET, "1"]]),
  change("broker, fixed key", BROKER, () => "1", [["node.id", SET, "2"]]),
  change("broker, bad value", BROKER, () => "1", [["log.retention.ms", SET, "x"]]),
  ...[0, 3, 64, -1].map((type) =>
    change(`resource type ${type}`, type, () => "x", [["retention.ms", SET, "1"]]),
  ),
  change("resource type 8", 8, () => "1", [["kafka", SET, "NOISY"]]),
  change("resource type 16", 16, () => "x", [["no.such", SET, "1"]]),
  change("resource type 32", 32, () => "x", [["no.such", SET, "1"]]),
  one("configs/change a resource twice", ({ topic }) => {
    const each = {
      resourceType: TOPIC,
      resourceName: topic,
      configs: [{ name: "retention.ms", configOperation: SET, value: "5" }],
    };
    return ask(
      IncrementalAlterConfigsApi,
      1,
      makeIncrementalAlterConfigsRequest({
        resources: [each, each],
        validateOnly: true,
      }),
    );
  }),
  one(
    "configs/change none",
    ask(IncrementalAlterConfigsApi, 1, makeIncrementalAlterConfigsRequest()),
  ),
  alter("nothing", TOPIC, ({ topic }) => topic, []),
  alter("sound", TOPIC, ({ topic }) => topic, [["retention.ms", "1000"]]),
  alter("null value", TOPIC, ({ topic }) => topic, [["retention.ms", null]]),
  alter("unknown key", TOPIC, ({ topic }) => topic, [["no.such", "1"]]),
  alter("bad value", TOPIC, ({ topic }) => topic, [["retention.ms", "soon"]]),
  alter("key twice", TOPIC, ({ topic }) => topic, [
    ["retention.ms", "1"],
    ["retention.ms", "2"],
  ]),
  alter("unknown topic", TOPIC, () => "corpus-missing", [["retention.ms", "1"]]),
  alter("empty topic", TOPIC, () => "", [["retention.ms", "1"]]),
  alter("broker 'x'", BROKER, () => "x", [["log.retention.ms", "1000"]]),
  alter("resource type 0", 0, () => "x", [["retention.ms", "1"]]),
];
