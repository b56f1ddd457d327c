import { describe, expect, test } from "bun:test";
import { BROKER_KEYS } from "#config/broker-keys.ts";
import { EMBEDDED_VALUES, parseOverride, resolveBrokerConfig } from "#config/broker-config.ts";
import { brokerSettings } from "#config/broker-settings.ts";
import { changedKeys } from "#config/explain-config.ts";
import { describeBrokerConfig } from "#config/describe-config.ts";
import { parseValue } from "#config/parse-value.ts";

const resolve = (values: Record<string, string>) =>
  resolveBrokerConfig({ file: new Map(Object.entries(values)) });

function settingsOf(values: Record<string, string>) {
  const { config, errors } = resolve(values);
  return config === null ? { settings: null, errors } : brokerSettings(config);
}

describe("the table", () => {
  test("has every key once, each with a default that reads", () => {
    expect(new Set(BROKER_KEYS.map(({ name }) => name)).size).toBe(BROKER_KEYS.length);
    for (const definition of BROKER_KEYS) {
      if (definition.default === null) continue;
      const { error } = parseValue(definition, definition.default);
      expect({ name: definition.name, error }).toEqual({ name: definition.name, error: null });
    }
  });

  test("documents what is supported", () => {
    const undocumented = BROKER_KEYS.filter(
      ({ status, doc, isInternal }) =>
        status === undefined && doc === undefined && isInternal !== true,
    );
    expect(undocumented.map(({ name }) => name)).toEqual([]);
  });
});

describe("resolveBrokerConfig", () => {
  test("works without a file", () => {
    const { config } = resolveBrokerConfig({
      file: null,
      overrides: new Map([["num.partitions", "3"]]),
    });
    if (config === null) throw new Error("no configuration");
    const { settings } = brokerSettings(config);
    expect(settings).toMatchObject({
      nodeId: 1,
      logDirs: ["./data"],
      groupInitialRebalanceDelayMs: 0,
      numNetworkThreads: 1,
      listeners: [
        { name: "PLAINTEXT", host: "127.0.0.1", port: 9092, securityProtocol: "PLAINTEXT" },
      ],
    });
    expect(config.number("num.partitions")).toBe(3);
    expect(changedKeys(config).map(({ name }) => name)).toContain("num.partitions");
    expect([...EMBEDDED_VALUES.keys()]).toEqual(["group.initial.rebalance.delay.ms"]);
  });

  test("keeps Kafka's rebalance delay with a file", () => {
    expect(settingsOf({}).settings?.groupInitialRebalanceDelayMs).toBe(3000);
  });

  test("reads Kafka's own combined-mode file", () => {
    const { settings, errors } = settingsOf({
      "process.roles": "broker,controller",
      "node.id": "7",
      "controller.quorum.voters": "7@127.0.0.1:19093",
      listeners: "PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093",
      "advertised.listeners": "PLAINTEXT://broker.example:19092",
      "inter.broker.listener.name": "PLAINTEXT",
      "controller.listener.names": "CONTROLLER",
      "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
      "log.dirs": "/one, /two",
    });
    expect(errors).toEqual([]);
    expect(settings).toMatchObject({
      nodeId: 7,
      logDirs: ["/one", "/two"],
      metadataLogDir: "/one",
      listeners: [
        { name: "PLAINTEXT", host: "127.0.0.1", port: 19092, securityProtocol: "PLAINTEXT" },
      ],
      advertisedListeners: [
        { name: "PLAINTEXT", host: "broker.example", port: 19092, securityProtocol: "PLAINTEXT" },
      ],
    });
  });

  test("warns of unknown and of unserved keys, and refuses values that do not read", () => {
    expect(
      resolve({ "no.such": "1", "ssl.protocol": "TLSv1.2", "listener.name.x.y": "z" }).warnings,
    ).toEqual([
      "no.such (option of the program) is ignored: there is no such key",
      "ssl.protocol (option of the program) has no effect: TLS, SASL and authorization are not offered yet",
    ]);
    expect(
      resolve({ "num.partitions": "0", "log.dirs": "/x", "message.max.bytes": "lots" }).errors,
    ).toEqual([
      "num.partitions=0 (option of the program): Value must be at least 1; " +
        "valid is a whole number from 1 (default 1); correct the value or leave it out",
      "message.max.bytes=lots (option of the program): Not a number of type INT; " +
        "valid is a whole number from 0 (default 1048588); correct the value or leave it out",
    ]);
  });

  test("refuses to cordon what is no log directory", () => {
    const cordon = (cordoned: string): readonly string[] =>
      settingsOf({ "log.dirs": "/one,/two", "cordoned.log.dirs": cordoned }).errors;
    expect([cordon(""), cordon("*"), cordon("/two , /one"), cordon("/one,/one")]).toEqual([
      [],
      [],
      [],
      [],
    ]);
    expect(cordon("/one,/nowhere,/two/")).toEqual([
      "All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : /nowhere, /two/",
    ]);
    expect(cordon("*,/one")).toEqual([
      "When cordoned.log.dirs is set to *, it must not contain other values",
    ]);
  });

  test("refuses addresses it cannot serve", () => {
    expect(settingsOf({ listeners: "SSL://:9093" }).errors).toEqual([
      "listeners: SSL asks for SSL, and only PLAINTEXT is served yet",
    ]);
    expect(settingsOf({ listeners: "PLAINTEXT://:99999" }).errors).toEqual([
      "listeners: port 99999 of 'PLAINTEXT://:99999' is above 65535",
    ]);
    expect(settingsOf({ listeners: "FOO://:9093" }).errors).toEqual([
      "listeners: no security protocol is mapped to listener FOO",
    ]);
    expect(settingsOf({ "advertised.listeners": "PLAINTEXT://0.0.0.0:1" }).errors).toHaveLength(1);
  });

  test("puts dynamic values over static ones, per broker over all brokers", () => {
    const { config } = resolve({ "log.retention.ms": "1", "num.partitions": "2" });
    const dynamic = config?.withDynamic(
      new Map([
        ["log.retention.ms", "2"],
        ["num.partitions", "9"],
      ]),
      new Map([["log.retention.ms", "3"]]),
    );
    expect([dynamic?.number("log.retention.ms"), dynamic?.number("num.partitions")]).toEqual([
      3, 2,
    ]);
  });
});

test("describeBrokerConfig hides passwords", () => {
  const { config } = resolve({ "ssl.key.password": "hunter2" });
  if (config === null) throw new Error("no configuration");
  const described = describeBrokerConfig(config);
  const password = described.find(({ name }) => name === "ssl.key.password");
  expect(password).toMatchObject({
    value: null,
    isSensitive: true,
    synonyms: [{ value: null, source: 4 }],
  });
  expect(JSON.stringify(described).includes("hunter2")).toBe(false);
});

test("parseOverride splits at the first equals sign", () => {
  expect(parseOverride("log.dirs=/a=b")).toEqual(["log.dirs", "/a=b"]);
  expect(parseOverride("nonsense")).toBeNull();
});
