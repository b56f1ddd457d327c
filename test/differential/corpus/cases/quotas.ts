/**
 * DescribeClientQuotas and AlterClientQuotas: entities that are nobody, keys that are not, values out of range, filters that
 * contradict themselves. What a case stores, it takes away again.
 */
import {
  AlterClientQuotasApi,
  makeAlterClientQuotasRequest,
  makeAlterClientQuotasRequestEntryData,
  type AlterClientQuotasRequestEntityData,
  type OpData,
} from "#protocol/generated/alter-client-quotas.ts";
import {
  type ComponentData,
  DescribeClientQuotasApi,
  makeDescribeClientQuotasRequest,
} from "#protocol/generated/describe-client-quotas.ts";
import { ask } from "../bytes.ts";
import { type Case, one, type Place, SETTLE, several, type Turn } from "../case.ts";

/** How a component of a filter matches. */
const EXACT = 0;
const DEFAULT = 1;
const ANY = 2;

type Entity = readonly (readonly [entityType: string, entityName: string | null])[];
type Op = readonly [key: string, value: number | null];
type Entry = readonly [entity: Entity, ops: readonly Op[]];

function entityData(entity: Entity): AlterClientQuotasRequestEntityData[] {
  return entity.map(([entityType, entityName]) => ({ entityType, entityName }));
}

function opData(ops: readonly Op[]): OpData[] {
  return ops.map(([key, value]) => ({ key, value: value ?? 0, remove: value === null }));
}

function alter(entries: readonly Entry[], version = 1, validateOnly = false): Turn {
  const request = makeAlterClientQuotasRequest({
    entries: entries.map(([entity, ops]) =>
      makeAlterClientQuotasRequestEntryData({ entity: entityData(entity), ops: opData(ops) }),
    ),
    validateOnly,
  });
  return ask(AlterClientQuotasApi, version, request);
}

type Component = readonly [entityType: string, matchType: number, match: string | null];

function describe(components: readonly Component[], strict = false, version = 1): Turn {
  const request = makeDescribeClientQuotasRequest({
    components: components.map(([entityType, matchType, match]): ComponentData => {
      return { entityType, matchType, match };
    }),
    strict,
  });
  return ask(DescribeClientQuotasApi, version, request);
}

/** A change that is only checked. */
const checked = (label: string, entries: (place: Place) => readonly Entry[], version = 1): Case =>
  one(`quotas/${label}`, (place) => alter(entries(place), version, true));

const keyed = (label: string, ops: readonly Op[], type = "user"): Case =>
  checked(label, ({ group }) => [[[[type, type === "ip" ? "10.1.2.3" : group]], ops]]);

const named = (label: string, entity: (place: Place) => Entity): Case =>
  checked(`entity ${label}`, (place) => [[entity(place), [["producer_byte_rate", 100]]]]);

const ip = (label: string, name: string | null): Case =>
  checked(`ip ${label}`, () => [[[["ip", name]], [["connection_creation_rate", 10]]]]);

const filter = (label: string, components: (place: Place) => readonly Component[]): Case =>
  one(`quotas/filter ${label}`, (place) => describe(components(place)));

const KEYS = [
  "producer_byte_rate",
  "consumer_byte_rate",
  "request_percentage",
  "controller_mutation_rate",
  "connection_creation_rate",
  "leader.replication.throttled.rate",
  "",
  "no_such_key",
  "Producer_Byte_Rate",
];
const VALUES = [
  0,
  -1,
  0.5,
  1,
  1.5,
  1.000000001,
  2147483648,
  9007199254740992,
  9.3e18,
  1e300,
  NaN,
  Infinity,
  -Infinity,
];

/** Stored, described in every way, taken away. */
function stored(version: number): Case {
  const pair = (place: Place): Entity => [
    ["user", place.group],
    ["client-id", `${place.group}-c`],
  ];
  const user = (place: Place): Entity => [["user", place.group]];
  const client = (place: Place): Entity => [["client-id", `${place.group}-c`]];
  const beside = (place: Place): Entity => [
    ["user", place.group],
    ["client-id", null],
  ];
  const rates: readonly Op[] = [
    ["producer_byte_rate", 1000],
    ["consumer_byte_rate", 2000.0],
    ["request_percentage", 12.5],
  ];
  const none: readonly Op[] = rates.map(([key]) => [key, null]);
  return several(`quotas/stored and described v${version}`, [
    (place) =>
      alter(
        [
          [pair(place), rates],
          [user(place), rates.slice(0, 1)],
          [client(place), rates.slice(1, 2)],
          [beside(place), rates.slice(2)],
        ],
        version,
      ),
    SETTLE,
    ({ group }) => describe([["user", EXACT, group]], false, version),
    ({ group }) => describe([["user", EXACT, group]], true, version),
    ({ group }) => describe([["client-id", EXACT, `${group}-c`]], false, version),
    ({ group }) => describe([["client-id", EXACT, `${group}-c`]], true, version),
    ({ group }) => {
      const components = [["user", EXACT, group] as const, ["client-id", ANY, null] as const];
      return describe(components, false, version);
    },
    ({ group }) => {
      const components = [["user", EXACT, group] as const, ["client-id", DEFAULT, null] as const];
      return describe(components, true, version);
    },
    ({ group }) => {
      const components = [
        ["user", ANY, null] as const,
        ["client-id", EXACT, `${group}-c`] as const,
      ];
      return describe(components, true, version);
    },
    (place) => alter([[pair(place), [["producer_byte_rate", 7]]]], version, true),
    (place) =>
      alter([
        [
          pair(place),
          [
            ["producer_byte_rate", 7],
            ["request_percentage", null],
          ],
        ],
      ]),
    SETTLE,
    ({ group }) => describe([["client-id", EXACT, `${group}-c`]], false, version),
    (place) =>
      alter(
        [pair(place), user(place), client(place), beside(place)].map((entity) => [entity, none]),
        version,
      ),
    SETTLE,
    ({ group }) => describe([["user", EXACT, group]], false, version),
  ]);
}

/** All of them. */
export const QUOTA_CASES: readonly Case[] = [
  stored(0),
  stored(1),
  one("quotas/alter nothing", alter([])),
  one("quotas/alter nothing v0", alter([], 0)),
  checked("alter without keys", ({ group }) => [[[["user", group]], []]]),
  checked("alter v0", ({ group }) => [[[["user", group]], [["producer_byte_rate", 1]]]], 0),
  named("of no parts", () => []),
  named("without a type", ({ group }) => [["", group]]),
  named("of an unknown type", ({ group }) => [["group", group]]),
  named("of a type in capitals", ({ group }) => [["USER", group]]),
  named("with an empty user", () => [["user", ""]]),
  named("with an empty client", () => [["client-id", ""]]),
  named("with an empty client and a user", ({ group }) => [
    ["user", group],
    ["client-id", ""],
  ]),
  named("default user", () => [["user", null]]),
  named("default client", () => [["client-id", null]]),
  named("default of both", () => [
    ["client-id", null],
    ["user", null],
  ]),
  named("user twice", ({ group }) => [
    ["user", group],
    ["user", `${group}-2`],
  ]),
  named("user and ip", ({ group }) => [
    ["user", group],
    ["ip", "127.0.0.1"],
  ]),
  named("client and ip", ({ group }) => [
    ["client-id", group],
    ["ip", "127.0.0.1"],
  ]),
  named("user and an unknown type", ({ group }) => [
    ["user", group],
    ["role", "a"],
  ]),
  named("not ASCII", () => [["user", "jürgen=ß,*"]]),
  named("of 4,000 letters", () => [["client-id", "a".repeat(4000)]]),
  ip("v4", "10.0.0.1"),
  ip("v6", "2001:db8::1"),
  ip("v6 in brackets", "[2001:db8::1]"),
  ip("default", null),
  ip("empty", ""),
  ip("out of range", "1.2.3.400"),
  ip("of two parts", "10.1"),
  ip("with a mask", "10.0.0.0/8"),
  ip("localhost", "localhost"),
  ip("not a host", "no host at all"),
  ip("with a port", "10.0.0.1:80"),
  keyed("ip with a user's key", [["producer_byte_rate", 1]], "ip"),
  keyed("ip with an unknown key", [["nothing", 1]], "ip"),
  ...KEYS.map((key) => keyed(`key '${key}'`, [[key, 10]])),
  ...KEYS.map((key) => keyed(`removes key '${key}'`, [[key, null]])),
  ...VALUES.flatMap((value) => [
    keyed(`producer_byte_rate ${value}`, [["producer_byte_rate", value]]),
    keyed(`request_percentage ${value}`, [["request_percentage", value]]),
  ]),
  ...VALUES.map((value) => keyed(`ip rate ${value}`, [["connection_creation_rate", value]], "ip")),
  keyed("key twice", [
    ["producer_byte_rate", 1],
    ["producer_byte_rate", 2],
  ]),
  keyed("key set and removed", [
    ["producer_byte_rate", 1],
    ["producer_byte_rate", null],
  ]),
  keyed("one of two keys wrong", [
    ["producer_byte_rate", 1],
    ["consumer_byte_rate", -1],
  ]),
  checked("entity twice", ({ group }) => [
    [[["user", group]], [["producer_byte_rate", 1]]],
    [[["user", group]], [["consumer_byte_rate", 1]]],
  ]),
  checked("one of two entities wrong", ({ group }) => [
    [[["user", group]], [["producer_byte_rate", 1]]],
    [[["user", ""]], [["consumer_byte_rate", 1]]],
  ]),
  several("quotas/one of two entities wrong, for real", [
    ({ group }) =>
      alter([
        [[["user", group]], [["producer_byte_rate", 1]]],
        [[["nobody", group]], [["consumer_byte_rate", 1]]],
      ]),
    SETTLE,
    ({ group }) => describe([["user", EXACT, group]]),
    ({ group }) => alter([[[["user", group]], [["producer_byte_rate", null]]]]),
  ]),
  filter("of nobody", ({ group }) => [["user", EXACT, group]]),
  filter("exactly null", () => [["user", EXACT, null]]),
  filter("default with a name", ({ group }) => [["user", DEFAULT, group]]),
  filter("any with a name", ({ group }) => [["user", ANY, group]]),
  filter("of match type 3", ({ group }) => [["user", 3, group]]),
  filter("of match type -1", ({ group }) => [["user", -1, group]]),
  filter("without a type", ({ group }) => [["", EXACT, group]]),
  filter("of an unknown type", ({ group }) => [["group", EXACT, group]]),
  filter("user twice", ({ group }) => [
    ["user", EXACT, group],
    ["user", ANY, null],
  ]),
  filter("user and ip", ({ group }) => [
    ["user", EXACT, group],
    ["ip", ANY, null],
  ]),
  filter("ip and client", ({ group }) => [
    ["ip", EXACT, group],
    ["client-id", DEFAULT, null],
  ]),
  filter("ip that is none", ({ group }) => [["ip", EXACT, group]]),
  filter("empty name", () => [["user", EXACT, ""]]),
  one("quotas/filter without parts, strict", describe([], true)),
];
