/**
 * The settings of a cluster node. The sentences about wrong values were printed by Kafka 4.4's own KafkaConfig for the same values
 * (2026-11-23), without its "requirement failed: ".
 */
import { describe, expect, test } from "bun:test";
import { resolveBrokerConfig } from "#config/broker-config.ts";
import { type BrokerSettingsResult, brokerSettings } from "#config/broker-settings.ts";

const NODE: Readonly<Record<string, string>> = {
  "process.roles": "broker,controller",
  "node.id": "1",
  "controller.quorum.voters": "1@127.0.0.1:19093,2@127.0.0.1:29093,3@127.0.0.1:39093",
  listeners: "PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093",
  "advertised.listeners": "PLAINTEXT://127.0.0.1:19092",
  "inter.broker.listener.name": "PLAINTEXT",
  "controller.listener.names": "CONTROLLER",
  "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
  "log.dirs": "/tmp/x",
};

/** Settings of a node whose keys are changed; null leaves a key out. */
function settingsOf(changes: Readonly<Record<string, string | null>>): BrokerSettingsResult {
  const values = new Map<string, string>();
  for (const [key, value] of Object.entries({ ...NODE, ...changes }))
    if (value !== null) values.set(key, value);
  const { config, errors } = resolveBrokerConfig({ file: values });
  return config === null ? { settings: null, errors } : brokerSettings(config);
}

describe("clusterSettings", () => {
  test("reads what is written for a node of Kafka in combined mode", () => {
    expect(settingsOf({}).settings?.cluster).toEqual({
      isBroker: true,
      isController: true,
      voters: [
        { id: 1, host: "127.0.0.1", port: 19093 },
        { id: 2, host: "127.0.0.1", port: 29093 },
        { id: 3, host: "127.0.0.1", port: 39093 },
      ],
      bootstrapServers: [
        { host: "127.0.0.1", port: 19093 },
        { host: "127.0.0.1", port: 29093 },
        { host: "127.0.0.1", port: 39093 },
      ],
      controllerListeners: [
        { name: "CONTROLLER", host: "127.0.0.1", port: 19093, securityProtocol: "PLAINTEXT" },
      ],
      controllerListenerNames: ["CONTROLLER"],
      interBrokerListenerName: "PLAINTEXT",
      brokerHeartbeatIntervalMs: 500,
      brokerSessionTimeoutMs: 9000,
      initialBrokerRegistrationTimeoutMs: 60_000,
      controllerQuorumElectionTimeoutMs: 500,
      controllerSocketTimeoutMs: 30_000,
      autoJoins: false,
      secret: null,
      quorumText: "1@127.0.0.1:19093,2@127.0.0.1:29093,3@127.0.0.1:39093",
    });
  });

  test.each([
    ["without a quorum", { "controller.quorum.voters": null }],
    ["with a quorum of its own", { "controller.quorum.voters": "1@127.0.0.1:19093" }],
    [
      "with its own controller as only server",
      {
        "controller.quorum.voters": null,
        "controller.quorum.bootstrap.servers": "localhost:19093",
      },
    ],
  ])("runs by itself %s", (_what, changes) => {
    const { settings, errors } = settingsOf(changes);
    expect([errors, settings?.cluster]).toEqual([[], null]);
  });

  test("the only controller is no node by itself when brokers are elsewhere", () => {
    const { settings, errors } = settingsOf({
      "process.roles": "controller",
      "controller.quorum.voters": "1@127.0.0.1:19093",
      listeners: "CONTROLLER://127.0.0.1:19093",
      "advertised.listeners": null,
    });
    expect(errors).toEqual([]);
    expect(settings?.cluster).toMatchObject({ isBroker: false, voters: [{ id: 1 }] });
    expect(settings?.listeners).toEqual([]);
  });

  test("a broker without the controller role names the voters, and is none", () => {
    const roles = { "process.roles": "broker", "node.id": "4" };
    const { settings } = settingsOf({ ...roles, listeners: "PLAINTEXT://127.0.0.1:19092" });
    expect([settings?.cluster?.isController, settings?.cluster?.controllerListeners]).toEqual([
      false,
      [],
    ]);
  });

  test.each([
    [
      { "process.roles": "broker" },
      "If process.roles contains just the 'broker' role, the node id 1 must not be included in the set of voters controller.quorum.voters=Set(1, 2, 3)",
    ],
    [
      { "node.id": "9" },
      "If process.roles contains the 'controller' role, the node id 9 must be included in the set of voters controller.quorum.voters=Set(1, 2, 3)",
    ],
    [
      { "process.roles": "broker", "node.id": "4" },
      "controller.listener.names must not contain a value appearing in the 'listeners' configuration when running KRaft with just the broker role",
    ],
    [
      { "process.roles": "controller" },
      "The listeners config must only contain KRaft controller listeners from controller.listener.names when process.roles=controller",
    ],
    [
      { "controller.quorum.voters": "1@127.0.0.1" },
      "Failed to parse host name from entry 1@127.0.0.1 for the configuration controller.quorum.voters. Each entry should be in the form `{id}@{host}:{port}`.",
    ],
    [
      { "controller.quorum.voters": "a@127.0.0.1:99" },
      "Failed to parse voter ID as an integer from a",
    ],
    [
      { "controller.quorum.voters": "1-127.0.0.1:99" },
      "Invalid configuration value for controller.quorum.voters. Each entry should be in the form `{id}@{host}:{port}`.",
    ],
    [{ "controller.quorum.voters": "1@127.0.0.1:99999,2@h:1" }, "port out of range:99999"],
    [
      {
        "controller.quorum.voters": null,
        "controller.quorum.bootstrap.servers": "127.0.0.1:x,b:1",
      },
      'Failed to parse host name from 127.0.0.1:x for the configuration controller.quorum.bootstrap.servers. Each entry should be in the form "{host}:{port}"',
    ],
    [
      { "controller.listener.names": "FOO" },
      "controller.listener.names must contain at least one value appearing in the 'listeners' configuration when running the KRaft controller role",
    ],
    [
      { "controller.listener.names": "CONTROLLER,FOO" },
      "controller.listener.names must only contain values appearing in the 'listeners' configuration when running the KRaft controller role",
    ],
    [
      { "inter.broker.listener.name": "CONTROLLER" },
      "inter.broker.listener.name must be a listener name defined in advertised.listeners. The valid options based on currently configured listeners are PLAINTEXT",
    ],
    [
      { "security.inter.broker.protocol": "PLAINTEXT" },
      "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set.",
    ],
    [
      { listeners: "CONTROLLER://127.0.0.1:19093", "advertised.listeners": null },
      "There must be at least one broker advertised listener. Perhaps all listeners appear in controller.listener.names?",
    ],
  ] as const)("%o is refused as Kafka does", (changes, sentence) => {
    const { errors } = settingsOf(changes);
    expect(errors.map((error) => error.slice(0, sentence.length))).toContain(sentence);
  });
});
