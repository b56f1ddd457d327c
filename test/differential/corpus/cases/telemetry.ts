/**
 * Metrics that clients push (KIP-714), by clients that match no subscription: an interval of five minutes and nothing wanted. Kafka
 * serves the two requests without advertising them where no plug-in receives metrics.
 */
import { ZERO_UUID } from "#common/uuid.ts";
import {
  GetTelemetrySubscriptionsApi,
  makeGetTelemetrySubscriptionsRequest,
} from "#protocol/generated/get-telemetry-subscriptions.ts";
import {
  makePushTelemetryRequest,
  PushTelemetryApi,
  type PushTelemetryRequest,
} from "#protocol/generated/push-telemetry.ts";
import { ask } from "../bytes.ts";
import { type Case, conversation, one, type Reply, type Turn } from "../case.ts";

const get = (clientInstanceId: string): Turn =>
  ask(GetTelemetrySubscriptionsApi, 0, makeGetTelemetrySubscriptionsRequest({ clientInstanceId }));

const push = (init: Partial<PushTelemetryRequest>): Turn =>
  ask(PushTelemetryApi, 0, makePushTelemetryRequest(init));

interface Instance {
  readonly clientInstanceId: string;
  readonly subscriptionId: number;
}

function instanceOf(replies: readonly Reply[]): Instance {
  const message = replies[0]?.message ?? {};
  return {
    clientInstanceId: String(message["clientInstanceId"]),
    subscriptionId: Number(message["subscriptionId"]),
  };
}

/** A client that asks for its subscription and then does what `rest` says. */
const after = (label: string, rest: (instance: Instance) => readonly Turn[]): Case =>
  conversation(`telemetry/${label}`, function* () {
    yield* rest(instanceOf(yield get(ZERO_UUID)));
  });

const GARBAGE = new Uint8Array([255, 255, 255]);

/** All of them. */
export const TELEMETRY_CASES: readonly Case[] = [
  one("telemetry/get without an id", get(ZERO_UUID)),
  one("telemetry/get with an id of one's own", get("AAAAAAAAAAAAAAAAAAAABQ")),
  after("get twice", ({ clientInstanceId }) => [get(clientInstanceId)]),
  after("push", (instance) => [push(instance)]),
  after("push twice", (instance) => [push(instance), push(instance)]),
  after("push to another subscription, and ask again", ({ clientInstanceId, subscriptionId }) => [
    push({ clientInstanceId, subscriptionId: subscriptionId ^ 1 }),
    get(clientInstanceId),
  ]),
  after("push, then get", (instance) => [push(instance), get(instance.clientInstanceId)]),
  ...[5, 9, 127, -1].map((compressionType) =>
    after(`push of compression ${compressionType}, and ask again`, (instance) => [
      push({ ...instance, compressionType }),
      get(instance.clientInstanceId),
    ]),
  ),
  ...[0, 1, 2, 3, 4].map((compressionType) =>
    after(`push of garbage in compression ${compressionType}`, (instance) => [
      push({ ...instance, compressionType, metrics: GARBAGE }),
    ]),
  ),
  after("push of a byte too many", (instance) => [
    push({ ...instance, metrics: new Uint8Array(1_048_577) }),
  ]),
  after("push of the most bytes there may be", (instance) => [
    push({ ...instance, metrics: new Uint8Array(1_048_576) }),
  ]),
  after("goodbye, twice", (instance) => [
    push(instance),
    push({ ...instance, terminating: true }),
    push({ ...instance, terminating: true }),
  ]),
  after("goodbye to another subscription", ({ clientInstanceId }) => [
    push({ clientInstanceId, subscriptionId: 1, terminating: true }),
    push({ clientInstanceId, subscriptionId: 1 }),
  ]),
  one("telemetry/push without an id", push({})),
  one("telemetry/push of the reserved id", push({ clientInstanceId: "AAAAAAAAAAAAAAAAAAAAAQ" })),
  one("telemetry/push of an unknown id", push({ clientInstanceId: "AAAAAAAAAAAAAAAAAAAABg" })),
  one(
    "telemetry/push wrong in every way",
    push({
      clientInstanceId: "AAAAAAAAAAAAAAAAAAAABw",
      compressionType: 9,
      metrics: new Uint8Array(1_048_577),
    }),
  ),
];
